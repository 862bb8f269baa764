internal import Foundation

/// The real `martlet`, as a user runs it.
public enum MartletBinary {
  /// Starts it with arguments; MARTLET_BINARY names it.
  ///
  /// No terminal, no colour, and none of the caller's MARTLET_ or MONGO_ settings.
  public static func start(
    _ arguments: [String], environment: [String: String?] = [:], directory: String? = nil,
    stdin: String? = nil
  ) throws -> ChildProcess {
    let binary = try TestServer.environment("MARTLET_BINARY")
    var clean: [String: String?] = ["NO_COLOR": "1"]
    for name in ProcessInfo.processInfo.environment.keys
    where name.hasPrefix("MARTLET_") || name.hasPrefix("MONGO_") {
      clean.updateValue(nil, forKey: name)
    }
    for (name, value) in environment { clean.updateValue(value, forKey: name) }
    return try ChildProcess(
      binary, arguments, environment: clean, directory: directory, stdin: stdin)
  }

  /// Runs it to its end.
  public static func run(
    _ arguments: [String], environment: [String: String?] = [:], directory: String? = nil,
    stdin: String? = nil
  ) throws -> ChildProcess.Result {
    try start(arguments, environment: environment, directory: directory, stdin: stdin).wait()
  }
}
