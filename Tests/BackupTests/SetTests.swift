import BSON
import Dump
import Fingerprint
import Glibc
import Synchronization
import Testing

@testable import Backup

@Suite struct SetTests {
  @Test("a set is listed only when its manifest is there")
  func listed() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    _ = try SmallSet.make(in: store, archive: SmallSet.archive)
    let catalog = Catalog(store)
    try catalog.begin("20260129T100000Z-full", "backup run")
    try store.put("20260129T100000Z-full/data.archive", bytes: SmallSet.archive)
    #expect(try catalog.sets().map(\.id) == ["20260128T100000Z-full"])
    #expect(try catalog.debris() == ["20260129T100000Z-full"])
    #expect(try catalog.latest().id == "20260128T100000Z-full")
    try catalog.remove("20260128T100000Z-full")
    #expect(try store.list("20260128T100000Z-full", recursively: true).isEmpty)
  }

  @Test("a manifest survives being written and read")
  func manifest() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    var manifest = try SmallSet.make(in: store, archive: SmallSet.archive, tags: ["nightly"])
    manifest.server = Manifest.Server()
    manifest.server?.version = "6.0.5"
    manifest.server?.replicaSetID = "64"
    var consistency = Manifest.Consistency()
    consistency.mode = "snapshot"
    consistency.time = Timestamp(seconds: 1_769_594_400, increment: 3)
    manifest.consistency = consistency
    manifest.migrations = ["001_a"]
    manifest.database = "shop"
    let bytes = SealedText.seal(manifest.document)
    #expect(try Manifest(try SealedText.open(bytes, path: "m"), path: "m") == manifest)
  }

  @Test("every byte that is flipped or cut in a set is found")
  func everyByte() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    let id = try SmallSet.make(in: store, archive: SmallSet.archive).id
    try #require(!SmallSet.archive.isEmpty)
    try Verifier(store).verify(id, depth: .documents)
    for name in [id + "/data.archive", id + "/manifest.json"] {
      let whole = try store.read(name)
      for at in whole.indices {
        for change in [false, true] {
          var bytes = whole
          if change { bytes[at] ^= 0x10 } else { bytes.removeSubrange(at...) }
          try store.put(name, bytes: bytes)
          for depth in [Verifier.Depth.checksums, .documents] {
            let error = #expect(throws: BackupError.self, "\(name) at \(at)") {
              try Verifier(store).verify(id, depth: depth)
            }
            #expect(error?.code == .damaged)
          }
        }
      }
      try store.put(name, bytes: whole)
    }
    try Verifier(store).verify(id, depth: .documents)
    #expect(try Catalog(store).find(id).state.word == "verified")
  }

  @Test("damage names the file and the namespace")
  func located() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    var manifest = try SmallSet.make(in: store, archive: SmallSet.archive)
    manifest.collections[0].fingerprint = String(repeating: "0", count: 32)
    try store.put(manifest.id + "/manifest.json", bytes: SealedText.seal(manifest.document))
    let error = #expect(throws: BackupError.self) {
      try Verifier(store).verify(manifest.id, depth: .documents)
    }
    #expect(error?.namespace == manifest.collections[0].namespace)
    #expect(error?.path == manifest.id + "/data.archive")
    #expect(try Catalog(store).find(manifest.id).isGood == false)
  }

  @Test("a manifest of a newer version is refused, not called damaged")
  func newer() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    let manifest = try SmallSet.make(in: store, archive: SmallSet.archive)
    var document = manifest.document
    document["version"] = 99
    try store.put(manifest.id + "/manifest.json", bytes: SealedText.seal(document))
    let set = try Catalog(store).find(manifest.id)
    #expect(set.state.word == "newer" && !set.isGood)
    for read in [
      { _ = try Verifier(store).verify(manifest.id, depth: .manifest) },
      { _ = try Catalog(store).latest() },
    ] as [() throws -> Void] {
      let error = #expect(throws: BackupError.self) { try read() }
      #expect(error?.code == .unsupported)
      #expect(error?.hint != nil)
    }
  }

  @Test("a copy is checked on its way and whole at its end")
  func copies() throws {
    let scratch = try ScratchFolder()
    let source = FaultyStore(FolderStore(path: scratch.path + "/a"))
    let target = FolderStore(path: scratch.path + "/b")
    let id = try SmallSet.make(in: source, archive: SmallSet.archive).id
    source.faults.withLock { $0.flip = ("data.archive", 100) }
    #expect(throws: BackupError.self) { try Copier(from: source, to: target).copy(id) }
    #expect(try target.list("", recursively: true).isEmpty)
    source.faults.withLock { $0.flip = nil }
    #expect(try Copier(from: source, to: target).copy(id) == Int64(SmallSet.archive.count))
    try Verifier(target).verify(id, depth: .documents)
    #expect(try Copier(from: source, to: target).copy(id) == 0)
  }

  @Test("a copy that is damaged is made again, and nothing is copied onto itself")
  func copyAgain() throws {
    let scratch = try ScratchFolder()
    let source = FolderStore(path: scratch.path + "/source")
    let target = FolderStore(path: scratch.path + "/target")
    let id = try SmallSet.make(in: source, archive: SmallSet.archive).id
    let copier = Copier(from: source, to: target)
    #expect(try copier.copy(id) > 0)
    #expect(try copier.copy(id) == 0)
    for file in ["data.archive", "manifest.json"] {
      let path = scratch.path + "/target/\(id)/\(file)"
      #expect(truncate(path, 60) == 0)
      #expect(try copier.copy(id) > 0, "\(file)")
      _ = try Verifier(target).verify(id, depth: .documents)
    }
    // Cut without anybody having noticed: a copy onto itself would remove what is left.
    #expect(truncate(scratch.path + "/source/\(id)/data.archive", 60) == 0)
    symlink("source", scratch.path + "/link")
    let same = #expect(throws: BackupError.self) {
      try Copier(from: source, to: FolderStore(path: scratch.path + "/link")).copy(id)
    }
    #expect(same?.code == .usage)
    #expect(try source.read(id + "/data.archive").count == 60)
  }

  @Test("a store that fills up or disappears leaves no backup")
  func faults() throws {
    let scratch = try ScratchFolder()
    let store = FaultyStore(FolderStore(path: scratch.path))
    store.faults.withLock { $0.room = 300 }
    #expect(throws: BackupError.self) { try SmallSet.make(in: store, archive: SmallSet.archive) }
    #expect(try Catalog(store).sets().isEmpty)
    store.faults.withLock { $0.isGone = true }
    #expect(throws: BackupError.self) { try Catalog(store).sets() }
  }

  @Test("a store that is full can be pruned, though a lock needs room")
  func pruneFull() throws {
    let scratch = try ScratchFolder()
    let inner = FolderStore(path: scratch.path)
    let store = FaultyStore(inner)
    for id in ["20260126T100000Z-full", "20260127T100000Z-full", "20260128T100000Z-full"] {
      _ = try SmallSet.make(in: inner, id: id, archive: SmallSet.archive)
    }
    store.faults.withLock { faults in
      faults.room = 0
      faults.roomByDeleting = 1000
    }
    let pruned = try Pruner(store, policy: RetentionPolicy(last: 1)).run()
    #expect(pruned.removed.count == 2)
    #expect(try Catalog(inner).sets().map(\.id) == ["20260128T100000Z-full"])
  }

  @Test("pruning removes what is not kept, and the remains of runs that died")
  func prune() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    for day in 10...14 {
      _ = try SmallSet.make(in: store, id: "202601\(day)T100000Z-full", archive: SmallSet.archive)
    }
    _ = try SmallSet.make(
      in: store, id: "20260101T100000Z-full", archive: SmallSet.archive, tags: ["keep"])
    try Catalog(store).begin("20260115T100000Z-full", "backup run")
    try store.put("20260115T100000Z-full/data.archive", bytes: [1])
    let pruner = Pruner(store, policy: RetentionPolicy(last: 2), zone: .utc)
    let plan = try pruner.plan(now: 1_769_601_600)
    #expect(plan.removed.count == 3)
    #expect(try Catalog(store).sets().count == 6)
    _ = try pruner.run(now: 1_769_601_600)
    #expect(
      try Catalog(store).sets().map(\.id) == [
        "20260114T100000Z-full", "20260113T100000Z-full", "20260101T100000Z-full",
      ])
    #expect(try Catalog(store).debris().isEmpty)
  }

  @Test("a set that is being copied in by other means is left alone until its manifest is there")
  func copiedIn() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    _ = try SmallSet.make(in: store, id: "20260110T100000Z-full", archive: SmallSet.archive)
    let other = FolderStore(path: scratch.path + "/other")
    let id = "20260105T100000Z-full"
    _ = try SmallSet.make(in: other, id: id, archive: SmallSet.archive)
    try store.put(id + "/data.archive", bytes: SmallSet.archive)
    // As rsync -t leaves it: as old as its original.
    let folder = store.path + "/" + id
    _ = try RunningProgram.output(
      of: ["touch", "-d", "2026-01-05", folder + "/data.archive", folder])
    _ = try Pruner(store, policy: RetentionPolicy(last: 5), zone: .utc).run(now: 1_769_601_600)
    try store.put(id + "/manifest.json", bytes: try other.read(id + "/manifest.json"))
    #expect(try Catalog(store).find(id).isGood)
    try Verifier(store).verify(id, depth: .checksums)
    // What a run of ours has left is known by its mark, or by being empty.
    try Catalog(store).begin("20260106T100000Z-full", "backup run")
    try Disk.createFolder(store.path + "/20260107T100000Z-full")
    #expect(
      try Set(Catalog(store).debris()) == ["20260106T100000Z-full", "20260107T100000Z-full"])
  }

  @Test("safety backups do not push others out, and are not the latest")
  func safety() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    _ = try SmallSet.make(in: store, id: "20260101T100000Z-full", archive: SmallSet.archive)
    for day in 10...14 {
      var manifest = try SmallSet.make(
        in: store, id: "202601\(day)T100000Z-full", archive: SmallSet.archive)
      manifest.safetyFor = "restore"
      try store.put(manifest.id + "/manifest.json", bytes: SealedText.seal(manifest.document))
    }
    #expect(try Catalog(store).latest().id == "20260101T100000Z-full")
    _ = try Pruner(store, policy: RetentionPolicy(last: 2), zone: .utc).run(now: 1_769_601_600)
    #expect(try Catalog(store).latest().id == "20260101T100000Z-full")
    #expect(try Catalog(store).sets().count == 3)
  }

  @Test("a subset and its others make the whole")
  func subsets() throws {
    let names = (0..<50).map { "set-\($0)/data" }
    let parts = try (1...3).map { try Verifier.Subset("\($0)/3") }
    for name in names { #expect(parts.filter { $0.takes(name) }.count == 1) }
    for bad in ["0/3", "4/3", "1", "a/b"] {
      #expect(throws: BackupError.self) { try Verifier.Subset(bad) }
    }
  }
}

