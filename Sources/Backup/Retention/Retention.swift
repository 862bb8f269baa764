/// How many backups are kept.
public struct RetentionPolicy: Sendable, Hashable {
  /// All that are at most so much older than the newest good one.
  public var within: Duration?
  /// So many, the newest.
  public var last = 0
  /// The newest of each of so many hours, days, ISO weeks, months, years that have one.
  public var hourly = 0
  public var daily = 0
  public var weekly = 0
  public var monthly = 0
  public var yearly = 0

  public init(
    within: Duration? = nil, last: Int = 0, hourly: Int = 0, daily: Int = 0, weekly: Int = 0,
    monthly: Int = 0, yearly: Int = 0
  ) {
    self.within = within
    self.last = last
    self.hourly = hourly
    self.daily = daily
    self.weekly = weekly
    self.monthly = monthly
    self.yearly = yearly
  }

  /// True when it would keep nothing.
  public var isEmpty: Bool {
    (within ?? .zero) <= .zero
      && [last, hourly, daily, weekly, monthly, yearly].allSatisfy { $0 <= 0 }
  }
}

/// What retention has to know of a backup.
public struct RetentionItem: Sendable, Hashable {
  public var id: String
  /// Seconds since 1970.
  public var time: Int64
  /// Backups of another kind or database do not count for each other.
  public var group: String
  /// Complete, and not known to be damaged.
  public var isGood: Bool
  /// Kept whatever the policy says, and why.
  public var pinned: String?
  /// Made on occasion and not on a schedule: its age counts from the newest good backup of all, since its
  /// own group may never get another.
  public var isOccasional = false
  /// Backups that are of no use without this one go by its fate: it is kept while one of them is.
  public var requires: String?

  public init(
    id: String, time: Int64, group: String, isGood: Bool = true, pinned: String? = nil,
    requires: String? = nil
  ) {
    self.id = id
    self.time = time
    self.group = group
    self.isGood = isGood
    self.pinned = pinned
    self.requires = requires
  }
}

/// What becomes of a backup, and why.
public struct RetentionVerdict: Sendable, Hashable {
  public let id: String
  /// Empty when it goes.
  public let reasons: [String]
  public var isKept: Bool { !reasons.isEmpty }
}

/// Decides which backups stay. Pure. - Source: backup-practice.md.
public struct Retention: Sendable {
  public let policy: RetentionPolicy
  /// Slots are of this zone's calendar.
  public let zone: Zone
  /// With an oplog capture the window must stay covered: the newest base before it is kept too.
  public let coversWindow: Bool

  public init(policy: RetentionPolicy, zone: Zone = .local, coversWindow: Bool = false) {
    self.policy = policy
    self.zone = zone
    self.coversWindow = coversWindow
  }

  /// One verdict for each item, newest first.
  ///
  /// - Parameter now: seconds since 1970. What is dated later takes no slot and stays.
  /// - Throws: ``BackupError`` `.usage` for an empty policy, which would remove everything.
  public func verdicts(_ items: [RetentionItem], now: Int64) throws(BackupError)
    -> [RetentionVerdict]
  {
    guard !policy.isEmpty else {
      throw BackupError(
        .usage, "the retention policy keeps nothing",
        hint: "set backup.keep in martlet.yaml, for example keep: { within: 30d, last: 4 }")
    }
    var reasons: [String: [String]] = [:]
    let newest = items.filter { $0.isGood && $0.time <= now }.map(\.time).max()
    for group in Dictionary(grouping: items, by: \.group).values {
      judge(group.sorted { ($0.time, $0.id) > ($1.time, $1.id) }, now, newest, &reasons)
    }
    keepChains(items, &reasons)
    return items.sorted { ($0.time, $0.id) > ($1.time, $1.id) }.map {
      RetentionVerdict(id: $0.id, reasons: reasons[$0.id] ?? [])
    }
  }

  /// `group` is sorted, the newest first.
  private func judge(
    _ group: [RetentionItem], _ now: Int64, _ newestOfAll: Int64?,
    _ reasons: inout [String: [String]]
  ) {
    for item in group {
      if let pinned = item.pinned { reasons[item.id, default: []].append(pinned) }
      if item.time > now { reasons[item.id, default: []].append("its date is in the future") }
    }
    let present = group.filter { $0.isGood && $0.time <= now }
    // Also when all good ones are dated later: the newest good one of all.
    if let newest = present.first ?? group.first(where: \.isGood) {
      reasons[newest.id, default: []].append("newest good")
    }
    // A damaged one stays until there is a newer good one to look at instead.
    for item in group where !item.isGood && !present.contains(where: { $0.time > item.time }) {
      reasons[item.id, default: []].append("damaged, and nothing newer is good")
    }
    // While backups fail, or with a clock that has jumped, time goes on and nothing may go for it.
    let isOccasional = group.allSatisfy(\.isOccasional)
    let reference = isOccasional ? newestOfAll : present.first?.time
    keepWindow(present, min(now, reference ?? now), &reasons)
    for item in present.prefix(max(0, policy.last)) { reasons[item.id, default: []].append("last") }
    for slot in Slot.allCases {
      var seen: Set<[Int64]> = []
      for item in present {
        let key = slot.key(zone.civil(item.time))
        guard !seen.contains(key), seen.count < slot.limit(policy) else { continue }
        seen.insert(key)
        reasons[item.id, default: []].append(slot.rawValue)
      }
    }
  }

  private func keepWindow(
    _ present: [RetentionItem], _ reference: Int64, _ reasons: inout [String: [String]]
  ) {
    guard let within = policy.within, within > .zero else { return }
    let start = reference - within.components.seconds
    for item in present where item.time >= start {
      reasons[item.id, default: []].append("within")
    }
    if coversWindow, let base = present.first(where: { $0.time < start }) {
      reasons[base.id, default: []].append("base of the window")
    }
  }

  /// What a kept one requires is kept, and what that requires.
  private func keepChains(_ items: [RetentionItem], _ reasons: inout [String: [String]]) {
    let byID = Dictionary(items.map { ($0.id, $0) }, uniquingKeysWith: { a, _ in a })
    for item in items where reasons[item.id]?.isEmpty == false {
      var current = item
      var steps = 0
      while let id = current.requires, let required = byID[id], steps < items.count {
        if reasons[id, default: []].isEmpty { reasons[id] = ["required by \(current.id)"] }
        current = required
        steps += 1
      }
    }
  }

  private enum Slot: String, CaseIterable {
    case hourly, daily, weekly, monthly, yearly

    func limit(_ policy: RetentionPolicy) -> Int {
      switch self {
      case .hourly: policy.hourly
      case .daily: policy.daily
      case .weekly: policy.weekly
      case .monthly: policy.monthly
      case .yearly: policy.yearly
      }
    }

    func key(_ time: CivilTime) -> [Int64] {
      let (year, month, day) = (Int64(time.year), Int64(time.month), Int64(time.day))
      return switch self {
      case .hourly: [year, month, day, Int64(time.hour)]
      case .daily: [year, month, day]
      // Day 0 was a Thursday; weeks start on Monday.
      case .weekly: [(time.dayNumber + 3) / 7]
      case .monthly: [year, month]
      case .yearly: [year]
      }
    }
  }
}
