import BSON

/// Compares what a `create` asks for with the collection that has the name.
enum OptionsComparison {
  private static let ignored: Set<String> = [
    "create", "writeConcern", "comment", "idIndex", "uuid", "autoIndexId", "temp", "flags",
  ]
  private static let defaults: Document = [
    "capped": false, "validator": [:], "validationLevel": "strict", "validationAction": "error",
    "storageEngine": [:], "indexOptionDefaults": [:],
    "changeStreamPreAndPostImages": ["enabled": false],
  ]

  /// What stands in the way of the command, or nil when the collection is as it asks.
  static func obstacle(_ command: Document, _ there: CollectionState) -> String? {
    let kind =
      command.has("viewOn") ? "view" : command.has("timeseries") ? "timeseries" : "collection"
    if kind != there.type {
      return "is a \(there.type == "timeseries" ? "time-series" : there.type)"
    }
    let differing = differences(command, there)
    return differing.isEmpty
      ? nil : "exists with other options (\(differing.joined(separator: ", ")))"
  }

  /// The names of the options that differ, either way.
  private static func differences(_ command: Document, _ there: CollectionState) -> [String] {
    var names: [String] = []
    for name in command.keys + there.options.keys
    where !ignored.contains(name) && !names.contains(name) {
      names.append(name)
    }
    return names.filter { !same($0, command[$0], there.options[$0]) }
  }

  private static func same(_ name: String, _ asked: Value?, _ found: Value?) -> Bool {
    switch name {
    case "collation":
      return Collation.filled(asked?.documentValue ?? [:])
        == Collation.filled(found?.documentValue ?? [:])
    case "timeseries":
      return alike(
        asked, found, ["granularity": "seconds"],
        ignoring: ["bucketMaxSpanSeconds", "bucketRoundingSeconds"])
    case "clusteredIndex": return alike(asked, found, ["name": "_id_"], ignoring: ["v"])
    case "pipeline":
      return IndexComparison.equal(asked ?? .array([]), found ?? .array([]))
    case "size":
      guard let asked = asked?.doubleValue, let found = found?.doubleValue else { break }
      // The server rounds up to 256 bytes.
      return asked <= found && found - asked < 256
    default: break
    }
    return IndexComparison.equal(asked ?? defaults[name], found ?? defaults[name])
  }

  private static func alike(
    _ asked: Value?, _ found: Value?, _ defaults: Document, ignoring: Set<String>
  ) -> Bool {
    // `clusteredIndex: true` is what an older form asks for.
    guard let asked = asked?.documentValue, let found = found?.documentValue else {
      return (asked?.isTruthy ?? false) == (found?.isTruthy ?? false)
    }
    return Set(asked.keys + found.keys).subtracting(ignoring).allSatisfy {
      IndexComparison.equal(asked[$0] ?? defaults[$0], found[$0] ?? defaults[$0])
    }
  }
}
