import BSON
import Fingerprint
import Testing

@testable import Dump

@Suite struct ArchiveDamageTests {
  @Test("an archive cut at any byte is refused")
  func truncation() throws {
    let whole = try Fixtures.smallArchive()
    #expect(Fixtures.failure(whole) == nil)
    for length in 1..<whole.count {
      let error = try #require(Fixtures.failure(Array(whole[..<length])), "cut at \(length)")
      #expect(error.code == .damaged)
    }
  }

  @Test("a gzip archive cut at any byte is refused")
  func truncatedGzip() throws {
    let whole = try GzipTests.compress(Fixtures.smallArchive())
    for length in 2..<whole.count {
      #expect(Fixtures.failure(Array(whole[..<length]))?.code == .damaged, "cut at \(length)")
    }
  }

  @Test("a flipped bit anywhere behind the prelude is noticed")
  func flippedBits() throws {
    let whole = try Fixtures.smallArchive()
    let prelude = try #require(whole.firstRange(of: ArchiveFormat.terminator)).upperBound
    for position in prelude..<whole.count {
      for bit in 0..<8 {
        var bytes = whole
        bytes[position] ^= 1 << bit
        #expect(Fixtures.failure(bytes)?.code == .damaged, "byte \(position), bit \(bit)")
      }
    }
  }

  @Test("a flipped bit in the prelude never does more than change what it says")
  func flippedPrelude() throws {
    let whole = try Fixtures.smallArchive()
    let prelude = try #require(whole.firstRange(of: ArchiveFormat.terminator)).upperBound
    for position in 0..<prelude {
      var bytes = whole
      bytes[position] ^= 0x10
      if let error = Fixtures.failure(bytes) {
        #expect(error.code == .damaged || error.code == .unsupported)
      }
    }
  }

  @Test(
    "lying lengths are refused with their offset", arguments: [4, 0, 16 << 20 | 1 << 23, 1 << 30])
  func lyingLength(_ length: Int) throws {
    var bytes = try Fixtures.smallArchive()
    let prelude = try #require(bytes.firstRange(of: ArchiveFormat.terminator)).upperBound
    for (i, byte) in withUnsafeBytes(of: UInt32(length).littleEndian, Array.init).enumerated() {
      bytes[prelude + i] = byte
    }
    let error = try #require(Fixtures.failure(bytes))
    #expect(error.code == .damaged)
    #expect(error.offset == Int64(prelude))
  }

  @Test("something else than an archive is told from one")
  func wrongMagic() {
    #expect(Fixtures.failure(Array("this is a text, not an archive".utf8))?.code == .damaged)
    #expect(Fixtures.failure([])?.code == .damaged)
    let age = Fixtures.failure(Array("age-encryption.org/v1\n-> X25519".utf8))
    #expect(age?.code == .unsupported)
    #expect(age?.hint?.contains("age -d") == true)
  }

  @Test("a namespace that comes back after its end is refused by name")
  func comesBack() throws {
    let whole = try Fixtures.smallArchive()
    let end = NamespaceHeader(namespace: Namespace("db", "a"), isEnd: false, crc: 0).encoded
    let error = Fixtures.failure(whole + end + ArchiveFormat.terminator)
    #expect(error?.code == .damaged)
    #expect(error?.namespace == "db.a")
  }

  @Test("data that the prelude does not name is refused")
  func unknownNamespace() throws {
    let header = NamespaceHeader(namespace: Namespace("db", "x"), isEnd: true, crc: 0).encoded
    let error = Fixtures.failure(try Fixtures.smallArchive() + header + ArchiveFormat.terminator)
    #expect(error?.namespace == "db.x")
  }

  @Test("metadata that is not JSON is refused by name")
  func badMetadata() throws {
    var bytes = try Fixtures.smallArchive()
    let at = try #require(bytes.firstRange(of: Array("{\"indexes\"".utf8))).lowerBound
    bytes[at] = UInt8(ascii: "}")
    let error = Fixtures.failure(bytes)
    #expect(error?.code == .damaged)
    #expect(error?.namespace == "db.a")
  }

  @Test("salvage keeps the documents around a damage and says what is lost")
  func salvage() throws {
    var bytes = try Fixtures.smallArchive()
    let prelude = try #require(bytes.firstRange(of: ArchiveFormat.terminator)).upperBound
    let first = try #require(bytes[prelude...].firstRange(of: Array("some text".utf8))).lowerBound
    bytes[first - 12] = 0x77
    let sink = MemorySink()
    let report = try Salvager().salvage(MemorySource(bytes), to: sink)
    #expect(!report.isIntact)
    let saved = try Fixtures.report(sink.bytes)
    #expect(saved.total.count >= 4)
    #expect(report.collections.first { $0.namespace.collection == "empty" }?.isIntact == true)
  }

  @Test("salvage of a sound archive loses nothing")
  func salvageSound() throws {
    let bytes = try Fixtures.smallArchive()
    let sink = MemorySink()
    #expect(try Salvager().salvage(MemorySource(bytes), to: sink).isIntact)
    #expect(try Fixtures.report(sink.bytes).total == Fixtures.report(bytes).total)
  }
}
