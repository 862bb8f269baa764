import BSON
import Dump
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// Slices made without a server.
enum SmallChain {
  static let id = "0123456789abcdef01234567"

  static func time(_ number: Int) -> Timestamp {
    Timestamp(seconds: 1_769_594_400 + UInt32(number), increment: 1)
  }

  @discardableResult
  static func slice(in store: any Store, _ numbers: ClosedRange<Int>, begins: Bool = false) throws
    -> Slice
  {
    var bytes: [UInt8] = []
    for number in numbers {
      let entry: Document = [
        "ts": .timestamp(time(number)), "op": "n", "ns": "", "o": ["n": .integer(number)],
      ]
      bytes += entry.bytes
    }
    let stored = try RunningProgram.output(of: ["gzip", "-nc"], input: bytes).bytes
    let slice = Slice(
      replicaSetID: id, start: time(numbers.lowerBound), end: time(numbers.upperBound),
      count: Int64(numbers.count), bytes: Int64(bytes.count), digest: FileDigest(of: stored),
      isEncrypted: false, beginsChain: begins, databases: [], serverVersion: "6.0.5")
    try store.put(slice.dataName, bytes: stored)
    try store.put(slice.descriptionName, bytes: SealedText.seal(slice.document))
    return slice
  }

  static func flip(_ name: String, in store: any Store, at offset: Int) throws {
    var bytes = try store.read(name)
    bytes[offset] ^= 1
    try store.put(name, bytes: bytes)
  }
}

@Suite struct SliceTests {
  /// What is damaged, in the order of time.
  private func damaged(_ store: any Store, _ depth: Verifier.Depth) throws -> [BackupError] {
    try SliceCatalog(store).chains().flatMap {
      try SliceVerifier(store).verify($0, depth: depth).damaged
    }
  }

  @Test("a damaged slice is found and is a gap from then on, until it is whole again")
  func damaged() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    try SmallChain.slice(in: store, 1...5, begins: true)
    let middle = try SmallChain.slice(in: store, 5...9)
    try SmallChain.slice(in: store, 9...12)
    let whole = try SliceCatalog(store).chain(SmallChain.id)
    for depth in Verifier.Depth.allCases {
      let (report, damaged) = try SliceVerifier(store).verify(whole, depth: depth)
      #expect(report.files == 3)
      #expect(damaged.isEmpty)
    }
    #expect(whole.runs.count == 1)

    try SmallChain.flip(middle.dataName, in: store, at: 30)
    #expect(try damaged(store, .manifest).isEmpty)
    let found = try damaged(store, .checksums)
    #expect(found.map(\.path) == [middle.dataName])
    #expect(found.first?.code == .damaged)
    let chain = try SliceCatalog(store).chain(SmallChain.id)
    #expect(chain.runs.map(\.end) == [SmallChain.time(5), SmallChain.time(12)])
    #expect(chain.gaps.count == 1)
    #expect(chain.damaged.map(\.slice) == [middle])
    #expect(try damaged(store, .manifest).count == 1)

    try SmallChain.flip(middle.dataName, in: store, at: 30)
    #expect(try damaged(store, .documents).isEmpty)
    #expect(try SliceCatalog(store).chain(SmallChain.id).runs.count == 1)
  }

  @Test("every byte of a slice and of its description is under a checksum")
  func everyByte() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    let slice = try SmallChain.slice(in: store, 1...3, begins: true)
    for name in [slice.dataName, slice.descriptionName] {
      let bytes = try store.read(name)
      for offset in bytes.indices {
        try SmallChain.flip(name, in: store, at: offset)
        let found = try damaged(store, offset % 2 == 0 ? .checksums : .documents)
        #expect(found.count == 1, "\(name) at \(offset)")
        try store.put(name, bytes: Array(bytes[..<offset]))
        #expect(try damaged(store, .manifest).count == 1, "cut at \(offset)")
        try store.put(name, bytes: bytes)
      }
    }
    #expect(try damaged(store, .documents).isEmpty)
  }

  @Test("a slice whose file is missing is no part of a window, and is pruned with the others")
  func missing() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    try SmallChain.slice(in: store, 1...5, begins: true)
    let second = try SmallChain.slice(in: store, 5...9)
    try SmallChain.slice(in: store, 9...12)
    try store.delete(second.dataName)
    #expect(try SliceCatalog(store).chain(SmallChain.id).gaps.count == 1)
    let found = try damaged(store, .checksums)
    #expect(found.map(\.message) == ["the file is missing"])

    var manifest = try SmallSet.make(in: store, archive: SmallSet.archive)
    manifest.server = Manifest.Server()
    manifest.server?.replicaSetID = SmallChain.id
    var consistency = Manifest.Consistency()
    consistency.mode = "snapshot"
    consistency.time = SmallChain.time(10)
    manifest.consistency = consistency
    try store.put(manifest.id + "/manifest.json", bytes: SealedText.seal(manifest.document))
    let plan = try Pruner(store, policy: RetentionPolicy(last: 1)).run()
    #expect(plan.slices.map(\.start) == [SmallChain.time(1), SmallChain.time(5)])
    #expect(try store.list("oplog", recursively: true).count == 2)
  }

  @Test("backup verify reads the slices too: exit 20 with the path, and the status shows the gap")
  func command() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/backups")
    try SmallChain.slice(in: store, 1...5, begins: true)
    let middle = try SmallChain.slice(in: store, 5...9)
    try SmallChain.slice(in: store, 9...12)
    _ = try SmallSet.make(in: store, archive: SmallSet.archive)
    let words = ["backup", "verify", "--store", "backups", "--json"]
    let whole = try MartletBinary.run(words, directory: scratch.path)
    #expect(whole.exitCode == 0, "\(whole.stderr)")
    try SmallChain.flip(middle.dataName, in: store, at: 30)
    let result = try MartletBinary.run(words, directory: scratch.path)
    #expect(result.exitCode == 20, "\(result.stderr)")
    let entries = try ExtendedJSON.parseDocument(result.stdout)["backups"]?.arrayValue ?? []
    let chain = entries.compactMap(\.documentValue).first {
      $0["id"]?.stringValue == "oplog/" + SmallChain.id
    }
    #expect(chain?["files"]?.integerValue == 2)
    #expect(result.stdout.contains(middle.dataName))
    let status = try MartletBinary.run(
      ["oplog", "status", "--offline", "--store", "backups"], directory: scratch.path)
    #expect(status.stdout.contains("gap: "), "\(status.stdout)\(status.stderr)")
    #expect(status.stdout.contains("damaged: "))
  }

  @Test("a capture writes a damaged last slice anew while the oplog still reaches it")
  func captured() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.capture()
      try shop.server.withDatabase { _ = try $0.insert("extra", [["_id": 1]]) }
      try shop.capture()
      let catalog = SliceCatalog(shop.store)
      let chain = try #require(try catalog.chains().first)
      let last = try #require(chain.slices.last)
      try SmallChain.flip(last.dataName, in: shop.store, at: 20)
      #expect(try damaged(shop.store, .documents).count == 1)
      try shop.capture()
      let after = try catalog.chain(chain.replicaSetID)
      #expect(after.runs.count == 1)
      #expect(after.gaps.isEmpty)
      #expect((after.runs.last?.end ?? last.start) > last.end)
      #expect(try damaged(shop.store, .documents).isEmpty)
    }
  }
}
