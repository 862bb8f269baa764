internal import MongoDB

/// Why a data step, or taking it back, could not go on; never holds contents of documents.
struct DataStepError: Error, Sendable, CustomStringConvertible {
  enum Code: String, Sendable, Hashable {
    /// The command is not one that can be run.
    case invalidCommand = "data-invalid-command"
    /// Too much for a statement that has to be done in one go.
    case tooMany = "data-too-many"
    /// The step is being taken back; that has to be finished first.
    case beingUndone = "data-being-undone"
    /// The undo data are not what this program writes.
    case malformedUndo = "data-malformed-undo"
    /// The server changed another number of documents than it had shown.
    case mismatch = "data-mismatch"
    /// The server refused; see `server`.
    case server = "data-server"
  }

  let code: Code
  /// One sentence, lower case.
  let message: String
  /// Position of the step, from 0.
  let step: Int
  /// Position in `updates` or `deletes`, from 0; of the document for an insert.
  var statement: Int?
  /// What the server said.
  var server: MongoError?
  var hint: String?

  init(
    _ code: Code, _ message: String, step: Int, statement: Int? = nil, server: MongoError? = nil,
    hint: String? = nil
  ) {
    self.code = code
    self.message = message
    self.step = step
    self.statement = statement
    self.server = server
    self.hint = hint
  }

  var description: String {
    var text = "step \(step + 1)"
    if let statement { text += ", statement \(statement + 1)" }
    text += ": \(message)"
    if let hint { text += "\nHINT: \(hint)" }
    return text
  }

  /// An error of the server, with the place in the migration.
  static func wrapping(_ error: MongoError, step: Int, statement: Int?) -> DataStepError {
    var bare = error
    bare.hint = nil
    return DataStepError(
      .server, bare.description, step: step, statement: statement, server: error, hint: error.hint)
  }
}
