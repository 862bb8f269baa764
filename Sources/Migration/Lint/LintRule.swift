/// A thing that lint looks for; codes are stable and never used again for something else.
public struct LintRule: Sendable, Hashable {
  /// `ML001`; what `lint: { allow: […] }` in a file names.
  public let code: String
  /// How bad a finding is when the rule itself does not say otherwise.
  public let severity: Finding.Severity
  /// The rule in a few words.
  public let title: String
  /// Why it is dangerous.
  public let why: String

  /// The rule of a code.
  public static func named(_ code: String) -> LintRule? { all.first { $0.code == code } }

  private init(_ code: String, _ severity: Finding.Severity, _ title: String, _ why: String) {
    self.code = code
    self.severity = severity
    self.title = title
    self.why = why
  }
}

extension LintRule {
  static let indexConflict = LintRule(
    "ML001", .error, "the same index twice with other options",
    "the server refuses the second one (codes 85 and 86), so the migration stops half way")
  static let overwrite = LintRule(
    "ML002", .warning, "an update of many documents overwrites values that are there",
    "documents that have the field already lose their value")
  static let everyone = LintRule(
    "ML003", .warning, "an update of every document",
    "an empty filter touches documents that do not need the change, and keeps undo data for all")
  static let uniqueOnExisting = LintRule(
    "ML004", .warning, "a unique index on a collection that is there already",
    "one pair of duplicates fails the build at its very end, and writes of duplicates fail from then "
      + "on; on a large collection the build is long")
  static let drop = LintRule(
    "ML005", .warning, "a collection is dropped",
    "its documents are gone for every application that still reads them; taking it back needs room "
      + "for what is kept")
  static let dropDatabase = LintRule(
    "ML006", .error, "the database is dropped",
    "everything goes, the ledger of migrations and the undo data included")
  static let dropAllIndexes = LintRule(
    "ML007", .warning, "all indexes of a collection are dropped",
    "indexes that others have built go too, and queries scan the collection until they are back")
  static let indexKey = LintRule(
    "ML008", .error, "an index key that the server does not take",
    "a key is a mapping of field to 1, -1 or a type such as \"text\"; anything else is refused or "
      + "builds another index than was meant")
  static let lifetimeKey = LintRule(
    "ML009", .error, "a lifetime on a key that cannot have one",
    "expireAfterSeconds works on one date field that is not _id; elsewhere it is refused")
  static let lifetimeRange = LintRule(
    "ML010", .error, "a lifetime out of range",
    "expireAfterSeconds is 0 to 2147483647; a wrong one is refused or deletes everything at once")
  static let twoCommands = LintRule(
    "ML011", .error, "more than one command in a step",
    "the server runs the first key only and refuses the others as unknown fields")
  static let unknownCommand = LintRule(
    "ML012", .warning, "a command that is not known",
    "the server refuses it (code 59) after the steps before it have been done")
  static let incompleteDown = LintRule(
    "ML013", .warning, "`down` does not undo `up`",
    "what is left over makes the next `up` fail or mean something else")
  static let irreversible = LintRule(
    "ML014", .notice, "the migration cannot be taken back",
    "the only way back is a backup")
  static let atLeastOnce = LintRule(
    "ML015", .notice, "$merge or $out runs at least once",
    "it cannot join a transaction, so a run that dies in it runs it again from the beginning")
  static let noTransaction = LintRule(
    "ML016", .error, "`transaction: required` cannot be kept",
    "the server refuses the command inside a transaction (code 263)")
  static let dropTarget = LintRule(
    "ML017", .warning, "a rename drops its target",
    "the collection that has the new name is destroyed by it, and no derived down brings it back")
  static let strictValidator = LintRule(
    "ML018", .warning, "a validator that refuses writes on a collection that is there already",
    "documents that do not pass can no longer be updated, and applications get errors at once")
  static let newIDs = LintRule(
    "ML019", .warning, "`down` inserts documents without `_id`",
    "they come back with other ids, so references to the old ones stay broken")
  static let idIndex = LintRule(
    "ML020", .notice, "an index on `_id`",
    "every collection has it already; the server ignores or refuses a second one")
  static let prefixIndex = LintRule(
    "ML021", .notice, "an index that a longer one begins with",
    "the longer one answers the same queries; each index costs memory and slows every write")
  static let twins = LintRule(
    "ML022", .notice, "ascending and descending index on the same single field",
    "an index on one field is read in both directions; the second only costs")
  static let background = LintRule(
    "ML023", .notice, "`background` on an index",
    "it means nothing since 4.2, where no build blocks the collection")
  static let longName = LintRule(
    "ML024", .notice, "a very long index name",
    "names beyond 127 bytes cannot be restored on older servers and by older tools")
  static let system = LintRule(
    "ML025", .error, "a change in the server's own collections",
    "admin, config and system.* belong to the server; a change there can make it unusable")
  static let deleteAll = LintRule(
    "ML026", .warning, "every document of a collection is deleted",
    "an empty filter takes all of them, one by one, with undo data for each")
  static let deleteLimit = LintRule(
    "ML027", .error, "a delete without `limit`",
    "the server demands 0 (all that match) or 1 (the first)")
  static let firstMatch = LintRule(
    "ML028", .notice, "an update of only the first match",
    "without `multi: true` one document changes, and which one is not defined")
  static let bulk = LintRule(
    "ML029", .notice, "many documents in a migration",
    "data in a migration is run again on every new database and hard to review")
  static let credentials = LintRule(
    "ML030", .warning, "something that looks like a credential",
    "migration files are kept in version control, where a secret can never be taken back")
  static let foreignEffect = LintRule(
    "ML031", .notice, "`expect` names a collection that no step touches",
    "the name may be misspelt, and then the check afterwards checks nothing")
  static let fieldName = LintRule(
    "ML032", .warning, "a field name with a dot or a leading `$`",
    "queries and updates read it as a path or an operator, and older servers refuse it")
  static let indexOption = LintRule(
    "ML033", .error, "an index option that is not known",
    "the server refuses it (code 197), or 4.2 and older silently ignore it")
  static let createdTwice = LintRule(
    "ML034", .error, "a collection created twice",
    "the second `create` fails (code 48), since the collection exists by then")
  static let tooNew = LintRule(
    "ML035", .error, "something that the server is too old for",
    "the server refuses it, after the steps before it have been done")
  static let noChange = LintRule(
    "ML036", .notice, "a step that changes nothing",
    "its answer is thrown away; what a migration wants to check belongs into the rules")
  static let replaceMany = LintRule(
    "ML037", .error, "a replacement of many documents",
    "the server refuses `multi: true` without update operators (code 9)")
  static let otherDatabase = LintRule(
    "ML038", .error, "a rename into another database",
    "collections are renamed within their database; the whole name would be taken for one of a "
      + "collection in it")

  /// Every rule, by code.
  public static let all: [LintRule] = [
    indexConflict, overwrite, everyone, uniqueOnExisting, drop, dropDatabase, dropAllIndexes,
    indexKey, lifetimeKey, lifetimeRange, twoCommands, unknownCommand, incompleteDown, irreversible,
    atLeastOnce, noTransaction, dropTarget, strictValidator, newIDs, idIndex, prefixIndex, twins,
    background, longName, system, deleteAll, deleteLimit, firstMatch, bulk, credentials,
    foreignEffect, fieldName, indexOption, createdTwice, tooNew, noChange, replaceMany,
    otherDatabase,
  ]
}
