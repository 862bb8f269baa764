import Dump
import Fingerprint
import Foundation
import Migration
import MongoDB

/// Archives of dropped collections in a folder, `.martlet/kept/DATABASE/` beside the configuration.
///
/// They are mongodump archives: mongorestore reads them too.
struct KeptArchives: CollectionArchive {
  let folder: String

  func keep(
    _ collection: String, as name: String, database: String, pool: ClientPool
  ) throws -> ArchivedCollection {
    let directory = "\(folder)/\(database)"
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o700])
    let path = "\(directory)/\(Self.fileName(name)).archive.gz"
    var options = DumpOptions()
    options.database = database
    options.collection = collection
    options.compressionLevel = 6
    options.consistency = .none
    let written = try Dumper(pool: pool, options: options).run(to: .archive(path: path))
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    // Nothing is dropped on the strength of a file that nobody has read.
    let read = try Inspector().inspect(path: path)
    guard read.total == written.total else {
      throw CommandError(
        .failed, "\(path) does not hold what was written; the collection stays as it is")
    }
    return ArchivedCollection(
      collection: collection, path: path, documents: read.total.count, bytes: read.total.bytes)
  }

  func load(
    _ archive: ArchivedCollection, as collection: String, database: String, pool: ClientPool
  ) throws {
    guard FileManager.default.fileExists(atPath: archive.path) else {
      throw CommandError(
        .failed, "the archive \(archive.path) is not here",
        hint: "run this on the host, and in the folder, where the collection was archived")
    }
    var options = LoadOptions()
    // The archive holds this collection alone.
    options.selection.renames = [
      try NamespaceRename(
        from: Self.quoted("\(database).\(archive.collection)"),
        to: Self.quoted("\(database).\(collection)"))
    ]
    options.drop = true
    options.bypassesValidation = true
    let loaded = try Loader(pool: pool, options: options).run(from: .archive(path: archive.path))
    guard loaded.failed == 0, loaded.inserted == archive.documents else {
      throw CommandError(
        .failed,
        "\(loaded.inserted) of \(archive.documents) documents of \(archive.path) could be loaded")
    }
  }

  func delete(_ archive: ArchivedCollection) throws {
    guard FileManager.default.fileExists(atPath: archive.path) else { return }
    try FileManager.default.removeItem(atPath: archive.path)
  }

  /// Names of collections may hold what names of files may not.
  private static func fileName(_ collection: String) -> String {
    collection.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(["_", "-"]))
      ?? collection
  }

  private static func quoted(_ name: String) -> String {
    name.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "*", with: "\\*")
  }
}
