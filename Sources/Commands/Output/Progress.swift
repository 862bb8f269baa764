import Synchronization

/// Something that takes long enough to be watched: a bar on a terminal, a line every 30 s elsewhere, and
/// one at once on `SIGUSR1`.
///
/// `advance` and `update` are cheap and may be called from any thread.
final class Progress: Sendable {
  enum Unit: Sendable, Hashable { case documents, bytes, items }

  struct Activity: Sendable {
    var id: Int
    var label: String
    var unit: Unit
    var total: Int64?
    var done: Int64 = 0
    var started: Duration
    /// When a line or bar was last shown.
    var shown: Duration
  }

  private let console: Console
  private let id: Int

  /// Starts showing. `total` is nil where nobody knows it.
  init(_ console: Console, _ label: String, unit: Unit = .documents, total: Int64? = nil) {
    self.console = console
    let now = console.uptime()
    id = console.state.withLock { state in
      state.nextID += 1
      state.activities.append(
        Activity(
          id: state.nextID, label: label.shown, unit: unit, total: total, started: now, shown: now))
      console.drawBar(&state)
      return state.nextID
    }
  }

  deinit { finish() }

  func advance(by count: Int64) { change { $0.done += count } }

  func update(done: Int64, total: Int64? = nil) {
    change {
      $0.done = done
      $0.total = total ?? $0.total
    }
  }

  /// Takes the bar away. Calling it again does nothing.
  func finish() {
    console.state.withLock { state in
      guard let index = state.activities.firstIndex(where: { $0.id == id }) else { return }
      console.eraseBar(&state)
      state.activities.remove(at: index)
      console.drawBar(&state)
    }
  }

  private static let redraw: Duration = .milliseconds(100)
  private static let line: Duration = .seconds(30)

  private func change(_ body: (inout Activity) -> Void) {
    let now = console.uptime()
    console.state.withLock { state in
      guard let index = state.activities.firstIndex(where: { $0.id == id }) else { return }
      body(&state.activities[index])
      let live = console.appearance.liveProgress
      guard now - state.activities[index].shown >= (live ? Self.redraw : Self.line) else { return }
      state.activities[index].shown = now
      if live {
        console.drawBar(&state)
      } else if !console.appearance.quiet {
        console.writeLine(state.activities[index].line(now: now, width: nil), &state)
      }
    }
  }
}

extension Console {
  /// Prints where everything stands, at once.
  func printProgress() {
    let now = uptime()
    state.withLock { state in
      if state.activities.isEmpty { writeLine("nothing in progress", &state) }
      for activity in state.activities { writeLine(activity.line(now: now, width: nil), &state) }
    }
  }
}

extension Progress.Activity {
  /// `users  [#####     ]  52%  520,000 of 1,000,000 documents  31,000/s  15 s left`; a width makes room for
  /// the bar, without one it is for a log.
  func line(now: Duration, width: Int?) -> String {
    var parts = [label]
    if let total, total > 0 {
      let share = min(1, Double(done) / Double(total))
      if width != nil { parts.append(Self.bar(share)) }
      // 100 % is said when all is done, not when rounding says so.
      parts.append("\(Int(share * 100))%")
      parts.append("\(amount(done)) of \(amount(total))\(noun)")
    } else {
      parts.append(amount(done) + noun)
    }
    let seconds = (now - started).seconds
    if done > 0, seconds >= 1 {
      let rate = Double(done) / seconds
      parts.append(amount(Int64(rate)) + "/s")
      if let total, total > done {
        parts.append(Self.spoken(Double(total - done) / rate) + " left")
      }
    }
    let text = parts.joined(separator: "  ")
    return width.map { text.cut(to: $0) } ?? text
  }

  private static func bar(_ share: Double) -> String {
    let full = Int(share * 20)
    return "[" + String(repeating: "#", count: full) + String(repeating: " ", count: 20 - full)
      + "]"
  }

  private func amount(_ number: Int64) -> String {
    unit == .bytes ? Quantity.bytes(number) : Quantity.grouped(number)
  }

  private var noun: String { unit == .documents ? " documents" : "" }

  /// A rough time: `45 s`, `12 min`, `3 h 20 min`.
  static func spoken(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1_000_000_000 else { return "very long" }
    let whole = Int(seconds.rounded(.up))
    if whole < 90 { return "\(whole) s" }
    if whole < 90 * 60 { return "\((whole + 30) / 60) min" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
  }
}

extension Duration {
  var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) / 1e18
  }
}
