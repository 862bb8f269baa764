internal import BSON
internal import Fingerprint

/// Names that queries and updates cannot address, in the documents that were looked at.
struct FieldNames {
  var inspected: Int64 = 0
  /// Documents with such a name.
  var odd: Int64 = 0
  var ids: [Value] = []

  mutating func inspect(_ document: UnsafeRawBufferPointer, evidenceRows: Int) throws {
    inspected += 1
    let view = try DocumentView(document)
    guard try Self.hasOddName(view, isArray: false, depth: 0) else { return }
    odd += 1
    if ids.count < evidenceRows, let id = try DocumentView(document).first("_id") {
      ids.append(try id.value())
    }
  }

  /// Empty, dotted, `$…`; digits, which a path takes for a position in an array.
  private static func hasOddName(
    _ view: DocumentView, isArray: Bool, depth: Int
  ) throws -> Bool {
    var iterator = view.makeIterator()
    while let element = try iterator.next() {
      if !isArray {
        let name = element.keyBytes
        if name.isEmpty || name.first == UInt8(ascii: "$") || name.contains(UInt8(ascii: "."))
          || name.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        {
          return true
        }
      }
      // DBRefs have names of their own; what is deeper than the server allows is not there.
      guard depth < 200, element.type == .document || element.type == .array,
        let inner = try element.nested()
      else { continue }
      if element.type == .document, let first = try inner.first("$ref"), first.type == .string {
        continue
      }
      if try hasOddName(inner, isArray: element.type == .array, depth: depth + 1) { return true }
    }
    return false
  }

  static func result(_ collection: String, _ pass: Snapshotter.Pass) -> CheckResult {
    let names = pass.names
    let amount = Amount(names.inspected, "documents")
    let sure: Certainty =
      names.inspected == pass.tally.count ? .exact : .sample(of: names.inspected)
    guard names.odd > 0 else {
      return .passed(
        "field-names", collection, "no field name is empty, dotted, all digits or begins with $",
        lookedAt: amount, certainty: sure)
    }
    return .found(
      "field-names", collection, .warning,
      "\(Words.counted(names.odd, "documents")) with an empty, dotted or all-digit field name, or one with $",
      lookedAt: amount, certainty: sure, findings: names.odd, evidence: .ids(names.ids),
      cause: "keys of the application's data were used as field names",
      fix: "rename the fields, with $setField and $getField where updates cannot name them")
  }
}
