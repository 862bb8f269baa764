internal import BSON
internal import MongoDB

/// A restore, as its marks in the oplog tell of it: a recovery does not lead across it.
///
/// - Source: consistency.md: "After a restore the old timeline ends: mark it, take a new base."
public struct TimelineEnd: Sendable, Hashable {
  enum Event: String {
    /// Nothing live has changed yet.
    case before
    /// All is in place.
    case after
  }

  /// The backup that was restored.
  public var backup: String
  /// Both marks of one restore have the same.
  public var run: String
  /// Those that it changed; all when empty.
  public var databases: [String]

  init(backup: String, run: String, databases: [String]) {
    self.backup = backup
    self.run = run
    self.databases = databases
  }

  /// Whether it ends the timeline of these databases; nil is the whole server.
  func concerns(_ wanted: Set<String>?) -> Bool {
    databases.isEmpty || wanted.map { !$0.isDisjoint(with: databases) } ?? true
  }

  /// Needs the role `backup`.
  func leave(_ event: Event, _ client: Client) throws(MongoError) {
    var mark = document
    mark.append("event", .string(event.rawValue))
    _ = try client.run(
      ["appendOplogNote": 1, "data": ["martlet": .document(mark)]], on: "admin")
  }

  /// Reads an entry of the oplog; nil when it is no mark.
  init?(entry raw: UnsafeRawBufferPointer) throws {
    guard raw.count < 64 << 10, try DocumentView(raw).first("op")?.value() == "n",
      let object = try Document(bytes: [UInt8](raw))["o"]?.documentValue
    else { return nil }
    self.init(object["martlet"]?.documentValue)
  }

  /// As a slice describes it.
  init?(_ document: Document?) {
    guard let backup = document?["restore"]?.stringValue else { return nil }
    self.init(
      backup: backup, run: document?["run"]?.stringValue ?? "",
      databases: (document?["databases"]?.arrayValue ?? []).compactMap(\.stringValue))
  }

  var document: Document {
    [
      "restore": .string(backup), "run": .string(run),
      "databases": .array(databases.map { .string($0) }),
    ]
  }
}
