/// The stages of a maintenance window, in their order.
enum WindowStage: String, Sendable, Hashable, CaseIterable {
  case doctor, backup, verify, before, stop, plan, up, after, start, health

  var title: String {
    switch self {
    case .doctor: "doctor"
    case .backup: "backup"
    case .verify: "verify the backup"
    case .before: "validate before"
    case .stop: "stop services"
    case .plan: "plan"
    case .up: "migrate up"
    case .after: "validate after"
    case .start: "start services"
    case .health: "health checks"
    }
  }

  /// From here on the database may have changed.
  var mayHaveChanged: Bool { self == .up || self == .after }

  /// Services are down while these run.
  var isInside: Bool { [.stop, .plan, .up, .after, .start].contains(self) }
}

/// How far a window is: written before and after every stage, so that a killed one says where it stood.
struct WindowJournal: Sendable, Hashable {
  static let schema = "martlet-window/1"

  enum State: String, Sendable, Hashable { case running, done, skipped, failed }

  struct Entry: Sendable, Hashable {
    var stage: WindowStage
    var state: State
    /// Milliseconds since 1970.
    var startedAt: Int64
    /// Milliseconds.
    var duration: Int64
    var detail: String?
  }

  var database: String
  var startedAt: Int64
  var entries: [Entry] = []
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

  mutating func set(_ entry: Entry) {
    entries.removeAll { $0.stage == entry.stage }
    entries.append(entry)
  }
}
