import ArgumentParser
import Foundation
import Migration

/// `martlet migrate create`: a new file with the next number.
struct CreateCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "create", "Write a new migration file with the next number.",
    discussion: """
      EXAMPLES:
        martlet migrate create loyalty_points
        martlet migrate create wishlists --template collection --collection wishlists
        martlet migrate create loyalty_points --template field --collection users --field points
        martlet migrate create expire_sessions --template ttl --timestamp
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions

  @Option(help: "What the file starts with.")
  var template: MigrationTemplate?

  @Option(help: ArgumentHelp("Collection in the template.", valueName: "name"))
  var collection = "things"

  @Option(help: ArgumentHelp("Field in the template.", valueName: "name"))
  var field = "status"

  @Flag(help: "Number by the time, YYYYMMDDHHMMSS, as teams with many branches do.")
  var timestamp = false

  @Argument(help: "What it is called: letters, digits, `_`, `-` and `.`.")
  var name: String

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let settings = try context.settings(migrations)
    let folder = settings.migrationsDirectory.value
    let number = try nextNumber(in: folder, settings)
    let stem = "\(number)_\(name.replacing(" ", with: "_"))"
    guard let id = MigrationID(stem), !name.isEmpty else {
      throw CommandError(
        .usage, "\(name) cannot be the name of a migration",
        hint: "use letters, digits, `_`, `-` and `.`")
    }
    let path = "\(folder)/\(id.stem).yaml"
    guard !FileManager.default.fileExists(atPath: path) else {
      throw CommandError(.file, "\(path) is there already")
    }
    let text = (template ?? .plain).text(
      description: name.replacing("_", with: " "), collection: collection, field: field)
    try DurableFile.write(text, to: path)
    context.console.show(CreatedPage(name: id.stem, path: path))
    context.console.next("edit the file, then martlet migrate lint && martlet migrate plan")
    return .done
  }

  private func nextNumber(in folder: String, _ settings: Settings) throws -> String {
    if !FileManager.default.fileExists(atPath: folder) {
      try? FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true)
    }
    let loaded = try MigrationProject.load(settings)
    // Files that cannot be read have numbers too.
    let stems =
      loaded.migrations.map(\.name)
      + loaded.errors.compactMap { $0.file.map { URL(filePath: $0).lastPathComponent } }
      .compactMap { $0.split(separator: ".").first.map(String.init) }
    let ids = stems.compactMap(MigrationID.init).sorted()
    return MigrationNumber.next(
      after: ids.last, timestamp: timestamp, now: Date())
  }
}

/// The number of a new migration.
enum MigrationNumber {
  /// The next one in the width that the last one has; by time when asked, or when the last one is.
  static func next(after last: MigrationID?, timestamp: Bool, now: Date) -> String {
    let digits = last.map { String($0.stem.prefix { $0.isNumber }) } ?? "000"
    let isTime = digits.count == 14
    if timestamp || isTime {
      let text = now.formatted(
        Date.ISO8601FormatStyle(dateSeparator: .omitted, timeSeparator: .omitted))
      let time = String(text.filter(\.isNumber).prefix(14))
      // Two in one second, or a clock behind the newest file.
      guard isTime, time <= digits, let newest = Int64(digits) else { return time }
      return String(newest + 1)
    }
    guard let number = Int64(digits) else { return digits + "1" }
    let next = String(number + 1)
    return String(repeating: "0", count: max(0, digits.count - next.count)) + next
  }
}

private struct CreatedPage: CommandOutput {
  let name: String
  let path: String

  var json: JSONValue { ["name": .string(name), "path": .string(path)] }
  func write(to page: inout Page) { page.line("\(path)") }
}
