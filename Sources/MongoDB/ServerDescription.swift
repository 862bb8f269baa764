public import BSON

/// A server's version, as far as it orders releases.
public struct ServerVersion: Comparable, Hashable, Sendable, CustomStringConvertible {
  public let major: Int
  public let minor: Int
  public let patch: Int

  public init(_ major: Int, _ minor: Int, _ patch: Int = 0) {
    self.major = major
    self.minor = minor
    self.patch = patch
  }

  /// Parses `6.0.5`, `7.0`, `8.0.0-rc1`; nil without two leading numbers.
  public init?(parsing text: String) {
    let release = text.split(separator: "-").first ?? ""
    let parts = release.split(separator: ".").map { Int($0) }
    guard parts.count >= 2, let major = parts[0], let minor = parts[1] else { return nil }
    self.init(major, minor, parts.count > 2 ? parts[2] ?? 0 : 0)
  }

  public var description: String { "\(major).\(minor).\(patch)" }

  public static func < (a: Self, b: Self) -> Bool {
    (a.major, a.minor, a.patch) < (b.major, b.minor, b.patch)
  }
}

/// What a server says about itself and its deployment.
public struct ServerDescription: Sendable {
  public enum Topology: Sendable, Hashable {
    case standalone
    case replicaSet(String)
    case sharded
  }

  public let topology: Topology
  public let version: ServerVersion
  public let maxWireVersion: Int
  public let isWritablePrimary: Bool
  /// The member that answered, `host:port`; nil for a standalone.
  public let me: String?
  public let hosts: [String]
  /// Members that cannot become primary; hidden ones are in neither list.
  public let passives: [String]
  public let arbiters: [String]
  /// Largest document, bytes.
  public let maxDocumentSize: Int
  /// Largest message, bytes.
  public let maxMessageSize: Int
  /// Most statements in one write command.
  public let maxWriteBatchSize: Int
  /// The server's clock.
  public let localTime: DateTime?
  /// The newest write of this member.
  public let lastWriteTime: Timestamp?
  /// The newest write that a majority has; where a capture of the oplog must start.
  public let majorityTime: Timestamp?
  /// The cluster's logical clock.
  public let clusterTime: Timestamp?
  /// The whole `hello` reply.
  public let raw: Document

  /// Transactions and snapshot reads need a replica set or a sharded cluster.
  public var hasTransactions: Bool { topology != .standalone }

  init(hello: Document, version: ServerVersion) {
    if let name = hello["setName"]?.stringValue {
      topology = .replicaSet(name)
    } else if hello["msg"]?.stringValue == "isdbgrid" {
      topology = .sharded
    } else {
      topology = .standalone
    }
    let lastWrite = hello["lastWrite"]?.documentValue
    self.version = version
    maxWireVersion = Int(hello["maxWireVersion"]?.integerValue ?? 0)
    isWritablePrimary = (hello["isWritablePrimary"] ?? hello["ismaster"])?.isTruthy ?? false
    me = hello["me"]?.stringValue
    hosts = (hello["hosts"]?.arrayValue ?? []).compactMap(\.stringValue)
    passives = (hello["passives"]?.arrayValue ?? []).compactMap(\.stringValue)
    arbiters = (hello["arbiters"]?.arrayValue ?? []).compactMap(\.stringValue)
    maxDocumentSize = Int(hello["maxBsonObjectSize"]?.integerValue ?? 16 << 20)
    maxMessageSize = Int(hello["maxMessageSizeBytes"]?.integerValue ?? 48_000_000)
    maxWriteBatchSize = Int(hello["maxWriteBatchSize"]?.integerValue ?? 100_000)
    localTime = hello["localTime"]?.dateValue
    lastWriteTime = lastWrite?["opTime"]?.documentValue?["ts"]?.timestampValue
    majorityTime = lastWrite?["majorityOpTime"]?.documentValue?["ts"]?.timestampValue
    clusterTime = hello["$clusterTime"]?.documentValue?["clusterTime"]?.timestampValue
    raw = hello
  }
}

extension Client {
  /// Asks the primary what it is; two round trips, no privileges needed.
  /// - Throws: ``MongoError``.
  public func hello() throws(MongoError) -> ServerDescription {
    let build = try run(["buildInfo": 1], on: "admin")
    let version = ServerVersion(parsing: build["version"]?.stringValue ?? "")
    return ServerDescription(hello: try rawHello(), version: version ?? ServerVersion(0, 0))
  }

  /// The server's clock, milliseconds since 1970.
  /// - Throws: ``MongoError``.
  public func serverTime() throws(MongoError) -> DateTime {
    guard let time = try rawHello()["localTime"]?.dateValue else {
      throw MongoError(.malformedReply, "the server's hello does not tell its time")
    }
    return time
  }

  /// Every member that holds data, the hidden ones too where we may see them: `host:port`.
  public func dataMembers(_ server: ServerDescription) -> [String] {
    var members = server.hosts + server.passives
    guard case .replicaSet = server.topology,
      let status = try? run(
        ["replSetGetStatus": 1], on: "admin", options: CommandOptions(maxTime: .seconds(10)))
    else { return members }
    for member in (status["members"]?.arrayValue ?? []).compactMap(\.documentValue) {
      guard let name = member["name"]?.stringValue, member["stateStr"] != "ARBITER",
        !members.contains(name), !server.arbiters.contains(name)
      else { continue }
      members.append(name)
    }
    return members
  }

  private func rawHello() throws(MongoError) -> Document {
    do {
      return try run(["hello": 1], on: "admin")
    } catch {
      // 4.2 and early 4.4 know the old name only.
      guard error.isCommandNotFound else { throw error }
      return try run(["isMaster": 1], on: "admin")
    }
  }
}
