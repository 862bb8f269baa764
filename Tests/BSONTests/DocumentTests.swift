import BSON
import Testing

struct DocumentTests {
  @Test("every type comes back from its bytes")
  func roundTrip() throws {
    let document = try Document(bytes: Samples.everyType.bytes)
    var copy = Document()
    for element in document { copy.append(element.key, element.value) }
    #expect(copy == Samples.everyType)
    #expect(document.count == 22)
  }

  @Test("setting replaces in place, nil removes every element of the name")
  func setting() {
    var document: Document = ["a": 1, "b": 2, "a": 3]
    document["a"] = "x"
    #expect(document == ["a": "x", "b": 2, "a": 3])
    document["c"] = 4
    document["a"] = nil
    #expect(document == ["b": 2, "c": 4])
    #expect(document.keys == ["b", "c"])
    #expect(document["a"] == nil)
  }

  @Test("a document nested past the reading limit by appending still gives its values")
  func deepAppend() {
    let document = Samples.nested(DocumentView.maximumDepth + 40)
    #expect(document["n"]?.documentValue == Samples.nested(DocumentView.maximumDepth + 39))
    #expect(document.map(\.key) == ["n"])
  }

  @Test("strings of one canonical form but different bytes are different values")
  func bytewiseEquality() {
    let (composed, decomposed) = ("\u{E9}", "e\u{301}")
    #expect(Value.string(composed) != .string(decomposed))
    #expect(
      Value.regex(RegularExpression(pattern: composed))
        != .regex(RegularExpression(pattern: decomposed)))
    #expect(Value.javascriptWithScope(composed, [:]) != .javascriptWithScope(decomposed, [:]))
  }

  @Test("strict validation finds what the server lets pass")
  func strict() throws {
    var bytes = (["a": true] as Document).bytes
    bytes[7] = 2
    let document = try Document(bytes: bytes)
    #expect(document["a"] == true)
    #expect(throws: BSONError.self) {
      try document.withView { try $0.validate(strict: true) }
    }
  }
}
