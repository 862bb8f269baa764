internal import BSON
internal import MongoDB

/// One check that is to be made. It may give several results.
struct Probe: Sendable {
  let id: String
  let subject: String
  /// False when more comes of it than results: then it is made again, also when a state has them.
  let isKept: Bool
  let run: @Sendable (CheckContext) throws -> [CheckResult]

  init(
    _ id: String, _ subject: String = "", isKept: Bool = true,
    _ run: @escaping @Sendable (CheckContext) throws -> [CheckResult]
  ) {
    self.id = id
    self.subject = subject
    self.isKept = isKept
    self.run = run
  }

  /// Makes the check; what goes wrong becomes a result, except being cancelled.
  func results(_ context: CheckContext) throws -> [CheckResult] {
    context.begin(id, subject)
    context.report(done: 0)
    if isKept, let results = context.state?.results(of: context.key) {
      context.checksKnown += 1
      return results
    }
    let start = ContinuousClock.now
    var results: [CheckResult]
    do {
      try context.checkTime()
      results = try run(context)
    } catch is TimeIsUp {
      results = [timeIsUp]
    } catch let error as MongoError {
      results = [context.isCutOff(error) ? timeIsUp : try failure(error)]
    } catch let error as BSONError {
      results = [.broken(id, subject, "the server's answer cannot be read: \(error.message)")]
    }
    let took = (ContinuousClock.now - start).milliseconds
    for index in results.indices where results[index].duration == 0 {
      results[index].duration = Int64(took)
    }
    if isKept, !context.isTimeUp { context.state?.keep(results, of: context.key) }
    return results
  }

  private var timeIsUp: CheckResult {
    .skipped(id, subject, "the time budget is used up", fix: "allow more time, or run it alone")
  }

  private func failure(_ error: MongoError) throws -> CheckResult {
    switch error.kind {
    case .cancelled, .leaseLost, .unreachable, .authentication: throw error
    case .privilege:
      return .skipped(id, subject, "not allowed to look: \(error.message)", fix: error.hint)
    case .timedOut:
      return .broken(
        id, subject, "the time limit of a command was reached",
        fix: "allow more time, or read from a secondary")
    default: return .broken(id, subject, error.description)
    }
  }
}

extension Duration {
  /// Milliseconds with a fraction.
  var milliseconds: Double {
    Double(components.seconds) * 1000 + Double(components.attoseconds) / 1e15
  }
}
