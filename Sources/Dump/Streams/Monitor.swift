import Glibc

/// State behind a mutex, with a condition to wait on.
///
/// The one place of this target that holds a lock; everything that threads share lives in one.
final class Monitor<State>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var state: State

  init(_ state: State) {
    self.state = state
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Runs `body` alone; whoever waits looks again afterwards when `wake` is true.
  @discardableResult
  func withLock<R>(wake: Bool = false, _ body: (inout State) throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer {
      if wake { pthread_cond_broadcast(condition) }
      pthread_mutex_unlock(mutex)
    }
    return try body(&state)
  }

  /// Blocks until `body` gives a value.
  func wait<R>(_ body: (inout State) throws -> R?) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = try body(&state) {
        pthread_cond_broadcast(condition)
        return result
      }
      pthread_cond_wait(condition, mutex)
    }
  }
}

/// A thread that runs one closure; joined once.
package final class WorkerThread: @unchecked Sendable {
  private final class Body {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }

  private var handle: pthread_t = 0

  /// Starts at once; nil when the system has no thread to give.
  package init?(_ run: @escaping @Sendable () -> Void) {
    let body = Unmanaged.passRetained(Body(run))
    let status = pthread_create(
      &handle, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    guard status == 0 else {
      body.release()
      return nil
    }
  }

  package func join() { pthread_join(handle, nil) }
}

/// Runs closures on threads of their own and waits for all of them.
enum WorkerThreads {
  /// Blocks until every closure is done. The first error is thrown, after `failed` was told of it so
  /// that it can make the others stop.
  static func run(
    _ bodies: [@Sendable () throws -> Void], failed: @escaping @Sendable (any Error) -> Void
  ) throws {
    let first = Monitor<(any Error)?>(nil)
    let guarded = bodies.map { body in
      { @Sendable in
        do { try body() } catch {
          first.withLock { if $0 == nil { $0 = error } }
          failed(error)
        }
      }
    }
    // The last one runs here: one thread less, and the work gets done even when none can be had.
    var threads: [WorkerThread] = []
    for body in guarded.dropLast() {
      if let thread = WorkerThread(body) { threads.append(thread) } else { body() }
    }
    guarded.last?()
    for thread in threads { thread.join() }
    if let error = first.withLock({ $0 }) { throw error }
  }
}
