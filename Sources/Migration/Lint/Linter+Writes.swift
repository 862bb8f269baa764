import BSON

extension Linter {
  mutating func updates(_ step: Step) {
    guard let collection = step.target else { return }
    if step.options.undo == .none, !inDown {
      report(
        .irreversible,
        "`undo: none`: what this update changes in \(collection) cannot be taken back",
        safer: "remove `martlet: { undo: none }`")
    }
    for (position, update) in (step.command["updates"]?.documents ?? []).enumerated() {
      let path = "updates[\(position)]"
      let filter = update["q"]?.documentValue ?? Document()
      guard update["multi"]?.isTruthy == true else {
        if !update.has("multi"), !filter.has("_id") {
          report(
            .firstMatch, "\(path): without `multi`, and the filter is not on _id",
            safer: "multi: true   # or multi: false, when one is meant")
        }
        continue
      }
      if let change = update["u"]?.documentValue {
        many(change, filter, collection, path)
      } else if filter.isEmpty {
        report(
          .everyone, "\(path): an empty filter, so every document of \(collection) is changed",
          safer: "q: { new_field: { $exists: false } }")
      }
    }
  }

  private mutating func many(
    _ change: Document, _ filter: Document, _ collection: String, _ path: String
  ) {
    if !change.isEmpty, !change.keys.contains(where: { $0.hasPrefix("$") }) {
      report(
        .replaceMany, "\(path): `u` has no operators, and `multi` is true",
        safer: "u: { $set: \(FlowYAML.text(redacted(change))) }")
      return
    }
    let mentioned = fields(of: filter)
    let set = change["$set"]?.documentValue?.keys ?? []
    let lost = set.filter { field in
      !mentioned.contains { $0 == field || field.hasPrefix($0 + ".") || $0.hasPrefix(field + ".") }
    }
    if !lost.isEmpty {
      let names = lost.map { "`\($0)`" }.joined(separator: ", ")
      report(
        .overwrite,
        "\(path): $set of \(names) in \(collection) "
          + (filter.isEmpty ? "for every document" : "where it may have a value already"),
        safer: lost.map { field in
          "- q: { \(FlowYAML.scalar(field)): { $exists: false } }\n"
            + "  u: { $set: { \(FlowYAML.scalar(field)): … } }\n  multi: true"
        }.joined(separator: "\n"))
    } else if filter.isEmpty {
      report(
        .everyone, "\(path): an empty filter, so every document of \(collection) is changed",
        safer:
          "q: { \(FlowYAML.scalar(change.first { _ in true }?.value.documentValue?.keys.first ?? "field")): "
          + "{ $exists: true } }")
    }
  }

  /// Fields that a filter speaks of, inside `$and` and `$or` too.
  private func fields(of filter: Document) -> Set<String> {
    filter.reduce(into: []) { result, element in
      if element.key.hasPrefix("$") {
        for inner in element.value.documents { result.formUnion(fields(of: inner)) }
      } else {
        result.insert(element.key)
      }
    }
  }

  /// Names without values, since a message must not hold data.
  private func redacted(_ document: Document) -> Document {
    Document(document.map { ($0.key, "…") })
  }

  mutating func deletes(_ step: Step) {
    guard let collection = step.target else { return }
    if step.options.undo == .none, !inDown {
      report(
        .irreversible, "`undo: none`: what is deleted from \(collection) cannot be taken back",
        safer: "remove `martlet: { undo: none }`")
    }
    for (position, delete) in (step.command["deletes"]?.documents ?? []).enumerated() {
      let path = "deletes[\(position)]"
      if delete["limit"] == nil {
        report(.deleteLimit, "\(path): `limit` is missing", safer: "limit: 0   # all that match")
      }
      if delete["q"]?.documentValue?.isEmpty == true, delete["limit"]?.integerValue != 1 {
        report(
          .deleteAll, "\(path): every document of \(collection) is deleted",
          safer: "q: { field: value }   # or rename the collection away, which is instant")
      }
    }
  }

  mutating func insert(_ step: Step) {
    guard let collection = step.target else { return }
    existing.insert(collection)
    let documents = step.command["documents"]?.documents ?? []
    if documents.count > 1_000 {
      report(
        .bulk, "\(documents.count) documents for \(collection)",
        safer: "# keep reference data here, load the rest with `martlet load`")
    }
    if inDown, documents.contains(where: { !$0.has("_id") }) {
      report(
        .newIDs, "documents for \(collection) without `_id`",
        safer: "leave `down:` out: the derived one puts back what was deleted, with its ids")
    }
    let names = Set(documents.flatMap(\.keys)).sorted()
    for name in names where name.contains(".") || name.hasPrefix("$") {
      report(
        .fieldName, "the field name `\(name)`",
        safer: "\(FlowYAML.scalar(name.replacing(".", with: "_").replacing("$", with: ""))): …")
    }
  }
}
