import ArgumentParser
import Foundation
import MongoDB
import Synchronization

@testable import Commands

/// A console that remembers what it was told.
final class Recording: Sendable {
  private let texts = Mutex<[Console.Stream: String]>([:])
  private let clock = Mutex<Duration>(.zero)

  func console(_ appearance: Console.Appearance = .init()) -> Console {
    Console(
      appearance, uptime: { self.clock.withLock { $0 } },
      sink: { stream, text in
        self.texts.withLock { $0[stream, default: ""] += text }
        return nil
      })
  }

  var out: String { texts.withLock { $0[.out] ?? "" } }
  var error: String { texts.withLock { $0[.error] ?? "" } }
  func pass(_ time: Duration) { clock.withLock { $0 += time } }
}

/// Somebody who answers from a list, or nobody.
struct Scripted: Interlocutor {
  let isPresent: Bool
  let answer: String?

  func readLine(secret: Bool, cancellation: Cancellation) throws(CommandError) -> String? { answer }
}

/// A folder of one's own that is gone afterwards.
func withFolder<R>(_ body: (String) throws -> R) throws -> R {
  let url = FileManager.default.temporaryDirectory
    .appendingPathComponent("martlet-commands-" + UUID().uuidString)
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url.standardizedFileURL.path)
}

func options(_ arguments: String...) throws -> GlobalOptions { try GlobalOptions.parse(arguments) }

func settings(
  _ arguments: [String] = [], environment: [String: String] = [:], file: String? = nil
) throws -> Settings {
  try withFolder { folder in
    if let file {
      try file.write(toFile: folder + "/martlet.yaml", atomically: true, encoding: .utf8)
    }
    return try Settings.resolve(
      GlobalOptions.parse(arguments), in: .init(environment: environment, folder: folder))
  }
}
