internal import Dump
internal import Glibc
internal import Synchronization

/// Writes through a program (`age`) into another sink: what is written goes to its standard input,
/// what it writes goes on.
final class FilterSink: ByteSink {
  private let program: RunningProgram
  private let pump: WorkerThread

  /// - Throws: ``BackupError`` `.program`.
  init(_ words: [String], to target: any ByteSink) throws(BackupError) {
    let program = try RunningProgram(words, input: true, output: true)
    let failure = SharedError()
    let worker = WorkerThread {
      do { try Transfer.all(ProgramSource(program), to: target) } catch {
        failure.set(error)
        // Whoever writes to it must not wait for a reader that is gone.
        program.closeOutput()
      }
    }
    guard let worker else {
      program.kill()
      throw BackupError(.program, "the system gives no thread for \(program.name)")
    }
    self.program = program
    pump = worker
    shared = failure
  }

  private let shared: SharedError

  func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    do throws(DumpError) { try program.write(bytes) } catch {
      if let first = shared.error as? DumpError { throw first }
      throw error
    }
  }

  /// Ends the input and waits until everything has gone through.
  /// - Throws: what the target threw, or ``BackupError`` `.program`.
  func finish() throws {
    program.closeInput()
    pump.join()
    if let error = shared.error {
      program.kill()
      throw error
    }
    try program.finish()
  }

  /// Ends everything; what came out is of no use.
  func abandon() {
    program.kill()
    pump.join()
  }
}

/// Reads through a program: what `source` gives goes to its standard input.
final class FilterSource: ByteSource {
  private let program: RunningProgram
  private let pump: WorkerThread
  private let shared: SharedError
  private let describe: @Sendable (BackupError) -> BackupError
  private var isOver = false

  /// - Parameter describe: turns the program's failure into one that says what it means.
  init(
    _ words: [String], from source: any ByteSource,
    describe: @escaping @Sendable (BackupError) -> BackupError
  ) throws(BackupError) {
    let program = try RunningProgram(words, input: true, output: true)
    let shared = SharedError()
    let handover = Handover(source)
    let worker = WorkerThread {
      do {
        try Transfer.all(handover.source, to: ProgramSink(program))
        program.closeInput()
      } catch {
        shared.set(error)
        program.closeInput()
      }
    }
    guard let worker else {
      program.kill()
      throw BackupError(.program, "the system gives no thread for \(program.name)")
    }
    self.program = program
    self.shared = shared
    self.describe = describe
    pump = worker
  }

  deinit {
    guard !isOver else { return }
    program.kill()
    pump.join()
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    if isOver { return 0 }
    let count = try program.read(into: buffer)
    guard count == 0 else { return count }
    isOver = true
    program.closeOutput()
    pump.join()
    let ending = program.wait()
    // Damage in the source comes first: the program only sees a cut input. But when the program has
    // stopped reading, its own words say why.
    if let error = shared.error as? DumpError, !(error.cause is BackupError) { throw error }
    guard ending == .exited(0) else {
      let failure = describe(program.failure(kill: false))
      throw DumpError(
        failure.code == .damaged ? .damaged : .unsupported, failure.message, hint: failure.hint,
        cause: failure)
    }
    return 0
  }
}

/// The first error of a thread.
final class SharedError: Sendable {
  private let state = Mutex<(any Error)?>(nil)
  var error: (any Error)? { state.withLock { $0 } }
  func set(_ error: any Error) { state.withLock { if $0 == nil { $0 = error } } }
}

/// Gives a source to the one thread that uses it from then on.
private final class Handover: @unchecked Sendable {
  let source: any ByteSource
  init(_ source: any ByteSource) { self.source = source }
}

/// A program's standard output. The program's end is not looked at.
final class ProgramSource: ByteSource {
  private let program: RunningProgram
  init(_ program: RunningProgram) { self.program = program }
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    try program.read(into: buffer)
  }
}

/// A program's standard input.
final class ProgramSink: ByteSink {
  private let program: RunningProgram
  init(_ program: RunningProgram) { self.program = program }
  func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) { try program.write(bytes) }
}
