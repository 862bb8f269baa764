import Foundation
import Validation

/// Files that are there whole or not at all.
enum DurableFile {
  /// Writes under a temporary name, syncs, renames, syncs the folder. Replaces what is there. Blocks.
  static func write(_ text: String, to path: String, mode: mode_t = 0o644) throws(CommandError) {
    do {
      try WholeFile.write(text, to: path, mode: mode)
    } catch { throw CommandError(.file, error.message) }
  }
}
