public import BSON
internal import Foundation
public import MongoDB

/// A real server for a test, and a database that only this test uses.
public struct TestServer: Sendable {
  public let uri: String
  public let pool: ClientPool
  /// A name that no other test has.
  public let databaseName: String

  /// Why a test cannot run; never skipped silently.
  public struct Missing: Error, CustomStringConvertible {
    public let description: String
  }

  public enum Kind: String, Sendable {
    case replicaSet = "MARTLET_TEST_URI"
    case standalone = "MARTLET_TEST_STANDALONE_URI"
  }

  /// The release of the servers: MARTLET_MONGOD may name an older one than the tests were written for.
  ///
  /// 6.0 where there is no server: each test then says so by itself.
  public static let release: ServerVersion = {
    let found = try? ClientPool(
      try ConnectionSettings(uri: environment(Kind.replicaSet.rawValue), appName: "martlet-tests")
    ).withClient { try $0.hello().version }
    return found ?? ServerVersion(6, 0)
  }()

  /// Time-series came with 5.0, and so did reads at one moment.
  public static var hasTimeseries: Bool { release >= ServerVersion(5, 0) }

  /// The value of an environment variable that tests need.
  public static func environment(_ name: String) throws -> String {
    guard let value = ProcessInfo.processInfo.environment[name], !value.isEmpty else {
      throw Missing(description: "\(name) is not set; run scripts/test.sh")
    }
    return value
  }

  /// Runs `body` with a database of its own, which is dropped afterwards.
  public static func run<R>(
    _ kind: Kind = .replicaSet, _ body: (TestServer) throws -> R
  ) throws -> R {
    try run(uri: environment(kind.rawValue), body)
  }

  /// The same on any server.
  public static func run<R>(uri: String, _ body: (TestServer) throws -> R) throws -> R {
    let server = try TestServer(uri: uri)
    defer { server.dropDatabase() }
    return try body(server)
  }

  /// Lets the next such command fail, of connections whose application name is ``databaseName``.
  ///
  /// A server has one failure of this kind for all: a test that asks for one needs a ``PrivateServer``.
  public func failNext(_ command: String, _ how: Document) throws {
    var data: Document = [
      "failCommands": [.string(command)], "appName": .string(databaseName),
    ]
    data.append(contentsOf: how)
    _ = try pool.withClient { client in
      try client.run(
        [
          "configureFailPoint": "failCommand", "mode": ["times": 1], "data": .document(data),
        ], on: "admin")
    }
  }

  /// The same for asynchronous bodies.
  public static func run<R>(
    _ kind: Kind = .replicaSet, _ body: (TestServer) async throws -> R
  ) async throws -> R {
    let server = try TestServer(uri: environment(kind.rawValue))
    defer { server.dropDatabase() }
    return try await body(server)
  }

  private init(uri: String) throws {
    self.uri = uri
    // Elections, and a machine on which everything runs at once, take their time.
    let settings = try ConnectionSettings(
      uri: uri, appName: "martlet-tests", serverSelectionTimeout: .seconds(30),
      connectTimeout: .seconds(30))
    pool = try ClientPool(settings)
    databaseName = Self.uniqueName()
  }

  /// A name for a database or collection: `t_` and 24 digits.
  public static func uniqueName() -> String {
    "t_\(ObjectID.generate(seconds: UInt32(truncatingIfNeeded: time(nil))))"
  }

  /// Lends a client and this test's database on it.
  public func withDatabase<R>(_ body: (Database) throws -> R) throws -> R {
    try pool.withClient { try body($0.database(databaseName)) }
  }

  private func dropDatabase() {
    try? pool.withClient { try $0.database(databaseName).dropDatabase() }
  }
}
