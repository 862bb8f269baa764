import ArgumentParser
import BSON
import Dump

/// What of a dump is loaded, and under which names.
struct LoadSelection: ParsableArguments {
  @Option(
    name: .customLong("nsInclude"),
    help: ArgumentHelp("Load what matches; may be repeated.", valueName: "pattern"))
  var nsInclude: [String] = []

  @Option(
    name: .customLong("nsExclude"),
    help: ArgumentHelp("Leave out; may be repeated.", valueName: "pattern"))
  var nsExclude: [String] = []

  @Option(
    name: .customLong("nsFrom"),
    help: ArgumentHelp("Rename what matches; with --nsTo.", valueName: "pattern"))
  var nsFrom: [String] = []

  @Option(name: .customLong("nsTo"), help: ArgumentHelp("The new name.", valueName: "pattern"))
  var nsTo: [String] = []

  @Option(name: .customLong("excludeCollection"), help: .hidden)
  var excludeCollection: [String] = []

  @Option(name: .customLong("excludeCollectionsWithPrefix"), help: .hidden)
  var excludeCollectionsWithPrefix: [String] = []

  func selection(database: String?, collection: String?) throws -> NamespaceSelection {
    guard nsFrom.count == nsTo.count else {
      throw CommandError(.usage, "--nsFrom and --nsTo come in pairs")
    }
    var includes = nsInclude
    if let database {
      includes.append(NamespacePattern.escape(database) + "." + (collection ?? "*"))
    } else if collection != nil {
      throw CommandError(.usage, "--collection needs --db")
    }
    let excludes =
      nsExclude + excludeCollection.map { "*." + NamespacePattern.escape($0) }
      + excludeCollectionsWithPrefix.map { "*." + NamespacePattern.escape($0) + "*" }
    return NamespaceSelection(
      includes: try includes.map { try NamespacePattern($0) },
      excludes: try excludes.map { try NamespacePattern($0) },
      renames: try zip(nsFrom, nsTo).map { try NamespaceRename(from: $0, to: $1) })
  }
}

/// How a dump is loaded.
struct LoadBehaviour: ParsableArguments {
  @Flag(help: "Drop the collections that are in the dump first.")
  var drop = false

  @Flag(
    name: [.customLong("dryRun"), .customLong("dry-run")], help: "Stop before anything is written.")
  var dryRun = false

  @Flag(help: "Look into every document before it is sent.")
  var objcheck = false

  @Flag(name: .customLong("no-verify"), help: "Do not read the input once before writing.")
  var noVerify = false

  @Flag(name: .customLong("oplogReplay"), help: "Replay the oplog after the documents.")
  var oplogReplay = false

  @Option(
    name: .customLong("oplogLimit"),
    help: ArgumentHelp("Stop before the first entry of this time.", valueName: "seconds[:n]"))
  var oplogLimit: String?

  @Option(name: .customLong("oplogFile"), help: ArgumentHelp("Another oplog.", valueName: "file"))
  var oplogFile: String?

  @Flag(name: .customLong("restoreDbUsersAndRoles"), help: "Also the database's users and roles.")
  var restoreDbUsersAndRoles = false

  @Option(
    name: .customLong("writeConcern"),
    help: ArgumentHelp("A number, a word or JSON.", valueName: "w"))
  var writeConcern: String?

  @Flag(name: .customLong("noIndexRestore"), help: "Only _id indexes.")
  var noIndexRestore = false

  @Flag(name: .customLong("convertLegacyIndexes"), help: "Make old indexes acceptable.")
  var convertLegacyIndexes = false

  @Flag(name: .customLong("noOptionsRestore"), help: "Collections without their options.")
  var noOptionsRestore = false

  @Flag(name: .customLong("keepIndexVersion"), help: "Keep the indexes' versions.")
  var keepIndexVersion = false

  @Flag(name: .customLong("fixDottedHashIndex"), help: .hidden)
  var fixDottedHashIndex = false

  @Flag(
    name: .customLong("maintainInsertionOrder"),
    help: "In order, one thread, until the first failure.")
  var maintainInsertionOrder = false

  @Option(
    name: [.customShort("j"), .customLong("numParallelCollections")],
    help: ArgumentHelp("Collections at a time.", valueName: "n"))
  var numParallelCollections = 4

  @Option(
    name: .customLong("numInsertionWorkersPerCollection"),
    help: ArgumentHelp("Threads that insert.", valueName: "n"))
  var insertionWorkers: Int?

  @Flag(name: .customLong("stopOnError"), help: "End at the first refused document.")
  var stopOnError = false

  @Flag(name: .customLong("bypassDocumentValidation"), help: "Load what validators refuse.")
  var bypassDocumentValidation = false

  @Flag(name: .customLong("preserveUUID"), help: "Keep the collections' UUIDs; needs --drop.")
  var preserveUUID = false

  @Option(name: .customLong("batchSize"), help: .hidden)
  var batchSize: Int?

  @Option(name: .customLong("tempUsersColl"), help: .hidden)
  var tempUsersColl: String?

  @Option(name: .customLong("tempRolesColl"), help: .hidden)
  var tempRolesColl: String?

  /// - Parameter uriConcern: the `w` of the connection string, for want of the flag.
  func options(database: String?, uriConcern: String?) throws -> LoadOptions {
    var load = LoadOptions()
    load.drop = drop
    load.dryRun = dryRun
    load.checksDocuments = objcheck
    load.verifiesFirst = !noVerify
    load.replaysOplog = oplogReplay
    load.oplogLimit = try oplogLimit.map(Self.limit).flatMap { $0.rawValue == 0 ? nil : $0 }
    load.oplogFile = oplogFile
    load.writeConcern = try (writeConcern ?? uriConcern).map(Self.concern) ?? load.writeConcern
    load.skipsIndexes = noIndexRestore
    load.convertsLegacyIndexes = convertLegacyIndexes
    load.skipsOptions = noOptionsRestore
    load.keepsIndexVersions = keepIndexVersion
    load.fixesDottedHashIndexes = fixDottedHashIndex
    load.maintainsInsertionOrder = maintainInsertionOrder
    load.parallel = numParallelCollections
    load.insertThreads =
      maintainInsertionOrder
      ? 1 : insertionWorkers.map { min($0 * numParallelCollections, 16) } ?? 3
    load.stopsOnError = stopOnError
    load.bypassesValidation = bypassDocumentValidation
    load.preservesUUIDs = preserveUUID
    if let batchSize { load.batchSize = batchSize }
    if restoreDbUsersAndRoles {
      guard let database, database != "admin" else {
        throw CommandError(.usage, "--restoreDbUsersAndRoles needs --db, and not admin")
      }
      load.usersAndRoles = .database(database)
    } else if database != nil, database != "admin" {
      load.usersAndRoles = .never
    }
    try load.check()
    return load
  }

  static func limit(_ text: String) throws(CommandError) -> Timestamp {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, let seconds = UInt32(parts[0]),
      let increment = parts.count == 2 && !parts[1].isEmpty ? UInt32(parts[1]) : 0
    else { throw CommandError(.usage, "--oplogLimit is SECONDS or SECONDS:N") }
    return Timestamp(seconds: seconds, increment: increment)
  }

  static func concern(_ text: String) throws(CommandError) -> Document {
    if text.hasPrefix("{") {
      guard let document = try? ExtendedJSON.parseDocument(text) else {
        throw CommandError(.usage, "--writeConcern is not JSON")
      }
      return document.has("w") ? document : ["w": 1]
    }
    if let number = Int32(text) { return ["w": .int32(number)] }
    return ["w": .string(text)]
  }
}
