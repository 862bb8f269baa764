public import MongoDB

/// Keeps collections outside the database; what Migration needs of the dump engine.
public protocol CollectionArchive: Sendable {
  /// Writes a collection to an archive and reads it back. Blocks as long as that takes.
  ///
  /// - Parameter name: names the archive; no two kept collections share one, and one that is there
  ///   comes from an attempt that died.
  /// - Throws: when it could not be written, or what was read differs from what was there.
  func keep(
    _ collection: String, as name: String, database: String, pool: ClientPool
  ) throws -> ArchivedCollection

  /// Loads an archived collection, options and indexes included, under a name that is free or its own
  /// half-loaded one.
  func load(
    _ archive: ArchivedCollection, as collection: String, database: String, pool: ClientPool) throws

  /// Deletes an archive; one that is gone already is fine.
  func delete(_ archive: ArchivedCollection) throws
}

/// Where an archived collection is.
public struct ArchivedCollection: Sendable, Hashable {
  /// The name that the collection has inside the archive.
  public let collection: String
  /// Path or other name of the archive in its store.
  public let path: String
  /// Documents, counted in the same pass.
  public let documents: Int64
  /// Bytes of BSON, uncompressed.
  public let bytes: Int64

  public init(collection: String, path: String, documents: Int64, bytes: Int64) {
    self.collection = collection
    self.path = path
    self.documents = documents
    self.bytes = bytes
  }
}
