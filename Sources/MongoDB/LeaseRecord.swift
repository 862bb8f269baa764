public import BSON

/// Who holds a lease, as the lock document says.
public struct LeaseHolder: Sendable {
  /// What the holder told about itself (`host`, `user`, `pid`, `tool`).
  public let holder: Document
  public let takenAt: DateTime?
  /// By the server's clock.
  public let expiresAt: DateTime
  /// The server's clock when this was read.
  public let serverTime: DateTime
  public let fence: Int64

  /// True when another run may take it.
  public var isExpired: Bool { expiresAt <= serverTime }

  /// How long it still lasts; zero when expired.
  public var remaining: Duration {
    .milliseconds(max(0, expiresAt.milliseconds - serverTime.milliseconds))
  }

  /// For example `deploy@web1, process 4711 (martlet 1.0)`.
  public var description: String {
    let user = holder["user"]?.stringValue
    let host = holder["host"]?.stringValue
    var text = [user, host].compactMap(\.self).joined(separator: "@")
    if let pid = holder["pid"]?.integerValue {
      text += text.isEmpty ? "process \(pid)" : ", process \(pid)"
    }
    if let tool = holder["tool"]?.stringValue { text += " (\(tool))" }
    return text.isEmpty ? "another run" : text
  }
}

/// The lock document, and the only commands that touch it.
///
/// Released and expired leases stay, without an owner: their fence must go on rising.
struct LeaseRecord: Sendable {
  let database: String
  let collection: String
  let id: String
  /// The owner token of this run.
  let owner: ObjectID
  let duration: Duration

  /// What a take or a renewal found.
  struct State {
    let isMine: Bool
    let fence: Int64
    let holder: LeaseHolder
  }

  /// Takes the lease unless another run has it; one command, decided by the server's clock.
  ///
  /// The condition is in the pipeline: `$expr` in an upsert's query is refused, and an owner in the
  /// query would insert a second document.
  /// - Throws: ``MongoError``, kind `writeConcern` when it was written but not by a majority.
  func take(_ client: Client, holder: Document) throws(MongoError) -> State {
    let free: Value = [
      "$or": [
        ["$lte": [["$ifNull": ["$expires_at", .date(DateTime(milliseconds: 0))]], "$$NOW"]],
        ["$eq": ["$owner", .objectID(owner)]],
      ]
    ]
    func unless(_ value: Value, _ old: Value) -> Value {
      ["$cond": ["$_free", value, old]]
    }
    let pipeline: [Value] = [
      ["$set": ["_free": free]],
      [
        "$set": [
          "owner": unless(.objectID(owner), "$owner"),
          "fence": unless(
            ["$add": [["$ifNull": ["$fence", .int64(0)]], .int64(1)]], "$fence"),
          "holder": unless(["$literal": .document(holder)], "$holder"),
          "taken_at": unless("$$NOW", "$taken_at"),
          "expires_at": unless(expiry, "$expires_at"),
          "seen_at": "$$NOW",
        ]
      ],
      ["$unset": "_free"],
    ]
    guard let state = try modify(client, ["_id": .string(id)], pipeline, upsert: true) else {
      throw MongoError(.malformedReply, "taking the lock returned nothing", namespace: namespace)
    }
    return state
  }

  /// Makes the lease last another `duration` from now; nil when it is not ours any more.
  func renew(_ client: Client, fence: Int64) throws(MongoError) -> State? {
    try modify(
      client, mine(fence), [["$set": ["expires_at": expiry, "seen_at": "$$NOW"]]], upsert: false)
  }

  /// Gives the lease up; false when it was not ours any more.
  func release(_ client: Client, fence: Int64) throws(MongoError) -> Bool {
    let end: Value = [
      "expires_at": "$$NOW", "owner": nil, "released_at": "$$NOW", "seen_at": "$$NOW",
    ]
    return try modify(client, mine(fence), [["$set": end]], upsert: false) != nil
  }

  /// Takes the lease from whoever has it, without becoming its owner.
  static func force(
    _ client: Client, database: String, collection: String, id: String
  ) throws(MongoError) -> Bool {
    let end: Value = [
      "$set": ["expires_at": "$$NOW", "owner": nil, "forced_at": "$$NOW"]
    ]
    let reply = try client.run(
      [
        "update": .string(collection),
        "updates": [["q": ["_id": .string(id)], "u": [end]]],
        "writeConcern": Self.confirmed,
      ], on: database)
    return (reply["n"]?.integerValue ?? 0) > 0
  }

  /// Reads the lock document; nil when there is none, or nobody holds it.
  static func read(
    _ client: Client, database: String, collection: String, id: String
  ) throws(MongoError) -> LeaseHolder? {
    let pipeline: [Document] = [
      ["$match": ["_id": .string(id), "owner": ["$ne": nil]]],
      ["$set": ["seen_at": "$$NOW"]],
    ]
    let found = try client.database(database).aggregate(collection, pipeline: pipeline).next()
    return found.flatMap(LeaseHolder.init)
  }

  var namespace: String { "\(database).\(collection)" }

  private var expiry: Value { ["$add": ["$$NOW", .int64(duration.wholeMilliseconds)]] }

  private func mine(_ fence: Int64) -> Document {
    ["_id": .string(id), "owner": .objectID(owner), "fence": .int64(fence)]
  }

  // A majority that cannot be had must not hold up the heartbeat longer than the lease lasts.
  private static let confirmed: Value = ["w": "majority", "wtimeout": 10_000]

  private func modify(
    _ client: Client, _ query: Document, _ pipeline: [Value], upsert: Bool
  ) throws(MongoError) -> State? {
    let command: Document = [
      "findAndModify": .string(collection), "query": .document(query),
      "update": .array(pipeline), "upsert": .bool(upsert), "new": true,
      "writeConcern": Self.confirmed,
    ]
    let reply = try client.run(command, on: database)
    guard let found = reply["value"]?.documentValue else { return nil }
    guard let holder = LeaseHolder(found) else {
      throw MongoError(
        .server, "the lock document \(id) has a foreign shape", namespace: namespace,
        hint: "remove it when no run is active")
    }
    return State(isMine: found["owner"] == .objectID(owner), fence: holder.fence, holder: holder)
  }
}

extension LeaseHolder {
  init?(_ document: Document) {
    guard let expiresAt = document["expires_at"]?.dateValue,
      let serverTime = document["seen_at"]?.dateValue,
      let fence = document["fence"]?.integerValue
    else { return nil }
    holder = document["holder"]?.documentValue ?? [:]
    takenAt = document["taken_at"]?.dateValue
    self.expiresAt = expiresAt
    self.serverTime = serverTime
    self.fence = fence
  }
}
