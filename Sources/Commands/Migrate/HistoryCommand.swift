import ArgumentParser
import BSON
import Migration

/// `martlet migrate history`: every attempt, in both directions.
struct HistoryCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "history", "Every attempt so far, oldest first: who, when, which way, how it ended.",
    discussion: """
      EXAMPLES:
        martlet migrate history
        martlet migrate history 002_two_factor --limit 5
        martlet migrate history --json
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions

  @Option(help: ArgumentHelp("The newest so many.", valueName: "number"))
  var limit = 100

  @Argument(help: ArgumentHelp("Only of this migration: its name or number.", valueName: "id"))
  var id: String?

  func validate() throws {
    if limit < 1 { throw ValidationError("--limit must be at least 1") }
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations, filesNeeded: false)
    let name = id.map { id in
      project.migrator.migrations.first { $0.name == id || $0.id.number == id.drop { $0 == "0" } }?
        .name ?? id
    }
    let lines = try project.migrator.history(of: name, limit: limit)
    context.console.show(HistoryPage(lines: lines))
    context.console.next("martlet migrate show ID")
    return .done
  }
}

private struct HistoryPage: CommandOutput {
  let lines: [Document]

  var json: JSONValue {
    [
      "history": .array(
        lines.map { line in
          .object(
            line.filter { $0.key != "_id" }.map { element in
              (
                element.key,
                element.value.dateValue.map { .string($0.isoText) } ?? JSONValue(element.value)
              )
            })
        })
    ]
  }

  func write(to page: inout Page) {
    guard !lines.isEmpty else { return page.line("nothing has been run yet") }
    var table = Table(["at (UTC)", "what", "migration", "outcome", .number("took"), "by"])
    for line in lines {
      let failed = line["outcome"]?.stringValue != "success"
      let by = line["by"]?.documentValue
      let user = [by?["user"]?.stringValue, by?["host"]?.stringValue].compactMap(\.self)
      let took = line["duration_ms"]?.integerValue.map { Quantity.time(.milliseconds($0)) } ?? ""
      table.add(
        "\(line["at"]?.dateValue?.shownText ?? "")", "\(line["action"]?.stringValue ?? "")",
        "\(line["name"]?.stringValue ?? "")",
        StyledText(line["outcome"]?.stringValue ?? "", failed ? .bad : .good), "\(took)",
        "\(user.joined(separator: "@"))")
    }
    page.table(table)
    let errors = lines.suffix(20).compactMap { line -> (String, String)? in
      guard let text = line["error"]?.documentValue?["message"]?.stringValue else { return nil }
      return (line["at"]?.dateValue?.shownText ?? "", text)
    }
    for (at, text) in errors { page.line("\(at): \(text, .bad)") }
  }
}
