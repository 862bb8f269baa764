import ArgumentParser
import Validation

/// Of the validate commands: what goes in and comes out.
struct ReportingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Folder for the report: one .html, one .json and one .xml (JUnit).", valueName: "folder"),
    completion: .directory)
  var report: String?

  @Flag(help: "Warnings and skipped checks fail too.")
  var strict = false

  @Flag(help: "Show values of documents, which are redacted otherwise.")
  var showValues = false
}

/// Of those that look at a server.
struct CheckingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Rules file (validation/rules.yaml).", valueName: "file"),
    completion: .file(extensions: ["yaml", "yml"]))
  var rules: String?

  @Option(
    help: ArgumentHelp("Write a snapshot to this file.", valueName: "file"), completion: .file())
  var save: String?

  @Option(
    help: ArgumentHelp(
      "Compare with this snapshot, or with a backup's manifest.json.", valueName: "file"),
    completion: .file())
  var against: String?

  @Flag(help: "Read from a secondary, where there is one.")
  var secondary = false

  @Option(
    help: ArgumentHelp("Skip what is not done after this time.", valueName: "time"))
  var timeBudget: TimeSpan?

  @Flag(help: "Also let the server validate every collection, in the background: slow.")
  var integrity = false

  @Flag(help: "Also prove, by writing a document, that a majority of the members takes writes.")
  var writeCheck = false

  @Option(
    help: ArgumentHelp(
      "How long the window may take: the oplog has to reach that far.", valueName: "time"))
  var maxRuntime: TimeSpan?

  @Option(
    help: ArgumentHelp(
      "Keep what is done in this file: a run that was killed goes on there.", valueName: "file"),
    completion: .file())
  var state: String?
}
