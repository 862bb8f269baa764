import ArgumentParser
import BSON
import Dump
import Fingerprint
import Foundation
import MongoDB

/// `martlet load`: mongorestore's flags.
struct LoadCommand: LeafCommand {
  static let configuration = CommandConfiguration(
    commandName: "load",
    abstract: "Load a dump, as mongorestore does.",
    discussion: """
      Reads mongodump's formats; gzip is recognised. What can be read twice is checked before the first \
      write. Documents that the server refuses are listed, and the exit code is then 3.

      EXAMPLES:
        martlet load --archive=shop.archive.gz --drop
        martlet load dump --nsFrom 'shop.*' --nsTo 'copy.*'
        martlet load --archive=all.archive --oplogReplay --errors failed.jsonl
      """,
    helpNames: [.long])

  static let movesData = true

  @OptionGroup var tool: ToolOptions
  @OptionGroup var selection: LoadSelection
  @OptionGroup var behaviour: LoadBehaviour

  @Argument(
    help: ArgumentHelp("Folder, .bson file, - or a connection string.", valueName: "source"))
  var positional: [String] = []

  @Option(
    name: .customLong("dir"), help: ArgumentHelp("Folder; - is standard input.", valueName: "dir"))
  var directory: String?

  @Option(
    name: .long, help: ArgumentHelp("Archive; without a value standard input.", valueName: "file"))
  var archive: String?

  @Flag(help: "Accepted; gzip is recognised by itself.")
  var gzip = false

  @Option(help: ArgumentHelp("Failed documents, one JSON line each.", valueName: "file"))
  var errors: String?

  var options: GlobalOptions {
    var global = tool.global
    if let uri = positional.first(where: { $0.hasPrefix("mongodb") }) { global.uri = uri }
    return global
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let settings = try context.settings()
    let database = tool.database(settings)
    var load = try behaviour.options(
      database: database, uriConcern: tool.uriOption("w", settings))
    load.selection = try selection.selection(database: database, collection: tool.collection)
    if !load.selection.includes.isEmpty, load.usersAndRoles == .whenWhole {
      load.usersAndRoles = .never
    }
    load.cancellation = context.cancellation
    let source = try source(database)
    let log = try FailureLog(path: errors, console: context.console)
    load.failed = { log.add($0) }
    load.notice = { context.console.status("note: \($0)") }
    let progress = Progress(context.console, "load", unit: .bytes)
    load.progress = { progress.update(done: $0.bytes, total: $0.expectedBytes) }
    let pool = try tool.pool(context, settings, size: load.insertThreads + load.parallel + 2)
    var result = try Loader(pool: pool, options: load).run(from: source)
    progress.finish()
    let isListed = log.finish()
    if !isListed { result.notices.append(FailureLog.cut) }
    if options.json { context.console.out(result.document.extendedJSON(.relaxed, indent: 2)) }
    let status = report(result, context)
    guard isListed else {
      // Not partly done, which promises that everything is listed.
      context.console.warn(
        "\(FailureLog.cut); to have it make room and load once more with --drop: without it every "
          + "document that is there already is refused")
      return .failed
    }
    return status
  }

  private func report(_ result: LoadSummary, _ context: CommandContext) -> CommandStatus {
    if result.collections.isEmpty, !result.hasUsers, result.replayed == 0 {
      context.console.status(
        "note: nothing in the dump was chosen; `martlet inspect` shows what it has")
    }
    if result.isDryRun {
      context.console.status("dry run: \(result.collections.count) collections would be loaded")
      return .done
    }
    context.console.status(
      "\(result.inserted) document(s) restored successfully. "
        + "\(result.failed) document(s) failed to restore.")
    for collection in result.collections
    where collection.inserted + collection.failed != collection.tally.count {
      context.console.warn(
        "\(collection.target.description): the dump has \(collection.tally.count) documents, "
          + "\(collection.inserted) were inserted and \(collection.failed) refused")
    }
    if result.replayed > 0 { context.console.status("\(result.replayed) oplog entries applied") }
    return result.isComplete ? .done : .partlyDone
  }

  // MARK: - Source

  private func source(_ database: String?) throws -> LoadSource {
    let paths = positional.filter { !$0.hasPrefix("mongodb") }
    guard paths.count + (directory == nil ? 0 : 1) + (archive == nil ? 0 : 1) <= 1 else {
      throw CommandError(.usage, "more than one source: one of a folder, --dir or --archive")
    }
    if let archive { return archiveSource(archive) }
    let path = directory ?? paths.first ?? "dump"
    let collection = tool.collection
    if path == "-" {
      guard let database, let collection else {
        throw CommandError(.usage, "documents from standard input need --db and --collection")
      }
      return .documents(
        FileSource(descriptor: 0, path: "standard input"), Namespace(database, collection))
    }
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
      throw CommandError(.file, "there is no \(path)")
    }
    if isDirectory.boolValue { return .directory(path: path, database: database) }
    return .file(path: path, try namespace(of: path, database, collection))
  }

  private func archiveSource(_ archive: String) -> LoadSource {
    if archive == "-" {
      return .archiveStream(FileSource(descriptor: 0, path: "standard input"))
    }
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: archive, isDirectory: &isDirectory),
      isDirectory.boolValue
    {
      return .archive(path: archive + (gzip ? "/archive.gz" : "/archive"))
    }
    return .archive(path: archive)
  }

  /// The collection from the file's name, the database from its folder's.
  private func namespace(of path: String, _ database: String?, _ collection: String?) throws
    -> Namespace
  {
    var parts = path.split(separator: "/").map(String.init)
    var stem = parts.popLast() ?? ""
    for suffix in [".gz", ".bson", ".bin"] where stem.hasSuffix(suffix) {
      stem.removeLast(suffix.count)
    }
    let name = try collection ?? FileNames.collection(of: stem, known: stem)
    return Namespace(database ?? parts.last ?? "test", name)
  }
}

/// Keeps the list of refused documents: in a file, and the first ones on the terminal.
private final class FailureLog: @unchecked Sendable {
  private let lock = NSLock()
  private let file: FileHandle?
  private let console: Console
  private var shown = 0
  private var isCut = false

  init(path: String?, console: Console) throws {
    self.console = console
    guard let path else {
      file = nil
      return
    }
    // Opened as it is: a device or a pipe is written to, and never replaced by a file.
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw CommandError(.file, "cannot write \(path): \(String(cString: strerror(errno)))")
    }
    file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
  }

  func add(_ failure: FailedDocument) {
    var line: Document = ["ns": .string(failure.namespace.description)]
    if let id = failure.id { line.append("_id", id) }
    line.append("code", .integer(failure.code))
    line.append("message", .string(failure.message))
    let text = line.extendedJSON(.canonical)
    lock.withLock {
      do { try file?.write(contentsOf: Data((text + "\n").utf8)) } catch { isCut = true }
      shown += 1
      if shown <= 10 {
        console.warn("\(failure.namespace.description): \(failure.message) (\(failure.code))")
      } else if shown == 11 {
        console.warn("more documents are refused; --errors FILE lists all of them")
      }
    }
  }

  static let cut = "the list of refused documents could not be written whole"

  /// False when the list is not whole: who reads it would take the rest for loaded.
  func finish() -> Bool {
    lock.withLock {
      // A file system may have kept its refusal back until here.
      do { try file?.close() } catch { isCut = true }
      return !isCut
    }
  }
}
