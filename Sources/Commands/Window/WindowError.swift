import Foundation

/// Why a command failed, from the process of that command to the window that runs it: the exit code alone
/// would leave the report without the cause.
enum WindowError {
  private static let variable = "MARTLET_WINDOW_ERROR"

  /// The words before a shell command that ask for it.
  static func assignment(_ path: String) -> String { "\(variable)=\(WindowRun.quoted(path))" }

  /// Leaves the message where the window looks for it, if a window asked. Values are cut out already.
  static func tell(_ report: ErrorReport, _ surroundings: Settings.Surroundings) {
    guard let path = surroundings.sourced(variable)?.value else { return }
    // Without it the window still has the exit code.
    try? DurableFile.write(report.message, to: path, mode: 0o600)
  }

  /// The first line of what was left there, which is then removed.
  static func take(_ path: String) -> String? {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    try? FileManager.default.removeItem(atPath: path)
    return text.split(separator: "\n").first.map(String.init)
  }
}
