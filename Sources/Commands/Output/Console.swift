import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The one place that speaks: data to standard output, everything else to standard error.
///
/// Safe to use from several threads; a line is never torn, and a progress bar never mixes with one.
final class Console: Sendable {
  struct Appearance: Sendable, Hashable {
    var json = false
    var quiet = false
    var verbose = false
    /// Whether standard output and standard error may have colours.
    var colourOut = false
    var colourError = false
    /// Whether standard error is a terminal that can redraw a line.
    var liveProgress = false
    /// Columns of the terminal.
    var width = 80
  }

  enum Stream: Sendable, Hashable { case out, error }

  /// Writes all of a text; the `errno` where it could not.
  typealias Sink = @Sendable (Stream, String) -> Int32?

  let appearance: Appearance
  /// Time since some fixed moment; passed in so that rates can be tested.
  let uptime: @Sendable () -> Duration
  private let sink: Sink
  private let log: EventLog?
  let state = Mutex(State())

  struct State: Sendable {
    var barIsDrawn = false
    /// What is going on, the newest last; only that one has the bar.
    var activities: [Progress.Activity] = []
    var nextID = 0
    /// The first `errno` of standard output.
    var outputFailure: Int32?
  }

  init(
    _ appearance: Appearance,
    uptime: @escaping @Sendable () -> Duration = Console.monotonicTime,
    sink: @escaping Sink = Console.writeToDescriptors, log: EventLog? = nil
  ) {
    self.appearance = appearance
    self.uptime = uptime
    self.sink = sink
    self.log = log
  }

  /// Shows what a command found: the JSON document, or the page for people. Quiet does not hide it.
  func show(_ output: some CommandOutput) {
    guard !appearance.json else { return out(output.json.text()) }
    var page = Page()
    output.write(to: &page)
    show(page)
  }

  /// Shows a page on standard output; nothing with `--json`.
  func show(_ page: Page) {
    guard !appearance.json else { return }
    let lines = page.lines(colour: appearance.colourOut)
    if !lines.isEmpty { out(lines.joined(separator: "\n")) }
  }

  /// One JSON document on a line of its own, for commands that stream.
  func stream(_ value: JSONValue) { out(value.text(pretty: false)) }

  /// What is being done, for people who watch.
  func status(_ text: StyledText) {
    record(.info, text)
    if !appearance.quiet { error(text) }
  }

  /// More of it, with `--verbose`.
  func detail(_ text: StyledText) {
    guard appearance.verbose else { return }
    record(.debug, text)
    error(text)
  }

  func warn(_ text: StyledText) {
    record(.warning, text)
    error(StyledText("warning: ", .warning) + text)
  }

  /// An event for the log alone, such as the end of a command.
  func record(
    _ level: EventLog.Level, _ text: StyledText, _ fields: [(String, JSONValue)] = []
  ) {
    log?.write(level, text.rendered(colour: false), fields)
  }

  /// The last line: what to do next.
  func next(_ command: String) {
    guard !appearance.quiet else { return }
    error(StyledText("next: ", .dim) + StyledText(command, .name))
  }

  /// Says what went wrong and what to do about it; with `--json` the document is on standard output too.
  func report(_ report: ErrorReport) {
    if appearance.json { out(report.json.text()) }
    record(
      .error, "\(report.message)",
      [("code", .string(report.code)), ("hint", .string(optional: report.hint))])
    let lines = report.message.split(separator: "\n", omittingEmptySubsequences: true)
    let first = lines.first.map(String.init) ?? "unknown"
    error(StyledText("error: ", .bad) + StyledText(first))
    for line in lines.dropFirst() { error(StyledText("  " + line)) }
    for line in (report.hint ?? "").split(separator: "\n") {
      error(StyledText("HINT: ", .bold) + StyledText(String(line)))
    }
  }

  /// Asks on the terminal, without a line feed.
  func ask(_ text: StyledText) {
    state.withLock { state in
      eraseBar(&state)
      _ = sink(.error, text.rendered(colour: appearance.colourError))
    }
  }

  /// What there is to choose from: part of a question, so that quiet does not hide it.
  func ask(_ page: Page) {
    for line in page.lines(colour: appearance.colourError) { write(line, to: .error) }
  }

  /// Ends the line of a question whose answer was not shown.
  func endQuestion() { _ = sink(.error, "\n") }

  /// One line on standard output as it is.
  func out(_ line: String) { write(line, to: .out) }

  private func error(_ text: StyledText) {
    write(text.rendered(colour: appearance.colourError), to: .error)
  }

  private func write(_ line: String, to stream: Stream) {
    state.withLock { state in
      eraseBar(&state)
      let failure = sink(stream, line + "\n")
      if stream == .out { state.outputFailure = state.outputFailure ?? failure }
      drawBar(&state)
    }
  }

  /// A report cut short by a full disk is no success; a reader that has gone away (`| head`) is.
  func checkOutput() throws(CommandError) {
    guard let code = state.withLock({ $0.outputFailure }), code != EPIPE else { return }
    throw CommandError(
      .file, "cannot write to standard output: \(String(cString: strerror(code)))")
  }

  // MARK: the bar; the caller holds the lock

  func eraseBar(_ state: inout State) {
    guard state.barIsDrawn else { return }
    _ = sink(.error, "\r\u{1b}[K")
    state.barIsDrawn = false
  }

  func drawBar(_ state: inout State) {
    guard appearance.liveProgress, !appearance.quiet, let activity = state.activities.last else {
      return
    }
    let line = activity.line(now: uptime(), width: appearance.width - 1)
    _ = sink(.error, "\r\u{1b}[K" + line)
    state.barIsDrawn = true
  }

  /// One line on standard error while the lock is held.
  func writeLine(_ line: String, _ state: inout State) {
    eraseBar(&state)
    _ = sink(.error, line + "\n")
    drawBar(&state)
  }

  static let monotonicTime: @Sendable () -> Duration = {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
  }
}
