import BSON
import MongoDB

/// Works out how a `collMod` is taken back, from the options that are there before it.
///
/// - Source: experiments section 5: a validator change leaves explicit strict/error behind;
///   a plain index made TTL, granularity and `unique: true` cannot be taken back by collMod.
struct CollModInverse {
  let database: Database

  func undo(of command: Document) throws -> Document {
    let collection = command["collMod"]?.stringValue ?? ""
    guard
      let info = try database.listCollections(filter: ["name": .string(collection)]).first
    else { return UndoKind.nothing("\(collection) did not exist") }
    var back: Document = ["collMod": .string(collection)]
    for element in command.dropFirst() {
      switch element.key {
      case "index":
        return try indexUndo(collection, element.value.documentValue ?? [:])
      case "validator": back.append("validator", info.options["validator"] ?? [:])
      case "validationLevel":
        back.append("validationLevel", info.options["validationLevel"] ?? "strict")
      case "validationAction":
        back.append("validationAction", info.options["validationAction"] ?? "error")
      case "viewOn", "pipeline":
        if !back.has("viewOn") {
          back.append("viewOn", info.options["viewOn"] ?? "")
          back.append("pipeline", info.options["pipeline"] ?? [])
        }
      case "expireAfterSeconds":
        back.append("expireAfterSeconds", info.options["expireAfterSeconds"] ?? "off")
      case "changeStreamPreAndPostImages":
        back.append(
          "changeStreamPreAndPostImages",
          info.options["changeStreamPreAndPostImages"] ?? ["enabled": false])
      case "cappedSize": back.append("cappedSize", info.options["size"] ?? nil)
      case "cappedMax": back.append("cappedMax", info.options["max"] ?? 0)
      case "comment", "writeConcern": break
      default: return UndoKind.none("collMod \(element.key) cannot be taken back")
      }
    }
    return UndoKind.commands(back.count > 1 ? [back] : [])
  }

  private func indexUndo(_ collection: String, _ change: Document) throws -> Document {
    let there = try database.listIndexes(collection)
    let key = change["keyPattern"]?.documentValue
    guard
      let index = there.first(where: { index in
        index.name == change["name"]?.stringValue
          || key.map { IndexComparison.equal(.document($0), .document(index.key)) } ?? false
      })
    else { return UndoKind.nothing("no such index") }
    let spec = index.spec
    let becomesTTL = change.has("expireAfterSeconds") && !spec.has("expireAfterSeconds")
    let becomesUnique = change.isTruthyFlag("unique") && !spec.isTruthyFlag("unique")
    if becomesTTL || becomesUnique {
      return [
        "kind": "rebuildIndex", "collection": .string(collection), "spec": .document(spec),
      ]
    }
    var back: Document = ["name": .string(index.name)]
    if change.has("expireAfterSeconds") {
      back.append("expireAfterSeconds", spec["expireAfterSeconds"] ?? 0)
    }
    if change.has("hidden") { back.append("hidden", .bool(spec.isTruthyFlag("hidden"))) }
    if change.has("prepareUnique") {
      back.append("prepareUnique", .bool(spec.isTruthyFlag("prepareUnique")))
    }
    return UndoKind.commands([["collMod": .string(collection), "index": .document(back)]])
  }
}
