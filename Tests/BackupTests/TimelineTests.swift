import BSON
import Dump
import Fingerprint
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// Where a captured oplog must not be read as one.
@Suite struct TimelineTests {
  private func time(_ seconds: UInt32) -> Timestamp { Timestamp(seconds: seconds, increment: 1) }

  private func slice(_ start: UInt32, _ end: UInt32, isNew: Bool = false) -> Slice {
    Slice(
      replicaSetID: "a", start: time(start), end: time(end), count: 1, bytes: 1,
      digest: FileDigest(size: 1, sha256: ""), isEncrypted: false, beginsChain: isNew,
      databases: [], serverVersion: "6.0.5")
  }

  private func base(_ id: String, at seconds: UInt32, database: String? = nil) -> BackupSet {
    var manifest = Manifest(id: id, kind: .full, started: 0, finished: 0)
    manifest.database = database
    var consistency = Manifest.Consistency()
    consistency.mode = "snapshot"
    consistency.time = time(seconds)
    manifest.consistency = consistency
    var server = Manifest.Server()
    server.replicaSetID = "a"
    manifest.server = server
    manifest.files = [
      Manifest.File(
        name: "data.archive", role: .data, digest: FileDigest(size: 1, sha256: ""),
        isEncrypted: false, isCompressed: false)
    ]
    return BackupSet(id: id, manifest: manifest, state: .complete)
  }

