internal import BSON
internal import Dump
import Fingerprint
internal import MongoDB

/// Reads a collection as the server has it now.
struct ReadBack {
  let client: Client
  let cancellation: Cancellation

  /// Count, bytes and fingerprint. Reads all of it.
  func tally(_ namespace: Namespace) throws -> CollectionTally {
    var tally = CollectionTally()
    let cursor = try client.database(namespace.database).find(
      namespace.collection, options: ["hint": ["$natural": 1]],
      command: CommandOptions(readConcern: ["level": "local"]))
    while true {
      try cancellation.check()
      let more: Void? = try cursor.nextBatch { batch in
        var documents = batch.makeIterator()
        while let raw = try documents.next() { tally.add(document: raw) }
      }
      if more == nil { return tally }
    }
  }

  /// Names and keys of indexes: none of those wanted may be missing.
  func compareIndexes(_ namespace: Namespace, _ wanted: [Document]) throws {
    let found = try client.database(namespace.database).listIndexes(namespace.collection)
    let a = Set(found.map { Self.identity($0.spec) })
    let b = Set(wanted.filter { $0["clustered"]?.isTruthy != true }.map(Self.identity))
    let missing = b.subtracting(
      a.union(found.filter { $0.spec.has("clustered") }.map { Self.identity($0.spec) }))
    guard missing.isEmpty else {
      throw BackupError(
        .mismatch, "an index is missing: \(missing.sorted().joined(separator: ", "))",
        namespace: namespace.description)
    }
  }

  /// Name and key; the numbers of a key may have become other types on their way through JSON.
  private static func identity(_ spec: Document) -> String {
    let key = (spec["key"]?.documentValue ?? [:]).map { element -> String in
      let value = element.value.doubleValue.map { String($0) } ?? element.value.stringValue ?? "?"
      return element.key + ":" + value
    }
    return (spec["name"]?.stringValue ?? "") + "{" + key.joined(separator: ",") + "}"
  }
}
