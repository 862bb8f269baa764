import BSON

extension LedgerNames {
  /// A collection of Martlet's own that a command would change; nil when there is none.
  func changed(by command: Document, in database: String) -> String? {
    WrittenCollections.names(command, in: database)
      .map { Names.collection($0, in: database) }.first(where: isOurs)
  }
}

/// Which collections a command writes to, as far as it says so.
enum WrittenCollections {
  static func names(_ command: Document, in database: String) -> [String] {
    guard let name = command.keys.first else { return [] }
    let target = command[name]?.stringValue
    switch name {
    case "renameCollection": return [target, command["to"]?.stringValue].compactMap(\.self)
    case "aggregate":
      return [AggregateOutput.collection(command, in: database)].compactMap(\.self)
    case "mapReduce", "mapreduce": return [mapped(command["out"], database)].compactMap(\.self)
    case "cloneCollectionAsCapped":
      return [command["toCollection"]?.stringValue].compactMap(\.self)
    case "bulkWrite": return namespaces(command["nsInfo"])
    case "applyOps": return namespaces(command["applyOps"])
    default:
      // What stands behind other names may be a user or a parameter.
      guard !Linter.reading.contains(name), !Linter.apart.contains(name) else { return [] }
      return [target].compactMap(\.self)
    }
  }

  private static func mapped(_ out: Value?, _ database: String) -> String? {
    guard let place = out?.documentValue else { return out?.stringValue }
    guard (place["db"]?.stringValue ?? database) == database else { return nil }
    return (place["replace"] ?? place["merge"] ?? place["reduce"])?.stringValue
  }

  private static func namespaces(_ list: Value?) -> [String] {
    (list?.arrayValue ?? []).compactMap { $0.documentValue?["ns"]?.stringValue }
  }
}

/// Where an aggregation writes.
enum AggregateOutput {
  /// The collection behind `$out` or `$merge`; nil for one that only reads, or another database's.
  static func collection(_ command: Document, in database: String) -> String? {
    guard let last = command["pipeline"]?.arrayValue?.last?.documentValue else { return nil }
    let output = last["$out"] ?? last["$merge"]?.documentValue?["into"] ?? last["$merge"]
    guard let output else { return nil }
    if let name = output.stringValue { return name }
    guard let place = output.documentValue, (place["db"]?.stringValue ?? database) == database
    else { return nil }
    return place["coll"]?.stringValue
  }
}
