internal import BSON

/// An insert, update or delete command, taken apart.
struct DataCommand: Sendable {
  enum Work: Sendable {
    case insert([Document])
    case update([UpdateStatement])
    case delete([DeleteStatement])
  }

  let collection: String
  let work: Work
  /// Fields of the command that go with every part of it: `let`, `bypassDocumentValidation`, …
  let shared: Document
  /// True for a time-series, whose documents cannot be walked.
  var isSeries = false

  /// Statements of an update or delete; one for an insert.
  var statementCount: Int {
    switch work {
    case .insert: 1
    case .update(let statements): statements.count
    case .delete(let statements): statements.count
    }
  }

  /// True when running it can make the collection.
  var creates: Bool {
    switch work {
    case .insert: true
    case .update(let statements): statements.contains(where: \.upsert)
    case .delete: false
    }
  }

  /// The `let` that finds have to carry too.
  var variables: Document {
    guard let variables = shared["let"] else { return [:] }
    return ["let": variables]
  }

  /// - Throws: ``DataStepError`` `invalidCommand`.
  init(_ command: Document, context: DataContext) throws(DataStepError) {
    guard let verb = command.first(where: { _ in true }), let name = verb.value.stringValue,
      let list = Self.lists[verb.key]
    else {
      throw DataStepError(
        .invalidCommand, "not an insert, update or delete of a collection", step: context.step)
    }
    collection = name
    shared = command.filteringElements { element in
      !Self.ours.contains { element.isNamed($0) } && !element.isNamed(verb.key)
        && !element.isNamed(list)
    }
    let parts = try Self.documents(command, list, context)
    switch verb.key {
    case "insert": work = .insert(try Self.identified(parts, context))
    case "update":
      var statements: [UpdateStatement] = []
      for (index, part) in parts.enumerated() {
        statements.append(
          try UpdateStatement(part, keeps: context.keeps, step: context.step, index))
      }
      work = .update(statements)
    default:
      var statements: [DeleteStatement] = []
      for (index, part) in parts.enumerated() {
        statements.append(try DeleteStatement(part, step: context.step, index))
      }
      work = .delete(statements)
    }
  }

  private static let lists = ["insert": "documents", "update": "updates", "delete": "deletes"]
  /// We write majority, in our own order and transactions.
  private static let ours = [
    "ordered", "writeConcern", "martlet", "$db", "lsid", "txnNumber", "stmtId",
  ]

  private static func documents(
    _ command: Document, _ list: String, _ context: DataContext
  ) throws(DataStepError) -> [Document] {
    guard let values = command[list]?.arrayValue else {
      throw DataStepError(.invalidCommand, "'\(list)' is not an array", step: context.step)
    }
    var documents: [Document] = []
    for (index, value) in values.enumerated() {
      guard let document = value.documentValue else {
        throw DataStepError(
          .invalidCommand, "an element of '\(list)' is not a document", step: context.step,
          statement: index)
      }
      documents.append(document)
    }
    return documents
  }

  private static func identified(
    _ documents: [Document], _ context: DataContext
  ) throws(DataStepError) -> [Document] {
    if let index = documents.firstIndex(where: { !$0.has("_id") }) {
      throw DataStepError(
        .invalidCommand, "a document has no _id, which a second run needs", step: context.step,
        statement: index)
    }
    return documents
  }
}

/// What updates and deletes have in common: which documents, and how they are found.
struct Selection: Sendable {
  let filter: Document
  /// Only the first document that matches.
  let one: Bool
  let collation: Document?
  let hint: Value?

  /// True when the statement cannot be walked by `_id`: the walk has the collection's own collation
  /// and a hint of its own, and text and near searches refuse hints.
  var isSpecial: Bool {
    if collation != nil { return true }
    if let hint, hint != .document(["_id": 1]), hint != .string("_id_") { return true }
    return Self.hasSearch(.document(filter))
  }

  /// Fields of the find command that ask for the statement's own way of matching.
  var findOptions: Document {
    var options = Document()
    if let collation { options.append("collation", .document(collation)) }
    if let hint { options.append("hint", hint) }
    return options
  }

  init(_ statement: Document, one: Bool) {
    filter = statement["q"]?.documentValue ?? [:]
    self.one = one
    collation = statement["collation"]?.documentValue
    hint = statement["hint"]
  }

  private static func hasSearch(_ value: Value) -> Bool {
    switch value {
    case .document(let document):
      document.contains { element in
        ["$text", "$near", "$nearSphere"].contains(element.key) || hasSearch(element.value)
      }
    case .array(let values): values.contains(where: hasSearch)
    default: false
    }
  }
}

struct UpdateStatement: Sendable {
  let selection: Selection
  let upsert: Bool
  let touched: Touched
  let isPositional: Bool
  /// The statement as written.
  let document: Document

  init(
    _ document: Document, keeps: DataContext.Keeps, step: Int, _ index: Int
  ) throws(DataStepError) {
    guard document["q"]?.documentValue != nil, let update = document["u"] else {
      throw DataStepError(
        .invalidCommand, "an update needs 'q' and 'u'", step: step, statement: index)
    }
    let multi = document["multi"]?.isTruthy ?? false
    selection = Selection(document, one: !multi)
    upsert = document["upsert"]?.isTruthy ?? false
    touched = keeps == .wholeDocument ? .whole : Touched(update: update)
    isPositional = Touched.isPositional(update)
    self.document = document
  }

  /// The statement for just the documents that `filter` selects.
  func narrowed(to filter: Document, upsert: Bool = false) -> Document {
    var statement: Document = ["q": .document(filter)]
    statement.append(
      contentsOf: document.filteringElements { element in
        // A hint of the statement has done its part when the documents were found.
        !element.isNamed("q") && !element.isNamed("upsert") && !element.isNamed("hint")
      })
    if upsert { statement.append("upsert", true) }
    return statement
  }
}

struct DeleteStatement: Sendable {
  let selection: Selection
  /// The statement as written.
  let document: Document

  init(_ document: Document, step: Int, _ index: Int) throws(DataStepError) {
    guard document["q"]?.documentValue != nil, let limit = document["limit"]?.integerValue,
      limit == 0 || limit == 1
    else {
      throw DataStepError(
        .invalidCommand, "a delete needs 'q' and a 'limit' of 0 or 1", step: step, statement: index)
    }
    selection = Selection(document, one: limit == 1)
    self.document = document
  }

  /// The statement for just the documents that `filter` selects.
  func narrowed(to filter: Document) -> Document {
    var statement: Document = ["q": .document(filter), "limit": 0]
    if let collation = selection.collation { statement.append("collation", .document(collation)) }
    return statement
  }
}
