internal import BSON
internal import Dump
internal import Glibc
public import MongoDB
internal import Synchronization

/// Who works on a store.
public struct LockHolder: Sendable, Hashable {
  public var host: String
  public var pid: Int32
  /// Changes with every start of the machine; empty where it cannot be told.
  public var bootID: String
  /// Numbers of processes mean something only within one; empty where it cannot be told.
  public var pidNamespace = ""
  /// When the process started, in the kernel's ticks: pids are used again.
  public var processStart: Int64
  /// What it does, `backup run`.
  public var purpose: String
  /// Seconds since 1970.
  public var since: Int64
  public var heartbeat: Int64

  /// This process.
  static func current(_ purpose: String) -> LockHolder {
    let now = Moment.now()
    var holder = LockHolder(
      host: Machine.host, pid: getpid(), bootID: Machine.bootID,
      processStart: Machine.startOf(getpid()) ?? 0, purpose: purpose, since: now, heartbeat: now)
    holder.pidNamespace = Machine.pidNamespace
    return holder
  }

  /// Whether its process could be seen here. A container may share the host's name and not its processes.
  var isVisible: Bool {
    host == Machine.host && !bootID.isEmpty && bootID == Machine.bootID
      && !pidNamespace.isEmpty && pidNamespace == Machine.pidNamespace
  }

  /// Whether it may be of this machine before it was started again. Another machine may have its name.
  private func isOfEarlierStart(_ isRenewed: Bool) -> Bool {
    guard host == Machine.host, !bootID.isEmpty, !Machine.bootID.isEmpty, bootID != Machine.bootID,
      let started = Machine.started
    else { return false }
    return heartbeat + (isRenewed ? Self.renewals : 0) < started
  }

  /// Seconds: one that lives renews its heartbeat within this.
  private static let renewals: Int64 = 90

  var document: Document {
    [
      "format": "martlet-lock/1", "host": .string(host), "pid": .integer(pid),
      "bootId": .string(bootID), "pidNamespace": .string(pidNamespace),
      "processStart": .integer(processStart),
      "purpose": .string(purpose), "since": .string(Moment.iso(since)),
      "heartbeat": .string(Moment.iso(heartbeat)),
    ]
  }

  init(
    host: String, pid: Int32, bootID: String, processStart: Int64, purpose: String, since: Int64,
    heartbeat: Int64
  ) {
    self.host = host
    self.pid = pid
    self.bootID = bootID
    self.processStart = processStart
    self.purpose = purpose
    self.since = since
    self.heartbeat = heartbeat
  }

  init?(_ document: Document) {
    guard let host = document["host"]?.stringValue, let pid = document["pid"]?.integerValue,
      let since = document["since"]?.stringValue.flatMap({ Moment.parse(iso: $0) }),
      let heartbeat = document["heartbeat"]?.stringValue.flatMap({ Moment.parse(iso: $0) })
    else { return nil }
    self.init(
      host: host, pid: Int32(clamping: pid), bootID: document["bootId"]?.stringValue ?? "",
      processStart: document["processStart"]?.integerValue ?? 0,
      purpose: document["purpose"]?.stringValue ?? "", since: since, heartbeat: heartbeat)
    pidNamespace = document["pidNamespace"]?.stringValue ?? ""
  }

  /// True when nobody can be at work under it any more.
  ///
  /// Where its process can be seen that is certain; any other lock is stale when it has not been renewed
  /// for `patience` seconds.
  /// - Parameter isRenewed: false for one whose heartbeat stays as it was taken.
  func isStale(now: Int64, patience: Int64, isRenewed: Bool = true) -> Bool {
    if isVisible {
      guard let start = Machine.startOf(pid) else { return true }
      return processStart != 0 && start != processStart
    }
    return isOfEarlierStart(isRenewed) || now - heartbeat > patience
  }
}

/// One run at a time on a store: a file that is renewed while the work goes on.
///
/// Stores have no test-and-set in common. So each contender writes its own file, then looks for
/// others: two that meet both step back, and at most one ever goes on.
public final class StoreLock: Sendable {
  /// Seconds.
  static let renewal: Int64 = 30
  static let patience: Int64 = 600
  /// Milliseconds: a holder that lives renews its lock within this.
  static let watching: Int64 = 45_000
  /// Who works in these areas reads the store, writes to it only what is of use in it, and does without a lock
  /// where the file system is read-only: a restore from such a copy must be possible.
  private static let readers: Set<String> = ["restore", "drill"]

