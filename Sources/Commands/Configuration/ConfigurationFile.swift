import Foundation
import Yams

/// Where a `martlet.yaml` lies and what its values are replaced from.
struct ConfigurationFile: Sendable, Hashable {
  static let name = "martlet.yaml"

  /// Absolute.
  let path: String
  let environment: [String: String]

  /// The folder that relative paths in the file start from.
  var folder: String { URL(fileURLWithPath: path).deletingLastPathComponent().path }

  func resolve(_ relative: String) -> String { Self.resolve(relative, from: folder) }

  /// An absolute path without `.` and `..`; `~/` is the home folder.
  static func resolve(_ relative: String, from folder: String) -> String {
    let expanded =
      relative == "~" || relative.hasPrefix("~/")
      ? NSHomeDirectory() + relative.dropFirst() : relative
    return URL(
      fileURLWithPath: expanded, relativeTo: URL(fileURLWithPath: folder, isDirectory: true)
    )
    .standardizedFileURL.path
  }

  /// The nearest one in `folder` or above it.
  static func find(from folder: String) -> String? {
    var url = URL(fileURLWithPath: folder, isDirectory: true).standardizedFileURL
    while true {
      let candidate = url.appendingPathComponent(name).path
      if FileManager.default.fileExists(atPath: candidate) { return candidate }
      let parent = url.deletingLastPathComponent().standardizedFileURL
      if parent.path == url.path { return nil }
      url = parent
    }
  }

  func read() throws(CommandError) -> Configuration {
    let text: String
    do {
      text = try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
    } catch {
      let missing = !FileManager.default.fileExists(atPath: path)
      throw CommandError(
        missing ? .usage : .file,
        missing ? "no configuration file \(path)" : "cannot read \(path) as UTF-8 text")
    }
    return try parse(text)
  }

  func parse(_ text: String) throws(CommandError) -> Configuration {
    let node: Node?
    do {
      node = try Yams.compose(yaml: text, .basic, .default, .utf8)
    } catch let error as YamlError {
      throw explain(error)
    } catch {
      throw CommandError(.configuration, "\(path) is not YAML")
    }
    guard let node else { return Configuration() }
    return try Configuration(ConfigurationNode(node: node, path: "", file: self))
  }

  private func explain(_ error: YamlError) -> CommandError {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      return ConfigurationNode.error(problem, at: mark, in: self)
    case .duplicatedKeysInMapping(let keys, let context):
      return ConfigurationNode.error(
        "written twice: \(keys.sorted().joined(separator: ", "))", at: context.mark, in: self)
    default:
      return CommandError(.configuration, "\(path) is not YAML")
    }
  }
}
