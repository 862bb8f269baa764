/// How far a window is: written before and after every stage, so that a killed one says where it stood.
struct WindowJournal: Sendable, Hashable {
  static let schema = "martlet-window/1"

  enum State: String, Sendable, Hashable {
    case running, done, skipped, failed
    /// A later attempt follows.
    case interrupted
  }

  struct Entry: Sendable, Hashable {
    var stage: WindowStage
    var state: State
    /// Milliseconds since 1970.
    var startedAt: Int64
    /// Milliseconds.
    var duration: Int64
    var detail: String?
  }

  /// A failure that is being answered, or was.
  struct Recovery: Sendable, Hashable {
    var stage: WindowStage
    /// The exit code.
    var status: CommandStatus
    var detail: String
    /// Somebody stopped the window: it is answered like a failure, not left half way like a window
    /// whose time is over.
    var isSignal = false
    /// False while `down` or `restore` runs: a killed one is finished first.
    var isSettled = false
    /// The database is as it was, and the services were started.
    var isBack = false
  }

  /// What was done about a failure, for the timeline.
  struct Answer: Sendable, Hashable {
    var title: String
    var state: State
    /// Milliseconds since 1970.
    var startedAt: Int64
    /// Milliseconds.
    var duration: Int64
  }

  /// A process that a killed window leaves behind.
  struct Process: Sendable, Hashable {
    /// Its group, too.
    var pid: Int32
    /// As the kernel counts: another process with this number has another one.
    var begunAt: String
  }

  var database: String
  var startedAt: Int64
  var entries: [Entry] = []
  /// Attempts that later ones follow.
  var past: [Entry] = []
  var answers: [Answer] = []
  var notes: [String] = []
  /// The id of the backup that this window made.
  var backup: String?
  /// `up` has begun, and was not taken back.
  var mayHaveChanged = false
  /// A stop hook may have run since the start hooks did.
  var mayBeStopped = false
  /// Migrations in the ledger when this window's first `up` began; nil before.
  var inLedger: [String]?
  /// Process ids of this window's `up`s: the ledger names them.
  var migrators: [Int64] = []
  var recovery: Recovery?
  var process: Process?
  /// Milliseconds that each stage took in the window before this one.
  var expected: [WindowStage: Int64] = [:]
  var isFinished = false

  func state(of stage: WindowStage) -> State? {
    entries.last { $0.stage == stage }?.state
  }

  /// What is done, or was left out, is not done again; the rest is.
  func isSettled(_ stage: WindowStage) -> Bool {
    [.done, .skipped].contains(state(of: stage))
  }

  /// The stage that it died or failed in.
  var standing: WindowStage? { entries.last { $0.state == .running || $0.state == .failed }?.stage }

  /// In words: ` at migrate up`, or where it would have gone on.
  var place: String {
    if recovery?.isSettled == false {
      return "answering a failure at \(recovery?.stage.title ?? "")"
    }
    if let standing { return "at \(standing.title)" }
    guard let last = entries.last else { return "at the beginning" }
    return "after \(last.stage.title)"
  }

  mutating func set(_ entry: Entry) {
    entries.removeAll { $0.stage == entry.stage }
    entries.append(entry)
  }

  /// Makes ready to go on: what did not end is told as an attempt, and what has to be done again is
  /// no longer settled.
  mutating func takeUp() {
    let standing = standing
    var again: Set<WindowStage> = []
    // What had been applied may have been taken back since; `up` applies nothing twice.
    if standing?.needsStopped == true { again.formUnion([.stop, .up]) }
    // The services ran since, on a database that is as it was.
    if recovery?.isBack == true { again.formUnion(WindowStage.allCases.filter(\.isInside)) }
    for var entry in entries {
      if entry.state == .running {
        entry.detail = "killed"
        entry.state = .interrupted
      } else if entry.state == .failed {
        entry.state = .interrupted
      } else if !again.contains(entry.stage) {
        continue
      }
      past.append(entry)
      entries.removeAll { $0.stage == entry.stage }
    }
    if recovery?.isBack == true {
      mayHaveChanged = false
      (inLedger, migrators) = (nil, [])
    }
    recovery = nil
  }

  /// All attempts in the order of time.
  var timeline: [Entry] {
    (past + entries).enumerated().sorted {
      ($0.element.startedAt, $0.offset) < ($1.element.startedAt, $1.offset)
    }.map(\.element)
  }

  /// What the window before took, for an estimate.
  var durations: [WindowStage: Int64] {
    Dictionary(
      entries.filter { $0.state == .done }.map { ($0.stage, $0.duration) },
      uniquingKeysWith: { $1 })
  }
}
