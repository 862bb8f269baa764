import Foundation
import Glibc
import TestSupport

/// Holds a window in a stage for as long as there is a file `hold-STAGE`: what is held cannot be over before
/// it was seen.
///
/// Hooks and rules wait by themselves (``text(_:)``). Commands of martlet are started by way of `env`; one
/// that stands before it in PATH waits for them.
enum WindowHold {
  /// A shell command that waits.
  static func text(_ stage: String) -> String {
    "while test -e hold-\(stage); do sleep 0.02; done"
  }

  /// From now on that stage waits; removing the file lets it go on.
  static func hold(_ stage: String, _ project: MigrateProject) throws -> URL {
    let file = project.folder.appending(path: "hold-\(stage)")
    try "".write(to: file, atomically: true, encoding: .utf8)
    return file
  }

  /// What a window needs whose commands are held.
  static func environment(_ project: MigrateProject) throws -> [String: String?] {
    let folder = project.folder.appending(path: "bin").path
    // $1 is an assignment, $2 the program.
    let script = """
      #!/bin/sh
      case "$3 $4" in
        doctor*) \(text("doctor")) ;;
        "backup run") \(text("backup")) ;;
        "backup verify") \(text("verify")) ;;
        "migrate plan") \(text("plan")) ;;
        "migrate up") \(text("up")) ;;
      esac
      exec /usr/bin/env "$@"

      """
    // One that is left behind by a killed window still reads it.
    if access("\(folder)/env", X_OK) != 0 {
      try ChildProcess.writeProgram(script, to: "\(folder)/env")
    }
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    return ["PATH": "\(folder):\(path)"]
  }
}
