import Migration
import Synchronization

/// Shows a run as it goes: a line for each migration and step, a bar for what takes long.
///
/// The engine calls it from several threads.
final class RunDisplay: Sendable {
  /// A migration that this run has brought to its end.
  struct Finished: Sendable {
    let name: String
    let milliseconds: Int64
  }

  private struct State {
    var finished: [Finished] = []
    var titles: [Int: String] = [:]
    var bar: Progress?
    /// Which step the bar is of.
    var barStep: Int?
    var started: [Int: Duration] = [:]
    var direction = Plan.Direction.up
    /// Documents that the plan counted, by migration and step.
    var expected: [StepKey: Int64] = [:]
  }

  private let console: Console
  private let state = Mutex(State())

  init(_ console: Console) { self.console = console }

  /// What has been finished so far, in order.
  var finished: [Finished] { state.withLock { $0.finished } }

  /// Takes totals from the plan: a step itself does not count before it begins.
  func expect(_ plan: Plan) {
    state.withLock { state in
      state.expected = [:]
      for planned in plan.migrations {
        for step in planned.steps {
          state.expected[StepKey(migration: planned.name, step: step.index + 1)] = step.documents
        }
      }
    }
  }

  func show(_ event: ExecutionEvent) {
    switch event {
    case .migrationStarted(let name, let position, let count, let direction, let resumed):
      state.withLock { state in
        state.started = [:]
        state.titles = [:]
        state.direction = direction
      }
      let verb = direction == .up ? resumed ? "goes on" : "" : "down"
      let note = verb.isEmpty ? "" : "  (\(verb))"
      console.status("\("\(position) of \(count)", .dim)  \(name, .name)\(note)")
    case .stepStarted(_, let step, let count, let command, let target):
      let now = console.uptime()
      state.withLock { state in
        state.started[step] = now
        state.titles[step] = Self.title(command, target)
      }
      console.detail("      \("step \(step) of \(count)", .dim)  \(Self.title(command, target))…")
    case .stepProgress(let migration, let step, let words, let done, let total):
      let expected = state.withLock { $0.expected[StepKey(migration: migration, step: step)] }
      advance(step, words, done, total ?? expected)
    case .stepFinished(_, let step, let note):
      finishStep(step, note)
    case .migrationFinished(let name, let milliseconds):
      endBar()
      state.withLock {
        $0.finished.append(Finished(name: name, milliseconds: milliseconds))
      }
      let direction = state.withLock { $0.direction }
      let word = direction == .up ? "applied" : "taken back"
      console.status(
        "      \(word, .good) in \(Quantity.time(.milliseconds(milliseconds)))")
    case .migrationFailed(let name, _, _):
      endBar()
      console.status("      \("\(name) failed", .bad)")
    case .notice(let text):
      console.status("      \(text)")
    }
  }

  /// Takes the bar away, however the run ended.
  func endBar() {
    let bar = state.withLock { state in
      defer {
        state.bar = nil
        state.barStep = nil
      }
      return state.bar
    }
    bar?.finish()
  }

  private func advance(_ step: Int, _ words: String, _ done: Int64?, _ total: Int64?) {
    let (title, current) = state.withLock { state in
      (state.titles[step] ?? "", state.barStep == step ? state.bar : nil)
    }
    guard let done else {
      console.detail("      \(title): \(words)")
      return
    }
    if let current {
      current.update(done: done, total: total)
      return
    }
    endBar()
    let isCount = words == "documents"
    let bar = Progress(
      console, isCount ? title : "\(title): \(words)",
      unit: .items, total: total)
    bar.update(done: done, total: total)
    state.withLock { state in
      state.bar = bar
      state.barStep = step
    }
  }

  private func finishStep(_ step: Int, _ note: String?) {
    endBar()
    let now = console.uptime()
    let (title, started) = state.withLock { ($0.titles[step] ?? "", $0.started[step]) }
    let took = started.map { now - $0 } ?? .zero
    var text = StyledText("      \(step). ", .dim) + StyledText(title)
    if let note, !note.isEmpty { text = text + StyledText("  " + note, .dim) }
    if took > .seconds(1) { text = text + StyledText("  " + Quantity.time(took), .dim) }
    console.status(text)
  }

  private static func title(_ command: String, _ target: String?) -> String {
    [command, target].compactMap(\.self).joined(separator: " ")
  }
}
