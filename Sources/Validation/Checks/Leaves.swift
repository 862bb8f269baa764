internal import BSON

/// Aggregation expressions about every value that a path leads to, through arrays too.
///
/// A query operator is content with one fitting element of an array.
struct Leaves {
  private let first: String
  private let rest: ArraySlice<String>

  /// Nil where a part of the path is a position or has a dollar: expressions cannot follow those.
  init?(_ field: String) {
    let path = field.split(separator: ".").map(String.init)
    guard let first = path.first,
      path.allSatisfy({ !$0.hasPrefix("$") && !$0.allSatisfy(\.isNumber) })
    else { return nil }
    self.first = first
    rest = path.dropFirst()
  }

  /// Matches documents in which a value is there for which `isBad` holds.
  func any(_ isBad: (Value) -> Value) -> Value {
    ["$expr": expression("$" + first, rest, isBad)]
  }

  /// The same, of the elements where the value is an array; an empty one has none.
  func anyElement(_ isBad: (Value) -> Value) -> Value {
    any { value in Self.whole(value, isBad) }
  }

  /// `isBad` of a value, or of an element of it.
  static func whole(_ value: Value, _ isBad: (Value) -> Value) -> Value {
    let isArray: Value = ["$isArray": [value]]
    let elements: Value = [
      "$map": [
        "input": ["$cond": [isArray, value, []]], "as": "element", "in": isBad("$$element"),
      ]
    ]
    return ["$cond": [isArray, ["$anyElementTrue": [elements]], isBad(value)]]
  }

  private func expression(
    _ value: String, _ rest: ArraySlice<String>, _ isBad: (Value) -> Value
  ) -> Value {
    let here = Value.string(value)
    guard let next = rest.first else {
      return ["$and": [["$ne": [["$type": here], "missing"]], isBad(here)]]
    }
    let name = "v\(rest.count)"
    let isObject: Value = ["$eq": [["$type": .string("$$" + name)], "object"]]
    let inner = expression("$$\(name).\(next)", rest.dropFirst(), isBad)
    let elements: Value = [
      "$map": [
        "input": ["$cond": [["$isArray": [here]], here, [here]]], "as": .string(name),
        "in": ["$cond": [isObject, inner, false]],
      ]
    ]
    return ["$anyElementTrue": [elements]]
  }
}

/// What the rule about a field is broken by.
extension FieldRule {
  private static let numbers = ["int", "long", "double", "decimal"]

  /// `number` for each of the four types of numbers.
  static func family(_ alias: String) -> String { numbers.contains(alias) ? "number" : alias }

  private var exists: Value { .document([field: ["$exists": true]]) }

  private static func aliases(_ types: [String]) -> Value {
    .array(types.flatMap { $0 == "number" ? numbers : [$0] }.map { .string($0) })
  }

  /// A value of none of the types. An array is no string, even if it holds one.
  var typeFilter: Document {
    guard let leaves = Leaves(field) else {
      return ["$and": [exists, .document([field: ["$not": ["$type": Self.aliases(types)]]])]]
    }
    let bad = leaves.any { ["$not": [["$in": [["$type": $0], Self.aliases(types)]]]] }
    return ["$and": [exists, bad]]
  }

  /// A value, or an element of one, that is not in the list.
  func listFilter(_ values: [Value]) -> Document {
    let simple: Document = ["$and": [exists, .document([field: ["$nin": .array(values)]])]]
    // Regular expressions are patterns for a query only.
    guard let leaves = Leaves(field), !values.contains(where: { $0.type == .regex }) else {
      return simple
    }
    func isForeign(_ value: Value) -> Value {
      ["$not": [["$in": [value, ["$literal": .array(values)]]]]]
    }
    let bad = leaves.any { value in
      [
        "$and": [
          isForeign(value), ["$or": [["$eq": [value, []]], Leaves.whole(value, isForeign)]],
        ]
      ]
    }
    return ["$and": [exists, bad]]
  }

  /// Values outside of the bounds, those that cannot be compared with them included.
  var rangeFilter: Document {
    var sides: [Value] = []
    if let minimum { sides.append(.document([field: ["$lt": minimum]])) }
    if let maximum { sides.append(.document([field: ["$gt": maximum]])) }
    // NaN is neither above nor below anything.
    sides.append(.document([field: .double(.nan)]))
    // Where the rule says a type, that is a check of its own.
    if types.isEmpty, let bound = minimum ?? maximum, let leaves = Leaves(field) {
      let fitting = Self.aliases([Self.family(bound.type.alias), "null", "undefined"])
      sides.append(leaves.anyElement { ["$not": [["$in": [["$type": $0], fitting]]]] })
    }
    return ["$or": .array(sides)]
  }
}
