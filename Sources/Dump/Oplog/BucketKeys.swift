internal import BSON

/// How the fields of a time-series are named in its buckets.
///
/// The oplog has a time-series' indexes as those of its buckets; `createIndexes` on the time-series wants
/// them as they were asked for.
struct BucketKeys: Sendable {
  private let metaField: String?

  /// - Parameter options: of the time-series; nil for another collection's.
  init?(_ options: Document) {
    guard let series = options["timeseries"]?.documentValue else { return nil }
    metaField = series["metaField"]?.stringValue
  }

  /// An index of the buckets as the time-series has it.
  func logical(_ spec: Document) -> Document {
    // 6.0 keeps what was asked for where it cannot be told from the buckets' index.
    if let original = spec["originalSpec"]?.documentValue { return original }
    guard let key = spec["key"]?.documentValue else { return spec }
    var out = spec
    out["key"] = .document(logical(key: key))
    return out
  }

  /// `control.min.t, control.max.t` are `t`; `meta` is the meta field; `data.x` as 2dsphere is `x`.
  func logical(key: Document) -> Document {
    var out = Document()
    for element in key {
      for bound in ["control.min.", "control.max."] where element.key.hasPrefix(bound) {
        let field = String(element.key.dropFirst(bound.count))
        if !out.has(field) { out.append(field, element.value) }
      }
      if element.key.hasPrefix("control.") { continue }
      if element.value == .string("2dsphere_bucket"), element.key.hasPrefix("data.") {
        out.append(String(element.key.dropFirst("data.".count)), .string("2dsphere"))
      } else if let metaField, element.key == "meta" || element.key.hasPrefix("meta.") {
        out.append(metaField + element.key.dropFirst("meta".count), element.value)
      } else {
        out.append(element.key, element.value)
      }
    }
    return out
  }
}
