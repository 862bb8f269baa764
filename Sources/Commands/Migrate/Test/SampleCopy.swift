import BSON
import Migration
import MongoDB

/// Copies definitions and a sample of documents from a real database to a throwaway one.
struct SampleCopy {
  let source: Database
  let target: Database
  let names: LedgerNames
  let size: Int
  let cancellation: Cancellation

  /// Copies collections, then views, then the ledger, so that what is applied there counts as applied.
  /// - Returns: collections and documents copied.
  func run() throws -> (collections: Int, documents: Int) {
    let all = try source.listCollections().filter { !$0.name.hasPrefix("system.") }
    let kept = Set(try KeptCollections(source, names: names).all().map(\.name))
    var collections = 0
    var documents = 0
    for info in all where !names.isOurs(info.name) && !kept.contains(info.name) {
      guard info.raw["type"] != "view" else { continue }
      try cancellation.check()
      try create(info)
      let isTimeSeries = info.raw["type"] == "timeseries"
      if !isTimeSeries { try copyIndexes(info.name) }
      documents += try copyDocuments(info.name, limit: size)
      collections += 1
    }
    for info in all where info.raw["type"] == "view" && !names.isOurs(info.name) {
      try create(info)
    }
    if all.contains(where: { $0.name == names.ledger }) {
      _ = try copyDocuments(names.ledger, limit: .max)
    }
    return (collections, documents)
  }

  private func create(_ info: CollectionInfo) throws {
    var command: Document = ["create": .string(info.name)]
    for option in info.options where option.key != "uuid" {
      command.append(option.key, option.value)
    }
    _ = try target.run(command)
  }

  private func copyIndexes(_ collection: String) throws {
    let specs = try source.listIndexes(collection).map(\.spec).filter {
      $0["name"] != "_id_" && !$0.has("clustered")
    }
    guard !specs.isEmpty else { return }
    let plain = specs.map { spec in
      BSON.Value.document(Document(spec.filter { $0.key != "ns" }.map { ($0.key, $0.value) }))
    }
    _ = try target.run([
      "createIndexes": .string(collection), "indexes": .array(plain),
    ])
  }

  /// Documents as they are, byte for byte; validators of the target do not look at them.
  private func copyDocuments(_ collection: String, limit: Int) throws -> Int {
    let cursor =
      limit == .max
      ? try source.find(collection)
      : try source.aggregate(
        collection, pipeline: [["$sample": ["size": .integer(limit)]]],
        options: ["allowDiskUse": true])
    var batch: [Document] = []
    var count = 0
    func flush() throws {
      guard !batch.isEmpty else { return }
      do {
        _ = try target.run([
          "insert": .string(collection), "ordered": false, "bypassDocumentValidation": true,
          "documents": .array(batch.map { .document($0) }),
        ])
      } catch {
        // A random sample may hold a document twice.
        guard error.kind == .writeErrors, error.writeErrors.allSatisfy({ $0.code == 11_000 }) else {
          throw error
        }
      }
      count += batch.count
      batch = []
    }
    var bytes = 0
    while let document = try cursor.next() {
      batch.append(document)
      bytes += document.bytes.count
      if batch.count == 500 || bytes > 8_000_000 {
        try cancellation.check()
        try flush()
        bytes = 0
      }
    }
    try flush()
    return count
  }
}
