public import Fingerprint

/// What a dump holds, as reading all of it has shown.
public struct DumpReport: Sendable {
  /// One collection, view or time-series.
  public struct Collection: Sendable {
    /// The name that users know.
    public var namespace: Namespace
    /// Where the documents stand: buckets for a time-series.
    public var dataNamespace: Namespace
    /// Options, indexes, type.
    public var metadata: CollectionMetadata
    /// Count, bytes and fingerprint of the documents.
    public var tally: CollectionTally
    /// The archive's checksum, which was right; nil in folders.
    public var crc: UInt64?
  }

  /// `archive` or `directory`.
  public var format: String
  /// True when some of it is gzip.
  public var isCompressed: Bool
  /// Nil in folders without a prelude.
  public var serverVersion: String?
  public var toolVersion: String?
  /// What an archive's header says; nil in folders.
  public var concurrentCollections: Int32?
  /// In the order of their names; the oplog, if there is one, is `.oplog`.
  public var collections: [Collection]
  /// What is odd, though nothing is lost: mongorestore may stumble over it.
  public var findings: [String]

  /// Documents and bytes of everything together.
  public var total: CollectionTally {
    collections.reduce(into: CollectionTally()) { $0.add($1.tally) }
  }
}
