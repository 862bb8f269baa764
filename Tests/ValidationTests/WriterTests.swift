import BSON
import Foundation
import TestSupport
import Testing

@testable import Validation

@Suite struct WriterTests {
  private static func folder() throws -> String {
    let path = "\(FileManager.default.temporaryDirectory.path)/\(TestServer.uniqueName())"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  @Test("a collection called <script> stays text in HTML and XML")
  func escaping() {
    let report = SampleReport.make()
    for text in [HTMLReport(report).text, JUnitReport(report).text] {
      #expect(!text.contains("<script"))
      #expect(text.contains("&lt;script&gt;"))
    }
    #expect("\u{1b}[2J\u{202E}\u{0}'\"".escaped == "\u{FFFD}[2J\u{FFFD}\u{FFFD}&#39;&quot;")
  }

  @Test("control characters of a name do not reach the terminal")
  func terminal() {
    var report = SampleReport.make()
    report.checks.append(.found("collection-missing", "\u{1b}[2J", .error, "gone\nreally"))
    let text = TerminalReport(report).text
    #expect(!text.contains("\u{1b}"))
    #expect(text.hasPrefix("Failed"))
    #expect(text.contains("FAILED  orphaned-references"))
  }

  @Test("values are redacted unless asked for, and _ids are shown")
  func redaction() throws {
    let report = SampleReport.make()
    let writers: [(ReportOptions) -> String] = [
      { HTMLReport(report, $0).text }, { JSONReport(report, $0).text },
      { JUnitReport(report, $0).text }, { TerminalReport(report, $0).text },
    ]
    for text in writers {
      #expect(!text(ReportOptions()).contains("u-4711"))
      #expect(!text(ReportOptions()).contains("ada@example.com"))
      #expect(text(ReportOptions()).contains("ObjectId("))
      #expect(text(ReportOptions(showsValues: true)).contains("u-4711"))
    }
  }

  @Test("the HTML report has no script, no address and one file")
  func selfContained() {
    let text = HTMLReport(SampleReport.make()).text
    for part in ["<script", "http:", "https:", "src=", "href=", "@import", "url("] {
      #expect(!text.contains(part), "\(part)")
    }
    #expect(text.contains("prefers-color-scheme: dark"))
    #expect(text.contains("@media print"))
  }

  @Test(
    "the verdict follows from the checks",
    arguments: [
      ([CheckResult.Status.passed], false, Verdict.passed),
      ([.passed, .warning], false, .reservations),
      ([.passed, .warning], true, .failed), ([.passed, .skipped], false, .reservations),
      ([.passed, .skipped], true, .failed), ([.passed, .error], false, .failed),
      ([.passed, .failed], false, .failed), ([], false, .reservations),
    ])
  func verdict(_ statuses: [CheckResult.Status], _ strict: Bool, _ expected: Verdict) {
    var report = Report(kind: .before, subject: "", startedAt: 0, finishedAt: 0, isStrict: strict)
    report.checks = statuses.map { CheckResult("x", status: $0, "") }
    #expect(report.verdict == expected)
  }

  @Test("JUnit has one case for each check, with real skips")
  func junit() throws {
    let report = SampleReport.make()
    let text = JUnitReport(report).text
    #expect(text.components(separatedBy: "<testcase ").count - 1 == report.checks.count)
    #expect(text.components(separatedBy: "<skipped ").count - 1 == 2)
    #expect(text.components(separatedBy: "<failure ").count - 1 == 2)
    let parser = XMLParserCheck(text)
    #expect(parser.isWellFormed)
  }

  @Test("a clock that went back and numbers that are none are written, too")
  func oddTimes() {
    for (start, end) in [(5_000, 3_999), (5_000, 0)] as [(Int64, Int64)] {
      var report = SampleReport.make()
      report.startedAt = start
      report.finishedAt = end
      for index in report.checks.indices { report.checks[index].duration = -1 }
      #expect(XMLParserCheck(JUnitReport(report).text).isWellFormed)
      #expect(!HTMLReport(report).text.isEmpty && !TerminalReport(report).text.isEmpty)
      #expect(!JSONReport(report).text.isEmpty)
    }
    for number in [Double.nan, .infinity, -.infinity, 1e300, -1e300] {
      #expect(!Words.time(number).isEmpty && !Words.bytes(number).isEmpty)
      #expect(!Words.decimal(number, 1).isEmpty && !Words.percent(number).isEmpty)
    }
  }

  @Test("in a strict run JUnit fails what makes the exit 4: warnings, and what was skipped")
  func strictJUnit() {
    var report = SampleReport.make()
    report.checks = [
      .found("disk", "", .warning, "full"), .skipped("privileges", "", "not allowed"),
      .skipped("members", "", "no replica set", applies: false), .passed("clock", "", "fine"),
    ]
    report.isStrict = true
    let text = JUnitReport(report).text
    #expect(report.verdict == .failed)
    #expect(text.components(separatedBy: "<failure ").count - 1 == 2)
    #expect(text.components(separatedBy: "<skipped ").count - 1 == 1)
    #expect(text.contains("failures=\"2\" errors=\"0\" skipped=\"1\""))
  }

  @Test("the JSON report has what its schema requires, and nothing else")
  func schema() throws {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("docs/report.schema.json").path
    let bytes = try #require(FileManager.default.contents(atPath: path))
    let schema = try ExtendedJSON.parseDocument(utf8: [UInt8](bytes))
    let report = JSONReport(SampleReport.make()).document
    #expect(SchemaCheck(schema).problems(.document(report)) == [])
    var broken = report
    broken["verdict"] = "maybe"
    #expect(SchemaCheck(schema).problems(.document(broken)) != [])
  }

  @Test("a browser reads verdict, counts and ids from the page, without running anything")
  func browser() throws {
    let browser = try Browser()
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let report = SampleReport.make()
    let files = try ReportFolder(folder).write(report)
    let page = try #require(files.first { $0.hasSuffix(".html") })
    let dom = try browser.run(["--dump-dom", "file://\(page)"], profile: "\(folder)/profile")
    #expect(dom.contains("data-verdict=\"failed\""))
    for status in CheckResult.Status.allCases {
      let count = report.count(status)
      #expect(
        dom.contains("data-status=\"\(status.rawValue)\" data-count=\"\(count)\""), "\(status)")
    }
    #expect(dom.contains("data-check=\"orphaned-references\""))
    #expect(dom.contains("&lt;script&gt;alert(1)&lt;/script&gt;"))
    #expect(!dom.contains("<script"))
    if let keep = ProcessInfo.processInfo.environment["MARTLET_KEEP_PAGE"] {
      try? FileManager.default.copyItem(atPath: page, toPath: keep)
    }
  }

