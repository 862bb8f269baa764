internal import BSON

extension Step {
  /// Top-level fields of existing documents that an `update` changes; nil where only a run can tell, and
  /// for every other command.
  public var changedFields: Set<String>? {
    guard name == "update" else { return nil }
    var all: Set<String> = []
    for update in (command["updates"]?.arrayValue ?? []).compactMap(\.documentValue) {
      guard update["upsert"]?.isTruthy != true, let change = update["u"],
        let fields = Self.fields(of: change)
      else { return nil }
      all.formUnion(fields)
    }
    return all
  }

  private static func fields(of change: Value) -> Set<String>? {
    guard let stages = change.arrayValue else {
      if case .fields(let names) = Touched(update: change) { return Set(names) }
      return nil
    }
    var all: Set<String> = []
    for stage in stages.compactMap(\.documentValue) {
      for element in stage {
        let names: [String]
        switch (element.key, element.value) {
        case ("$set", .document(let fields)), ("$addFields", .document(let fields)):
          names = fields.keys
        case ("$unset", .string(let field)): names = [field]
        case ("$unset", .array(let fields)): names = fields.compactMap(\.stringValue)
        default: return nil
        }
        all.formUnion(names.map { String($0.prefix { $0 != "." }) })
      }
    }
    return all
  }
}
