import ArgumentParser
import Backup
import Fingerprint
import MongoDB

/// `martlet backup drill`.
struct BackupDrillCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "drill", "Restore a backup into a throwaway mongod and compare everything.",
    discussion: """
      Every fingerprint and every index is compared with the manifest, and the time it took is printed: \
      the measured recovery time. The mongod is MARTLET_MONGOD or the one on PATH; nothing of it stays.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Argument(help: "Its id, or the beginning of it; the newest good one without.")
  var id: String?

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let console = context.console
    let report = try Drill(
      try base.store(), age: base.age, cancellation: context.cancellation,
      notice: { console.status("note: \($0)") }
    ).run(id)
    console.show(DrillPage(report: report))
    return .done
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
    ]
  }

  func write(to page: inout Page) {
    page.line("\(report.backup, .bold) can be restored: \("as it was", .good)")
    page.line(
      "\(String(report.collections)) collections, \(Quantity.grouped(report.documents)) documents, \(String(report.indexes)) indexes compared on \(report.serverVersion)"
    )
    page.line("recovery time: \(Quantity.time(.milliseconds(report.recoveryMilliseconds)), .bold)")
    for notice in report.notices { page.line("note: \(notice)") }
  }
}