  @Test("a window's page of hostile, long and right-to-left names fits a phone and a desk")
  func window() throws {
    var report = SampleReport.make()
    report.kind = .window
    let long = String(repeating: "x", count: 235)
    for name in [SampleReport.hostile, long, "مجموعة الطلبات", "\u{202E}gnp.exe", "日本語"] {
      var check = CheckResult.found(
        "orphaned-references", "\(name).user_id -> users._id", .error, "1 reference to \(name)",
        evidence: .ids([.string(name)]), command: "db.getCollection(\"\(name)\").find({})")
      for stage in ["validate before", "validate after"] {
        check.stage = stage
        report.checks.append(check)
        var passed = CheckResult.passed("collection-missing", name, "it exists")
        passed.stage = stage
        report.checks.append(passed)
        var skipped = CheckResult.skipped("type-drift", name, "no indexed fields", applies: false)
        skipped.stage = stage
        report.checks.append(skipped)
      }
      report.metrics.append(Metric(.documents, name, .count, before: nil, after: 5))
      report.timeline.append(
        TimelineEntry(name, startedAt: report.startedAt, duration: 5, state: .done, detail: name))
      report.plan.append(PlanEntry(migration: name, step: "create \(name)", state: "change"))
      report.notes.append("Put aside: \(name).")
      report.environment.append(Fact(name, name))
    }
    let text = HTMLReport(report).text
    #expect(!text.contains("<script") && !text.contains("\u{202E}"))
    #expect(text.contains("<span class=\"soft\">validate after</span>"))
    #expect(text.contains("– → 5  (new)"))
    // The page itself can run nothing; this copy of it says how far something sticks out.
    let start = try #require(text.range(of: "<meta http-equiv"))
    let end = try #require(text.range(of: "<meta name=\"viewport\""))
    let measured = text.replacingCharacters(in: start.lowerBound..<end.lowerBound, with: "")
      .replacing("<details", with: "<details open").replacing(
        "</body>",
        with: """
          <script>const e = document.documentElement;
          document.title = "out by " + (e.scrollWidth - e.clientWidth);</script></body>
          """)
    let browser = try Browser()
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try measured.write(toFile: "\(folder)/page.html", atomically: true, encoding: .utf8)
    for width in [360, 1000] {
      let dom = try browser.run(
        ["--window-size=\(width),800", "--dump-dom", "file://\(folder)/page.html"],
        profile: "\(folder)/profile")
      #expect(dom.contains("<title>out by 0</title>"), "\(width)")
    }
  }

