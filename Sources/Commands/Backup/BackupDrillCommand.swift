import ArgumentParser
import Backup
import Fingerprint
import Foundation
import MongoDB
import Validation

/// `martlet backup drill`.
struct BackupDrillCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "drill", "Restore a backup into a throwaway mongod and compare everything.",
    discussion: """
      Every fingerprint and every index is compared with the manifest, the validation rules are checked \
      when there are some, and the time it took is printed: the measured recovery time. Exit 4 when \
      something differs or a rule is broken. The mongod is MARTLET_MONGOD or the one on PATH; nothing of it stays.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Argument(help: "Its id, or the beginning of it; the newest good one without.")
  var id: String?

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let console = context.console
    let rules = try DrillRules(base)
    var check: Drill.Check?
    if let rules { check = { pool, manifest in try rules.check(pool, manifest) } }
    let drill = Drill(
      try base.store(), age: base.age, check: check, cancellation: context.cancellation,
      notice: { console.status("note: \($0)") })
    let report = try drill.run(id)
    console.show(DrillPage(report: report))
    return report.findings.isEmpty ? .done : .checksFailed
  }
}

/// The rules that restored data has to obey.
private struct DrillRules: Sendable {
  let rules: Rules
  let database: String?
  let folder: String
  let cancellation: Cancellation

  /// Nil where there are no rules.
  /// - Throws: ``ValidationError`` for rules that cannot be read: a drill must not pass without them.
  init?(_ base: BackupSettings) throws {
    let file = base.settings.validationRules
    guard file.source != .standard || FileManager.default.fileExists(atPath: file.value) else {
      return nil
    }
    var rules = try RulesLoader().load(file.value)
    // Those look at this machine, not at the data.
    rules.files = []
    rules.commands = []
    self.rules = rules
    database = base.settings.database?.value
    folder = base.settings.folder
    cancellation = base.context.cancellation
  }

  func check(_ pool: ClientPool, _ manifest: Manifest) throws -> (made: Int, findings: [String]) {
    guard let database = database ?? manifest.database else {
      return (0, ["there are rules, and no database is named to hold them against"])
    }
    var options = CheckOptions(cancellation: cancellation)
    options.folder = folder
    let checks = try Validator(
      pool, database: database, phase: .after, rules: rules, options: options
    ).run(takesSnapshot: false).checks
    let findings = checks.filter { $0.status == .failed || $0.status == .error }
    return (
      checks.filter { $0.status != .skipped }.count,
      findings.map { "\($0.id) \($0.subject): \($0.message)" }
    )
  }
}

struct DrillPage: CommandOutput {
  let report: Drill.Report

  var json: JSONValue {
    [
      "backup": .string(report.backup), "serverVersion": .string(report.serverVersion),
      "collections": .integer(Int64(report.collections)), "documents": .integer(report.documents),
      "indexes": .integer(Int64(report.indexes)),
      "recoveryMs": .integer(report.recoveryMilliseconds), "notices": .strings(report.notices),
      "replayed": .integer(report.replayed),
      "compared": ComparedPart(compared: report.compared, replayed: report.replayed).json,
      "checks": .integer(Int64(report.checks)), "findings": .strings(report.findings),
    ]
  }

  func write(to page: inout Page) {
    page.line("\(report.backup, .bold) can be restored: \("as it was", .good)")
    page.line(
      "\(String(report.collections)) collections, \(Quantity.grouped(report.documents)) documents, \(String(report.indexes)) indexes on \(report.serverVersion)"
    )
    ComparedPart(compared: report.compared, replayed: report.replayed).write(to: &page)
    page.line("recovery time: \(Quantity.time(.milliseconds(report.recoveryMilliseconds)), .bold)")
    if report.checks > 0 || !report.findings.isEmpty {
      let isFine = report.findings.isEmpty
      let outcome = isFine ? "all passed" : "\(report.findings.count) failed"
      page.line("\(String(report.checks)) checks: \(outcome, isFine ? .good : .bad)")
    }
    for finding in report.findings { page.line("  \(finding)") }
    for notice in report.notices { page.line("note: \(notice)") }
  }
}
