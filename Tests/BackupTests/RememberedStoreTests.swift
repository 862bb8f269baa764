import BSON
import Dump
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// A store whose file system goes away and comes back.
@Suite struct RememberedStoreTests {
  /// As unmounting leaves it: the folder is there, and nothing of the store in it.
  private static func unmount(_ path: String) {
    _ = rename(path, path + ".away")
    mkdir(path, 0o700)
  }

  private static func mount(_ path: String) throws {
    _ = try RunningProgram.output(of: ["rm", "-rf", "--", path])
    _ = rename(path + ".away", path)
  }

  @Test("a store that is not mounted is an error and gets nothing; a new one needs no command")
  func commands() throws {
    let scratch = try ScratchFolder()
    let text = "backup: {store: ./backups, commands: [{name: x, dump: echo hi}]}\n"
    try scratch.write(Array(text.utf8), "martlet.yaml")
    let backups = scratch.path + "/backups"
    let run = ["backup", "run", "--kind", "files"]
    let first = try MartletBinary.run(run, directory: scratch.path)
    #expect(first.exitCode == 0, "\(first.stderr)")
    Self.unmount(backups)
    for words in [run, ["backup", "list"], ["backup", "prune", "--keep-last", "1"]] {
      let refused = try MartletBinary.run(words, directory: scratch.path)
      #expect(refused.exitCode == 1, "\(words) \(refused.stderr)")
      #expect(refused.stderr.contains("this is not the store that was here"))
      #expect(refused.stderr.contains("HINT: is its file system mounted?"))
    }
    #expect(try FolderStore(path: backups).list("", recursively: true).isEmpty)
    let other = try MartletBinary.run(run + ["--store", "./new"], directory: scratch.path)
    #expect(other.exitCode == 0, "\(other.stderr)")
    try Self.mount(backups)
    let again = try MartletBinary.run(run, directory: scratch.path)
    #expect(again.exitCode == 0, "\(again.stderr)")
    #expect(try Catalog(FolderStore(path: backups)).sets().count == 2)

    // What the hint says.
    Self.unmount(backups)
    let refused = try MartletBinary.run(run, directory: scratch.path)
    let file = try #require(refused.stderr.split(separator: " ").last).filter { !$0.isNewline }
    #expect(unlink(file) == 0, "\(refused.stderr)")
    #expect(try MartletBinary.run(run, directory: scratch.path).exitCode == 0)
    // And that one is another one than was here first.
    _ = try RunningProgram.output(of: ["rm", "-rf", "--", backups])
    #expect(rename(backups + ".away", backups) == 0)
    let mixed = try MartletBinary.run(run, directory: scratch.path)
    #expect(mixed.stderr.contains("but another one"), "\(mixed.stderr)")
  }

  @Test("a capture whose store is unmounted stops, and goes on without a gap when it is back")
  func capture() throws {
    try Shop.run { shop in
      let path = shop.scratch.path + "/store"
      func store() -> any Store {
        StoreLocation.folder(path).open(remembering: shop.scratch.path + "/memory")
      }
      let made = try shop.backup()
      try shop.capture(in: store())
      let before = try SliceCatalog(shop.store).chains()
      try shop.server.withDatabase { _ = try $0.insert("extra", [["_id": 1]]) }
      // In mid-run, where its lock is gone, or at the start of the next, when all was in the first slice.
      let slices = Mutex(0)
      let stopped = #expect(throws: BackupError.self) {
        try shop.capture(in: store()) { _ in
          slices.withLock { $0 += 1 }
          Self.unmount(path)
          _ = try? shop.server.withDatabase { try $0.insert("extra", [["_id": 2]]) }
        }
        try shop.capture(in: store())
      }
      #expect(stopped?.code == .store || stopped?.code == .locked)
      #expect(slices.withLock { $0 } == 1)
      let refused = #expect(throws: BackupError.self) { try shop.capture(in: store()) }
      #expect(refused?.code == .store)
      #expect(try FolderStore(path: path).list("", recursively: true).isEmpty)
      try Self.mount(path)
      // Its process would be dead by now.
      for entry in try shop.store.list("locks", recursively: true) {
        try shop.store.delete(entry.name)
      }
      try shop.capture(in: store())
      let chain = try #require(try SliceCatalog(shop.store).chains().first)
      #expect(chain.runs.count == 1)
      #expect(chain.slices.count > before[0].slices.count)
      let end = try #require(chain.runs.last?.end)
      _ = try shop.restore(made.id) { $0.time = .entry(end) }
      #expect(try shop.server.withDatabase { try $0.count("extra") } == 2)
    }
  }

  @Test("two first writers that meet are both right afterwards")
  func firstWriters() throws {
    let scratch = try ScratchFolder()
    let inner = FolderStore(path: scratch.path + "/store")
    @Sendable func open(_ machine: Int) -> RememberedStore {
      RememberedStore(inner, folder: scratch.path + "/memory\(machine)", place: "/store")
    }
    let failures = Mutex<[String]>([])
    let threads = (0..<8).compactMap { number in
      WorkerThread {
        do { try open(number).put("file\(number)", bytes: [1]) } catch {
          failures.withLock { $0.append("\(error)") }
        }
      }
    }
    for thread in threads { thread.join() }
    for number in 0..<8 { try open(number).put("again\(number)", bytes: [1]) }
    #expect(failures.withLock { $0 } == [])
  }
}
