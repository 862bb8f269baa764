import ArgumentParser
import BSON
import Dump
import Fingerprint
import Foundation
import Glibc
import MongoDB

/// `martlet dump`: mongodump's flags and formats.
struct DumpCommand: LeafCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump",
    abstract: "Dump a server, a database or a collection, as mongodump does.",
    discussion: """
      Writes mongodump's formats. On a replica set of 5.0 or newer everything is read at one moment, \
      unless a collection is capped or the reading would take too long; how it was read is printed.

      EXAMPLES:
        martlet dump --db shop --archive=shop.archive.gz --gzip
        martlet dump --out dump                   # a folder, all databases
        martlet dump --db shop --archive | ssh host martlet load --archive
        martlet dump --oplog --archive=all.archive --summary all.json
      """,
    helpNames: [.long])

  static let movesData = true

  @OptionGroup var tool: ToolOptions

  @Argument(help: ArgumentHelp("Connection string.", valueName: "uri"))
  var positional: String?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("Folder; - is standard output.", valueName: "dir"))
  var out: String?

  @Option(
    name: .long, help: ArgumentHelp("One file; without a value standard output.", valueName: "file")
  )
  var archive: String?

  @Flag(help: "Compress.")
  var gzip = false

  @Option(name: .customLong("gzip-level"), help: ArgumentHelp("1 (fast) to 9.", valueName: "n"))
  var gzipLevel = 1

  @Option(name: .shortAndLong, help: ArgumentHelp("Only these documents.", valueName: "json"))
  var query: String?

  @Option(
    name: .customLong("queryFile"), help: ArgumentHelp("The same in a file.", valueName: "file"))
  var queryFile: String?

  @Option(
    name: .customLong("readPreference"),
    help: ArgumentHelp("primary, secondary, …", valueName: "mode"))
  var readPreference: String?

  @Flag(name: .customLong("forceTableScan"), help: .hidden)
  var forceTableScan = false

  @Flag(help: "Also the oplog of the time it takes.")
  var oplog = false

  @Flag(help: "Everything at one moment, or fail.")
  var consistent = false

  @Flag(
    name: .customLong("no-consistent"), help: "Each collection when its turn comes, as mongodump.")
  var notConsistent = false

  @Flag(name: .customLong("dumpDbUsersAndRoles"), help: "Also the database's users and roles.")
  var dumpDbUsersAndRoles = false

  @Option(
    name: .customLong("excludeCollection"),
    help: ArgumentHelp("Leave out; may be repeated.", valueName: "name"))
  var excludeCollection: [String] = []

  @Option(
    name: .customLong("excludeCollectionsWithPrefix"),
    help: ArgumentHelp("Leave out by beginning; may be repeated.", valueName: "prefix"))
  var excludeCollectionsWithPrefix: [String] = []

  @Option(
    name: [.customShort("j"), .customLong("numParallelCollections")],
    help: ArgumentHelp("Read at a time.", valueName: "n"))
  var numParallelCollections = 4

  @Flag(name: .customLong("viewsAsCollections"), help: "What views show, and no collections.")
  var viewsAsCollections = false

  @Option(help: ArgumentHelp("Counts, bytes and fingerprints as JSON.", valueName: "file"))
  var summary: String?

  @Option(name: .customLong("min-snapshot-range"), help: .hidden)
  var rangeSize: Int64 = 32 << 20

  var options: GlobalOptions {
    var global = tool.global
    if let positional, positional.hasPrefix("mongodb") { global.uri = positional }
    // The archive is on standard output: nothing else may be.
    if archive == "-" || out == "-" { global.json = false }
    return global
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let settings = try context.settings()
    let dump = try dumpOptions(context, settings)
    let target = try target()
    let pool = try tool.pool(context, settings, size: numParallelCollections + 4)
    let progress = Progress(context.console, "dump", unit: .bytes)
    var watched = dump
    watched.progress = { progress.update(done: $0.bytes, total: $0.expectedBytes) }
    watched.notice = { context.console.status("note: \($0)") }
    let result = try Dumper(pool: pool, options: watched).run(to: target)
    progress.finish()
    if let summary { try write(result, to: summary) }
    if options.json { context.console.out(result.document.extendedJSON(.relaxed, indent: 2)) }
    let moment = result.clusterTime.map { " at \($0)" } ?? ""
    context.console.status(
      "\(result.total.count) documents of \(result.collections.count) collections; "
        + "consistency: \(result.mode.rawValue)\(moment)")
    if result.collections.isEmpty, tool.collection == nil {
      let place = dump.database.map { "the database \($0)" } ?? "the server"
      context.console.status("note: \(place) has nothing to dump; is the name right?")
    }
    return .done
  }

  // MARK: - Options

  private func dumpOptions(_ context: CommandContext, _ settings: Settings) throws -> DumpOptions {
    try refuse()
    var dump = DumpOptions()
    dump.database = tool.database(settings)
    dump.collection = tool.collection
    dump.query = try parsedQuery(selection())
    dump.excludedCollections = excludeCollection
    dump.excludedPrefixes = excludeCollectionsWithPrefix
    dump.includesUsersAndRoles = dumpDbUsersAndRoles
    dump.viewsAsCollections = viewsAsCollections
    dump.parallel = numParallelCollections
    dump.rangeSize = rangeSize
    dump.compressionLevel = gzip ? gzipLevel : nil
    dump.readPreference = try ReadPreference.named(
      readPreference ?? tool.uriOption("readPreference", settings))
    dump.cancellation = context.cancellation
    if oplog {
      dump.consistency = .oplog
    } else if consistent {
      dump.consistency = .snapshot
    } else if notConsistent || dump.query != nil {
      dump.consistency = .none
    }
    try dump.check()
    return dump
  }

  private func refuse() throws(CommandError) {
    let pairs: [(Bool, String)] = [
      (out != nil && archive != nil, "--out and --archive exclude each other"),
      (out == "-" && tool.collection == nil, "--out - takes one collection"),
      (out == "-" && gzip, "--out - is not compressed"),
      (query != nil && queryFile != nil, "--query and --queryFile exclude each other"),
      (forceTableScan && query != nil, "--forceTableScan and --query exclude each other"),
      (consistent && (oplog || notConsistent), "--consistent stands alone"),
      (oplog && notConsistent, "--oplog and --no-consistent exclude each other"),
      (!(1...9).contains(gzipLevel), "--gzip-level is 1 to 9"),
      (
        positional != nil && positional?.hasPrefix("mongodb") != true,
        "the only argument without a flag is a connection string"
      ),
    ]
    for (isWrong, message) in pairs where isWrong { throw CommandError(.usage, message) }
  }

  private func selection() throws(CommandError) -> String? {
    guard let queryFile else { return query }
    guard let text = try? String(contentsOfFile: queryFile, encoding: .utf8) else {
      throw CommandError(.usage, "cannot read \(queryFile)")
    }
    guard !text.allSatisfy(\.isWhitespace) else {
      throw CommandError(
        .usage, "there is no query in \(queryFile)", hint: "for every document write {} there")
    }
    return text
  }

  private func parsedQuery(_ text: String?) throws -> Document? {
    // A script's `--query "$QUERY"` with nothing in it: everything, as with mongodump.
    guard let text, !text.isEmpty else { return nil }
    do { return try ExtendedJSON.parseDocument(text) } catch {
      throw CommandError(.usage, "the query is not Extended JSON: \(error)")
    }
  }

  private func target() throws -> DumpTarget {
    if out == "-" { return .documents(DescriptorSink(descriptor: 1, path: "standard output")) }
    guard let archive else { return .directory(path: out ?? "dump") }
    if archive == "-" {
      return .archiveStream(DescriptorSink(descriptor: 1, path: "standard output"))
    }
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: archive, isDirectory: &isDirectory),
      isDirectory.boolValue
    {
      return .archive(path: archive + (gzip ? "/archive.gz" : "/archive"))
    }
    if let device = try device(archive) { return .archiveStream(device) }
    return .archive(path: archive)
  }

  /// A device, a pipe or a socket is written to as it is; nil for a file or nothing.
  private func device(_ path: String) throws(CommandError) -> DescriptorSink? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG else { return nil }
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw CommandError(.file, "cannot write to \(path)") }
    return DescriptorSink(descriptor: descriptor, path: path)
  }

  private func write(_ result: DumpSummary, to path: String) throws {
    let text = Array((result.document.extendedJSON(.relaxed, indent: 2) + "\n").utf8)
    if let device = try device(path) {
      return try text.withUnsafeBytes { try device.write($0) }
    }
    try OutputFile.write(text, to: path)
  }
}

