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
        "  \(String(before.count)) of them before \(Quantity.grouped(replayed)) entries of the oplog were replayed over them; no manifest knows them afterwards: \(Self.names(before))"
      )
    }
    list("only counted", all(.counted), in: &page)
    list("not compared", all(.none), in: &page)
  }

  /// On a screen; JSON has them all.
  private static let shown = 10

  private static func names(_ some: [Compared]) -> String {
    let names = some.prefix(shown).map(\.namespace.description).joined(separator: ", ")
    return some.count > shown ? "\(names) and \(some.count - shown) more" : names
  }

  private func list(_ word: String, _ some: [Compared], in page: inout Page) {
    for one in some.prefix(Self.shown) {
      page.line("  \(word): \(one.namespace.description) (\(one.reason ?? ""))")
    }
    guard some.count > Self.shown else { return }
    page.line("  \(word): \(String(some.count - Self.shown)) more, which --json names")
  }
}