  @Test("in a window JUnit has a case for each stage too: one may fail without a check")
  func junitOfWindow() {
    var report = SampleReport.make()
    report.kind = .window
    report.checks = [.passed("version", "", "6.0.5")]
    let text = JUnitReport(report).text
    #expect(text.contains("tests=\"7\" failures=\"1\""))
    #expect(text.contains("<failure message=\"2 checks failed\"/>"))
    #expect(XMLParserCheck(text).isWellFormed)
  }

  @Test("10,000 findings make a page of a few megabytes, with the rest folded")
  func many() throws {
    var report = SampleReport.make()
    report.checks = (0..<10_000).map { n in
      .found(
        "orphaned-references", "c\(n).x -> y._id", .error, "\(n) references", findings: 100_000,
        evidence: .ids((0..<200).map { .integer($0) }))
    }
    let text = HTMLReport(report).text
    #expect(text.utf8.count < 4_000_000)
    #expect(text.contains("9,900 more findings"))
    #expect(text.components(separatedBy: "<article").count - 1 == 100)
    #expect(text.contains("20 of 100,000 are shown"))
    if let browser = try? Browser() {
      let folder = try Self.folder()
      defer { try? FileManager.default.removeItem(atPath: folder) }
      let page = try #require(try ReportFolder(folder).write(report).first)
      let dom = try browser.run(["--dump-dom", "file://\(page)"], profile: "\(folder)/profile")
      #expect(dom.contains("data-status=\"failed\" data-count=\"10000\""))
    }
  }

  @Test("a report folder that cannot be written is a named error")
  func unwritable() throws {
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try "x".write(toFile: "\(folder)/file", atomically: true, encoding: .utf8)
    let error = #expect(throws: ValidationError.self) {
      try ReportFolder("\(folder)/file/reports").prepare()
    }
    #expect(error?.code == .unwritable)
  }

  @Test(
    "times are written as in ISO 8601",
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (951_782_399_000, "2000-02-28T23:59:59Z"),
      (951_782_400_000, "2000-02-29T00:00:00Z"), (1_769_565_600_123, "2026-01-28T02:00:00Z"),
      (-1, "1969-12-31T23:59:59Z"), (4_102_444_800_000, "2100-01-01T00:00:00Z"),
    ])
  func instants(_ milliseconds: Int64, _ text: String) {
    #expect(Words.instant(milliseconds) == text)
  }
}
