import Testing

@testable import Backup

private let day: Int64 = 86_400
/// Wednesday 2026-01-28 12:00:00 UTC.
private let now: Int64 = 1_769_601_600

private func item(_ id: String, daysAgo: Double, isGood: Bool = true, group: String = "full")
  -> RetentionItem
{
  RetentionItem(id: id, time: now - Int64(daysAgo * Double(day)), group: group, isGood: isGood)
}

private func kept(
  _ policy: RetentionPolicy, _ items: [RetentionItem], coversWindow: Bool = false
) throws -> [String: [String]] {
  let retention = Retention(policy: policy, zone: .utc, coversWindow: coversWindow)
  let verdicts = try retention.verdicts(items, now: now)
  return Dictionary(
    uniqueKeysWithValues: verdicts.filter(\.isKept).map { ($0.id, $0.reasons) })
}

@Suite struct RetentionTests {
  let week = (0..<30).map { item("d\($0)", daysAgo: Double($0)) }

  @Test(
    "an empty policy is refused",
    arguments: [
      RetentionPolicy(), RetentionPolicy(within: .zero), RetentionPolicy(last: 0, daily: -1),
    ])
  func empty(policy: RetentionPolicy) {
    #expect(throws: BackupError.self) { try kept(policy, [item("a", daysAgo: 0)]) }
  }

  @Test(
    "each rule keeps the newest of its slots",
    arguments: [
      (RetentionPolicy(last: 3), ["d0", "d1", "d2"]),
      (RetentionPolicy(daily: 2), ["d0", "d1"]),
      (RetentionPolicy(hourly: 2), ["d0", "d1"]),
      // Wednesday the 28th; the week before ended on Sunday the 25th.
      (RetentionPolicy(weekly: 2), ["d0", "d3"]),
      (RetentionPolicy(monthly: 2), ["d0", "d28"]),
      (RetentionPolicy(yearly: 2), ["d0", "d28"]),
      (RetentionPolicy(within: .seconds(2 * 86_400)), ["d0", "d1", "d2"]),
    ])
  func rules(policy: RetentionPolicy, expected: [String]) throws {
    #expect(try Set(kept(policy, week).keys) == Set(expected))
  }

  @Test("every kept backup says why")
  func reasons() throws {
    let result = try kept(RetentionPolicy(last: 1, daily: 1, monthly: 2), week)
    #expect(result["d0"] == ["newest good", "last", "daily", "monthly"])
    #expect(result["d28"] == ["monthly"])
  }

  @Test("the newest good backup stays however old it is")
  func newestGood() throws {
    let items = [item("old", daysAgo: 400), item("older", daysAgo: 500)]
    #expect(try Set(kept(RetentionPolicy(within: .seconds(day)), items).keys) == ["old"])
  }

  @Test("a damaged backup takes no slot and does not count as the newest")
  func damaged() throws {
    let items = [
      item("bad", daysAgo: 0, isGood: false), item("good", daysAgo: 1), item("next", daysAgo: 2),
    ]
    let result = try kept(RetentionPolicy(last: 1), items)
    #expect(result["good"] == ["newest good", "last"])
    #expect(result["bad"] == ["damaged, and nothing newer is good"])
    #expect(result["next"] == nil)
  }

  @Test("a damaged backup goes once a newer good one is there")
  func damagedAndOld() throws {
    let items = [item("good", daysAgo: 0), item("bad", daysAgo: 1, isGood: false)]
    #expect(try kept(RetentionPolicy(last: 5), items)["bad"] == nil)
  }

  @Test("a backup from the future takes no slot and is not removed")
  func future() throws {
    let items = [item("later", daysAgo: -2), item("now", daysAgo: 0), item("then", daysAgo: 1)]
    let result = try kept(RetentionPolicy(last: 1), items)
    #expect(result["later"] == ["its date is in the future"])
    #expect(result["now"] == ["newest good", "last"])
    #expect(result["then"] == nil)
  }

  @Test("backups of another kind or database do not count for each other")
  func groups() throws {
    let items = [item("a", daysAgo: 0), item("b", daysAgo: 3, group: "database shop")]
    #expect(try Set(kept(RetentionPolicy(last: 1), items).keys) == ["a", "b"])
  }

  @Test("what a kept backup requires is kept, over several steps")
  func chains() throws {
    var first = item("first", daysAgo: 10)
    first.requires = nil
    var second = item("second", daysAgo: 5)
    second.requires = "first"
    var third = item("third", daysAgo: 0)
    third.requires = "second"
    let result = try kept(RetentionPolicy(last: 1), [first, second, third])
    #expect(result["second"] == ["required by third"])
    #expect(result["first"] == ["required by second"])
  }

