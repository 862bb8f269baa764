import BSON
import Foundation
import Migration
import Testing

@Suite("Loading a folder")
struct LoadingFolderTests {
  /// Writes the files into a folder of its own, loads it and removes it.
  private func load(
    _ files: [(String, String)], prepare: (URL) throws -> Void = { _ in }
  ) throws -> LoadedMigrations {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("martlet-loading-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    for (name, text) in files {
      try Data(text.utf8).write(to: folder.appendingPathComponent(name))
    }
    try prepare(folder)
    return try MigrationLoader(directory: folder.path).load()
  }

  private let step = "up: [{ create: a }]"

  @Test("numbers order, whatever their width, and times fit")
  func order() throws {
    let loaded = try load(
      ["10_b.yaml", "9_a.yml", "0011_c.yaml", "20260131120000_d.yaml", "12_e-F.2.yaml"].map {
        ($0, step)
      })
    #expect(loaded.errors.isEmpty)
    #expect(
      loaded.migrations.map(\.name)
        == ["9_a", "10_b", "0011_c", "12_e-F.2", "20260131120000_d"])
  }

  @Test("two files with one number are an error that names both")
  func duplicates() throws {
    let loaded = try load([("1_a.yaml", step), ("001_b.yaml", step), ("002_a.yaml", "up: 1")])
    let error = try #require(loaded.errors.first { $0.code == .duplicateNumber })
    #expect(error.message.contains("1_a.yaml") && error.message.contains("001_b.yaml"))
    #expect(loaded.errors.contains { $0.code == .wrongType })
    #expect(throws: MigrationError.self) { try loaded.validated() }
  }

  @Test("a gap is a notice, except between times")
  func gaps() throws {
    let loaded = try load([
      ("001_a.yaml", step), ("003_b.yaml", step), ("007_c.yaml", step),
      ("20260131120000_d.yaml", step), ("20260231120000_e.yaml", step),
    ])
    #expect(loaded.errors.isEmpty)
    #expect(loaded.problems.filter { $0.error.code == .gap }.count == 2)
    #expect(loaded.problems.first?.error.message.contains("2 is missing") == true)
  }

  @Test("golang-migrate's pairs are read as they are")
  func pairs() throws {
    let loaded = try load([
      (
        "1_a.up.json",
        #"[{"create": "a"}, {"insert": "a", "documents": [{"n": {"$numberLong": "1"}}]}]"#
      ),
      ("1_a.down.json", #"[{"drop": "a"}]"#), ("2_b.up.json", #"[{"create": "b"}]"#),
    ])
    #expect(loaded.problems.isEmpty, "\(loaded.problems)")
    #expect(loaded.migrations.map(\.name) == ["1_a", "2_b"])
    #expect(loaded.migrations.map(\.source.format) == [.golangPair, .golangPair])
    guard case .steps(let down) = loaded.migrations.first?.down else {
      Issue.record("no down")
      return
    }
    #expect(down.map(\.name) == ["drop"])
    #expect(down.first?.location.file.hasSuffix("1_a.down.json") == true)
    #expect(loaded.migrations.last?.down == .derived)
  }

  @Test("a down without its up is an error")
  func halfPair() throws {
    let loaded = try load([("1_a.down.json", "[]")])
    #expect(loaded.errors.map(\.code) == [.missingUp])
  }

  @Test("other files are left alone, told or refused by how much they look like a migration")
  func names() throws {
    let loaded = try load(
      [
        "README.md", "README", ".hidden.yaml", "notes.md", "001_a.yaml~", "build.py", "x.yaml",
        "1-a.yaml", "1_a b.yaml", "1_a.YAML", "2_a.sql", "3_a.up.yaml", "4_.yaml",
      ].map { ($0, step) })
    let notices = loaded.problems.filter { $0.severity == .notice }
    #expect(notices.compactMap { $0.error.file?.split(separator: "/").last } == ["build.py"])
    #expect(Set(loaded.errors.map(\.code)) == [.fileName])
    #expect(loaded.errors.count == 7, "\(loaded.errors)")
    #expect(loaded.errors.allSatisfy { $0.hint?.contains("NNN_name.yaml") == true })
    #expect(loaded.migrations.isEmpty)
  }

  @Test("byte order mark, CRLF and links are fine; a broken link, a folder and other bytes are not")
  func bytes() throws {
    let loaded = try load([("001_a.yaml", "\u{FEFF}up:\r\n  - create: a\r\n")]) { folder in
      let other = folder.appendingPathComponent("README.target")
      try Data(step.utf8).write(to: other)
      let manager = FileManager.default
      try manager.createSymbolicLink(
        at: folder.appendingPathComponent("002_b.yaml"), withDestinationURL: other)
      try manager.createSymbolicLink(
        atPath: folder.appendingPathComponent("003_c.yaml").path,
        withDestinationPath: "/nowhere/at/all")
      try manager.createDirectory(
        at: folder.appendingPathComponent("004_d.yaml"), withIntermediateDirectories: false)
      try Data("up:\n - c: \"".utf8 + [0xFF, 0xFE] + "\"".utf8).write(
        to: folder.appendingPathComponent("005_e.yaml"))
    }
    #expect(loaded.migrations.map(\.name) == ["001_a", "002_b"])
    #expect(loaded.migrations.first?.up.first?.target == "a")
    #expect(
      loaded.errors.map(\.code) == [.unreadableFile, .unreadableFile, .notUTF8],
      "\(loaded.errors)")
    #expect(loaded.errors.last?.line == 2)
    #expect(loaded.errors.last?.column == 8)
  }

  @Test("a folder that is not there is an error with the way out")
  func missing() throws {
    let error = #expect(throws: MigrationError.self) {
      try MigrationLoader(directory: "/nowhere/at/all").load()
    }
    #expect(error?.code == .unreadableFolder)
    #expect(error?.hint?.contains("martlet init") == true)
  }

  @Test("a thousand files load, all of them")
  func thousand() throws {
    let text = """
      up:
        - create: things
        - createIndexes: things
          indexes: [{ key: { a: 1 }, name: a_1 }, { key: { b: 1 }, name: b_1 }]
      """
    let loaded = try load((1...1_000).map { ("\($0)_a.yaml", text) })
    #expect(loaded.problems.isEmpty)
    #expect(loaded.migrations.count == 1_000)
  }
}

