import BSON

/// The rules on their way through a run; the state is what the steps so far have made.
struct Linter {
  let server: Release?
  /// Where the migrations go; nil when that is not known.
  let database: String?
  private(set) var findings: [Finding] = []
  /// Indexes that the migrations so far have built, by collection.
  var indexes: [String: [KnownIndex]] = [:]
  /// Collections that the migrations so far have created.
  var existing: Set<String> = []
  /// Collections that the migration in hand creates.
  var created: Set<String> = []

  private var migration: Migration?
  private var step: Step?
  private(set) var inDown = false

  init(server: Release?, database: String?) {
    self.server = server
    self.database = database
  }

  mutating func lint(_ migration: Migration) {
    self.migration = migration
    created = []
    let from = findings.count
    steps(migration.up, down: false)
    step = nil
    effects(migration)
    transaction(migration)
    let state = (indexes, existing)
    switch migration.down {
    case .derived: derived(migration)
    case .irreversible:
      report(
        .irreversible, "`down: irreversible`",
        safer: "# leave `down:` out where every step has an inverse")
    case .steps(let steps):
      self.steps(steps, down: true)
      step = nil
      undoing(migration, by: steps)
    }
    // The run goes up: what a written down does must not be taken for the state.
    (indexes, existing) = state
    let allowed = Set(migration.allowedFindings)
    if !allowed.isEmpty {
      findings[from...].removeAll { allowed.contains($0.code) }
    }
  }

  private mutating func steps(_ steps: [Step], down: Bool) {
    inDown = down
    for step in steps {
      self.step = step
      command(step)
      values(step)
      switch step.name {
      case "create": create(step)
      case "createIndexes": createIndexes(step)
      case "dropIndexes": dropIndexes(step)
      case "update": updates(step)
      case "delete": deletes(step)
      case "insert": insert(step)
      case "drop", "dropDatabase": drop(step)
      case "renameCollection": rename(step)
      case "collMod": collMod(step)
      case "aggregate": aggregate(step)
      default: break
      }
    }
    inDown = false
  }

  /// The release that a migration can count on: what it requires, or what is there.
  var release: Release? { migration?.requires.minimum ?? server }

  mutating func at(_ step: Step) { self.step = step }

  mutating func report(
    _ rule: LintRule, _ message: String, safer: String? = nil, as severity: Finding.Severity? = nil,
    down: Bool? = nil
  ) {
    guard let migration else { return }
    let start = Location(file: migration.source.path, line: 1, column: 1)
    findings.append(
      Finding(
        code: rule.code, severity: severity ?? rule.severity, migration: migration.name,
        step: step?.index, inDown: down ?? inDown, location: step?.location ?? start,
        message: message, why: rule.why, safer: safer))
  }
}
