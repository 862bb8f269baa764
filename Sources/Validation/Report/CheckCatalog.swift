/// Every check there is: its stable id, and what it asks.
public enum CheckCatalog {
  /// One check.
  public struct Entry: Sendable, Hashable {
    public let id: String
    /// `before`, `after`, `compare`, `rules`, `doctor`.
    public let place: String
    /// One sentence without a full stop.
    public let asks: String

    init(_ id: String, _ place: String, _ asks: String) {
      self.id = id
      self.place = place
      self.asks = asks
    }
  }

  /// In the order of docs/validation.md.
  public static let all: [Entry] = server + pending + always + rules + declared + compared

  private static let server: [Entry] = [
    Entry("connection", "before", "does a server answer"),
    Entry("version", "before", "is the version known, and the feature compatibility the same"),
    Entry("topology", "before", "is this the primary of a replica set"),
    Entry("members", "before", "is every member up"),
    Entry("replication-lag", "before", "are the secondaries within 30 s"),
    Entry("majority", "before", "are there enough members for a majority write"),
    Entry("oplog-window", "before", "does the oplog reach further than the run takes"),
    Entry("disk", "before", "is there room on every member that holds data"),
    Entry("clock", "before", "do the server's clock and ours agree"),
    Entry("privileges", "before", "may the user do what the plan needs"),
    Entry("write-check", "before", "does a canary document reach a majority (`--write-check`)"),
    Entry("active-work", "before", "are there long transactions, queries or index builds"),
    Entry("connections", "before", "are connections left"),
    Entry("configuration", "doctor", "is the configuration one"),
    Entry("migration-files", "before", "can the migration files be read"),
    Entry("lint", "before", "does lint find errors in them"),
    Entry("ledger", "before", "do files and ledger agree"),
    Entry("lock", "before", "is another run at work"),
    Entry("migration-unfinished", "before, after", "did a migration stop in the middle"),
  ]

  private static let pending: [Entry] = [
    Entry("index-conflict", "before, plan", "does an index stand in the way of a planned one"),
    Entry("index-limit", "before, plan", "are 64 indexes and 32 fields enough"),
    Entry("index-size", "before, plan", "how large will the index be"),
    Entry("ttl-blast", "before, plan", "how many documents does a new TTL index delete at once"),
    Entry(
      "validator-violations", "before, after, plan",
      "which documents would a validator refuse, the planned one or the collection's own"),
  ]

  private static let always: [Entry] = [
    Entry("database-present", "before, after", "has the database collections"),
    Entry("index-building", "before, after", "is every index complete"),
    Entry("index-prepared", "before, after", "is an index half way to being unique"),
    Entry("type-drift", "before, after", "has each indexed field one type"),
    Entry("view-broken", "before, after", "can every view be read"),
    Entry("field-names", "with a snapshot", "are there empty, dotted, all-digit or `$` names"),
    Entry("snapshot", "with a snapshot", "was every collection read, and all at one moment"),
    Entry("integrity", "on request", "does the server find the collection valid (`--integrity`)"),
    Entry("ttl-monitor", "after", "is the TTL monitor on"),
    Entry("ttl-passes", "after", "does the TTL monitor work"),
  ]

  private static let rules: [Entry] = [
    Entry("collection-missing", "rules", "is the collection there"),
    Entry("collection-count", "rules", "has it as many documents as expected"),
    Entry("collection-options", "rules", "has it the options that are expected"),
    Entry("index-missing", "rules", "is the index there"),
    Entry("index-options", "rules", "has the index all its options, and no others"),
    Entry("orphaned-references", "rules", "does every reference lead to a document"),
    Entry("null-references", "rules", "is a reference missing that is not nullable"),
    Entry("reference-types", "rules", "can the two sides of a reference be equal at all"),
    Entry("duplicate-keys", "rules, before, plan", "do two documents share what must be unique"),
    Entry("schema-violations", "rules", "does every document conform to the schema"),
    Entry("field-missing", "rules", "is a required field there"),
    Entry("field-type", "rules", "has the field one of its types"),
    Entry("field-range", "rules", "is the value in its range"),
    Entry("field-value", "rules", "is the value in its list"),
    Entry("unwanted-documents", "rules", "does the pipeline return nothing"),
    Entry("query-plan", "rules", "does the query use its index"),
    Entry("query-latency", "rules", "is its p95 below the limit"),
    Entry("application-file", "rules", "is the application's file there"),
    Entry("application-command", "rules", "does the shell command succeed"),
    Entry("audit-log", "rules", "does an action leave a document in the audit log"),
  ]

  private static let declared: [Entry] = [
    Entry("declared-collection", "after", "is the collection there that a migration makes"),
    Entry("declared-options", "after", "has it every option that is declared"),
    Entry("declared-dropped", "after", "is gone what a migration drops"),
    Entry("declared-index", "after", "is the index there that a migration builds"),
    Entry("declared-index-options", "after", "has it every option that is declared"),
    Entry(
      "declared-count", "after, without a snapshot", "are there as many documents as declared"
    ),
  ]

  private static let compared: [Entry] = [
    Entry("collection-removed", "compare", "is a collection gone"),
    Entry("collection-added", "compare", "is a collection new"),
    Entry("collection-kind", "compare", "did a collection become a view, or the reverse"),
    Entry("count-changed", "compare", "did the number of documents change"),
    Entry("data-changed", "compare", "did the fingerprint of the documents change"),
    Entry("index-removed", "compare", "is an index gone"),
    Entry("index-added", "compare", "is an index new"),
    Entry("index-changed", "compare", "did an option of an index change"),
    Entry("options-changed", "compare", "did an option of a collection change"),
    Entry("plan-changed", "compare", "did a query's plan become worse"),
    Entry("query-slower", "compare", "did a query become slower"),
    Entry("index-use", "compare", "which indexes were used in between, on each member"),
  ]
}
