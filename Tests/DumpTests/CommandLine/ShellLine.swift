import BSON
import Foundation
import MongoDB
import TestSupport

@testable import Dump

/// The real binary in a shell, where pipes and redirections are.
extension TestServer {
  /// Runs a line of sh in the scratch folder. `$M` is martlet, `$U` the connection string, `$DB` and
  /// `$COPY` this test's databases, `$AS` the options that load one as the other.
  func sh(_ line: String, in scratch: Scratch, uri: String? = nil) throws -> ChildProcess.Result {
    try ChildProcess(
      "/bin/sh", ["-c", line],
      environment: [
        "M": Self.environment("MARTLET_BINARY"), "U": uri ?? self.uri, "DB": databaseName,
        "COPY": copyName, "NO_COLOR": "1",
        "AS": "--nsInclude \(databaseName).* --nsFrom \(databaseName).* --nsTo \(copyName).*",
      ], directory: scratch.path
    ).wait()
  }

  /// The same, for a line whose success is not in question.
  func done(_ line: String, in scratch: Scratch) throws -> ChildProcess.Result {
    let result = try sh(line, in: scratch)
    guard result.exitCode == 0 else {
      throw DumpError(.server, "exit \(result.exitCode) of '\(line)': \(result.stderr)")
    }
    return result
  }

  /// What `martlet inspect --json` says.
  func inspected(_ path: String, in scratch: Scratch) throws -> Document {
    try ExtendedJSON.parseDocument(done("$M inspect --json \(path)", in: scratch).stdout)
  }

  /// The names of the collections in a dump, without the database.
  func names(_ path: String, in scratch: Scratch) throws -> [String] {
    let collections = try inspected(path, in: scratch)["collections"]?.arrayValue ?? []
    return collections.compactMap { $0.documentValue?["namespace"]?.stringValue }
      .map { String($0.drop { $0 != "." }.dropFirst()) }
  }

  /// Lends the copy.
  func withCopyDatabase<R>(_ body: (Database) throws -> R) throws -> R {
    try pool.withClient { try body($0.database(copyName)) }
  }
}
