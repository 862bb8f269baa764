import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

/// Kills and interrupts the real binary while the server holds it at a known point.
@Suite(.serialized, HeldServer()) struct DumpKillTests {
  /// The commands at which it is held: before there is output, and between two batches of documents.
  static let dumpPoints = ["listCollections", "getMore"]
  static let targets = ["--archive=x", "--archive=x --gzip", "--out=x", "--out x --gzip"]
  static let loadPoints = ["create", "insert", "createIndexes"]

  @Test("a killed dump leaves the one before it as it was, and the next one tidies up")
  func killedDump() throws {
    try withServer { held in
      for target in Self.targets {
        for point in Self.dumpPoints where point == "getMore" || target == "--archive=x" {
          let before = try held.picture("x")
          let killed = try held.run("exec $M dump --uri $U --db $DB \(target)", heldAt: point) {
            $0.kill(SIGKILL)
          }
          #expect(killed.exitCode == -SIGKILL, "\(target) \(point): \(killed.stderr)")
          #expect(try held.picture("x") == before)
          // The control: between two batches there was something to lose.
          let left = held.names.filter { $0 != "x" }
          #expect(left.isEmpty == (point == "listCollections"), "\(target) \(point): \(left)")
          #expect(left.allSatisfy { $0.hasPrefix(".x.") && $0.hasSuffix(".partial") })
          if let first = left.first {
            let inspected = try held.run("$M inspect \(first)")
            #expect(inspected.exitCode == 20, "\(target) \(point): \(inspected.stderr)")
          }
          let again = try held.run("$M dump --uri $U --db $DB \(target) && $M inspect --json x")
          #expect(again.exitCode == 0, "\(target) \(point): \(again.stderr)")
          let report = try ExtendedJSON.parseDocument(again.stdout)
          #expect(report["documents"]?.integerValue == Held.count)
          #expect(held.names == ["x"], "\(target) \(point)")
        }
        _ = try held.run("rm -rf x")
      }
    }
  }

  @Test("a temporary file that another dump still writes is left alone")
  func twoDumps() throws {
    try withServer { held in
      let first = try held.run("exec $M dump --uri $U --db $DB --archive=x", heldAt: "getMore") {
        running in
        let second = try held.run("$M dump --uri $PLAIN --db $DB --archive=x")
        #expect(second.exitCode == 0, "\(second.stderr)")
        #expect(held.names == [".x.\(running.pid).partial", "x"])
        running.kill(SIGKILL)
      }
      #expect(first.exitCode == -SIGKILL)
      let third = try held.run("$M dump --uri $PLAIN --db $DB --archive=x")
      #expect(third.exitCode == 0 && held.names == ["x"])
    }
  }

  @Test("a killed load is made whole by the next with --drop")
  func killedLoad() throws {
    try withServer { held in
      let made = try held.run("$M dump --uri $U --db $DB --archive=x")
      #expect(made.exitCode == 0, "\(made.stderr)")
      for point in Self.loadPoints {
        let killed = try held.run("exec $M load --uri $U --archive=x $AS --drop", heldAt: point) {
          $0.kill(SIGKILL)
        }
        #expect(killed.exitCode == -SIGKILL, "\(point): \(killed.stderr)")
        #expect(try held.description(held.copy) != held.description(held.database), "\(point)")
        let again = try held.run("$M load --uri $U --archive=x $AS --drop")
        #expect(again.exitCode == 0, "\(point): \(again.stderr)")
        #expect(try held.description(held.copy) == held.description(held.database), "\(point)")
      }
    }
  }

  @Test("Ctrl-C ends with 130, being told to stop with 75, and neither leaves half a dump")
  func interrupted() throws {
    try withServer { held in
      try interrupt(held, SIGINT, 130)
      try interrupt(held, SIGTERM, 75)
    }
  }

  private func interrupt(_ held: Held, _ signal: Int32, _ code: Int32) throws {
    do {
      for target in ["--archive=x --gzip", "--out x"] {
        let line = "exec $M dump --uri $U --db $DB \(target)"
        let dump = try held.run(line, slowedAt: "getMore") { $0.kill(signal) }
        #expect(dump.exitCode == code, "\(target): \(dump.stderr)")
        #expect(held.names.isEmpty, "\(target)")
      }
      let made = try held.run("$M dump --uri $U --db $DB --archive=x")
      #expect(made.exitCode == 0, "\(made.stderr)")
      let line = "exec $M load --uri $U --archive=x $AS --batchSize 500"
      let load = try held.run(line, slowedAt: "insert") { $0.kill(signal) }
      #expect(load.exitCode == code, "\(load.stderr)")
      _ = try held.run("rm x")
    }
  }

  @Test("a server whose disk is full ends the load, with what to do about it")
  func serverDiskFull() throws {
    try withServer { held in
      let made = try held.run("$M dump --uri $U --db $DB --archive=x")
      #expect(made.exitCode == 0, "\(made.stderr)")
      for command in ["create", "insert", "createIndexes"] {
        try held.fail(command, code: 14031)
        let load = try held.run("$M load --uri $U --archive=x $AS --drop")
        try held.fail(nil, code: 0)
        #expect(load.exitCode == 1, "\(command): \(load.stderr)")
        #expect(load.stderr.contains("14031"), "\(command): \(load.stderr)")
        #expect(load.stderr.contains("HINT: make room") == (command == "insert"))
      }
    }
  }

  // MARK: - A server that holds commands

  private func withServer(_ body: (Held) throws -> Void) throws {
    let held = try Held(uri: try #require(HeldServer.uri))
    defer { held.remove() }
    try body(held)
  }

  private final class Held: Sendable {
    static let count: Int64 = 9000
    let database = TestServer.uniqueName()
    var copy: String { database + "_copy" }
    private let uri: String
    private let pool: ClientPool
    private let folder: String

    init(uri: String) throws {
      self.uri = uri
      pool = try ClientPool(ConnectionSettings(uri: uri, appName: "martlet-tests"))
      folder = NSTemporaryDirectory() + "martlet-kill-" + database
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      // More than one reply of the server has room for.
      let text = Value.string(String(repeating: "x", count: 700))
      try pool.withClient { client in
        let target = client.database(database)
        for part in 0..<9 {
          _ = try target.insert(
            "c", (0..<1000).map { ["_id": .int32(Int32(part) * 1000 + $0), "text": text] })
        }
        _ = try target.run(["createIndexes": "c", "indexes": [["key": ["t": 1], "name": "t"]]])
      }
    }

    func remove() {
      try? FileManager.default.removeItem(atPath: folder)
      // The next test's dump is of its own database, but a failpoint that was left on is everybody's.
      try? release()
      try? pool.withClient { client in
        for name in [database, copy] { try client.database(name).dropDatabase() }
      }
    }

    var names: [String] {
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }

    func start(_ line: String) throws -> ChildProcess {
      try ChildProcess(
        "/bin/sh", ["-c", line],
        environment: [
          "M": TestServer.environment("MARTLET_BINARY"), "DB": database, "NO_COLOR": "1",
          "U": "\(uri)&appName=held", "PLAIN": uri,
          "AS": "--nsFrom \(database).* --nsTo \(copy).*",
        ], directory: folder)
    }

    func run(_ line: String) throws -> ChildProcess.Result { try start(line).wait() }

    /// Runs a line that the server holds at the first command of a name, and does something then.
    func run(_ line: String, heldAt command: String, _ act: (ChildProcess) throws -> Void) throws
      -> ChildProcess.Result
    {
      try run(line, command, ["times": 1], 600_000, act)
    }

    /// The same with every such command made slow: there are enough of them for the signal to arrive.
    func run(_ line: String, slowedAt command: String, _ act: (ChildProcess) throws -> Void) throws
      -> ChildProcess.Result
    {
      try run(line, command, "alwaysOn", 400, act)
    }

    private func run(
      _ line: String, _ command: String, _ mode: Value, _ milliseconds: Int32,
      _ act: (ChildProcess) throws -> Void
    ) throws -> ChildProcess.Result {
      let entered = try failpoint(
        mode,
        [
          "failCommands": [.string(command)], "blockConnection": true,
          "blockTimeMS": .int32(milliseconds),
        ])
      let process = try start(line)
      try pool.withClient { client in
        _ = try client.run(
          [
            "waitForFailPoint": "failCommand", "timesEntered": .int64(entered + 1),
            "maxTimeMS": 60_000,
          ], on: "admin")
      }
      try act(process)
      let result = process.wait()
      try release()
      return result
    }

    /// Ends what a killed client has left waiting: a failpoint is switched off only when nobody is in it.
    private func release() throws {
      try pool.withClient { client in
        let operations = try client.run(
          ["currentOp": 1, "appName": "held", "active": true], on: "admin")
        for operation in operations["inprog"]?.arrayValue ?? [] {
          guard let id = operation.documentValue?["opid"] else { continue }
          _ = try client.run(["killOp": 1, "op": id], on: "admin")
        }
      }
      _ = try failpoint("off", [:])
    }

    func fail(_ command: String?, code: Int32) throws {
      guard let command else {
        _ = try failpoint("off", [:])
        return
      }
      _ = try failpoint(
        "alwaysOn", ["failCommands": [.string(command)], "errorCode": .int32(code)])
    }

    /// Returns how often it was met before.
    private func failpoint(_ mode: Value, _ data: Document) throws -> Int64 {
      var data = data
      data.append("appName", "held")
      if data["failCommands"] == ["getMore"] { data.append("namespace", .string("\(database).c")) }
      return try pool.withClient { client in
        try client.run(
          ["configureFailPoint": "failCommand", "mode": mode, "data": .document(data)],
          on: "admin")["count"]?.integerValue ?? 0
      }
    }

    /// Options, indexes and documents of a database.
    func description(_ name: String) throws -> [Document] {
      try pool.withClient { client in
        let target = client.database(name)
        return try target.listCollections().flatMap { info in
          [["name": .string(info.name)], info.options]
            + (try target.listIndexes(info.name).map(\.spec))
            + (try target.find(info.name, options: ["sort": ["_id": 1]]).all())
        }
      }
    }

    /// The bytes of a file, or of all files of a folder.
    func picture(_ name: String) throws -> String {
      try run("find \(name) -type f 2>&- | sort | xargs -r sha256sum").stdout
    }
  }
}

/// One server for the whole suite: failpoints are of a whole server, so no other suite may have it, and
/// the suite's own tests come one after the other.
private struct HeldServer: SuiteTrait, TestScoping {
  @TaskLocal static var uri: String?

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    let server = try PrivateServer()
    try await Self.$uri.withValue(server.uri) { try await function() }
    withExtendedLifetime(server) {}
  }
}