@Suite("The reference migrations")
struct LoadingReferenceTests {
  private func reference() throws -> [Migration] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("migrations")
    return try MigrationLoader(directory: folder.path).load().validated()
  }

  @Test("they load, and lint has at most notices for them")
  func clean() throws {
    let migrations = try reference()
    #expect(
      migrations.map(\.name) == [
        "001_access_control", "002_two_factor", "003_audit_logging", "004_payments",
        "005_analytics",
      ])
    let findings = Lint.lint(migrations, server: Release(major: 4, minor: 4))
    #expect(findings.allSatisfy { $0.severity == .notice }, "\(findings)")
    #expect(findings.map(\.code) == ["ML021"], "\(findings)")
  }

  @Test("their checksums are what they were when v1 was defined")
  func checksums() throws {
    // The fifth has been computed with pymongo's bson module as well.
    #expect(
      try reference().map(\.checksum) == [
        "v1:sha256:60f6e8f53cab6aecdbdd3936c575f270df3f40d78185810ba4b9c7681970ee9c",
        "v1:sha256:73194e97961eda9b87abb9bc563e71ea505c86343dabfef6b49d680ee1d0f2ef",
        "v1:sha256:78ba2b0e05e74ae30fe935619e94f6c9350309b02bcc054b09b3aded69ddfbc5",
        "v1:sha256:330ce724aac8b922d64f20333f8259a074beb302cb68b93d9e7c95a378bb5907",
        "v1:sha256:4db6c62944fc9fedc0f28c4781e75c2d7d221668a26edbabd15094f08f0f5117",
      ])
  }
}
