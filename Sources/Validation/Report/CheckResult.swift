public import BSON

/// What one check found on one subject.
public struct CheckResult: Sendable, Hashable {
  /// How much a finding weighs.
  public enum Severity: String, Sendable, Hashable, CaseIterable { case error, warning, info }

  /// How the check ended. `error` is a check that could not be carried out; never a pass.
  public enum Status: String, Sendable, Hashable, CaseIterable {
    case failed, error, warning, skipped, passed
  }

  /// The check's stable name: `orphaned-references`.
  public var id: String
  /// What it was about: `orders.user_id -> users._id`.
  public var subject: String
  public var severity: Severity
  public var status: Status
  /// One sentence: what was found.
  public var message: String
  /// How much was looked at; nil where that means nothing.
  public var lookedAt: Amount?
  public var certainty: Certainty
  /// Findings behind a failure, in all; the rows are samples of them.
  public var findings: Int64
  public var evidence: Evidence
  /// Why this happens.
  public var cause: String?
  /// The command or pipeline that shows it.
  public var command: String?
  /// What to do about it.
  public var fix: String?
  /// Time that the check took, milliseconds.
  public var duration: Int64
  /// False for a skipped check that means nothing here, such as replication lag of a standalone.
  public var applies: Bool
  /// In a window, the stage that made it: `validate before`.
  public var stage: String?

  public init(
    _ id: String, _ subject: String = "", severity: Severity = .error, status: Status,
    _ message: String, lookedAt: Amount? = nil, certainty: Certainty = .exact, findings: Int64 = 0,
    evidence: Evidence = Evidence(), cause: String? = nil, command: String? = nil,
    fix: String? = nil, duration: Int64 = 0, applies: Bool = true
  ) {
    self.id = id
    self.subject = subject
    self.severity = severity
    self.status = status
    self.message = message
    self.lookedAt = lookedAt
    self.certainty = certainty
    self.findings = findings
    self.evidence = evidence
    self.cause = cause
    self.command = command
    self.fix = fix
    self.duration = duration
    self.applies = applies
  }

  /// A check that found nothing.
  public static func passed(
    _ id: String, _ subject: String = "", _ message: String, lookedAt: Amount? = nil,
    certainty: Certainty = .exact
  ) -> CheckResult {
    CheckResult(
      id, subject, severity: .info, status: .passed, message, lookedAt: lookedAt,
      certainty: certainty)
  }

  /// A check that found something: failed, or a warning, by its severity.
  public static func found(
    _ id: String, _ subject: String = "", _ severity: Severity = .error, _ message: String,
    lookedAt: Amount? = nil, certainty: Certainty = .exact, findings: Int64 = 1,
    evidence: Evidence = Evidence(), cause: String? = nil, command: String? = nil,
    fix: String? = nil
  ) -> CheckResult {
    let status: Status = severity == .error ? .failed : severity == .warning ? .warning : .passed
    return CheckResult(
      id, subject, severity: severity, status: status, message, lookedAt: lookedAt,
      certainty: certainty, findings: findings, evidence: evidence, cause: cause,
      command: command, fix: fix)
  }

  /// A check that was not made, and why. `applies: false` where there is nothing to check.
  public static func skipped(
    _ id: String, _ subject: String = "", _ reason: String, applies: Bool = true,
    fix: String? = nil
  ) -> CheckResult {
    CheckResult(
      id, subject, severity: .info, status: .skipped, reason, certainty: .skipped(reason),
      fix: fix, applies: applies)
  }

  /// A check that the server, or something else, did not let happen.
  public static func broken(
    _ id: String, _ subject: String = "", _ message: String, fix: String? = nil
  ) -> CheckResult {
    CheckResult(
      id, subject, status: .error, message, certainty: .skipped(message), fix: fix)
  }
}

/// How much a check looked at.
public struct Amount: Sendable, Hashable, CustomStringConvertible {
  public var count: Int64
  /// Plural: `documents`, `indexes`, `keys`.
  public var unit: String

  public init(_ count: some BinaryInteger, _ unit: String) {
    self.count = Int64(count)
    self.unit = unit
  }

  public var description: String { Words.counted(count, unit) }
}

/// How sure a result is.
public enum Certainty: Sendable, Hashable {
  /// Everything was looked at.
  case exact
  /// A sample was; `bound` is the largest share of findings that it leaves possible at 95 %.
  case sampled(bound: Double)
  /// Taken from metadata, which drifts after an unclean stop.
  case estimated
  /// Nothing was looked at; why.
  case skipped(String)

  /// The bound that a sample of `size` without a finding leaves: the rule of three.
  public static func sample(of size: Int64) -> Certainty {
    .sampled(bound: size > 0 ? min(1, 3 / Double(size)) : 1)
  }

  public var word: String {
    switch self {
    case .exact: "exact"
    case .sampled: "sampled"
    case .estimated: "estimated"
    case .skipped: "skipped"
    }
  }

  /// For people: `sampled, at most 0.3 % at 95 %`.
  public var description: String {
    switch self {
    case .exact, .estimated, .skipped: word
    case .sampled(let bound): "sampled, at most \(Words.percent(bound)) at 95 % confidence"
    }
  }
}

/// Rows that show what was found.
public struct Evidence: Sendable, Hashable {
  /// One cell. Ids are always shown; values only when asked for.
  public enum Cell: Sendable, Hashable {
    case text(String)
    case number(Int64)
    /// An `_id`, by which the document can be found.
    case id(Value)
    /// A document's content.
    case value(Value)
  }

  public var columns: [String]
  public var rows: [[Cell]]

  public init(columns: [String] = [], rows: [[Cell]] = []) {
    self.columns = columns
    self.rows = rows
  }

  /// One column of `_id`s.
  public static func ids(_ ids: [Value]) -> Evidence {
    Evidence(columns: ["_id"], rows: ids.map { [.id($0)] })
  }

  public var isEmpty: Bool { rows.isEmpty }
}

extension Evidence.Cell {
  /// As text. A value is replaced by its type and size unless `values` is true.
  public func text(values: Bool) -> String {
    switch self {
    case .text(let text): text
    case .number(let number): String(number)
    case .id(let value): Words.value(value)
    case .value(let value): values ? Words.value(value) : Words.redacted(value)
    }
  }
}
