import Validation

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

  /// These need the services to be down, and begin with stopping them again.
  var needsStopped: Bool { [.stop, .plan, .up, .after].contains(self) }
}

extension Phase {
  /// The stage of a window that makes its checks.
  var stage: WindowStage {
    switch self {
    case .before: .before
    case .after: .after
    case .started: .health
    }
  }
}
