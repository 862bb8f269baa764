import BSON
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Dump

/// A folder of one test, removed with it.
final class Scratch: Sendable {
  let path: String

  init(in folder: String = NSTemporaryDirectory()) throws {
    path = FilePath.join(folder, "martlet-dump-" + TestServer.uniqueName())
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] }
}

extension TestServer {
  /// The name that a copy of this test's database gets.
  var copyName: String { databaseName + "_copy" }

  /// Runs one of the scripts beside the golden dumps.
  func python(_ script: String, _ arguments: String...) throws -> String {
    let python = try Self.environment("MARTLET_TEST_PYTHON")
    let result = try ChildProcess(python, [script] + arguments).wait()
    guard result.exitCode == 0 else { throw DumpError(.file, result.stderr, path: script) }
    return result.stdout
  }

  func fillGolden(seed: Int) throws {
    _ = try python(Fixtures.golden + "/golden.py", uri, databaseName, String(seed))
  }

  func describe(_ database: String) throws -> String {
    try python(Fixtures.golden + "/describe.py", uri, database)
  }

  func dump(to target: DumpTarget, _ change: (inout DumpOptions) -> Void = { _ in }) throws
    -> DumpSummary
  {
    var options = DumpOptions()
    options.database = databaseName
    change(&options)
    return try Dumper(pool: pool, options: options).run(to: target)
  }

  /// Loads into a database of another name, which `run` drops.
  func loadCopy(
    _ source: LoadSource, from name: String? = nil, _ change: (inout LoadOptions) -> Void = { _ in }
  ) throws -> LoadSummary {
    var options = LoadOptions()
    options.drop = true
    options.usersAndRoles = .never
    options.selection.includes = [try NamespacePattern((name ?? databaseName) + ".*")]
    options.selection.renames = [
      try NamespaceRename(from: (name ?? databaseName) + ".*", to: copyName + ".*")
    ]
    change(&options)
    return try Loader(pool: pool, options: options).run(from: source)
  }

  /// A test with a database and a copy of it; both are dropped afterwards.
  static func withCopy<R>(_ kind: Kind = .replicaSet, _ body: (TestServer, Scratch) throws -> R)
    throws -> R
  {
    try withCopy(uri: environment(kind.rawValue), body)
  }

  static func withCopy<R>(uri: String, _ body: (TestServer, Scratch) throws -> R) throws -> R {
    try run(uri: uri) { server in
      defer {
        try? server.pool.withClient { try $0.database(server.copyName).dropDatabase() }
      }
      return try body(server, Scratch())
    }
  }

  /// Dumps, and acts once in the middle of it.
  func dump(
    to path: String, pool: ClientPool? = nil, _ change: (inout DumpOptions) -> Void = { _ in },
    meanwhile act: @escaping @Sendable () throws -> Void
  ) throws -> DumpSummary {
    let acted = Mutex(false)
    var options = DumpOptions()
    options.database = databaseName
    options.parallel = 1
    options.progress = { _ in
      let isFirst = acted.withLock { acted in
        defer { acted = true }
        return !acted
      }
      if isFirst { do { try act() } catch { Issue.record(error) } }
    }
    change(&options)
    return try Dumper(pool: pool ?? self.pool, options: options).run(to: .archive(path: path))
  }
}
