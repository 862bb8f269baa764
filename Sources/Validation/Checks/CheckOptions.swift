internal import Foundation
public import MongoDB

/// How checks are carried out.
public struct CheckOptions: Sendable {
  /// Where scans read.
  public var readPreference: ReadPreference = .primary
  /// The server's limit for each round trip.
  public var commandLimit: Duration = .seconds(600)
  /// What runs longer than this is in the way of a migration.
  public var longOperation: Duration = .seconds(60)
  /// All checks together; what does not fit is skipped, and says so. Nil is no limit.
  public var timeBudget: Duration?
  /// Documents of one slice of a long scan.
  public var sliceSize: Int64 = 50_000
  /// Rows of evidence that are collected.
  public var evidenceRows = 20
  /// Where the search for documents that break a rule stops counting.
  public var findingsLimit: Int64 = 1001
  /// Documents of a sample.
  public var sampleSize: Int64 = 1000
  /// Shown in the server's log and in `$currentOp`.
  public var comment = "martlet validate"
  /// Where the paths of file rules and the commands of shell rules start.
  public var folder = "."
  /// Runs the `validate` command on every collection.
  public var integrity: Integrity = .none
  /// Also makes the checks that need running services, those with `when: started`.
  public var servicesRun = true
  /// A file that keeps what is done: a run that was killed goes on there.
  public var stateFile: String?
  /// Measures the named queries this many times.
  public var queryRuns = 20
  /// Called now and then from the working thread.
  public var progress: (@Sendable (CheckProgress) -> Void)?
  /// Called with a sentence when a run goes on where another was cut off.
  public var noted: (@Sendable (String) -> Void)?
  public var cancellation: Cancellation
  /// Milliseconds since 1970.
  public var now: @Sendable () -> Int64

  public init(
    cancellation: Cancellation = Cancellation(), now: @escaping @Sendable () -> Int64 = Clock.now
  ) {
    self.cancellation = cancellation
    self.now = now
  }
}

/// How the server validates collections, when it is asked to.
public enum Integrity: String, Sendable, Hashable, CaseIterable {
  case none
  /// Slow.
  case background
  /// Slower, and nobody else can use the collection meanwhile: for a window.
  case full
}

/// What is being checked, and how far it is.
public struct CheckProgress: Sendable, Hashable {
  public let id: String
  public let subject: String
  /// Checks done, and all of them.
  public let checksDone: Int
  public let checks: Int
  /// Documents of the current check.
  public let done: Int64
  public let total: Int64?
}

/// The time of day.
public enum Clock {
  /// Milliseconds since 1970, from the machine's clock.
  public static let now: @Sendable () -> Int64 = {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}
