import Migration

extension ErrorReport {
  /// One line for each error: a run that finds five edited files names all five.
  init(migration error: MigrationError) {
    var bare = error
    bare.hint = nil
    bare.others = []
    let others = error.others.map { other in
      var bare = other
      bare.others = []
      return bare
    }
    self.init(
      code: error.code.rawValue,
      message: ([Self.line(bare)] + others.map(Self.line)).joined(separator: "\n"),
      hint: error.hint, status: Self.status(of: error.code.rawValue))
    if let file = error.file { details.append(Detail(name: "file", value: .string(file))) }
    if let line = error.line {
      details.append(Detail(name: "line", value: .integer(Int64(line))))
    }
    if let column = error.column {
      details.append(Detail(name: "column", value: .integer(Int64(column))))
    }
    guard !others.isEmpty else { return }
    let more = others.map { other -> JSONValue in
      [
        "code": .string(other.code.rawValue), "message": .string(Self.line(other)),
        "hint": .string(optional: other.hint),
      ]
    }
    details.append(Detail(name: "others", value: .array(more)))
  }

  /// Where and what, without the hint.
  private static func line(_ error: MigrationError) -> String {
    let place = [error.file, error.line.map(String.init), error.column.map(String.init)]
      .compactMap(\.self).joined(separator: ":")
    return place.isEmpty ? error.message : "\(place): \(error.message)"
  }

  private static func status(of code: String) -> CommandStatus {
    switch code {
    case "edited", "missing-file", "out-of-order", "foreign-ledger", "reverting",
      "duplicate-number":
      .historyConflict
    case "conflict": .checksFailed
    case "requirement", "not-ready": .notReady
    case "lease-lost": .locked
    case "privilege": .accessDenied
    case "partly-undone": .partlyDone
    case "declined": .stopped
    case "step-failed", "irreversible": .failed
    // What is left is about a file's content, or a name that was given.
    default: .usage
    }
  }
}