  @Test("with a capture, the base before the window's start is kept")
  func window() throws {
    let policy = RetentionPolicy(within: .seconds(2 * day + day / 2))
    #expect(try kept(policy, week, coversWindow: true)["d3"] == ["base of the window"])
    #expect(try kept(policy, week)["d3"] == nil)
  }

  @Test("while backups fail, and when the clock has jumped ahead, what there was stays")
  func standstill() throws {
    for later in [40.0, 3650] {
      let items = (0..<30).map { item("d\($0)", daysAgo: Double($0) + later) }
      let result = try kept(RetentionPolicy(within: .seconds(10 * day)), items)
      #expect(result.count == 11, "\(later) days later")
      let windowed = try kept(
        RetentionPolicy(within: .seconds(10 * day)), items, coversWindow: true)
      #expect(windowed["d11"] == ["base of the window"])
    }
  }

  @Test("safety backups go by the newest backup of all, since no other may follow them")
  func occasional() throws {
    let safety = (0..<3).map { number in
      var item = item("s\(number)", daysAgo: 100 + Double(number), group: "safety full")
      item.isOccasional = true
      return item
    }
    let policy = RetentionPolicy(within: .seconds(10 * day))
    #expect(try Set(kept(policy, safety + [item("a", daysAgo: 0)]).keys) == ["s0", "a"])
    #expect(try kept(policy, safety + [item("a", daysAgo: 95)]).count == 4)
  }

  @Test("slots are those of the zone's calendar")
  func zones() throws {
    // 23:30 and 00:30 UTC: two days in UTC, one day an hour further east.
    let items = [item("a", daysAgo: 0.479), item("b", daysAgo: 0.521)]
    let east = Retention(
      policy: RetentionPolicy(daily: 9), zone: Zone { _ in 3600 }, coversWindow: false)
    #expect(try east.verdicts(items, now: now).filter(\.isKept).map(\.id) == ["a"])
    #expect(try kept(RetentionPolicy(daily: 9), items).count == 2)
  }

  /// Central European summer time of 2026.
  private static let berlin = Zone { seconds in
    (1_774_746_000..<1_792_890_000).contains(seconds) ? 7200 : 3600
  }

  @Test(
    "calendar slots hold over leap days, new years and summer time",
    arguments: [
      (RetentionPolicy(daily: 9), Zone.utc, "*2028-02-28T12 *2028-02-29T12 *2028-03-01T12"),
      (RetentionPolicy(monthly: 3), .utc, "2028-02-28T12 *2028-02-29T12 *2028-03-01T12"),
      (
        RetentionPolicy(weekly: 9), .utc,
        "2026-12-28T00 2026-12-31T12 *2027-01-03T23 *2027-01-04T00"
      ),
      (
        RetentionPolicy(yearly: 2), .utc,
        "2024-12-31T23 2025-01-01T00 *2025-12-31T23 *2026-01-01T00"
      ),
      // The 29th of March has 23 hours there: from 23:00 to 22:00 UTC.
      (
        RetentionPolicy(daily: 9), berlin,
        "*2026-03-28T22 2026-03-28T23 *2026-03-29T21 *2026-03-29T22"
      ),
      // An hour that is there twice is one slot.
      (RetentionPolicy(hourly: 9), berlin, "2026-10-25T00 *2026-10-25T01 *2026-10-25T02"),
      (RetentionPolicy(daily: 1, monthly: 2, yearly: 2), .utc, "*2024-06-30T00 *2026-01-31T00"),
    ])
  func calendars(policy: RetentionPolicy, zone: Zone, table: String) throws {
    let marked = table.split(separator: " ")
    let items = try marked.map { word in
      let id = word.drop { $0 == "*" } + ":30:00Z"
      return RetentionItem(
        id: String(id), time: try #require(Moment.parse(iso: String(id))), group: "full ")
    }
    let verdicts = try Retention(policy: policy, zone: zone, coversWindow: false)
      .verdicts(items.shuffled(), now: 4_000_000_000)
    let expected = marked.filter { $0.hasPrefix("*") }.map { $0.dropFirst() + ":30:00Z" }
    #expect(verdicts.filter(\.isKept).map(\.id).sorted() == expected.map(String.init).sorted())
  }
}