extension ReadPreference {
  /// A mode by its name, or `{"mode": …, "tagSets": […], "maxStalenessSeconds": …}`.
  static func named(_ text: String?) throws(CommandError) -> ReadPreference {
    guard let text else { return .primary }
    guard text.hasPrefix("{") else { return try named(mode: text, [], nil) }
    guard let document = try? ExtendedJSON.parseDocument(text),
      let mode = document["mode"]?.stringValue
    else { throw CommandError(.usage, "--readPreference takes a mode, or JSON with a \"mode\"") }
    for key in document.keys where !["mode", "tagSets", "maxStalenessSeconds"].contains(key) {
      throw CommandError(.usage, "--readPreference does not know \"\(key)\"")
    }
    let tags = document["tagSets"]?.arrayValue?.map(\.documentValue) ?? []
    let staleness = document["maxStalenessSeconds"]
    guard document["tagSets"].map({ $0.arrayValue != nil }) ?? true, !tags.contains(nil),
      tags.allSatisfy({ $0?.allSatisfy { $0.value.stringValue != nil } ?? false }),
      staleness == nil || staleness?.integerValue != nil
    else {
      throw CommandError(
        .usage, "--readPreference takes tagSets as [{\"name\": \"value\"}] and whole seconds")
    }
    return try named(mode: mode, tags.compactMap(\.self), staleness?.integerValue)
  }

  private static func named(
    mode name: String, _ tagSets: [Document], _ staleness: Int64?
  ) throws(CommandError) -> ReadPreference {
    guard let mode = Mode(rawValue: name) else {
      throw CommandError(.usage, "'\(name)' is not a read preference")
    }
    let made = Result { () throws(MongoError) in
      try ReadPreference(mode, tagSets: tagSets, maxStalenessSeconds: staleness)
    }
    switch made {
    case .success(let preference): return preference
    case .failure(let error): throw CommandError(.usage, error.message)
    }
  }
}
