import Foundation
import Glibc
import TestSupport
import Testing

/// scripts/cron-setup.sh with a program of ours in crontab's place.
@Suite struct CrontabTests {
  private let folder = FileManager.default.temporaryDirectory.appending(
    path: "martlet-crontab-\(UUID().uuidString)")

  /// Runs the script and returns what it says; the crontab is the file `tab`.
  private func cron(_ words: String..., script: String) throws -> ChildProcess.Result {
    let crontab = folder.appending(path: "crontab").path
    try ChildProcess.writeProgram(script, to: crontab)
    let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
    return try ChildProcess(
      "/bin/bash", ["/\(root)/scripts/cron-setup.sh"] + words,
      environment: ["CRONTAB": crontab, "TAB": folder.appending(path: "tab").path]
    ).wait()
  }

  private let standIn = """
    #!/bin/sh
    case $1 in
      -l) [ -e "$TAB" ] || { echo "no crontab for root" >&2; exit 1; }; cat "$TAB" ;;
      -) cat >"$TAB.new"; mv "$TAB.new" "$TAB" ;;
    esac
    """

  private func tab() throws -> String {
    try String(contentsOf: folder.appending(path: "tab"), encoding: .utf8)
  }

  @Test("each job is one line, set again it is the same one, and only ours are removed")
  func jobs() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    #expect(try cron("daily", script: standIn).exitCode == 0)
    #expect(try cron("remove", script: standIn).exitCode == 0)
    #expect(try tab().isEmpty)
    let theirs =
      "# theirs\nMAILTO=me\n1 2 * * * x # martlet:daily and more\n2 3 * * * y # martlet:other\n"
    try theirs.write(to: folder.appending(path: "tab"), atomically: true, encoding: .utf8)
    for _ in 0..<2 {
      #expect(try cron("daily", "3", "15", "ops@example.com", script: standIn).exitCode == 0)
      #expect(try cron("hourly-db", script: standIn).exitCode == 0)
      #expect(try cron("weekly", "0", "1", "0", "a@example.com", script: standIn).exitCode == 0)
      #expect(try cron("cleanup", "3", "0", script: standIn).exitCode == 0)
    }
    let lines = try tab().split(separator: "\n")
    #expect(lines.count == 8)
    #expect(lines.contains { $0.hasPrefix("15 3 * * * cd ") && $0.hasSuffix("# martlet:daily") })
    #expect(lines.contains { $0.hasPrefix("0 1 * * 0 cd ") && $0.contains("backup-full.sh") })
    #expect(try cron("remove", "daily", script: standIn).exitCode == 0)
    #expect(try tab().split(separator: "\n").count == 7)
    #expect(try cron("remove", script: standIn).exitCode == 0)
    #expect(try tab() == theirs)
    for bad in [
      ["daily", "24"], ["weekly", "8"], ["daily", "2", "0", "a;b"], ["remove", "d.*"],
    ] {
      let refused = try cron(
        bad[0], bad[1], bad.count > 2 ? bad[2] : "", bad.count > 3 ? bad[3] : "", script: standIn)
      #expect(refused.exitCode == 64, "\(bad)")
    }
    #expect(try tab() == theirs)
  }

  @Test("a crontab that cannot be read is not replaced")
  func unreadable() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let broken = standIn.replacingOccurrences(
      of: "-l) ", with: "-l) echo 'cannot open the spool: Permission denied' >&2; exit 1; ")
    for words in ["daily", "remove"] {
      let refused = try cron(words, script: broken)
      #expect(refused.exitCode == 1)
      #expect(refused.stderr.contains("Permission denied"))
    }
    #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "tab").path))
  }
}
