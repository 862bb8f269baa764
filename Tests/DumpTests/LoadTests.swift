import BSON
import Fingerprint
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Dump

@Suite struct LoadTests {
  /// A dump of ten documents, one of which another collection's validator refuses.
  private func makeDump(_ server: TestServer, _ scratch: Scratch) throws -> String {
    try server.withDatabase { database in
      _ = try database.insert("c", (0..<10).map { ["_id": .int32($0), "n": .int32($0)] })
      _ = try database.run(["createIndexes": "c", "indexes": [["key": ["n": 1], "name": "n_1"]]])
    }
    let path = scratch.file("a.archive")
    _ = try server.dump(to: .archive(path: path))
    return path
  }

  @Test("documents that are refused are told with _id and code, and the load is not complete")
  func refused() throws {
    try TestServer.withCopy { server, scratch in
      let path = try makeDump(server, scratch)
      try server.pool.withClient { client in
        _ = try client.database(server.copyName).insert("c", [["_id": 3], ["_id": 4]])
      }
      let failures = Mutex<[FailedDocument]>([])
      let summary = try server.loadCopy(.archive(path: path)) { options in
        options.drop = false
        options.failed = { failure in failures.withLock { $0.append(failure) } }
      }
      #expect(!summary.isComplete && summary.inserted == 8 && summary.failed == 2)
      let told = failures.withLock { $0 }
      #expect(Set(told.map(\.id)) == [.int32(3), .int32(4)])
      #expect(told.allSatisfy { $0.code == 11000 })
    }
  }

  @Test("the first refused document ends a load that is to stop there")
  func stops() throws {
    try TestServer.withCopy { server, scratch in
      let path = try makeDump(server, scratch)
      _ = try server.loadCopy(.archive(path: path))
      let error = #expect(throws: DumpError.self) {
        try server.loadCopy(.archive(path: path)) {
          $0.drop = false
          $0.stopsOnError = true
        }
      }
      #expect(error?.code == .partial)
    }
  }

  @Test("a damaged archive is refused before anything is written")
  func damaged() throws {
    try TestServer.withCopy { server, scratch in
      let path = try makeDump(server, scratch)
      var bytes = try FilePath.read(path)
      bytes[bytes.count - 80] ^= 1
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      #expect(throws: DumpError.self) { try server.loadCopy(.archive(path: path)) }
      try server.pool.withClient { client in
        let there = try client.database(server.copyName).listCollections()
        #expect(there.isEmpty)
      }
    }
  }

  @Test("a dry run writes nothing")
  func dryRun() throws {
    try TestServer.withCopy { server, scratch in
      let path = try makeDump(server, scratch)
      #expect(try server.loadCopy(.archive(path: path)) { $0.dryRun = true }.isDryRun)
      try server.pool.withClient { client in
        let there = try client.database(server.copyName).listCollections()
        #expect(there.isEmpty)
      }
    }
  }

  @Test("indexes and options are left out when asked to")
  func leftOut() throws {
    try TestServer.withCopy { server, scratch in
      let path = try makeDump(server, scratch)
      _ = try server.loadCopy(.archive(path: path)) { $0.skipsIndexes = true }
      try server.pool.withClient { client in
        let there = try client.database(server.copyName).listIndexes("c")
        #expect(there.count == 1)
      }
    }
  }

  @Test("one file and a stream of documents are loaded under a given name")
  func single() throws {
    try TestServer.withCopy { server, scratch in
      _ = try makeDump(server, scratch)
      _ = try server.dump(to: .directory(path: scratch.file("out")))
      let file = scratch.file("out/\(server.databaseName)/c.bson")
      let options = LoadOptions()
      let loader = Loader(pool: server.pool, options: options)
      let one = try loader.run(from: .file(path: file, Namespace(server.copyName, "one")))
      #expect(one.inserted == 10 && one.collections.first?.indexes == 1)
      let bytes = try FilePath.read(file)
      let two = try loader.run(
        from: .documents(MemorySource(bytes), Namespace(server.copyName, "two")))
      #expect(two.inserted == 10 && two.isComplete)
    }
  }

  @Test("a sink that is full ends the dump with an error and leaves nothing behind")
  func fullSink() throws {
    final class FullSink: ByteSink {
      let left = Mutex(100_000)
      func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
        let room = left.withLock { left in
          left -= bytes.count
          return left
        }
        if room < 0 { throw DumpError(.file, "write: No space left on device") }
      }
    }
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        let documents = (0..<500).map { (n: Int32) -> Document in
          let noise = (0..<10_000).map { _ in UInt8.random(in: 0...255) }
          return ["_id": .int32(n), "noise": .binary(Binary(bytes: noise))]
        }
        _ = try database.insert("c", documents)
      }
      for level in [nil, 1] {
        let error = #expect(throws: DumpError.self) {
          try server.dump(to: .archiveStream(FullSink())) {
            $0.compressionLevel = level
            $0.memory = 1 << 20
          }
        }
        if level == nil { #expect(error?.code == .file) }
      }
    }
  }

  @Test("a cancelled dump leaves nothing behind")
  func cancelled() throws {
    try TestServer.withCopy { server, scratch in
      _ = try makeDump(server, scratch)
      let cancellation = Cancellation()
      cancellation.cancel(.stopped)
      for target in [
        DumpTarget.archive(path: scratch.file("x")), .directory(path: scratch.file("y")),
      ] {
        #expect(throws: MongoError.self) {
          try server.dump(to: target) { $0.cancellation = cancellation }
        }
      }
      #expect(scratch.names == ["a.archive"])
    }
  }
}
