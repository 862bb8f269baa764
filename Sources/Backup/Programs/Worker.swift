internal import Glibc

/// A thread that runs one closure; joined once.
final class Worker: @unchecked Sendable {
  private final class Body {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }

  private var handle: pthread_t = 0

  /// Starts at once; nil when the system has no thread to give.
  init?(_ run: @escaping @Sendable () -> Void) {
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

  func join() { pthread_join(handle, nil) }
}

/// Sleeps that can be cut short.
enum Pause {
  static func milliseconds(_ count: UInt32) { usleep(count * 1000) }
}