  private let store: any Store
  private let area: String
  private let name: String
  private let holder: LockHolder
  private let state = Mutex<(isReleased: Bool, isLost: Bool)>((false, false))
  private let cancellation: Cancellation?
  private let renewer = Mutex<WorkerThread?>(nil)

  /// Takes the lock of a store, or of one of its parts. Blocks for a moment.
  ///
  /// - Parameters:
  ///   - area: `store`, or the name of an oplog chain: each has its own lock.
  ///   - cancellation: cancelled when the lock is lost.
  ///   - watching: milliseconds for which a lock that looks dead is watched first; 45,000 without.
  /// - Throws: ``BackupError`` `.locked` with the holder.
  public static func acquire(
    _ store: any Store, area: String = "store", purpose: String, cancellation: Cancellation? = nil,
    watching: Int64? = nil
  ) throws(BackupError) -> StoreLock {
    let watching = watching ?? Self.watching
    for attempt in 0..<4 {
      let lock = StoreLock(store, area, .current(purpose), cancellation)
      try refuse(try lock.others(watching))
      do throws(BackupError) { try lock.write(lock.holder) } catch {
        guard error.isReadOnly, readers.contains(area) else { throw error }
        lock.state.withLock { $0.isReleased = true }
        return lock
      }
      let others: [LockHolder]
      do throws(BackupError) { others = try lock.others(watching) } catch {
        try? store.delete(lock.name)
        throw error
      }
      if others.isEmpty {
        lock.renew()
        return lock
      }
      try store.delete(lock.name)
      if attempt == 3 { try refuse(others) }
      Pause.milliseconds(UInt32.random(in: 100...600))
    }
    throw BackupError(.locked, "the store's lock could not be had", path: store.location)
  }

  private init(
    _ store: any Store, _ area: String, _ holder: LockHolder, _ cancellation: Cancellation?
  ) {
    self.store = store
    self.holder = holder
    self.cancellation = cancellation
    self.area = area
    let token = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    name = "locks/\(area)/\(token).json"
  }

  deinit { release() }

  /// Gives the lock back.
  public func release() {
    let wasHeld = state.withLock { state in
      defer { state.isReleased = true }
      return !state.isReleased
    }
    guard wasHeld else { return }
    let worker = renewer.withLock { worker in
      defer { worker = nil }
      return worker
    }
    worker?.join()
    try? store.delete(name)
  }

  private static func refuse(_ others: [LockHolder]) throws(BackupError) {
    guard let other = others.first else { return }
    throw BackupError(
      .locked,
      "'\(other.purpose)' of \(other.host), pid \(other.pid), works on the store since "
        + Moment.iso(other.since),
      hint: "wait for it; its lock ends with it, or 10 minutes after its machine was lost")
  }

  /// Refuses where somebody else holds it; for one who cannot hold it himself.
  static func refuseOthers(_ store: any Store, area: String = "store") throws(BackupError) {
    try refuse(try StoreLock(store, area, .current(""), nil).others(watching))
  }

  /// - Throws: ``BackupError`` `.locked` when the lock is not in the store any more.
  public func check() throws(BackupError) {
    // One that was never written is not gone.
    if state.withLock({ $0.isReleased }) { return }
    guard !state.withLock({ $0.isLost }), try isPresent() else {
      throw BackupError(
        .locked, "the store's lock is gone: another run has taken it, or it is another store now",
        path: store.location, hint: "is it mounted, and was this machine asleep? then run it again")
    }
  }

  /// True for every way to name the store that it locks.
  func isIn(_ store: any Store) throws(BackupError) -> Bool {
    try store.list("locks/\(area)", recursively: true).contains { $0.name == name }
  }

  private func isPresent() throws(BackupError) -> Bool { try isIn(store) }

  /// Those who hold it besides us; stale ones are removed.
  private func others(_ watching: Int64) throws(BackupError) -> [LockHolder] {
    var holders: [LockHolder] = []
    for entry in try store.list("locks/\(area)", recursively: true) where entry.name != name {
      guard let bytes = try read(entry.name) else { continue }
      guard let document = try? ExtendedJSON.parseDocument(utf8: bytes),
        let other = LockHolder(document)
      else {
        // Cut while it was written: its writer is gone, or will write it again.
        try store.delete(entry.name)
        continue
      }
      if try isDead(other, entry.name, bytes, watching) {
        try store.delete(entry.name)
      } else {
        holders.append(other)
      }
    }
    return holders
  }

