internal import BSON
internal import Foundation
internal import Synchronization

/// What a validation has done so far, in a file: a run that was killed goes on where it stood.
///
/// One line for each check that is over, and for each slice of a long one. A line that was cut off is
/// not counted. Removed at the end of the run.
final class CheckState: Sendable {
  private struct Known {
    var results: [String: [CheckResult]] = [:]
    var slices: [String: Document] = [:]
  }

  private let path: String
  private let descriptor: Int32
  private let known: Mutex<Known>

  /// - Parameter key: what the run is about: one that differs begins anew.
  /// - Throws: ``ValidationError`` `unwritable`.
  init(_ path: String, key: String) throws(ValidationError) {
    self.path = path
    var known = Known()
    let text = String(decoding: WholeFile.read(path) ?? [], as: UTF8.self)
    // It is replaced, and removed at the end.
    guard try WholeFile.isReplaceable(path), text.isEmpty || text.hasPrefix("{\"key\"") else {
      throw ValidationError(
        .unwritable, "\(path) is not a state of martlet", file: path,
        hint: "name a file of its own: it is removed at the end of the run")
    }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let isSame = lines.first.flatMap { Self.parse($0) }?["key"]?.stringValue == key
    if isSame {
      for line in lines.dropFirst().dropLast() {
        guard let entry = Self.parse(line), let name = entry["check"]?.stringValue else { continue }
        if let slice = entry["slice"]?.documentValue { known.slices[name] = slice }
        if let results = entry["results"]?.arrayValue {
          known.results[name] = results.compactMap(\.documentValue).compactMap(JSONReport.check)
        }
      }
    }
    self.known = Mutex(known)
    let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (isSame ? 0 : O_TRUNC)
    // Findings hold `_id`s.
    descriptor = open(path, flags, 0o600)
    guard descriptor >= 0 else {
      throw ValidationError(
        .unwritable, "cannot write \(path): \(String(cString: strerror(errno)))", file: path)
    }
    // After a line that was cut off.
    append(isSame ? "" : Self.text(["key": .string(key)]))
  }

  deinit { close(descriptor) }

  /// What a check found in the run before; nil when it was not over.
  func results(of check: String) -> [CheckResult]? { known.withLock { $0.results[check] } }

  /// How far a long check came; nil when it had not begun.
  func slice(of check: String) -> Document? { known.withLock { $0.slices[check] } }

  func keep(_ results: [CheckResult], of check: String) {
    let report = Report(kind: .before, subject: "", startedAt: 0, finishedAt: 0)
    let writer = JSONReport(report)
    append(
      Self.text([
        "check": .string(check),
        "results": .array(results.map { .document(writer.check($0)) }),
      ]))
  }

  func keep(slice: Document, of check: String) {
    append(Self.text(["check": .string(check), "slice": .document(slice)]))
  }

  /// All is done.
  func finish() { WholeFile.remove(path) }

  private func append(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    // Nothing depends on it: what is not kept is done again.
    _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
  }

  private static func text(_ document: Document) -> String {
    ExtendedJSON.text(document, .canonical)
  }

  private static func parse(_ line: Substring) -> Document? {
    try? ExtendedJSON.parseDocument(String(line))
  }
}
