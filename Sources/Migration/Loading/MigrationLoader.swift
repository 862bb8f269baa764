import Foundation

/// Reads a folder of migration files.
///
/// The number orders, the stem names. Everything wrong is collected, in all files, so that one look
/// is enough.
public struct MigrationLoader: Sendable {
  /// The folder.
  public let directory: String

  /// Reads every migration of a folder.
  public init(directory: String) { self.directory = directory }

  /// Reads the folder; what is wrong inside files is in the result. Blocks on the disk.
  /// - Throws: `unreadableFolder`.
  public func load() throws(MigrationError) -> LoadedMigrations {
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    } catch {
      throw MigrationError(
        .unreadableFolder, "the folder of migrations cannot be read", file: directory,
        hint: "make it with `martlet init`, or name it with --migrations-dir")
    }
    var folder = Folder(directory: directory)
    for name in names { folder.sort(name) }
    folder.read()
    folder.order()
    return LoadedMigrations(migrations: folder.migrations, problems: folder.problems)
  }

  /// Makes a migration of text, as if it were in a file of that name.
  /// - Throws: the first error, the others in it.
  public static func parse(_ text: String, file: String) throws(MigrationError) -> Migration {
    let name = file.split(separator: "/").last.map(String.init) ?? file
    var folder = Folder(directory: "")
    switch MigrationFileName(name) {
    case .yaml(let id): folder.add(try YAMLReader.read(text, file: file), id, file, .yaml)
    case .json(let id): folder.add(try JSONReader.read(text, file: file), id, file, .json)
    case .golangUp(let id):
      folder.add(up: try JSONReader.read(text, file: file), down: nil, id, file)
    default: throw Folder.notAMigration(file, nil)
    }
    let loaded = LoadedMigrations(migrations: folder.migrations, problems: folder.problems)
    guard let migration = try loaded.validated().first else {
      throw Folder.notAMigration(file, nil)
    }
    return migration
  }
}

/// A folder while it is being read.
struct Folder {
  private let directory: String
  private var files: [(id: MigrationID, name: String, format: Source.Format)] = []
  private var downs: [MigrationID: String] = [:]
  private(set) var migrations: [Migration] = []
  private(set) var problems: [LoadedMigrations.Problem] = []

  init(directory: String) { self.directory = directory }

  private func path(_ name: String) -> String {
    directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
  }

  private mutating func fail(_ error: MigrationError) { problems.append(.init(.error, error)) }

  static func notAMigration(_ file: String, _ reason: String?) -> MigrationError {
    MigrationError(
      .fileName, "not a migration" + (reason.map { ": \($0)" } ?? ""), file: file,
      hint: "expected NNN_name.yaml, NNN_name.json or NNN_name.up.json")
  }

  mutating func sort(_ name: String) {
    switch MigrationFileName(name) {
    case .yaml(let id): files.append((id, name, .yaml))
    case .json(let id): files.append((id, name, .json))
    case .golangUp(let id): files.append((id, name, .golangPair))
    case .golangDown(let id): downs[id] = name
    case .ignored: break
    case .mistaken(let reason): fail(Self.notAMigration(path(name), reason))
    case .other: problems.append(.init(.notice, Self.notAMigration(path(name), nil)))
    }
  }

  mutating func read() {
    for (id, name, format) in files {
      let path = path(name)
      do {
        let text = try MigrationText.read(path)
        switch format {
        case .yaml: add(try YAMLReader.read(text, file: path), id, path, .yaml)
        case .json: add(try JSONReader.read(text, file: path), id, path, .json)
        case .golangPair, .code:
          let up = try JSONReader.read(text, file: path)
          var down: (tree: Tree, file: String)?
          if let other = downs.removeValue(forKey: id).map(self.path) {
            down = (try JSONReader.read(MigrationText.read(other), file: other), other)
          }
          add(up: up, down: down, id, path)
        }
      } catch {
        downs[id] = nil
        fail(error)
      }
    }
    for (id, name) in downs.sorted(by: { $0.key < $1.key }) {
      fail(
        MigrationError(
          .missingUp, "\(id).up.json is missing for this file", file: path(name),
          hint: "a down alone is never run: add the other half or remove this one"))
    }
  }

  mutating func add(_ tree: Tree, _ id: MigrationID, _ path: String, _ format: Source.Format) {
    var parser = MigrationParser(file: path)
    let migration = parser.migration(tree, id: id, source: Source(path: path, format: format))
    take(migration, parser.problems)
  }

  mutating func add(
    up: Tree, down: (tree: Tree, file: String)?, _ id: MigrationID, _ path: String
  ) {
    var parser = MigrationParser(file: path)
    let source = Source(path: path, format: .golangPair)
    take(parser.migration(up: up, down: down, id: id, source: source), parser.problems)
  }

  private mutating func take(_ migration: Migration?, _ found: [MigrationError]) {
    if let migration { migrations.append(migration) }
    for error in found { fail(error) }
  }

  /// Sorts, and looks at the numbers of all files, broken ones included.
  mutating func order() {
    migrations.sort { $0.id < $1.id }
    let sorted = files.sorted { $0.id < $1.id }
    for (first, second) in zip(sorted, sorted.dropFirst()) {
      if first.id.number == second.id.number {
        fail(
          MigrationError(
            .duplicateNumber,
            "number \(first.id.number) is on two files: \(first.name) and "
              + second.name, file: path(second.name),
            hint: "give the newer one the next free number"))
      } else if let a = UInt64(first.id.number), let b = UInt64(second.id.number),
        Self.isCounter(a), Self.isCounter(b), b - a > 1
      {
        let missing = b - a == 2 ? "\(a + 1) is" : "\(a + 1) to \(b - 1) are"
        problems.append(
          .init(
            .notice,
            MigrationError(
              .gap, "\(missing) missing between \(first.name) and \(second.name)",
              file: path(second.name))))
      }
    }
  }

  /// Numbers of eight digits and more are dates, where gaps mean nothing.
  private static func isCounter(_ number: UInt64) -> Bool { number < 10_000_000 }
}
