import BSON
import Crypto

/// What tells an edited migration from an unedited one.
///
/// A checksum is SHA-256 over one BSON document, encoded as the BSON specification says, with these
/// elements in this order, each left out when it is the default:
/// - `up`: array, one document per step: `{command}`, then `undo` (a string) unless `auto`, then
///   `unless` (`{collection, index, filter}`, absent ones left out). `{$date: now}` is in the
///   command as the document `{"$date": "now"}`.
/// - `down`: array as `up`, or the string `irreversible`. Derived: absent.
/// - `transaction`: `required` or `never`. Auto: absent.
/// - `requires`: `{minimum: "4.4.0", below: "7.0.0", topology: [...]}`, absent ones left out.
/// - `expect`: as written.
///
/// So comments, layout, quoting, anchors, YAML against JSON, the description, accepted findings and
/// the speed options `chunk`, `parallel` and `pause` change nothing; key order, values and the types
/// of values do. The prefix `v1` names this definition: it is never changed, only followed by `v2`.
public enum Checksum {
  static func migration(
    up: [Step], down: Down, transaction: TransactionMode, requires: Requirements, expect: Document?
  ) -> String {
    var content = Document()
    content.append("up", canonical(up))
    switch down {
    case .derived: break
    case .steps(let steps): content.append("down", canonical(steps))
    case .irreversible: content.append("down", "irreversible")
    }
    if transaction != .auto { content.append("transaction", .string(transaction.rawValue)) }
    if !requires.isEmpty { content.append("requires", .document(canonical(requires))) }
    if let expect { content.append("expect", .document(expect)) }
    return "v1:sha256:" + hex(content)
  }

  static func step(command: Document, options: StepOptions) -> String {
    hex(canonical(command, options))
  }

  private static func canonical(_ steps: [Step]) -> Value {
    .array(steps.map { .document(canonical($0.command, $0.options)) })
  }

  private static func canonical(_ command: Document, _ options: StepOptions) -> Document {
    var content: Document = ["command": .document(command)]
    if options.undo != .auto { content.append("undo", .string(options.undo.rawValue)) }
    if let unless = options.unless {
      var condition: Document = ["collection": .string(unless.collection)]
      if let index = unless.index { condition.append("index", .string(index)) }
      if let filter = unless.filter { condition.append("filter", .document(filter)) }
      content.append("unless", .document(condition))
    }
    return content
  }

  private static func canonical(_ requires: Requirements) -> Document {
    var content = Document()
    if let minimum = requires.minimum { content.append("minimum", .string("\(minimum)")) }
    if let below = requires.below { content.append("below", .string("\(below)")) }
    if !requires.topologies.isEmpty {
      let names = requires.topologies.map(\.rawValue).sorted()
      content.append("topology", .array(names.map { .string($0) }))
    }
    return content
  }

  private static func hex(_ document: Document) -> String {
    Hex.encode(SHA256.hash(data: document.bytes))
  }
}