  @Test("a restore ends a window; what is after it needs a base of its own")
  func windows() throws {
    var ending = slice(1_700_000_100, 1_700_000_200)
    ending.endsTimeline = TimelineEnd(backup: "old", run: "1", databases: ["shop"])
    var second = slice(1_700_000_200, 1_700_000_210)
    second.endsTimeline = TimelineEnd(backup: "old", run: "1", databases: ["shop"])
    let chain = SliceChain(
      replicaSetID: "a",
      slices: [
        slice(1_700_000_000, 1_700_000_100, isNew: true), ending, second,
        slice(1_700_000_210, 1_700_000_300),
      ])
    #expect(chain.gaps.isEmpty)
    #expect(chain.ends.count == 1)
    #expect(chain.ends.first?.at == time(1_700_000_200))
    let before = base("20260101T000000Z-full", at: 1_700_000_050)
    #expect(RestorableWindows.needsBase(chain, [before]))
    #expect(
      try RestorableWindows.base(for: time(1_700_000_200), [before], [chain]).id == before.id)
    let error = #expect(throws: BackupError.self) {
      try RestorableWindows.base(for: time(1_700_000_250), [before], [chain])
    }
    #expect(error?.code == .unreachableTime)
    #expect(error?.message.contains("the restore of old ended its timeline") == true)
    let after = base("20260102T000000Z-full", at: 1_700_000_220)
    #expect(!RestorableWindows.needsBase(chain, [before, after]))
    let windows = RestorableWindows.all([before, after], [chain])
    #expect(windows.map(\.end) == [time(1_700_000_200), time(1_700_000_300)])
    // What was restored is none of another database's.
    let other = base(before.id, at: 1_700_000_050, database: "bank")
    #expect(!RestorableWindows.needsBase(chain, [other]))
    #expect(RestorableWindows.reach(other, [chain]) == time(1_700_000_300))
    let same = base(before.id, at: 1_700_000_050, database: "shop")
    #expect(RestorableWindows.reach(same, [chain]) == time(1_700_000_200))
    #expect(RestorableWindows.needsBase(chain, [other, same]))
    #expect(
      try RestorableWindows.base(for: time(1_700_000_250), [before, after], [chain]).id == after.id)
  }

  @Test("a slice of a newer version bounds the windows, and is an error only where it is needed")
  func newer() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    let slices = [
      slice(1_700_000_000, 1_700_000_100, isNew: true), slice(1_700_000_100, 1_700_000_200),
      slice(1_700_000_200, 1_700_000_300),
    ]
    for (index, slice) in slices.enumerated() {
      var document = slice.document
      if index == 1 {
        document = ["format": "martlet-slice", "version": 2, "else": "unknown"]
      }
      try store.put(slice.dataName, bytes: [0])
      try store.put(slice.descriptionName, bytes: SealedText.seal(document))
    }
    let chain = try SliceCatalog(store).chain("a")
    #expect(chain.slices.count == 2)
    #expect(chain.newer.map(\.start) == [time(1_700_000_100)])
    #expect(chain.runs.count == 2)
    let first = base("20260101T000000Z-full", at: 1_700_000_050)
    #expect(
      RestorableWindows.all([first], [chain]).map(\.end) == [time(1_700_000_100)])
    #expect(try RestorableWindows.base(for: time(1_700_000_100), [first], [chain]).id == first.id)
    for moment: UInt32 in [1_700_000_150, 1_700_000_250] {
      let error = #expect(throws: BackupError.self) {
        try RestorableWindows.base(for: time(moment), [first], [chain])
      }
      #expect(error?.code == .unsupported)
      #expect(error?.path == slices[1].descriptionName)
      #expect(error?.hint == Slice.newerHint)
    }
    let later = base("20260102T000000Z-full", at: 1_700_000_220)
    #expect(
      try RestorableWindows.base(for: time(1_700_000_250), [first, later], [chain]).id == later.id)
  }

  @Test(
    "a restore ends the timeline of a capture, running or not; moments before it and after a new base come back",
    arguments: [true, false])
  func restored(_ inPlace: Bool) throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.server.withDatabase { _ = try $0.insert("users", [["_id": 10]]) }
      let before = try shop.now()
      let wanted = try shop.tally("users")
      try shop.capture()
      try shop.server.withDatabase { _ = try $0.insert("users", [["_id": 11]]) }
      // Another restore under new names only adds: the timeline goes on.
      let copied = try shop.restore(nil) { options in
        options.only = [try NamespacePattern(shop.name + ".users")]
        options.renames = [
          try NamespaceRename(from: shop.name + ".users", to: shop.name + ".users_copy")
        ]
        options.time = .entry(before)
      }
      #expect(!copied.endsTimeline)
      try shop.capture()
      #expect(try SliceCatalog(shop.store).chains().first?.runs.count == 1)

      let report = try shop.restore(nil) { options in
        options.time = .entry(before)
        options.inPlace = inPlace
      }
      #expect(report.endsTimeline)
      #expect(try shop.tally("users") == wanted)
      // A restore of somebody else's database is no reason.
      try shop.server.pool.withClient { client in
        let other = TimelineEnd(backup: "another", run: "x", databases: [shop.name + "_other"])
        try other.leave(.after, client)
      }
      try shop.capture()
      try shop.server.withDatabase { _ = try $0.insert("users", [["_id": 12]]) }
      let after = try shop.now()
      try shop.capture()
      let chain = try #require(try SliceCatalog(shop.store).chains().first)
      #expect(chain.gaps.isEmpty)
      #expect(chain.ends.filter { $0.end.databases == [shop.name] }.count == 1)
      #expect(try OplogStatus.read(shop.store).needsBase(chain))
      let metrics = try BackupMetrics(shop.store).text()
      #expect(metrics.contains("\nmartlet_oplog_base_needed 1\n"))
      let error = #expect(throws: BackupError.self) {
        try shop.restore(nil) { $0.time = .entry(after) }
      }
      #expect(error?.code == .unreachableTime)
      #expect(
        error?.message.contains("the restore of \(report.backup) ended") == true,
        "\(error?.message ?? "")")

      // What it says to do.
      let fresh = try shop.backup()
      try shop.server.withDatabase { _ = try $0.insert("users", [["_id": 13]]) }
      let last = try shop.now()
      let lastTally = try shop.tally("users")
      try shop.capture()
      let status = try OplogStatus.read(shop.store)
      #expect(!status.chains.contains(where: status.needsBase))
      try shop.server.withDatabase { _ = try $0.delete("users", [["q": [:], "limit": 0]]) }
      let again = try shop.restore(nil) { $0.time = .entry(last) }
      #expect(again.backup == fresh.id)
      #expect(try shop.tally("users") == lastTally)
      let old = try shop.restore(nil) { $0.time = .entry(before) }
      #expect(old.backup == report.backup)
      #expect(try shop.tally("users") == wanted)
    }
  }
}
