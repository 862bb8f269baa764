import BSON
import Testing

@testable import Backup

@Suite struct TimeTests {
  @Test(
    "moments to recover to are read in every form",
    arguments: [
      ("2026-01-28 10:00:00", RecoveryTime.moment(1_769_594_400)),
      ("2026-01-28T10:00:00Z", .moment(1_769_594_400)),
      ("2026-01-28T10:00:00.75Z", .moment(1_769_594_400)),
      ("2026-01-28T10:00Z", .moment(1_769_594_400)),
      ("2026-01-28T11:00:00+01:00", .moment(1_769_594_400)),
      ("2026-01-28T04:30:00-0530", .moment(1_769_594_400)),
      ("1769594400:7", .entry(Timestamp(seconds: 1_769_594_400, increment: 7))),
    ])
  func forms(text: String, expected: RecoveryTime) throws {
    #expect(try RecoveryTime.parse(text, zone: .utc) == expected)
  }

  @Test(
    "what is no time is refused",
    arguments: [
      "", "yesterday", "2026-02-30 10:00:00", "2026-01-28", "2026-01-28 25:00:00",
      "2026-01-28T10:00:00+99:00", "1:2", "2026-01-28 10:00:00 tomorrow",
    ])
  func refused(text: String) {
    #expect(throws: BackupError.self) { try RecoveryTime.parse(text, zone: .utc) }
  }

  /// Central Europe in 2026: summer time from 29 March 01:00 UTC to 25 October 01:00 UTC.
  let berlin = Zone { 1_774_746_000..<1_792_890_000 ~= $0 ? 7200 : 3600 }

  @Test("a local time is read in its zone")
  func local() throws {
    #expect(try RecoveryTime.parse("2026-01-28 11:00:00", zone: berlin) == .moment(1_769_594_400))
    #expect(try RecoveryTime.parse("2026-07-01 12:00:00", zone: berlin) == .moment(1_782_900_000))
  }

  @Test("a local time that the clocks skipped or repeated is refused")
  func ambiguous() {
    for text in ["2026-03-29 02:30:00", "2026-10-25 02:30:00"] {
      #expect(throws: BackupError.self) { try RecoveryTime.parse(text, zone: berlin) }
    }
  }

  @Test("a second is inclusive")
  func inclusive() {
    #expect(RecoveryTime.moment(100_000).timestamp == Timestamp(seconds: 100_000, increment: .max))
  }

  @Test("ids carry their time")
  func ids() {
    let id = SetID.make(1_769_594_400, .full, taken: ["20260128T100000Z-full"])
    #expect(id == "20260128T100000Z-full-2")
    #expect(SetID.time(id) == 1_769_594_400)
    for bad in ["locks", "oplog", "20260128T100000Z", "20261328T100000Z-full"] {
      #expect(!SetID.isID(bad))
    }
  }

  @Test("the end of a window that is shown can be recovered to")
  func windowEnds() throws {
    func window(_ start: (UInt32, UInt32), _ end: (UInt32, UInt32)) -> RestorableWindow {
      RestorableWindow(
        base: "x", start: Timestamp(seconds: start.0, increment: start.1),
        end: Timestamp(seconds: end.0, increment: end.1))
    }
    let second: UInt32 = 1_769_594_400
    let long = window((second, 3), (second + 60, 5))
    let text = long.text(zone: .utc)
    #expect(text == "2026-01-28 10:00:00 to 2026-01-28 10:00:59")
    let shown = try RecoveryTime.parse(String(text.suffix(19)), zone: .utc)
    #expect(shown.timestamp <= long.end)
    #expect(
      window((second, 3), (second, 3)).text(zone: .utc)
        == "2026-01-28 10:00:00, exactly 1769594400:3")
    #expect(
      window((second, 3), (second, 9)).text(zone: .utc)
        == "1769594400:3 to 1769594400:9, in the second of 2026-01-28 10:00:00")
  }
}
