import BSON

@testable import Dump

/// Files that mongodump wrote, and archives built byte by byte.
enum Fixtures {
  static let golden: String = {
    let parts = #filePath.split(separator: "/").dropLast(2)
    return "/" + parts.joined(separator: "/") + "/Fixtures/golden"
  }()

  static func bytes(_ name: String) throws -> [UInt8] { try FilePath.read("\(golden)/\(name)") }

  static func text(_ name: String) throws -> String {
    String(decoding: try bytes(name), as: UTF8.self)
  }

  /// A small archive: two collections, one of them twice interrupted, and an empty one.
  static func smallArchive() throws -> [UInt8] {
    let sink = MemorySink()
    let pool = ChunkPool(budget: 16 << 20, chunkSize: 64 << 10)
    let output = OrderedOutput(sink, compression: nil)
    let writer = ArchiveWriter(output)
    let names = ["a", "b", "empty"]
    try writer.begin(
      ArchivePrelude(
        header: ArchiveHeader(
          concurrentCollections: 4, serverVersion: "6.0.5", toolVersion: "test"),
        entries: names.map {
          ArchiveEntry(
            namespace: Namespace("db", $0), metadata: "{\"indexes\":[]}", type: "collection")
        }))
    for n in 0..<6 {
      try write([["_id": .int32(Int32(n)), "text": "some text"]], to: names[n % 2], writer, pool)
    }
    for name in names { try writer.end(Namespace("db", name)) }
    try writer.finish()
    return sink.bytes
  }

  static func write(
    _ documents: [Document], to name: String, _ writer: ArchiveWriter, _ pool: ChunkPool
  ) throws {
    let chunk = try pool.take()
    for document in documents { document.bytes.withUnsafeBytes { chunk.append($0) } }
    var crc = CRC64()
    crc.update(chunk.bytes)
    try writer.write(chunk, crc: crc, to: Namespace("db", name))
  }

  static func report(_ bytes: [UInt8], step: Int = .max) throws -> DumpReport {
    try Inspector().inspect(Input.open(MemorySource(bytes, step: step)))
  }

  /// The error's code when reading throws one of ours.
  static func failure(_ bytes: [UInt8]) -> DumpError? {
    do {
      _ = try report(bytes)
      return nil
    } catch { return error as? DumpError }
  }
}