@Suite struct AgeTests {
  /// A key pair made by the real age-keygen.
  private func keys(_ scratch: ScratchFolder, _ name: String) throws -> (
    file: String, public: String
  ) {
    let file = scratch.path + "/" + name
    let made = try RunningProgram.output(of: ["age-keygen", "-o", file])
    try #require(made.ending == .exited(0))
    let shown = try RunningProgram.output(of: ["age-keygen", "-y", file])
    let text = String(decoding: shown.bytes, as: UTF8.self)
    return (file, text.filter { !$0.isWhitespace })
  }

  @Test("what is encrypted comes back with the key, and not with another or a flipped byte")
  func roundTrip() throws {
    let scratch = try ScratchFolder()
    let right = try keys(scratch, "right")
    let wrong = try keys(scratch, "wrong")
    let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let sink = MemorySink()
    let filter = try Age(recipients: [right.public]).encrypting(to: sink)
    try filter.write(all: bytes)
    try filter.finish()
    func decrypt(_ key: String?, _ data: [UInt8]) throws -> [UInt8] {
      try Transfer.bytes(try Age(identity: key).decrypting(MemorySource(data)), limit: .max)
    }
    #expect(try decrypt(right.file, sink.bytes) == bytes)
    #expect(throws: BackupError.self) { try decrypt(nil, sink.bytes) }
    let refused = #expect(throws: DumpError.self) { try decrypt(wrong.file, sink.bytes) }
    #expect((refused?.cause as? BackupError)?.code == .encryption)
    var flipped = sink.bytes
    flipped[flipped.count / 2] ^= 1
    let damaged = #expect(throws: DumpError.self) { try decrypt(right.file, flipped) }
    #expect((damaged?.cause as? BackupError)?.code == .damaged)
  }

