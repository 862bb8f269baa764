import BSON
import Testing

struct HostileInputTests {
  /// Reads everything that can be read; the outcome does not matter, only that there is one.
  private func exercise(_ bytes: [UInt8]) {
    guard let document = try? Document(bytes: bytes) else { return }
    var copy = Document()
    for element in document { copy.append(element.key, element.value) }
    for key in document.keys { _ = document[key] }
    _ = document.extendedJSON(.canonical)
    _ = document.extendedJSON(.relaxed, indent: 2)
    _ = Value.canonicalOrder(.document(document), .document(copy))
    document.withView { view in _ = try? view.validate(strict: true) }
  }

  @Test("a document cut off anywhere is refused")
  func truncated() {
    let bytes = Samples.everyType.bytes
    for length in 0..<bytes.count {
      #expect(throws: BSONError.self) { try Document(bytes: Array(bytes.prefix(length))) }
    }
  }

  @Test("a document cut off anywhere with its length put right gives an error or a document")
  func truncatedAndPatched() {
    let bytes = Samples.everyType.bytes
    for length in 5..<bytes.count {
      var cut = Array(bytes.prefix(length))
      for i in 0..<4 { cut[i] = UInt8(truncatingIfNeeded: length >> (8 * i)) }
      exercise(cut)
      cut[length - 1] = 0
      exercise(cut)
    }
  }

  @Test("any flipped bit gives an error or a readable document")
  func flippedBits() {
    let bytes = Samples.everyType.bytes
    for at in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[at] ^= 1 << bit
        exercise(damaged)
      }
    }
  }

  @Test("any length field of extreme value is refused or harmless")
  func extremeLengths() {
    let bytes = Samples.everyType.bytes
    for at in 0..<bytes.count - 4 {
      for value in [UInt32(0), 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFB] {
        var damaged = bytes
        for i in 0..<4 { damaged[at + i] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(i))) }
        exercise(damaged)
      }
    }
  }

  @Test(
    "code with scope must fill exactly the length that it announces",
    arguments: [-1, 1])
  func codeWithScopeLength(off: Int) {
    var bytes = (["c": .javascriptWithScope("x", [:])] as Document).bytes
    bytes[7] = UInt8(Int(bytes[7]) + off)
    #expect(throws: BSONError.self) { try Document(bytes: bytes) }
  }

  @Test("nesting is read up to the limit and refused beyond it")
  func depth() throws {
    let deepest = Samples.nested(DocumentView.maximumDepth)
    #expect(try Document(bytes: deepest.bytes) == deepest)
    exercise(deepest.bytes)
    let tooDeep = Samples.nested(DocumentView.maximumDepth + 1)
    #expect { try Document(bytes: tooDeep.bytes) } throws: { ($0 as? BSONError)?.code == .tooDeep }
  }

  @Test("JSON nested without end is refused, not followed")
  func deepJSON() {
    for opening in ["[", "{\"a\":"] {
      let text = String(repeating: opening, count: 100_000)
      #expect { try ExtendedJSON.parse(text) } throws: { ($0 as? BSONError)?.code == .tooDeep }
    }
  }

  @Test("JSON cut off anywhere is refused")
  func truncatedJSON() throws {
    let text = Array(Samples.everyType.extendedJSON(.canonical).utf8)
    for length in text.indices {
      #expect(throws: BSONError.self) {
        try ExtendedJSON.parseDocument(utf8: Array(text.prefix(length)))
      }
    }
  }

  @Test("damaged JSON gives an error or a valid document")
  func damagedJSON() throws {
    let text = Array(Samples.everyType.extendedJSON(.canonical).utf8)
    for at in text.indices {
      for bit in 0..<8 {
        var damaged = text
        damaged[at] ^= 1 << bit
        if let document = try? ExtendedJSON.parseDocument(utf8: damaged) {
          #expect(throws: Never.self) { try Document(bytes: document.bytes) }
        }
      }
    }
  }
}
