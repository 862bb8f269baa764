import BSON
import Migration
import Validation

/// What pending migrations will do to what is there now.
///
/// A step that comes after another one meets what that one leaves behind: what is there now says nothing
/// about it, and the check says so instead of passing.
struct PlannedState {
  /// Which fields of documents a step changes.
  private enum Fields {
    case some(Set<String>)
    case any
  }

  private let database: String
  private(set) var indexes: [Expectations.Index] = []
  private(set) var validators: [Expectations.Validator] = []
  private(set) var expiries: [Expectations.Expiry] = []
  /// Validators as earlier steps leave them.
  private var rules: [String: Expectations.Validator] = [:]
  private(set) var unseen: [Expectations.Unseen] = []
  /// Documents that earlier steps change, and whose.
  private var documents: [String: [(fields: Fields, source: String)]] = [:]
  /// Collections whose indexes or options earlier steps change, or that they drop or rename.
  private var definitions: [String: String] = [:]

  init(database: String) { self.database = database }

  mutating func apply(_ migration: Migration) {
    for step in migration.up { apply(step, migration.name) }
  }

  private mutating func apply(_ step: Step, _ source: String) {
    guard let target = step.target else { return }
    switch step.name {
    case "createIndexes":
      for spec in StepEffects.specs(step.command) { index(spec, target, step, source) }
    case "collMod":
      validator(target, step, source)
      if let index = step.command["index"]?.documentValue {
        expiry(index, target, step, source)
        definitions[target] = source
      }
    case "create", "ping": break
    case "update": change(target, step.changedFields.map { .some($0) } ?? .any, source)
    case "insert", "delete", "findAndModify", "findandmodify": change(target, .any, source)
    case "renameCollection":
      define(Names.collection(target, in: database), source)
      define(Names.collection(step.command["to"]?.stringValue ?? "", in: database), source)
    case "dropIndexes", "deleteIndexes": definitions[target] = source
    default:
      for effect in StepEffects(step, in: database).all { define(effect.collection, source) }
    }
  }

  private mutating func index(_ spec: Document, _ target: String, _ step: Step, _ source: String) {
    let key = spec["key"]?.documentValue ?? [:]
    let subject = "\(target) \(ExtendedJSON.text(.document(key), .relaxed))"
    if step.options.unless != nil {
      unseen.append(
        .init("index-conflict", subject, "not looked at: \(source) may leave the step out"))
    } else if let earlier = definitions[target] {
      unseen.append(
        .init("index-conflict", subject, "not looked at: changed by an earlier step of \(earlier)"))
    } else {
      var index = Expectations.Index(target, spec, source: source)
      let filter = spec["partialFilterExpression"]?.documentValue ?? [:]
      index.documentsChangedBy = changer(of: target, key.keys + filter.keys)
      indexes.append(index)
    }
  }

  private mutating func expiry(
    _ index: Document, _ target: String, _ step: Step, _ source: String
  ) {
    guard let seconds = index["expireAfterSeconds"]?.doubleValue else { return }
    var expiry = Expectations.Expiry(
      target, name: index["name"]?.stringValue, key: index["keyPattern"]?.documentValue,
      seconds: seconds, source: source)
    guard step.options.unless == nil, definitions[target] == nil else {
      let why =
        definitions[target].map { "changed by an earlier step of \($0)" }
        ?? "\(source) may leave the step out"
      unseen.append(.init("ttl-blast", target, "not looked at: \(why)"))
      return
    }
    expiry.documentsChangedBy = documents[target]?.first?.source
    expiries.append(expiry)
  }

  /// Also of a step that changes nothing but how strict it is.
  private mutating func validator(_ target: String, _ step: Step, _ source: String) {
    let command = step.command
    guard
      ["validator", "validationLevel", "validationAction"].contains(where: { command.has($0) })
    else { return }
    var rule = rules[target] ?? .init(target, nil, source: source)
    rule.source = source
    rule.validator = command["validator"]?.documentValue ?? rule.validator
    rule.level = command["validationLevel"]?.stringValue ?? rule.level
    rule.action = command["validationAction"]?.stringValue ?? rule.action
    if step.options.unless == nil { rules[target] = rule }
    guard rule.level != "off", rule.validator?.isEmpty != true else { return }
    // Any field may be one that the validator looks at.
    let earlier = definitions[target] ?? documents[target]?.first?.source
    guard step.options.unless == nil, earlier == nil else {
      let why =
        earlier.map { "changed by an earlier step of \($0)" } ?? "\(source) may leave the step out"
      unseen.append(.init("validator-violations", target, "not looked at: \(why)"))
      return
    }
    validators.append(rule)
  }

  private mutating func change(_ target: String, _ fields: Fields, _ source: String) {
    documents[target, default: []].append((fields, source))
  }

  private mutating func define(_ target: String, _ source: String) {
    definitions[target] = source
    change(target, .any, source)
  }

  /// The first earlier step that changes one of these fields.
  private func changer(of target: String, _ names: [String]) -> String? {
    let wanted = Set(names.map(Self.top))
    return documents[target]?.first { entry in
      switch entry.fields {
      case .any: true
      case .some(let fields): !fields.isDisjoint(with: wanted)
      }
    }?.source
  }

  private static func top(_ path: String) -> String {
    String(path.prefix { $0 != "." })
  }
}
