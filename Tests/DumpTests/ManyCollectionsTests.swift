import BSON
import Fingerprint
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// More collections than anybody should have.
@Suite struct ManyCollectionsTests {
  static let count = 1000

  @Test("a thousand collections are dumped and loaded, in a folder and in an archive")
  func thousand() throws {
    // On a disk it would be a test of fsync.
    let host = try PrivateServer(inMemory: true)
    try TestServer.run(uri: host.uri) { server in
      let scratch = try Scratch(in: PrivateServer.memoryFolder)
      try server.withDatabase { database in
        for n in 0..<Self.count { _ = try database.insert("c\(n)", [["_id": .int32(Int32(n))]]) }
      }
      for isFolder in [true, false] {
        let path = scratch.file("many\(isFolder)")
        let dumped = try server.dump(
          to: isFolder ? .directory(path: path) : .archive(path: path)
        ) { $0.compressionLevel = 1 }
        #expect(dumped.collections.count == Self.count && dumped.mode == .snapshot)
        let loaded = try server.loadCopy(
          isFolder ? .directory(path: path, database: nil) : .archive(path: path))
        #expect(loaded.inserted == Int64(Self.count) && loaded.isComplete)
        try server.withCopyDatabase { copy in
          #expect(try copy.listCollections().count == Self.count)
          // Each has its own document and not its neighbour's.
          for n in stride(from: 0, to: Self.count, by: 37) {
            let found = try copy.find("c\(n)").all()
            #expect(found == [["_id": .int32(Int32(n))]])
          }
        }
      }
    }
    withExtendedLifetime(host) {}
  }

  @Test("an archive of a hundred thousand namespaces is inspected and listed")
  func hundredThousand() throws {
    let scratch = try Scratch()
    let count = 100_000
    let path = scratch.file("x.gz")
    try write(count, to: path)

    let result = try MartletBinary.run(["inspect", "--json", path])
    #expect(result.exitCode == 0, "\(result.stderr)")
    let listed = try ExtendedJSON.parseDocument(result.stdout)
    #expect(listed["gzip"] == true && listed["findings"]?.arrayValue?.isEmpty == true)
    let collections = listed["collections"]?.arrayValue?.compactMap(\.documentValue) ?? []
    #expect(collections.count == count)
    var counts: [String: Int64] = [:]
    for collection in collections {
      counts[collection["namespace"]?.stringValue ?? ""] = collection["count"]?.integerValue
    }
    let expected = (0..<count).map { ("db.c\($0)", Self.documents(of: $0)) }
    // Not compared by the macro: a difference would print them all.
    let isRight = counts == Dictionary(uniqueKeysWithValues: expected)
    #expect(isRight)
    #expect(listed["documents"]?.integerValue == expected.reduce(0) { $0 + $1.1 })
  }

  /// Most are empty, as they are where somebody has so many.
  private static func documents(of n: Int) -> Int64 { n % 10 == 0 ? Int64(n % 3) + 1 : 0 }

  private func write(_ count: Int, to path: String) throws {
    let file = try OutputFile(path: path)
    let compression = try CompressionPool(level: 1, threads: 2)
    defer { compression.close() }
    let writer = ArchiveWriter(OrderedOutput(file, compression: compression))
    let pool = ChunkPool(budget: 16 << 20, chunkSize: 64 << 10)
    try writer.begin(
      ArchivePrelude(
        header: ArchiveHeader(
          concurrentCollections: 4, serverVersion: "6.0.5", toolVersion: "test"),
        entries: (0..<count).map {
          ArchiveEntry(
            namespace: Namespace("db", "c\($0)"), metadata: "{\"indexes\":[]}", type: "collection")
        }))
    for n in 0..<count {
      if Self.documents(of: n) > 0 {
        let documents = (0..<Self.documents(of: n)).map { (id: Int64) -> Document in
          ["_id": .int64(id)]
        }
        try Fixtures.write(documents, to: "c\(n)", writer, pool)
      }
      try writer.end(Namespace("db", "c\(n)"))
    }
    try writer.finish()
    try file.commit()
  }
}
