internal import BSON
internal import Glibc
internal import MongoDB

/// Turns the indexes of a dump into ones that a server accepts. - Source: archive-format.md 4.8.
struct IndexSpecs {
  let options: LoadOptions
  let server: ServerVersion

  /// The specs to send, in the dump's order; without the `_id` index and a clustered one.
  func prepared(_ indexes: [Document], collectionOptions: Document?) -> [Document] {
    let collation = collectionOptions?["collation"]?.documentValue
    let isCollated = collation.map { $0["locale"]?.stringValue != "simple" } ?? false
    var seen: [Document] = []
    var out: [Document] = []
    for index in indexes where index["clustered"]?.isTruthy != true {
      var spec = converted(index)
      let key = spec["key"]?.documentValue ?? [:]
      if isDefaultID(key, spec) { continue }
      if options.convertsLegacyIndexes {
        if seen.contains(key) { continue }
        seen.append(key)
      }
      // Version 1 knows no collation, and takes none from its collection.
      let isVersion1 = options.keepsIndexVersions && spec["v"]?.integerValue == 1
      if spec["collation"] == nil, isCollated, !isVersion1 {
        spec["collation"] = ["locale": "simple"]
      }
      if !options.keepsIndexVersions { spec.remove("v") }
      if options.withholdsExpiry { withholdExpiry(&spec) }
      out.append(spec)
    }
    return out
  }

  /// From 6.0 on collMod turns a plain index into a TTL index; before, the largest expiry that the
  /// server takes is about its clock's seconds. - Source: experiments.md 1.
  private func withholdExpiry(_ spec: inout Document) {
    guard spec.has("expireAfterSeconds") else { return }
    if server >= ServerVersion(6, 0) {
      spec.remove("expireAfterSeconds")
    } else {
      spec["expireAfterSeconds"] = .integer(Int64(time(nil)) - 86_400)
    }
  }

  /// `create`'s `idIndex`; nil where the collection has none to give.
  func idIndex(_ indexes: [Document], collectionOptions: Document?) -> Document? {
    guard collectionOptions?.has("clusteredIndex") != true else { return nil }
    guard var index = indexes.first(where: { $0["name"]?.stringValue == "_id_" }) else {
      return nil
    }
    index.remove("ns")
    if !options.keepsIndexVersions, !options.preservesUUIDs { index.remove("v") }
    return index
  }

  private func isDefaultID(_ key: Document, _ spec: Document) -> Bool {
    guard key.keys == ["_id"], !spec.has("partialFilterExpression") else { return false }
    return key["_id"]?.doubleValue != nil
  }

  private func converted(_ index: Document) -> Document {
    var spec = index
    spec.remove("ns")
    let isOldVersion = spec["v"]?.integerValue == 1
    if isOldVersion, spec["collation"]?.documentValue?["locale"]?.stringValue == "simple" {
      spec.remove("collation")
    }
    var key = Document()
    for element in spec["key"]?.documentValue ?? [:] {
      key.append(element.key, convertedKey(element.key, element.value))
      if element.value == .string("2dsphere"), !spec.has("2dsphereIndexVersion") {
        spec.append("2dsphereIndexVersion", 1)
      }
    }
    spec["key"] = .document(key)
    if options.convertsLegacyIndexes, server < ServerVersion(4, 2) {
      spec = spec.filteringElements { Self.known.contains($0.key) }
    }
    return spec
  }

  private func convertedKey(_ name: String, _ value: Value) -> Value {
    if options.fixesDottedHashIndexes, name.contains("."), value == .string("hashed") { return 1 }
    guard options.convertsLegacyIndexes else { return value }
    switch value {
    case .int32(0), .int64(0): return 1
    case .double(let x) where x.magnitude < 1e-9: return x < 0 ? -1 : 1
    case .string(""): return 1
    case .decimal128(let number) where Double(number.description) == 0: return 1
    case .int32, .int64, .double, .decimal128, .string: return value
    default: return 1
    }
  }

  private static let known: Set<String> = [
    "2dsphereIndexVersion", "background", "bits", "bucketSize", "coarsestIndexedLevel", "collation",
    "default_language", "expireAfterSeconds", "finestIndexedLevel", "key", "language_override",
    "max", "min", "name", "ns", "partialFilterExpression", "sparse", "storageEngine",
    "textIndexVersion", "unique", "v", "weights", "wildcardProjection",
  ]
}
