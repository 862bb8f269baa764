/// Everything that a validation, a comparison or a maintenance window has to tell.
///
/// One model for all writers; `docs/report.schema.json` describes its JSON form.
public struct Report: Sendable, Hashable {
  /// The format's name and version, raised when a reader of the old one would be misled.
  public static let schema = "martlet-report/1"

  public enum Kind: String, Sendable, Hashable, CaseIterable {
    case before, after, compare, window
  }

  public var kind: Kind
  /// What it is about: the database, or the two files.
  public var subject: String
  /// Milliseconds since 1970.
  public var startedAt: Int64
  /// Milliseconds since 1970.
  public var finishedAt: Int64
  /// Warnings and skipped checks fail too.
  public var isStrict: Bool
  public var checks: [CheckResult]
  public var metrics: [Metric]
  public var timeline: [TimelineEntry]
  public var plan: [PlanEntry]
  /// Name and value, in the order to show.
  public var environment: [Fact]
  /// What was done about a failure, and other remarks.
  public var notes: [String]

  public init(
    kind: Kind, subject: String, startedAt: Int64, finishedAt: Int64, isStrict: Bool = false,
    checks: [CheckResult] = [], metrics: [Metric] = [], timeline: [TimelineEntry] = [],
    plan: [PlanEntry] = [], environment: [Fact] = [], notes: [String] = []
  ) {
    self.kind = kind
    self.subject = subject
    self.startedAt = startedAt
    self.finishedAt = finishedAt
    self.isStrict = isStrict
    self.checks = checks
    self.metrics = metrics
    self.timeline = timeline
    self.plan = plan
    self.environment = environment
    self.notes = notes
  }

  public var verdict: Verdict {
    func has(_ status: CheckResult.Status) -> Bool { checks.contains { $0.status == status } }
    if has(.failed) || has(.error) || timeline.contains(where: { $0.state == .failed }) {
      return .failed
    }
    let doubts = has(.warning) || checks.contains { $0.status == .skipped && $0.applies }
    if doubts { return isStrict ? .failed : .reservations }
    // Nothing checked is nothing shown.
    return checks.contains { $0.status == .passed } ? .passed : .reservations
  }

  /// Checks with that status.
  public func count(_ status: CheckResult.Status) -> Int {
    checks.count { $0.status == status }
  }

  /// Checks, what weighs most first; within a status in the order in which they were made.
  public var ranked: [CheckResult] {
    CheckResult.Status.allCases.flatMap { status in checks.filter { $0.status == status } }
  }
}

/// What it comes to.
public enum Verdict: String, Sendable, Hashable, CaseIterable {
  case passed
  /// Nothing failed, yet there are warnings, or checks that did not run.
  case reservations
  case failed

  public var words: String {
    switch self {
    case .passed: "Passed"
    case .reservations: "Passed with reservations"
    case .failed: "Failed"
    }
  }
}

/// A figure before and after.
public struct Metric: Sendable, Hashable {
  public enum Group: String, Sendable, Hashable, CaseIterable {
    case documents, sizes, latencies

    public var title: String {
      switch self {
      case .documents: "Documents"
      case .sizes: "Sizes"
      case .latencies: "Response times"
      }
    }
  }

  public enum Unit: String, Sendable, Hashable, CaseIterable { case count, bytes, milliseconds }

  public var group: Group
  public var name: String
  public var unit: Unit
  public var before: Double?
  public var after: Double?

  public init(_ group: Group, _ name: String, _ unit: Unit, before: Double?, after: Double?) {
    self.group = group
    self.name = name
    self.unit = unit
    self.before = before
    self.after = after
  }

  /// A figure with its unit.
  public func text(_ value: Double) -> String {
    switch unit {
    case .count: Words.grouped(Int64(value))
    case .bytes: Words.bytes(value)
    case .milliseconds: Words.time(value)
    }
  }

  /// `+5`, `−12 %`, or empty where nothing changed or one side is missing.
  public var change: String {
    guard let before, let after, before != after else { return "" }
    let sign = after > before ? "+" : "−"
    let size = abs(after - before)
    guard unit != .count else { return sign + Words.grouped(Int64(size)) }
    return before > 0 ? sign + Words.percent(size / before) : sign + text(size)
  }
}

/// A stage of a maintenance window, or of a validation.
public struct TimelineEntry: Sendable, Hashable {
  public enum State: String, Sendable, Hashable, CaseIterable {
    case done, failed, skipped, running
    /// It did not end, or failed, and a later attempt follows.
    case interrupted
  }

  public var name: String
  /// Milliseconds since 1970.
  public var startedAt: Int64
  /// Milliseconds.
  public var duration: Int64
  public var state: State
  public var detail: String?

  public init(
    _ name: String, startedAt: Int64, duration: Int64, state: State, detail: String? = nil
  ) {
    self.name = name
    self.startedAt = startedAt
    self.duration = duration
    self.state = state
    self.detail = detail
  }
}

/// A step of the migration plan.
public struct PlanEntry: Sendable, Hashable {
  public var migration: String
  /// The step in words: `createIndexes users`.
  public var step: String
  /// How far it came, or what it will do.
  public var state: String?
  public var detail: String?

  public init(migration: String, step: String, state: String? = nil, detail: String? = nil) {
    self.migration = migration
    self.step = step
    self.state = state
    self.detail = detail
  }
}

/// A name and a value.
public struct Fact: Sendable, Hashable {
  public var name: String
  public var value: String

  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}
