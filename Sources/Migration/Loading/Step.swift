public import BSON

/// One database command of a migration.
public struct Step: Sendable, Hashable {
  /// Position in its list, from 0.
  public let index: Int
  /// The command as written, in order, without `martlet:`; `{$date: now}` is still in it.
  public let command: Document
  /// The first key: `create`, `update`, …
  public let name: String
  /// The collection that the first key names; nil for `{ping: 1}` and the like.
  public let target: String?
  /// What stands under `martlet:`.
  public let options: StepOptions
  /// Where the step begins.
  public let location: Location
  /// SHA-256 in hexadecimal over the command and those options that change what it does.
  public let hash: String
  /// True when the command holds `{$date: now}`.
  public let usesNow: Bool

  /// Makes a step of a command, which must have at least one element.
  public init(index: Int, command: Document, options: StepOptions = .init(), location: Location) {
    self.index = index
    self.command = command
    self.options = options
    self.location = location
    var iterator = command.makeIterator()
    let first = iterator.next()
    name = first?.key ?? ""
    target = first?.value.stringValue
    hash = Checksum.step(command: command, options: options)
    usesNow = RunTime.isUsed(in: command)
  }
}

/// How we run a step; the server never sees these.
public struct StepOptions: Sendable, Hashable {
  /// Which documents an update or delete keeps before it changes them.
  public enum Undo: String, Sendable, Hashable, CaseIterable {
    /// The touched top-level fields, or the whole document where that cannot be known.
    case auto
    /// The whole document.
    case document
    /// Nothing: the step cannot be taken back.
    case none
  }

  /// When a step is left out.
  public struct Unless: Sendable, Hashable {
    /// The collection has to exist for the step to be left out.
    public let collection: String
    /// And has to have an index of this name.
    public let index: String?
    /// And has to hold a document that matches.
    public let filter: Document?

    public init(collection: String, index: String? = nil, filter: Document? = nil) {
      self.collection = collection
      self.index = index
      self.filter = filter
    }
  }

  /// Documents in one chunk, and so in one transaction, of a long update or delete: 1 to 2,000.
  public var chunk: Int?
  /// Workers for a long update or delete: 1 to 16.
  public var parallel: Int?
  /// What is kept for the way back.
  public var undo: Undo
  /// Milliseconds to wait after each chunk.
  public var pause: Int?
  /// Leaves the step out when this holds.
  public var unless: Unless?

  public init(
    chunk: Int? = nil, parallel: Int? = nil, undo: Undo = .auto, pause: Int? = nil,
    unless: Unless? = nil
  ) {
    self.chunk = chunk
    self.parallel = parallel
    self.undo = undo
    self.pause = pause
    self.unless = unless
  }
}