  private func read(_ name: String) throws(BackupError) -> [UInt8]? {
    do throws(BackupError) { return try store.read(name, limit: 1 << 20) } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
  }

  /// Clocks differ and jump: what looks dead on another machine, or dated in the future, is watched until
  /// it would have been renewed. Blocks meanwhile.
  private func isDead(
    _ other: LockHolder, _ name: String, _ bytes: [UInt8], _ watching: Int64
  ) throws(BackupError) -> Bool {
    let now = Moment.now()
    let isAhead = !other.isVisible && other.heartbeat > now + Self.patience
    guard isAhead || other.isStale(now: now, patience: Self.patience) else { return false }
    guard !other.isVisible else { return true }
    let end = Moment.ticks() + watching
    while Moment.ticks() < end {
      if cancellation?.isCancelled == true {
        throw BackupError(.cancelled, "stopped while a lock was watched")
      }
      Pause.milliseconds(UInt32(clamping: min(1000, max(50, watching / 10))))
      guard try read(name) == bytes else { return false }
    }
    return true
  }

  private func write(_ holder: LockHolder) throws(BackupError) {
    let text = ExtendedJSON.text(holder.document, .relaxed, indent: 2) + "\n"
    try store.put(name, bytes: Array(text.utf8))
  }

  private func renew() {
    let worker = WorkerThread { [weak self] in
      var last = Moment.ticks()
      var attempted = last
      while true {
        Pause.milliseconds(50)
        guard let self, !self.state.withLock({ $0.isReleased }) else { return }
        let now = Moment.ticks()
        guard now - attempted >= Self.renewal * 1000 else { continue }
        attempted = now
        var holder = self.holder
        holder.heartbeat = Moment.now()
        let isThere = try? self.isPresent()
        if isThere == false {
          // Whoever has removed it goes on without us.
          self.state.withLock { $0.isLost = true }
          self.cancellation?.cancel(.leaseLost)
          return
        }
        if isThere == true, (try? self.write(holder)) != nil {
          last = Moment.ticks()
        } else if now - last > Self.patience * 500 {
          // Others will take it for stale soon: better stop than be two.
          self.cancellation?.cancel(.leaseLost)
          return
        }
      }
    }
    renewer.withLock { $0 = worker }
  }
}

/// What tells this machine and its processes apart.
enum Machine {
  static let host: String = {
    var buffer = [CChar](repeating: 0, count: 256)
    guard gethostname(&buffer, 255) == 0 else { return "unknown" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }()

  /// Of this installation; empty where there is none. A container's name changes, this mostly does not.
  static let id: String = (read("/etc/machine-id") ?? "").filter { !$0.isWhitespace }

  static let bootID: String =
    (read("/proc/sys/kernel/random/boot_id") ?? "").filter { !$0.isWhitespace }

  /// Seconds since 1970; nil where it cannot be told.
  static var started: Int64? {
    guard let text = read("/proc/uptime"), let word = text.split(separator: " ").first,
      let uptime = Double(word)
    else { return nil }
    return Moment.now() - Int64(uptime)
  }

  /// Of our own processes, `pid:[4026531836]`; empty where /proc is not that of our namespace.
  static let pidNamespace: String = {
    var buffer = [CChar](repeating: 0, count: 256)
    func target(_ link: String) -> String? {
      let count = readlink(link, &buffer, 255)
      guard count > 0 else { return nil }
      return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    guard target("/proc/self") == String(getpid()) else { return "" }
    return target("/proc/self/ns/pid") ?? ""
  }()

  /// When a process started, in the kernel's ticks; nil when there is none of that number.
  static func startOf(_ pid: Int32) -> Int64? {
    guard let text = read("/proc/\(pid)/stat") else {
      // Without /proc: alive or not is all that can be told.
      guard !bootID.isEmpty else { return kill(pid, 0) == 0 || errno == EPERM ? 0 : nil }
      return nil
    }
    // The name, in parentheses, may hold anything; field 22 counted from 1, field 3 follows it.
    guard let end = text.lastIndex(of: ")") else { return 0 }
    let fields = text[text.index(after: end)...].split(separator: " ")
    return fields.count > 19 ? Int64(fields[19]) ?? 0 : 0
  }

  private static func read(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }
}
