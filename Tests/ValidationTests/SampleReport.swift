import BSON
import Foundation
import TestSupport

@testable import Validation

/// A report with something of everything, hostile names included.
enum SampleReport {
  static let hostile = "<script>alert(1)</script>"

  static func make() -> Report {
    let start: Int64 = 1_769_565_600_000
    var report = Report(
      kind: .after, subject: "shop", startedAt: start, finishedAt: start + 95_000)
    report.checks = [
      .found(
        "orphaned-references", "orders.user_id -> users._id", .error,
        "3 references lead to no document of users", lookedAt: Amount(1_000_000, "documents"),
        findings: 3,
        evidence: Evidence(
          columns: ["_id", "user_id", "documents"],
          rows: [
            [.id(.objectID(.generate(seconds: 1_769_000_000))), .value("u-4711"), .number(2)],
            [.id(17), .value(["email": "ada@example.com"]), .number(1)],
          ]), cause: "the target was deleted, never existed, or has another type",
        command: "db.getCollection(\"orders\").aggregate([{\"$group\":{\"_id\":\"$user_id\"}}])",
        fix: "restore the missing users, or archive what refers to them"),
      .found(
        "index-options", "\(hostile) {\"email\":1}", .error, "unique is not set, declared true",
        lookedAt: Amount(4, "indexes"), cause: "it was built with other options",
        command: "db.runCommand({\"listIndexes\":\"\(hostile)\"})",
        fix: "drop it and build it again"),
      .found(
        "type-drift", "products", .warning, "1 indexed field with values of several types",
        lookedAt: Amount(1000, "documents"), certainty: .sample(of: 1000),
        evidence: Evidence(
          columns: ["field", "types"], rows: [[.text("sku"), .text("number, string")]]),
        cause: "a query for one type does not find the values of another",
        fix: "convert the values to one type"),
      .broken("query-plan", "orders of a user", "the time limit of a command was reached"),
      .skipped("replication-lag", "", "no replica set", applies: false),
      .skipped("oplog-window", "", "not allowed to look: action find on local.oplog.rs"),
    ]
    for name in ["users", "orders", "products", "permissions", "roles", "audit_logs"] {
      report.checks.append(.passed("collection-missing", name, "it exists"))
      report.checks.append(
        .passed(
          "data-changed", name, "every document is as it was", lookedAt: Amount(50_000, "documents")
        ))
    }
    report.metrics = [
      Metric(.documents, "orders", .count, before: 1_000_000, after: 1_000_000),
      Metric(.documents, "users", .count, before: 50_003, after: 50_000),
      Metric(.documents, "audit_logs", .count, before: nil, after: 1200),
      Metric(.sizes, "orders", .bytes, before: 700_000_000, after: 731_000_000),
      Metric(.sizes, "orders, indexes on disk", .bytes, before: 22_000_000, after: 41_000_000),
      Metric(.latencies, "orders of a user, p50", .milliseconds, before: 0.82, after: 0.79),
      Metric(.latencies, "orders of a user, p95", .milliseconds, before: 1.4, after: 3.9),
    ]
    report.timeline = [
      TimelineEntry("backup", startedAt: start, duration: 31_000, state: .done),
      TimelineEntry("verify", startedAt: start + 31_000, duration: 9000, state: .done),
      TimelineEntry("validate before", startedAt: start + 40_000, duration: 8000, state: .done),
      TimelineEntry("stop services", startedAt: start + 48_000, duration: 2000, state: .done),
      TimelineEntry("up", startedAt: start + 50_000, duration: 37_000, state: .done),
      TimelineEntry(
        "validate after", startedAt: start + 87_000, duration: 8000, state: .failed,
        detail: "2 checks failed"),
    ]
    report.plan = [
      PlanEntry(migration: "001_access_control", step: "create permissions", state: "applied"),
      PlanEntry(
        migration: "002_two_factor", step: "update users", state: "applied",
        detail: "50,000 documents"),
      PlanEntry(migration: "002_two_factor", step: "createIndexes 2fa_attempts", state: "applied"),
    ]
    report.environment = [
      Fact("database", "shop"), Fact("server", "127.0.0.1:27017"), Fact("server version", "6.0.5"),
      Fact("topology", "replica set rs0 of 3"),
    ]
    report.notes = ["On failure: stop and leave. Nothing was taken back."]
    return report
  }
}

/// A real browser, for the one writer that is looked at with one.
struct Browser {
  static let candidates = [
    "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome",
  ]

  /// Never skipped silently.
  struct Missing: Error, CustomStringConvertible {
    let description = "no chromium on this machine; run scripts/setup.sh (apt-get install chromium)"
  }

  let path: String

  init() throws {
    guard let path = Self.candidates.first(where: FileManager.default.isExecutableFile) else {
      throw Missing()
    }
    self.path = path
  }

  /// Runs it without a window; what it prints.
  func run(_ arguments: [String], profile: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments =
      [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--user-data-dir=\(profile)", "--no-first-run", "--disable-extensions",
      ] + arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }
}
