import Foundation
import MongoDB

/// Runs work that blocks on a thread of its own, so that Swift's few shared threads stay free.
enum BlockingWork {
  /// Cancelling the task sets the cancellation; the work ends at its next safe point.
  static func run<R: Sendable>(
    _ body: @escaping @Sendable (Cancellation) throws -> R
  ) async throws -> R {
    let cancellation = Cancellation()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let thread = Thread {
          continuation.resume(with: Result { try body(cancellation) })
        }
        thread.name = "martlet"
        // The default of a secondary thread is too small for deeply nested documents.
        thread.stackSize = 4 << 20
        thread.start()
      }
    } onCancel: {
      cancellation.cancel(.stopped)
    }
  }
}
