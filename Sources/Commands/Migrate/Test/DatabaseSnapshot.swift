import BSON
import Migration
import MongoDB

/// What a database holds, in a form that two of them can be compared in.
struct DatabaseSnapshot: Sendable {
  struct Collection: Sendable {
    var type: String
    /// Options by name, with the server's defaults filled in for validators.
    var options: [String: BSON.Value] = [:]
    /// Definitions by name.
    var indexes: [String: Document] = [:]
    /// Hash of each document by its `_id`, order of fields aside.
    var documents: [BSON.Value: Int] = [:]
    /// The same without `_id`s and dates that the run made, and how often.
    var contents: [Int: Int] = [:]
  }

  var collections: [String: Collection] = [:]

  /// Reads everything but Martlet's own collections and what it keeps aside.
  ///
  /// - Parameter since: dates and generated `_id`s from then on are the run's own.
  init(_ database: Database, names: LedgerNames, since: DateTime, cancellation: Cancellation) throws
  {
    let kept = Set(try KeptCollections(database, names: names).all().map(\.name))
    for info in try database.listCollections() {
      guard !names.isOurs(info.name), !kept.contains(info.name),
        !info.name.hasPrefix("system.")
      else { continue }
      try cancellation.check()
      let type = info.raw["type"]?.stringValue ?? "collection"
      var collection = Collection(type: type, options: Self.options(info.options))
      if type != "view" {
        for index in try database.listIndexes(info.name) {
          collection.indexes[index.name] = Document(
            index.spec.filter { $0.key != "ns" }.map { ($0.key, $0.value) })
        }
        let digest = ContentDigest(since: since)
        let cursor = try database.find(info.name)
        while let document = try cursor.next() {
          let id = document["_id"] ?? .null
          collection.documents[id] = digest.exact(document)
          collection.contents[digest.loose(document), default: 0] += 1
        }
      }
      collections[info.name] = collection
    }
  }

  /// - Source: experiments section 5: a validator change leaves explicit strict and error behind.
  private static func options(_ options: Document) -> [String: BSON.Value] {
    var found: [String: BSON.Value] = [
      "validator": [:], "validationLevel": "strict", "validationAction": "error",
    ]
    for option in options where option.key != "uuid" { found[option.key] = option.value }
    return found
  }

  // MARK: - Comparison

  /// What differs in `other`, a sentence each; empty when both hold the same.
  ///
  /// - Parameter ignoringGenerated: takes documents as equal that differ only in `_id`s and dates
  ///   which the run made.
  func differences(from other: DatabaseSnapshot, ignoringGenerated: Bool) -> [String] {
    var found: [String] = []
    for name in Set(collections.keys).union(other.collections.keys).sorted() {
      switch (collections[name], other.collections[name]) {
      case (let before?, let after?):
        found += Self.differences(name, before, after, ignoringGenerated)
      case (nil, let after?):
        found.append(
          "\(after.type) \(name) is left over; it holds \(Self.counted(after.documents.count))")
      case (let before?, nil): found.append("\(before.type) \(name) is missing")
      case (nil, nil): break
      }
    }
    return found
  }

  private static func differences(
    _ name: String, _ before: Collection, _ after: Collection, _ ignoringGenerated: Bool
  ) -> [String] {
    var found: [String] = []
    for option in Set(before.options.keys).union(after.options.keys).sorted()
    where before.options[option] != after.options[option] {
      found.append(
        "option \(option) of \(name) was \(text(before.options[option])), "
          + "is \(text(after.options[option]))")
    }
    for index in Set(before.indexes.keys).union(after.indexes.keys).sorted() {
      switch (before.indexes[index], after.indexes[index]) {
      case (let was?, let now?) where was.withSortedKeys != now.withSortedKeys:
        found.append(
          "index \(index) of \(name) was \(text(.document(was))), is \(text(.document(now)))")
      case (nil, _?): found.append("index \(index) of \(name) is left over")
      case (_?, nil): found.append("index \(index) of \(name) is missing")
      default: break
      }
    }
    return found
      + (ignoringGenerated
        ? contentDifferences(name, before, after) : documentDifferences(name, before, after))
  }

  private static func documentDifferences(
    _ name: String, _ before: Collection, _ after: Collection
  ) -> [String] {
    let changed = before.documents.filter { id, hash in
      after.documents[id].map { $0 != hash } ?? false
    }.map(\.key)
    let gone = before.documents.keys.filter { after.documents[$0] == nil }
    let extra = after.documents.keys.filter { before.documents[$0] == nil }
    return [
      sentence(changed, "of \(name) differ"), sentence(gone, "of \(name) are missing"),
      sentence(extra, "of \(name) are left over"),
    ].compactMap(\.self)
  }

  private static func contentDifferences(
    _ name: String, _ before: Collection, _ after: Collection
  ) -> [String] {
    let hashes = Set(before.contents.keys).union(after.contents.keys)
    let count = hashes.reduce(0) { sum, hash in
      sum + max(0, (after.contents[hash] ?? 0) - (before.contents[hash] ?? 0))
    }
    let lost = hashes.reduce(0) { sum, hash in
      sum + max(0, (before.contents[hash] ?? 0) - (after.contents[hash] ?? 0))
    }
    guard count + lost > 0 else { return [] }
    return [
      "documents of \(name) differ after the second up: \(lost) only after the first, "
        + "\(count) only after the second"
    ]
  }

  private static func sentence(_ ids: [BSON.Value], _ what: String) -> String? {
    guard !ids.isEmpty else { return nil }
    let samples = ids.map { ExtendedJSON.text($0, .relaxed) }.sorted().prefix(3)
    return "\(counted(ids.count)) \(what): _id \(samples.joined(separator: ", "))"
  }

  private static func counted(_ count: Int) -> String {
    "\(count) document\(count == 1 ? "" : "s")"
  }

  private static func text(_ value: BSON.Value?) -> String {
    value.map { ExtendedJSON.text($0, .relaxed) } ?? "not set"
  }
}

extension Document {
  /// The same elements in the order of their names; nested ones stay as they are.
  fileprivate var withSortedKeys: Document {
    Document(map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 })
  }
}

/// Hashes documents whatever the order of their fields; good within one process.
struct ContentDigest {
  let since: DateTime

  func exact(_ document: Document) -> Int {
    var hasher = Hasher()
    add(document, to: &hasher, loose: false)
    return hasher.finalize()
  }

  /// Without what the run itself generated: `_id`s and dates from `since` on.
  func loose(_ document: Document) -> Int {
    var hasher = Hasher()
    add(document, to: &hasher, loose: true)
    return hasher.finalize()
  }

  private func add(_ document: Document, to hasher: inout Hasher, loose: Bool) {
    let elements = document.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
    hasher.combine(elements.count)
    for (key, value) in elements {
      hasher.combine(key)
      add(value, to: &hasher, loose: loose)
    }
  }

  private func add(_ value: BSON.Value, to hasher: inout Hasher, loose: Bool) {
    switch value {
    case .document(let inner): add(inner, to: &hasher, loose: loose)
    case .array(let items):
      hasher.combine(items.count)
      for item in items { add(item, to: &hasher, loose: loose) }
    case .objectID(let id) where loose && Int64(id.seconds) >= since.milliseconds / 1000:
      hasher.combine("generated _id")
    case .date(let date) where loose && date >= since: hasher.combine("generated date")
    default: hasher.combine(value)
    }
  }
}