  @Test("a secret key among the recipients is refused")
  func secrets() {
    #expect(throws: BackupError.self) { try Age(recipients: ["AGE-SECRET-KEY-1ABC"]).check() }
    #expect(throws: BackupError.self) { try Age(recipients: ["somebody"]).check() }
  }
}

@Suite struct ProgramTests {
  @Test(
    "commands are split as a shell would",
    arguments: [
      ("pg_dump -Fc shop", ["pg_dump", "-Fc", "shop"]),
      ("a 'b c' \"d e\" f\\ g ''", ["a", "b c", "d e", "f g", ""]),
      ("sh -c 'a | b > c'", ["sh", "-c", "a | b > c"]),
    ])
  func words(text: String, expected: [String]) throws {
    #expect(try CommandWords.split(text, name: "x") == expected)
  }

  @Test(
    "what only a shell can do is refused",
    arguments: [
      "a | b", "a > b", "a && b", "echo $HOME", "echo \"$HOME\"", "a; b", "ls *", "a 'b", "", "  ",
    ])
  func shell(text: String) {
    #expect(throws: BackupError.self) { try CommandWords.split(text, name: "x") }
  }

  @Test("a program's failure carries what it said, without credentials")
  func failures() throws {
    let program = try RunningProgram(
      ["sh", "-c", "echo cannot reach mongodb://u:geheim@h/x >&2; exit 3"], input: false,
      output: false)
    let error = #expect(throws: BackupError.self) { try program.finish() }
    #expect(error?.message.contains("exit code 3") == true)
    #expect(error?.message.contains("geheim") == false)
    #expect(error?.message.contains("@h/x") == true)
  }

  @Test("a child gets no blocked or ignored signals")
  func signals() throws {
    let result = try RunningProgram.output(
      of: ["sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status"])
    let text = String(decoding: result.bytes, as: UTF8.self)
    let masks = text.split(separator: "\n").compactMap { line in
      line.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64($0, radix: 16) }
    }
    // Interrupt, hang-up, broken pipe, terminate, user 1: bits 1, 0, 12, 14, 9.
    let mask: UInt64 = 1 << 1 | 1 << 0 | 1 << 12 | 1 << 14 | 1 << 9
    #expect(masks.count == 2)
    #expect(masks.allSatisfy { $0 & mask == 0 })
  }
}
