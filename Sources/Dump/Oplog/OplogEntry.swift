internal import BSON

/// The parts of an oplog entry that decide what becomes of it.
struct OplogEntry {
  let timestamp: Timestamp
  /// `i`, `u`, `d`, `c`, `n`, …
  let operation: String
  let namespace: String
  let document: Document

  init(_ document: Document) throws(DumpError) {
    guard let timestamp = document["ts"]?.timestampValue,
      let operation = document["op"]?.stringValue, let namespace = document["ns"]?.stringValue
    else {
      throw DumpError(.damaged, "an oplog entry lacks ts, op or ns")
    }
    self.timestamp = timestamp
    self.operation = operation
    self.namespace = namespace
    self.document = document
  }

  /// The `o` document.
  var object: Document { document["o"]?.documentValue ?? [:] }

  /// The first name in `o` of a command entry.
  var command: String? { operation == "c" ? object.keys.first : nil }
}

/// Keeps the entries that concern a selection, and looks inside transactions.
///
/// - Source: consistency.md: transactions stand in `admin.$cmd`.
struct OplogFilter: Sendable {
  let takes: @Sendable (Namespace) -> Bool
  /// Takes everything unchanged.
  var isOpen = false

  /// The entry with what is left of it; nil when nothing is.
  func apply(_ entry: OplogEntry) -> Document? {
    if isOpen { return entry.document }
    if entry.operation == "n" { return nil }
    guard let namespace = Namespace(entry.namespace) else { return nil }
    if entry.operation == "c", namespace.database == "admin" {
      switch entry.command {
      case "applyOps": return filtered(entry)
      case "commitTransaction", "abortTransaction": return entry.document
      default: break
      }
    }
    guard entry.operation == "c" else { return takes(namespace) ? entry.document : nil }
    return takesCommand(entry, namespace) ? entry.document : nil
  }

  private func takesCommand(_ entry: OplogEntry, _ namespace: Namespace) -> Bool {
    guard let first = entry.object.first(where: { _ in true }) else { return false }
    if first.key == "renameCollection" {
      let names = [first.value.stringValue, entry.object["to"]?.stringValue]
      return names.contains { $0.flatMap { Namespace($0) }.map(takes) == true }
    }
    if first.key == "dropDatabase" { return takes(namespace) }
    guard let collection = first.value.stringValue else { return takes(namespace) }
    return takes(Namespace(namespace.database, collection))
  }

  /// The same transaction with the operations that are taken. Kept even when none is, when it is a
  /// part of a longer one: its commit entry must find something.
  private func filtered(_ entry: OplogEntry) -> Document? {
    let object = entry.object
    let operations = object["applyOps"]?.arrayValue ?? []
    let kept = operations.filter { operation in
      guard let inner = operation.documentValue, let name = inner["ns"]?.stringValue,
        let namespace = Namespace(name)
      else { return false }
      return takes(namespace)
    }
    if kept.count == operations.count { return entry.document }
    let isPart =
      object["partialTxn"]?.isTruthy == true || object["prepare"]?.isTruthy == true
      || entry.document["prevOpTime"]?.documentValue?["ts"]?.timestampValue
        .map { $0.rawValue != 0 } == true
    if kept.isEmpty, !isPart { return nil }
    var changed = object
    changed["applyOps"] = .array(kept)
    var document = entry.document
    document["o"] = .document(changed)
    return document
  }
}

/// What happened to collections between two moments.
struct SchemaEvent: Sendable, Hashable {
  enum Kind: Sendable, Hashable {
    case created, dropped, renamed, changed
    /// Something that no replay can follow.
    case unreplayable
  }

  let kind: Kind
  let timestamp: Timestamp
  let namespace: String
  let command: String

  /// Nil for entries that leave collections as they are.
  init?(_ entry: OplogEntry) {
    timestamp = entry.timestamp
    let database = entry.namespace.split(separator: ".").first.map(String.init) ?? ""
    guard let command = entry.command else {
      guard ["i", "u", "d"].contains(entry.operation) else { return nil }
      if entry.namespace == "admin.system.version" {
        // The first user of a server writes here too.
        let id = entry.object["_id"] ?? entry.document["o2"]?.documentValue?["_id"]
        guard id == "featureCompatibilityVersion" else { return nil }
        kind = .unreplayable
      } else if entry.namespace.hasSuffix(".system.views") {
        kind = .changed
      } else {
        return nil
      }
      self.command = entry.operation
      namespace = entry.namespace
      return
    }
    self.command = command
    let name = entry.object[command]?.stringValue
    switch command {
    case "create": kind = .created
    case "drop", "dropDatabase": kind = .dropped
    case "renameCollection": kind = .renamed
    case "collMod", "createIndexes", "commitIndexBuild", "dropIndexes", "deleteIndexes":
      kind = .changed
    case "importCollection", "upgradeDowngradeViewlessTimeseries": kind = .unreplayable
    default: return nil
    }
    namespace =
      command == "renameCollection" ? name ?? "" : database + (name.map { "." + $0 } ?? "")
  }
}
