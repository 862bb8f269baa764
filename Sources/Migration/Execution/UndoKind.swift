import BSON

/// How the ledger writes the inverse of a step.
///
/// `kind` is one of `nothing`, `none`, `drop`, `dropIndexes`, `createIndexes`, `commands`,
/// `rebuildIndex`, `rename`, `unkeep`, `data`, `code`.
enum UndoKind {
  /// There was nothing to do, so there is nothing to take back.
  static func nothing(_ reason: String) -> Document {
    ["kind": "nothing", "reason": .string(reason)]
  }

  /// Why there is nothing to take back of a step that did not run.
  static let leftOut = "left out: its `unless` holds"

  /// No way back.
  static func none(_ reason: String) -> Document { ["kind": "none", "reason": .string(reason)] }

  static func drop(_ collection: String) -> Document {
    ["kind": "drop", "collection": .string(collection)]
  }

  /// - Parameter creating: the step made the collection, which goes when it is empty.
  static func dropIndexes(
    _ collection: String, _ names: [String], creating: Bool = false
  ) -> Document {
    var undo: Document = [
      "kind": "dropIndexes", "collection": .string(collection),
      "indexes": .array(names.map { .string($0) }),
    ]
    if creating { undo.append("creates", true) }
    return undo
  }

  static func createIndexes(_ collection: String, _ specs: [Document]) -> Document {
    [
      "kind": "createIndexes", "collection": .string(collection),
      "indexes": .array(specs.map { .document($0) }),
    ]
  }

  static func commands(_ commands: [Document]) -> Document {
    ["kind": "commands", "commands": .array(commands.map { .document($0) })]
  }

  static func rename(from: String, to: String) -> Document {
    ["kind": "rename", "from": .string(from), "to": .string(to)]
  }

  /// Pre-images in the undo collection.
  ///
  /// - Parameter creating: the step made the collection, which goes when it is empty again.
  static func data(creating: Bool) -> Document {
    creating ? ["kind": "data", "creates": true] : ["kind": "data"]
  }

  /// For documents inserted into a time-series: the server deletes none of them one by one.
  static func seriesInverse(isMadeHere: Bool) -> (undo: Document, inverse: String) {
    isMadeHere
      ? (nothing("goes with its collection"), "they go with their collection")
      : (
        none("documents of a time-series cannot be deleted one by one"),
        "none: documents of a time-series cannot be deleted one by one"
      )
  }

  /// A sentence for the plan.
  static func describe(_ undo: Document) -> [String] {
    let collection = undo["collection"]?.stringValue ?? ""
    switch undo["kind"]?.stringValue {
    case "nothing": return ["nothing: \(undo["reason"]?.stringValue ?? "it changed nothing")"]
    case "drop": return ["drops \(collection), or keeps it aside if it has documents"]
    case "dropIndexes", "createIndexes":
      let names = (undo["indexes"]?.arrayValue ?? []).compactMap {
        $0.stringValue ?? $0.documentValue?["name"]?.stringValue
      }
      let verb = undo["kind"]?.stringValue == "dropIndexes" ? "drops" : "builds again"
      return ["\(verb) \(names.isEmpty ? "no index" : names.joined(separator: ", "))"]
    case "commands", "rebuildIndex": return ["puts the previous options back"]
    case "rename":
      return ["renames \(undo["to"]?.stringValue ?? "") back to \(undo["from"]?.stringValue ?? "")"]
    case "unkeep": return ["brings \(collection) back from where it was kept"]
    case "data": return ["restores documents that are unchanged since, from their pre-images"]
    default: return []
    }
  }
}
