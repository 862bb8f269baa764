import Testing

@testable import Commands

private struct Names: CommandOutput {
  var names: [String]
  var json: JSONValue { ["names": .strings(names)] }
  func write(to page: inout Page) {
    var table = Table(["name", .number("count")])
    for name in names { table.add(StyledText(name, .name), "\(name.count)") }
    page.table(table)
  }
}

@Suite("console")
struct ConsoleTests {
  @Test("columns line up whatever the width of the letters")
  func alignment() {
    let recording = Recording()
    recording.console().show(Names(names: ["users", "注文", "café", "e\u{301}a", "👩‍👩‍👧"]))
    #expect(
      recording.out == """
        name   count
        users      5
        注文       2
        café       4
        éa         2
        👩‍👩‍👧         1

        """)
  }

  @Test("a hostile name cannot speak to the terminal, in a table, in an error or in JSON")
  func hostileNames() {
    let name = "a\u{1b}[2J\r\n\u{9b}31m\u{202e}b"
    let harmless = "a\\u001b[2J\\r\\n\\u009b31m\\u202eb"
    for json in [false, true] {
      let recording = Recording()
      let console = recording.console(.init(json: json, colourOut: true))
      console.show(Names(names: [name]))
      console.status("on \(name)")
      console.warn(StyledText(name))
      console.report(ErrorReport(CommandError(.failed, "no \(name)", hint: name)))
      #expect(recording.out.contains(harmless))
      #expect(recording.error.contains("on " + harmless))
      let all = (recording.out + recording.error).unicodeScalars
      #expect(!all.contains("\r") && !all.contains("\u{9b}") && !all.contains("\u{202e}"))
      #expect(json == !all.contains("\u{1b}"))
    }
  }

  @Test("colours only where they are allowed")
  func colours() {
    let plain = Recording()
    plain.console().show(Names(names: ["a"]))
    #expect(!plain.out.contains("\u{1b}"))
    let coloured = Recording()
    coloured.console(.init(colourOut: true)).show(Names(names: ["a"]))
    #expect(coloured.out.contains("\u{1b}[36ma\u{1b}[0m"))
  }

  @Test("--json writes one document in the order given, and nothing else, to standard output")
  func json() {
    let recording = Recording()
    let console = recording.console(.init(json: true))
    console.status("working")
    console.show(Names(names: ["z\"\\\u{0}é", "a"]))
    console.next("martlet migrate up")
    #expect(
      recording.out == "{\n  \"names\": [\n    \"z\\\"\\\\\\u0000é\",\n    \"a\"\n  ]\n}\n")
    #expect(recording.error == "working\nnext: martlet migrate up\n")
  }

  @Test("JSON values have one text")
  func jsonTexts() {
    let value: JSONValue = [
      "n": nil, "b": true, "i": -5, "d": .double(1.5), "inf": .double(.infinity), "a": [], "o": [:],
    ]
    #expect(
      value.text(pretty: false)
        == "{\"n\":null,\"b\":true,\"i\":-5,\"d\":1.5,\"inf\":null,\"a\":[],\"o\":{}}")
  }

  @Test("quiet leaves results, warnings and errors")
  func quiet() {
    let recording = Recording()
    let console = recording.console(.init(quiet: true))
    console.status("working")
    console.next("x")
    console.detail("more")
    console.warn("careful")
    console.show(Names(names: []))
    #expect(recording.error == "warning: careful\n")
    #expect(recording.out == "name  count\n")
  }

  @Test("an error ends with its hint, and its document has a fixed form")
  func errors() {
    let recording = Recording()
    recording.console(.init(json: true)).report(
      ErrorReport(
        CommandError(
          .configuration, "bad", hint: "fix it", at: .init(file: "f", line: 2, column: 3))))
    #expect(recording.error == "error: f:2:3: bad\nHINT: fix it\n")
    #expect(
      recording.out == """
        {
          "error": {
            "code": "configuration",
            "message": "f:2:3: bad",
            "hint": "fix it",
            "exitCode": 64,
            "file": "f",
            "line": 2,
            "column": 3
          }
        }

        """)
  }
}

@Suite("progress")
struct ProgressTests {
  @Test("elsewhere than on a terminal there is a line every 30 s")
  func lines() {
    let recording = Recording()
    let progress = Progress(recording.console(), "users", total: 1000)
    recording.pass(.seconds(29))
    progress.update(done: 100)
    #expect(recording.error.isEmpty)
    recording.pass(.seconds(1))
    progress.update(done: 500)
    #expect(recording.error == "users  50%  500 of 1,000 documents  16/s  30 s left\n")
    recording.pass(.seconds(10))
    progress.advance(by: 1)
    progress.finish()
    #expect(recording.error.split(separator: "\n").count == 1)
  }

  @Test("a line does not mix with the bar, and the bar goes away")
  func bar() {
    let recording = Recording()
    let console = recording.console(.init(liveProgress: true))
    let progress = Progress(console, "users", total: 10)
    console.status("hello")
    progress.finish()
    let erase = "\r\u{1b}[K"
    let bar = "users  [                    ]  0%  0 of 10 documents"
    #expect(recording.error == erase + bar + erase + "hello\n" + erase + bar + erase)
  }

  @Test("a bar fits its terminal")
  func width() {
    let activity = Progress.Activity(
      id: 1, label: String(repeating: "注", count: 60), unit: .bytes, total: 10, started: .zero,
      shown: .zero)
    #expect(activity.line(now: .seconds(5), width: 79).columns <= 79)
  }

  @Test("a signal prints all that goes on, or that nothing does")
  func atOnce() {
    let recording = Recording()
    let console = recording.console(.init(quiet: true))
    console.printProgress()
    let progress = Progress(console, "dump", unit: .bytes)
    progress.advance(by: 3 << 20)
    recording.pass(.seconds(2))
    console.printProgress()
    progress.finish()
    #expect(recording.error == "nothing in progress\ndump  3.0 MiB  1.5 MiB/s\n")
  }
}
