import ArgumentParser
import Foundation

/// `martlet init`: the files that a project starts with.
struct InitCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "init", "Write martlet.yaml, migrations/ and validation/rules.yaml.",
    discussion: """
      Writes what is missing and leaves what is there. With --force a file that differs is replaced, and the \
      old one stays beside it as FILE.bak.
      """)

  @OptionGroup var options: GlobalOptions

  @Option(
    help: ArgumentHelp("development, test, staging or production.", valueName: "name"))
  var environment: DeploymentEnvironment = .development

  @Flag(help: "Replace files that are there; the old ones are kept as FILE.bak.")
  var force = false

  @Argument(help: "Folder to write to.", completion: .directory)
  var folder = "."

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let root = ConfigurationFile.resolve(folder, from: context.surroundings.folder)
    let template = try template(root)
    var result = InitResult(folder: root, database: template.database)

    let configuration = options.config ?? ConfigurationFile.name
    let files = [
      (ConfigurationFile.resolve(configuration, from: root), template.configuration),
      (root + "/validation/rules.yaml", ProjectTemplate.rules),
    ]
    for folder in [root + "/migrations", root + "/validation"] {
      try result.files.append(makeFolder(folder))
    }
    for (path, text) in files { try result.files.append(write(text, to: path)) }

    context.console.show(result)
    for file in result.files where file.outcome == .differs {
      context.console.warn("\(file.path) differs and is kept; --force replaces it")
    }
    context.console.next("martlet doctor")
    return .done
  }

  private func template(_ root: String) throws(CommandError) -> ProjectTemplate {
    let uri = options.uri ?? "mongodb://127.0.0.1:27017"
    guard let text = ConnectionText(uri) else {
      throw CommandError(.usage, "--uri must start with mongodb:// or mongodb+srv://")
    }
    guard !text.hasPassword else {
      throw CommandError(
        .usage, "the password in --uri would be written to \(ConfigurationFile.name)",
        hint: "leave it out and set MARTLET_PASSWORD or use --password-file")
    }
    let name = options.db ?? text.database ?? ProjectTemplate.databaseName(ofFolder: root)
    return ProjectTemplate(uri: uri, database: name, environment: environment)
  }

  private func makeFolder(_ path: String) throws(CommandError) -> InitResult.File {
    let manager = FileManager.default
    var isFolder: ObjCBool = false
    if manager.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      return .init(path: path + "/", outcome: .same)
    }
    do {
      try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw CommandError(.file, "cannot make the folder \(path)")
    }
    return .init(path: path + "/", outcome: .written)
  }

  private func write(_ text: String, to path: String) throws(CommandError) -> InitResult.File {
    let manager = FileManager.default
    guard manager.fileExists(atPath: path) else {
      try DurableFile.write(text, to: path)
      return .init(path: path, outcome: .written)
    }
    let present = manager.contents(atPath: path)
    if present == Data(text.utf8) { return .init(path: path, outcome: .same) }
    guard force else { return .init(path: path, outcome: .differs) }
    guard let present, let old = String(data: present, encoding: .utf8) else {
      throw CommandError(.file, "cannot read \(path) to keep it as \(path).bak")
    }
    try DurableFile.write(old, to: path + ".bak")
    try DurableFile.write(text, to: path)
    return .init(path: path, outcome: .replaced)
  }
}

extension DeploymentEnvironment: ExpressibleByArgument {}

/// What `init` did.
struct InitResult: CommandOutput {
  enum Outcome: String {
    case written
    case same
    case differs
    case replaced

    var words: String {
      switch self {
      case .written: "written"
      case .same: "already there"
      case .differs: "kept as it is"
      case .replaced: "replaced, the old one is beside it as .bak"
      }
    }
  }

  struct File {
    var path: String
    var outcome: Outcome
  }

  var folder: String
  var database: String
  var files: [File] = []

  var json: JSONValue {
    [
      "folder": .string(folder),
      "database": .string(database),
      "files": .array(
        files.map { ["path": .string($0.path), "outcome": .string($0.outcome.rawValue)] }),
    ]
  }

  func write(to page: inout Page) {
    var table = Table(["file", "outcome"])
    for file in files {
      let changed = file.outcome == .written || file.outcome == .replaced
      table.add("\(file.path)", StyledText(file.outcome.words, changed ? .good : .dim))
    }
    page.table(table)
  }
}
