import ArgumentParser
import BSON
import Backup
import MongoDB

/// `martlet oplog`.
struct OplogGroup: ParsableCommand {
  static let configuration = CommandConfiguration.martlet(
    "oplog", "Continuous capture, for going back to any moment.",
    subcommands: [OplogRunCommand.self, OplogStatusCommand.self])
}

/// `martlet oplog run`.
struct OplogRunCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "run", "Copy the oplog into slices until it is stopped.",
    discussion: """
      A first start begins at the newest backup that the oplog still reaches. A restart or a failover goes \
      on without a gap; a real one is told, recorded and shown. Interrupted or terminated it closes its \
      slice and ends with 0. `martlet schedule systemd` prints a unit for it.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Option(help: ArgumentHelp("Age at which a slice is closed.", valueName: "time"))
  var slice: TimeSpan?

  @Option(
    name: .customLong("only-db"),
    help: ArgumentHelp("Only entries of this database; may be repeated.", valueName: "name"))
  var databases: [String] = []

  @Flag(name: .customLong("new-chain"), help: "Begin although the store has another replica set's.")
  var newChain = false

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let store = try base.store()
    var capture = OplogCapture.Options()
    capture.slice = slice?.duration ?? base.settings.configuration.oplog.slice ?? .seconds(60)
    // Without an age of its own every look at the server would make a slice.
    guard capture.slice >= .seconds(1) else {
      throw CommandError(.usage, "a slice is closed after 1s at the earliest", hint: "--slice 60s")
    }
    for name in databases where name.isEmpty || name.contains(where: { "/\\. \"$\0".contains($0) })
    {
      throw CommandError(.usage, "'\(name)' is not a database's name", hint: "look at --only-db")
    }
    capture.databases = databases
    capture.age = base.age
    capture.acceptsOtherChains = newChain
    capture.cancellation = context.cancellation
    let console = context.console
    let isJSON = options.json
    capture.notice = { console.warn("\($0)") }
    let metrics = base.settings.configuration.notify.metrics
    capture.sliced = { slice in
      if let metrics {
        do { try BackupMetrics.note(slice, in: metrics) } catch {
          console.warn("the metrics could not be written: \(ErrorReport(error).message)")
        }
      }
      if isJSON { console.stream(OplogStatusPage.json(slice)) }
      console.status(
        "slice to \(Moment.text(Int64(slice.end.seconds))): \(Quantity.grouped(slice.count)) entries, \(Quantity.bytes(slice.digest.size))"
      )
    }
    try OplogCapture(store, pool: try context.pool(base.settings), options: capture).run()
    if case .leaseLost = context.cancellation.reason { return .locked }
    return .done
  }
}

/// `martlet oplog status`.
struct OplogStatusCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "status", "What can be recovered to, gaps, lag, bytes a day.",
    discussion: "With --offline the server is not asked, and the lag is not known.")

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Flag(help: "Do not ask the server.")
  var offline = false

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let pool = offline ? nil : try context.pool(base.settings)
    let status: OplogStatus
    do { status = try OplogStatus.read(try base.store(), pool: pool) } catch let error as MongoError
    {
      context.console.warn("the server does not answer, the lag is not known: \(error.message)")
      status = try OplogStatus.read(try base.store())
    }
    context.console.show(OplogStatusPage(status: status))
    if status.chains.contains(where: status.needsBase) {
      context.console.next("martlet backup run")
    }
    return .done
  }
}

struct OplogStatusPage: CommandOutput {
  let status: OplogStatus

  static func json(_ slice: Slice) -> JSONValue {
    [
      "start": .string(OplogTime.text(slice.start)), "end": .string(OplogTime.text(slice.end)),
      "entries": .integer(slice.count), "bytes": .integer(slice.bytes),
      "storedBytes": .integer(slice.digest.size),
    ]
  }

  var json: JSONValue {
    [
      "windows": .array(status.windows.map(BackupListPage.json)),
      "lagSeconds": .integer(optional: status.lag),
      "chains": .array(
        status.chains.map { chain in
          [
            "replicaSetId": .string(chain.replicaSetID),
            "slices": .integer(Int64(chain.slices.count)),
            "bytesPerDay": .integer(optional: OplogStatus.bytesPerDay(chain)),
            "damaged": .array(
              chain.missed.map {
                [
                  "start": .string(OplogTime.text($0.slice.start)),
                  "end": .string(OplogTime.text($0.slice.end)), "reason": .string($0.reason),
                ]
              }),
            "gaps": .array(
              chain.gaps.map {
                [
                  "after": .string(OplogTime.text($0.after)),
                  "before": .string(OplogTime.text($0.before)),
                ]
              }),
            "timelineEnds": .array(
              chain.ends.map {
                ["at": .string(OplogTime.text($0.at)), "restored": .string($0.end.backup)]
              }),
            "needsBase": .bool(status.needsBase(chain)),
            "newerSlices": .strings(chain.newer.map(\.path)),
          ]
        }),
    ]
  }

  func write(to page: inout Page) {
    page.heading("can be recovered to (local time)")
    if status.windows.isEmpty {
      page.line("  nothing yet: a base (martlet backup run) and slices are needed")
    }
    for window in status.windows { page.line("  \(window.text())") }
    for chain in status.chains {
      page.line("replica set \(chain.replicaSetID, .bold): \(String(chain.slices.count)) slices")
      if let bytes = OplogStatus.bytesPerDay(chain) {
        page.line("  \(Quantity.bytes(bytes)) a day")
      }
      for damaged in chain.missed {
        page.line(
          StyledText("  damaged: ", .bad)
            + StyledText("\(OplogTime.text(damaged.slice.start)): \(damaged.reason)"))
      }
      for gap in chain.gaps {
        page.line(
          StyledText("  gap: ", .bad)
            + StyledText(
              "\(Moment.text(Int64(gap.after.seconds))) to \(Moment.text(Int64(gap.before.seconds)))"
            ))
      }
      for end in chain.ends {
        page.line(
          "  a timeline ended at \(Moment.text(Int64(end.at.seconds))): \(end.end.backup) was restored"
        )
      }
      if let newer = chain.newer.first {
        page.line(
          StyledText("  not readable: ", .bad)
            + StyledText(
              "\(chain.newer.count) slices from \(Moment.text(Int64(newer.start.seconds))) on were written by a newer version"
            ))
      }
      if status.needsBase(chain) {
        page.line(
          StyledText("  a new base is needed: ", .bad)
            + StyledText("without it nothing after the last gap or restore can be recovered to"))
      }
    }
    if let lag = status.lag { page.line("behind the server: \(Quantity.time(.seconds(lag)))") }
  }
}
