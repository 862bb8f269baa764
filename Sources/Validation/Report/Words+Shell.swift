public import BSON
private import Foundation

/// What one can paste into mongosh.
extension Words {
  /// A value as mongosh reads it: Extended JSON would be a document there, with keys such as `$date`.
  public static func shell(_ value: Value) -> String {
    switch value {
    case .document(let document): shell(document)
    case .array(let items): "[\(items.map { shell($0) }.joined(separator: ","))]"
    case .double(let number) where !number.isFinite:
      number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity"
    // Beyond this a number of JavaScript is another one.
    case .int64(let number) where number.magnitude > 1 << 53: "NumberLong(\"\(number)\")"
    case .objectID(let id): "ObjectId(\"\(id)\")"
    case .date(let date): shell(date.milliseconds)
    case .decimal128(let number): "NumberDecimal(\"\(number)\")"
    case .timestamp(let time): "Timestamp(\(time.seconds), \(time.increment))"
    case .binary(let binary) where binary.subtype != 2:
      "BinData(\(binary.subtype), \"\(Data(binary.stored).base64EncodedString())\")"
    case .regex(let pattern): "BSONRegExp(\(quoted(pattern.pattern)), \(quoted(pattern.options)))"
    case .javascript(let code): "Code(\(quoted(code)))"
    case .undefined: "undefined"
    case .minKey: "MinKey()"
    case .maxKey: "MaxKey()"
    default: ExtendedJSON.text(value, .relaxed)
    }
  }

  /// A document as mongosh reads it.
  public static func shell(_ document: Document) -> String {
    "{\(document.map { "\(quoted($0.key)):\(shell($0.value))" }.joined(separator: ","))}"
  }

  private static func shell(_ milliseconds: Int64) -> String {
    // Other years have no text that is read as a date.
    guard (-62_135_596_800_000..<253_402_300_800_000).contains(milliseconds) else {
      return "new Date(\(milliseconds))"
    }
    let rest = (milliseconds % 1000 + 1000) % 1000
    let whole = instant(milliseconds - rest)
    guard rest > 0 else { return "ISODate(\"\(whole)\")" }
    let digits = String(repeating: "0", count: 3 - String(rest).count) + String(rest)
    return "ISODate(\"\(whole.dropLast()).\(digits)Z\")"
  }

  /// A command as one types it into the shell.
  public static func command(_ document: Document) -> String {
    "db.runCommand(\(shell(document)))"
  }

  /// A pipeline as one types it into the shell.
  /// - Parameter options: such as a collation.
  public static func aggregation(
    _ collection: String?, _ pipeline: [Document], _ options: Document = [:]
  ) -> String {
    let place = collection.map { "db.getCollection(\(quoted($0)))" } ?? "db"
    let stages = pipeline.map { shell($0) }.joined(separator: ", ")
    let more = options.isEmpty ? "" : ", \(shell(options))"
    return "\(place).aggregate([\(stages)]\(more))"
  }

  /// A query as one types it into the shell.
  public static func find(_ collection: String, _ filter: Document) -> String {
    "db.getCollection(\(quoted(collection))).find(\(shell(filter)))"
  }
}
