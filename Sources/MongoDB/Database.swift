public import BSON

/// A database's name on a client; cheap to make.
public struct Database {
  public let client: Client
  public let name: String

  /// Runs a command on this database; see ``Client/run(_:on:session:options:)``.
  /// - Throws: ``MongoError``.
  public func run(
    _ command: Document, session: Session? = nil, options: CommandOptions = .init()
  ) throws(MongoError) -> Document {
    try client.run(command, on: name, session: session, options: options)
  }

  /// Collections, views and time-series, in the server's order.
  /// - Throws: ``MongoError``.
  public func listCollections(
    filter: Document = [:], session: Session? = nil
  ) throws(MongoError) -> [CollectionInfo] {
    let command: Document = ["listCollections": 1, "filter": .document(filter)]
    return try client.cursor(command, on: name, session: session).all().map(CollectionInfo.init)
  }

  /// The indexes of a collection in their order; none when it does not exist.
  ///
  /// An index that is still being built is listed too; `includeBuildUUIDs` (4.4+) marks it.
  /// - Throws: ``MongoError``.
  public func listIndexes(
    _ collection: String, includeBuildUUIDs: Bool = false, session: Session? = nil
  ) throws(MongoError) -> [IndexInfo] {
    var command: Document = ["listIndexes": .string(collection)]
    if includeBuildUUIDs { command.append("includeBuildUUIDs", true) }
    do {
      return try client.cursor(command, on: name, session: session).all().map(IndexInfo.init)
    } catch {
      guard error.isNamespaceNotFound else { throw error }
      return []
    }
  }

  /// Drops a collection; fine when there is none.
  /// - Throws: ``MongoError``.
  public func drop(
    _ collection: String, options: CommandOptions = .majority
  ) throws(MongoError) {
    do {
      _ = try run(["drop": .string(collection)], options: options)
    } catch {
      guard error.isNamespaceNotFound else { throw error }
    }
  }

  /// Drops the whole database.
  /// - Throws: ``MongoError``.
  public func dropDatabase(options: CommandOptions = .majority) throws(MongoError) {
    _ = try run(["dropDatabase": 1], options: options)
  }

  /// Renames a collection within this database.
  /// - Throws: ``MongoError``.
  public func rename(
    _ source: String, to target: String, dropTarget: Bool = false,
    options: CommandOptions = .majority
  ) throws(MongoError) {
    let command: Document = [
      "renameCollection": .string("\(name).\(source)"), "to": .string("\(name).\(target)"),
      "dropTarget": .bool(dropTarget),
    ]
    _ = try client.run(command, on: "admin", options: options)
  }
}

/// One entry of `listCollections`.
public struct CollectionInfo: Sendable, Hashable {
  public enum Kind: Sendable, Hashable {
    case collection, view, timeseries
    case other(String)
  }

  public let name: String
  public let type: Kind
  public let options: Document
  public let uuid: Binary?
  public let idIndex: Document?
  public let readOnly: Bool
  /// The whole entry.
  public let raw: Document

  init(_ raw: Document) {
    self.raw = raw
    let info = raw["info"]?.documentValue
    name = raw["name"]?.stringValue ?? ""
    type =
      switch raw["type"]?.stringValue {
      case "collection", nil: .collection
      case "view": .view
      case "timeseries": .timeseries
      case let other?: .other(other)
      }
    options = raw["options"]?.documentValue ?? [:]
    uuid = info?["uuid"]?.binaryValue
    idIndex = raw["idIndex"]?.documentValue
    readOnly = info?["readOnly"]?.isTruthy ?? false
  }
}

/// One entry of `listIndexes`.
public struct IndexInfo: Sendable, Hashable {
  public let name: String
  public let key: Document
  /// The index's specification as listed.
  public let spec: Document
  /// Set while the index is being built, when it was asked for.
  public let buildUUID: Binary?
  /// True while it is being built, when that was asked for.
  public var isUnfinished: Bool { buildUUID != nil }

  init(_ entry: Document) {
    spec = entry["spec"]?.documentValue ?? entry
    buildUUID = entry["buildUUID"]?.binaryValue
    name = spec["name"]?.stringValue ?? ""
    key = spec["key"]?.documentValue ?? [:]
  }
}
