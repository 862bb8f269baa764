import Foundation

/// Finds a mongod for throwaway servers.
enum MongodSearch {
  /// The mongod to use: MARTLET_MONGOD, one on PATH, or one that scripts/setup.sh fetched nearby.
  static func find(_ surroundings: Settings.Surroundings) -> String? {
    let manager = FileManager.default
    if let named = surroundings.sourced("MARTLET_MONGOD")?.value { return named }
    let path = surroundings.environment["PATH"] ?? ""
    for folder in path.split(separator: ":") {
      let candidate = "\(folder)/mongod"
      if manager.isExecutableFile(atPath: candidate) { return candidate }
    }
    var folder = URL(filePath: surroundings.folder)
    while folder.path != "/" {
      let versions = folder.appending(path: ".tools/mongod").path
      // The release that the project is made for comes first.
      let found = ((try? manager.contentsOfDirectory(atPath: versions)) ?? []).sorted(by: >)
      for version in ["6.0.5"] + found {
        let candidate = "\(versions)/\(version)/bin/mongod"
        if manager.isExecutableFile(atPath: candidate) { return candidate }
      }
      folder.deleteLastPathComponent()
    }
    return nil
  }
}
