internal import Dump

/// Names of collections that are there during a restore only. Short: the limit is 120 bytes on 4.2.
///
/// All of them begin with ``stem``, and what begins with it is dropped: so every token has the same
/// length, consists of hexadecimal digits, and is ended by a dot. None can be the beginning of another.
struct Temporary: Sendable {
  static let prefix = "martlet.restore."
  private static let length = 16

  /// Of this run.
  let token: String

  init() {
    let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
    token = String(repeating: "0", count: Self.length - digits.utf8.count) + digits
  }

  /// Of an earlier run, as its journal has it.
  /// - Throws: ``BackupError`` `.conflict` for what cannot be a token: names made of it could be
  ///   somebody else's.
  init(token: String) throws(BackupError) {
    let isToken =
      token.utf8.count == Self.length
      && token.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    guard isToken else {
      throw BackupError(
        .conflict, "an entry of the restore journal is not one of ours",
        namespace: Journal.database + "." + Journal.collection,
        hint: "look at it, and delete it by hand")
    }
    self.token = token
  }

  var stem: String { Self.prefix + token + "." }

  func loading(_ target: Namespace) -> Namespace {
    Namespace(target.database, stem + "n" + hash(target))
  }

  func kept(_ target: Namespace) -> Namespace {
    Namespace(target.database, stem + "k" + hash(target))
  }

  /// Places for what is only loaded because a rename leads from it to what is restored.
  func origins(_ sources: Set<Namespace>) -> [Namespace: Namespace] {
    Dictionary(sources.map { ($0, origin($0)) }, uniquingKeysWith: { first, _ in first })
  }

  func origin(_ source: Namespace) -> Namespace {
    Namespace(source.database, stem + Self.originMark + hash(source))
  }

  static let originMark = "martlet-origin."

  /// A place for what somebody has made under a name that was free for a moment. It is never dropped by its
  /// name: it may be all there is of an application's writes.
  func aside(_ target: Namespace, _ number: Int) -> Namespace {
    Namespace(target.database, stem + Self.asideMark + hash(target) + ".\(number)")
  }

  /// What a replay makes has its own name after the stem: nobody calls a collection so. Not two dots, which
  /// drivers refuse in names.
  static let asideMark = "martlet-aside."

  /// Whether a name is of this run.
  func owns(_ namespace: Namespace) -> Bool { namespace.collection.hasPrefix(stem) }

  private func hash(_ namespace: Namespace) -> String {
    String(FileDigest(of: Array(namespace.description.utf8)).sha256.prefix(12))
  }
}
