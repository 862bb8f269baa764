internal import BSON

/// Oplog entries in a file, one after the other.
public enum OplogFile {
  /// Visits the entries of a `.bson` file, plain or gzip, until `body` returns false. Blocks.
  ///
  /// - Parameter check: called once in a while; what it throws ends the visit.
  /// - Throws: ``DumpError`` `.damaged`, `.file`; what `body` and `check` throw.
  public static func forEach(
    path: String, _ body: (UnsafeRawBufferPointer) throws -> Bool, check: () throws -> Void = {}
  ) throws {
    var goesOn = true
    let source = try Input.open(try FileSource(path: path), path: path).source
    let reader = try DocumentFileReader(source, pool: ChunkPool(budget: 34 << 20))
    while goesOn, let run = try reader.next() {
      try check()
      try RawDocuments.forEach(in: run.bytes) { raw in
        if goesOn { goesOn = try body(raw) }
      }
    }
  }
}
