import Backup
import Dump
import Fingerprint

/// What a restore or a drill has compared with the manifest, and what it could not.
struct ComparedPart {
  let compared: [Compared]
  let replayed: Int64

  private func all(_ extent: Compared.Extent) -> [Compared] {
    compared.filter { $0.extent == extent }
  }

  var json: JSONValue {
    let documents = compared.filter { $0.extent == .exact || $0.extent == .beforeReplay }
    return [
      "exact": .strings(all(.exact).map(\.namespace.description)),
      "beforeReplay": .strings(all(.beforeReplay).map(\.namespace.description)),
      "counted": .array(all(.counted).map(Self.json)),
      "not": .array(all(.none).map(Self.json)),
      "documents": .integer(documents.reduce(0) { $0 + $1.documents }),
      "indexes": .integer(Int64(compared.reduce(0) { $0 + $1.indexes })),
    ]
  }

  private static func json(_ one: Compared) -> JSONValue {
    ["namespace": .string(one.namespace.description), "reason": .string(optional: one.reason)]
  }

  func write(to page: inout Page) {
    let exact = all(.exact)
    let before = all(.beforeReplay)
    let documents = (exact + before).reduce(0) { $0 + $1.documents }
    page.line(
      "as in the manifest: \(String(exact.count + before.count)) collections, \(Quantity.grouped(documents)) documents"
    )
    if !before.isEmpty {
      page.line(
        "  \(String(before.count)) of them before \(Quantity.grouped(replayed)) entries of the oplog were replayed over them; no manifest knows them afterwards: \(before.map(\.namespace.description).joined(separator: ", "))"
      )
    }
    for one in all(.counted) {
      page.line("  only counted: \(one.namespace.description) (\(one.reason ?? ""))")
    }
    for one in all(.none) {
      page.line("  not compared: \(one.namespace.description) (\(one.reason ?? ""))")
    }
  }
}
