internal import BSON
internal import Dump
public import MongoDB

/// Reads the captured oplog back and says which slices are whole. Needs no server.
///
/// A slice that is not has no part in a recovery from then on: the moments behind it are reached from a
/// later base or not at all, and listings say so before the day that they are needed.
public struct SliceVerifier: Sendable {
  private let store: any Store
  private let age: Age
  private let cancellation: Cancellation

  public init(_ store: any Store, age: Age = Age(), cancellation: Cancellation = Cancellation()) {
    self.store = store
    self.age = age
    self.cancellation = cancellation
  }

  /// Reads the slices of a chain, or a part of them. Blocks. Damage is kept beside the slices, where the
  /// store can be written, and taken back when they are found whole.
  ///
  /// - Returns: what is whole, and for each slice that is not why, with its path, and the offset where that
  ///   is known.
  /// - Throws: ``BackupError`` `.encryption` when entries were asked for without the key; of the store.
  public func verify(_ chain: SliceChain, depth: Verifier.Depth, subset: Verifier.Subset? = nil)
    throws -> (report: Verifier.Report, damaged: [BackupError])
  {
    let catalog = SliceCatalog(store)
    var report = Verifier.Report(id: chain.path, depth: depth)
    var found: [BackupError] = chain.unreadable.filter { subset?.takes($0) != false }.map {
      BackupError(.damaged, "the description of a slice was altered or cut", path: $0)
    }
    let known = Dictionary(
      chain.missed.map { ($0.slice, $0.reason) }, uniquingKeysWith: { a, _ in a })
    let slices = (chain.slices + chain.missed.map(\.slice)).sorted { $0.start < $1.start }
    for slice in slices where subset?.takes(slice.stem) != false {
      try cancellation.check()
      if let error = try damage(slice, depth, known: known[slice], &report) {
        found.append(error)
        if known[slice] != error.message { try? catalog.note(slice, damage: error.message) }
      } else if known[slice] != nil {
        try? catalog.note(slice, damage: nil)
      }
    }
    return (report, found)
  }

  private func damage(
    _ slice: Slice, _ depth: Verifier.Depth, known: String?, _ report: inout Verifier.Report
  ) throws -> BackupError? {
    do {
      switch depth {
      case .manifest:
        // Sizes were compared by listing; what was found before is not looked for again.
        if let known { throw BackupError(.damaged, known, path: slice.dataName, hint: Self.hint) }
      case .checksums:
        let source = HashingSource(try store.get(slice.dataName))
        try Transfer.all(source, to: NullSink()) { try cancellation.check() }
        guard source.digest == slice.digest else {
          throw BackupError(
            .damaged, "the slice was altered: its checksum is not its description's",
            path: slice.dataName, hint: Self.hint)
        }
      case .documents:
        try SliceReader(store, age: age).forEach(slice) { _, _ in try cancellation.check() }
        report.documents += slice.count
      }
      report.files += 1
      report.bytes += slice.digest.size
      return nil
    } catch let error as DumpError {
      let found = BackupError(error, path: slice.dataName)
      guard found.code == .damaged else { throw found }
      return found
    } catch let error as BackupError {
      switch error.code {
      case .damaged: return error
      case .notFound: return try missing(slice)
      default: throw error
      }
    }
  }

  /// A slice that was pruned meanwhile is not damaged.
  private func missing(_ slice: Slice) throws(BackupError) -> BackupError? {
    do throws(BackupError) { _ = try store.get(slice.descriptionName) } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
    return BackupError(.damaged, "the file is missing", path: slice.dataName, hint: Self.hint)
  }

  private static let hint = "what is after it needs a new backup: martlet backup run"
}
