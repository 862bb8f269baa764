import BSON

extension Planner {
  /// Compares the files with what the ledger says was applied.
  /// - Throws: everything that does not fit, the first with the others in it.
  public func checkHistory(allowOutOfOrder: Bool) throws(MigrationError) {
    let found = historyConflicts(allowOutOfOrder: allowOutOfOrder)
    guard var first = found.first else { return }
    first.others = Array(found.dropFirst())
    throw first
  }

  /// Everything in which files and ledger differ.
  public func historyConflicts(allowOutOfOrder: Bool) -> [MigrationError] {
    let files = Dictionary(migrations.map { ($0.name, $0) }, uniquingKeysWith: { a, _ in a })
    var found: [MigrationError] = []
    for entry in ledger.values.sorted(by: { $0.name < $1.name }) {
      guard let migration = files[entry.name] else {
        found.append(missing(entry))
        continue
      }
      if let edited = edited(entry, migration) { found.append(edited) }
      if entry.status == .reverting {
        found.append(
          MigrationError(
            .reverting, "\(entry.name) is half taken back",
            hint:
              "run `martlet migrate down` again to finish; if it cannot, mend what is left by hand and "
              + "run `martlet migrate mark \(entry.name) --unapplied`"))
      }
    }
    if !allowOutOfOrder { found += late(files) }
    return found
  }

  private func missing(_ entry: LedgerEntry) -> MigrationError {
    MigrationError(
      .missingFile, "\(entry.name) is in the ledger as \(entry.status.rawValue), its file is gone",
      hint: "bring the file back, or `martlet migrate mark \(entry.name) --unapplied`")
  }

  /// The difference between a file and what was run, step by step; nil when there is none.
  func edited(_ entry: LedgerEntry, _ migration: Migration) -> MigrationError? {
    let file = migration.source.path
    if entry.isApplied {
      guard let checksum = entry.checksum, checksum != migration.checksum else { return nil }
      return MigrationError(
        .edited, "\(entry.name) was edited after it was applied: \(difference(entry, migration))",
        file: file,
        hint: "put the file back as it was and write the change as a new migration, or accept it "
          + "with `martlet migrate repair`")
    }
    // A failed attempt may be mended, but not in the steps that are done.
    for (index, step) in entry.steps.enumerated() where step.state == .done {
      guard index < migration.up.count, migration.up[index].hash == step.hash else {
        return MigrationError(
          .edited,
          "step \(index + 1) (\(step.command)) of \(entry.name) is done and was edited since",
          file: file,
          hint: "put that step back as it was, or take the attempt back with `martlet migrate down`"
        )
      }
    }
    return nil
  }

  private func difference(_ entry: LedgerEntry, _ migration: Migration) -> String {
    guard !entry.steps.isEmpty else {
      return "checksum \(entry.checksum ?? "none") in the ledger, \(migration.checksum) in the file"
    }
    var parts: [String] = []
    for index in 0..<max(entry.steps.count, migration.up.count) {
      let was = index < entry.steps.count ? entry.steps[index] : nil
      let now = index < migration.up.count ? migration.up[index] : nil
      switch (was, now) {
      case (let was?, let now?) where was.hash != now.hash:
        let old = [was.command, was.collection].compactMap(\.self).joined(separator: " ")
        let new = [now.name, now.target].compactMap(\.self).joined(separator: " ")
        parts.append(
          "step \(index + 1) was \(old), is \(old == new ? "changed" : new) "
            + "(line \(now.location.line))")
      case (let was?, nil): parts.append("step \(index + 1) (\(was.command)) is gone")
      case (nil, let now?):
        parts.append("step \(index + 1) (\(now.name)) is new (line \(now.location.line))")
      default: break
      }
    }
    return parts.isEmpty
      ? "`down`, `expect`, `requires` or `transaction` differ" : parts.joined(separator: "; ")
  }

  private func late(_ files: [String: Migration]) -> [MigrationError] {
    let newest = ledger.values.filter(\.isApplied).compactMap { files[$0.name]?.id }.max()
    guard let newest else { return [] }
    return migrations.filter { ledger[$0.name] == nil && $0.id < newest }.map { migration in
      MigrationError(
        .outOfOrder,
        "\(migration.name) is pending, but \(newest.stem), which comes after it, is applied",
        file: migration.source.path,
        hint: "give it a number after \(newest.number), or apply it with --allow-out-of-order")
    }
  }
}
