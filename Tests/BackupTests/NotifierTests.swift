import Foundation
import TestSupport
import Testing

@testable import Backup

/// Real programs in sendmail's place, and a real server behind the webhook.
@Suite struct NotifierTests {
  /// Answers each request by the next of its statuses and writes down what came.
  private static let server = """
    import http.server, sys
    statuses = sys.argv[2].split(",")
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            with open(sys.argv[1], "a") as file: file.write(self.path + " " + body + "\\n")
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            if status == "never":
                import time; time.sleep(60)
            self.send_response(int(status))
            self.send_header("Retry-After", "3600") if status == "503" else None
            self.send_header("Location", "/other") if status == "302" else None
            self.end_headers()
        def log_message(self, *words): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
    """

  /// Sends to a server that answers so; what went wrong, and the requests that it got.
  private func send(_ statuses: String, _ event: NotifierEvent = .test) throws -> (
    failures: [String], requests: [String]
  ) {
    let scratch = try ScratchFolder()
    let python = try TestServer.environment("MARTLET_TEST_PYTHON")
    let server = try ChildProcess(
      python, ["-c", Self.server, scratch.path + "/requests", statuses])
    defer {
      server.kill(SIGKILL)
      _ = server.wait()
    }
    guard server.waitFor("\n") else { throw BackupError(.program, "the server did not start") }
    let port = server.stdoutSoFar.filter(\.isNumber)
    let notifier = Notifier(
      email: nil, webhook: "http://user:geheim@127.0.0.1:\(port)/geheim",
      timeout: statuses == "never" ? 1 : 20
    ) { _ in }
    let failures = notifier.send(event)
    let text = (try? scratch.read("requests")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    return (failures, text.split(separator: "\n").map(String.init))
  }

  @Test("a webhook gets versioned JSON, once; a failure of the server is tried again")
  func webhook() throws {
    let told = try send("200", .failed("backup run", "no \"room\"\nleft", exitCode: 10))
    #expect(told.failures.isEmpty)
    #expect(told.requests.count == 1)
    let request = try #require(told.requests.first)
    #expect(request.hasPrefix("/geheim {\"format\":\"martlet-event/1\""))
    #expect(request.contains("\"exitCode\":10"))
    #expect(request.contains("\"error\":\"no \\\"room\\\"\\nleft\""))
    let again = try send("500,200")
    #expect(again.failures.isEmpty)
    #expect(again.requests.count == 2)
  }

  @Test(
    "a webhook that was not told is a failure in words, soon, and without its address",
    arguments: [
      ("401", "answered 401"), ("302", "redirects are not followed"), ("503", "answered 503"),
    ])
  func refused(status: String, words: String) throws {
    let told = try send(status)
    #expect(told.failures.count == 1)
    #expect(told.failures.first?.contains(words) == true)
    #expect(told.failures.first?.contains("geheim") == false)
    // A server that asks to be left alone for an hour is left alone; a redirect gets nothing.
    #expect(told.requests.count == 1)
  }

  @Test("a webhook that does not answer is a failure in words, and holds nothing up")
  func silence() throws {
    let told = try send("never")
    #expect(told.failures.count == 1)
    #expect(told.failures.first?.contains("did not answer within 1 s") == true)
    #expect(told.failures.first?.contains("geheim") == false)
  }

  @Test("what is no web address is not read, however it is written")
  func addresses() {
    for url in [
      "file:///etc/passwd", "gopher://127.0.0.1:1/x", "http://127.0.0.1:1/a\"\nurl = \"x",
    ] {
      let notifier = Notifier(email: nil, webhook: url, timeout: 1) { _ in }
      #expect(notifier.send(.test).count == 1, "\(url)")
    }
  }

  @Test("a mail goes to sendmail -t -i, which has headers and no more than its address")
  func mail() throws {
    let scratch = try ScratchFolder()
    let path = scratch.path + "/sendmail"
    try ChildProcess.writeProgram(
      "#!/bin/sh\n{ echo \"$@\"; cat; } >'\(scratch.path)/mail'\n", to: path)
    let notifier = Notifier(email: "ops@example.com", webhook: nil, sendmail: path) { _ in }
    let event = NotifierEvent.failed("backup run", "first\n.\nBcc: x@example.com", exitCode: 1)
    #expect(notifier.send(event).isEmpty)
    let text = String(decoding: try scratch.read("mail"), as: UTF8.self)
    let parts = text.split(separator: "\n\n", maxSplits: 1)
    let head = try #require(parts.first).split(separator: "\n")
    #expect(head.first == "-t -i")
    #expect(head.contains("To: ops@example.com"))
    #expect(head.contains { $0.hasPrefix("Subject: [martlet] FAILED: backup run on ") })
    #expect(!head.contains { $0.hasPrefix("Bcc") })
    #expect(parts.last?.contains("exit code 1") == true)
  }

  @Test(
    "a sendmail that fails, is killed, hangs or is missing is told and nothing more",
    arguments: [
      ("echo full >&2; exit 75", "exit code 75: full"), ("kill -9 $$", "signal 9"),
      ("exec sleep 600", "took longer"), ("", "is not there"),
    ])
  func sendmail(script: String, words: String) throws {
    let scratch = try ScratchFolder()
    let path = scratch.path + "/sendmail"
    if !script.isEmpty { try ChildProcess.writeProgram("#!/bin/sh\n\(script)\n", to: path) }
    let timeout = script.contains("sleep") ? 1 : 20
    let notifier = Notifier(
      email: "a@example.com", webhook: nil, timeout: timeout, sendmail: path
    ) { _ in }
    let failures = notifier.send(.test)
    #expect(failures.count == 1)
    #expect(failures.first?.contains(words) == true, "\(failures)")
  }
}
