import BSON
import Fingerprint
import Testing

@testable import Dump

@Suite struct ArchiveTests {
  @Test("the checksum of 123456789 is the catalogue's")
  func checksum() {
    var crc = CRC64()
    Array("123456789".utf8).withUnsafeBytes { crc.update($0) }
    #expect(crc.value == 0x995D_C9BB_DF19_39FA)
    #expect(CRC64().value == 0)
  }

  @Test(
    "checksums of pieces join to the checksum of the whole", arguments: [0, 1, 7, 4096, 99_999])
  func joining(_ cut: Int) {
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var whole = CRC64()
    var first = CRC64()
    var second = CRC64()
    bytes.withUnsafeBytes {
      whole.update($0)
      first.update(UnsafeRawBufferPointer(rebasing: $0[..<cut]))
      second.update(UnsafeRawBufferPointer(rebasing: $0[cut...]))
    }
    first.append(second)
    #expect(first == whole)
  }

  @Test("mongodump's archives are read, and every checksum is right")
  func golden() throws {
    let plain = try Inspector().inspect(path: Fixtures.golden + "/golden.archive")
    let packed = try Inspector().inspect(path: Fixtures.golden + "/golden.archive.gz")
    #expect(plain.collections.count == 21)
    #expect(plain.total.count > 2000)
    #expect(plain.total == packed.total)
    #expect(!plain.isCompressed && packed.isCompressed)
    #expect(plain.findings.isEmpty)
    #expect(plain.serverVersion == "6.0.5")
  }

  @Test("an archive with an oplog and users is read in full")
  func oplog() throws {
    let report = try Inspector().inspect(path: Fixtures.golden + "/all-oplog.archive.gz")
    let oplog = try #require(report.collections.first { $0.namespace == .oplog })
    #expect(oplog.tally.count == 49)
    #expect(report.findings.isEmpty)
  }

  @Test("the archive and the folders of one dump have the same fingerprints")
  func folders() throws {
    var fingerprints: [[String: CollectionTally]] = []
    for name in ["dir", "dir-gz", "golden.archive"] {
      let report = try Inspector().inspect(path: "\(Fixtures.golden)/\(name)")
      fingerprints.append(
        Dictionary(
          uniqueKeysWithValues: report.collections.map { ($0.dataNamespace.description, $0.tally) }
        ))
    }
    #expect(fingerprints[0] == fingerprints[1])
    #expect(fingerprints[0].count == fingerprints[2].count)
    #expect(fingerprints[0]["golden.users"] == fingerprints[2]["golden.users"])
  }

  @Test("the smallest archive of the specification is read")
  func mini() throws {
    let report = try Inspector().inspect(path: Fixtures.golden + "/mini.archive")
    #expect(report.collections.map(\.crc) == [0xF3EA_6143_6A44_59FE])
  }

  @Test("what is written is read back, whatever the size of the reads", arguments: [1, 3, 1000])
  func roundTrip(_ step: Int) throws {
    let report = try Fixtures.report(try Fixtures.smallArchive(), step: step)
    #expect(report.collections.map(\.tally.count) == [3, 3, 0])
    #expect(report.findings.isEmpty)
  }

  @Test("a document of the largest size and some small ones are read back")
  func largest() throws {
    let sink = MemorySink()
    let pool = ChunkPool(budget: 64 << 20)
    let writer = ArchiveWriter(OrderedOutput(sink, compression: nil))
    try writer.begin(
      ArchivePrelude(
        header: ArchiveHeader(
          concurrentCollections: 1, serverVersion: "6.0.5", toolVersion: "test"),
        entries: [
          ArchiveEntry(namespace: Namespace("db", "a"), metadata: "", type: "collection")
        ]))
    let blob = Binary(bytes: [UInt8](repeating: 7, count: (16 << 20) - 30))
    for value in [Value.int32(1), .binary(blob), .int32(2)] {
      let document: Document = ["v": value]
      let chunk = try pool.take(document.bytes.count)
      document.bytes.withUnsafeBytes { chunk.append($0) }
      var crc = CRC64()
      crc.update(chunk.bytes)
      try writer.write(chunk, crc: crc, to: Namespace("db", "a"))
    }
    try writer.end(Namespace("db", "a"))
    try writer.finish()
    #expect(try Fixtures.report(sink.bytes).total.count == 3)
  }
}
