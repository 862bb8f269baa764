import BSON
import Testing

struct ExtendedJSONTests {
  @Test("every type comes back from canonical text byte for byte", arguments: [nil, 2])
  func roundTrip(indent: Int?) throws {
    let text = Samples.everyType.extendedJSON(.canonical, indent: indent)
    #expect(try ExtendedJSON.parseDocument(text) == Samples.everyType)
  }

  static let spellings: [(Value, canonical: String, relaxed: String)] = [
    (.int32(5), #"{"$numberInt":"5"}"#, "5"),
    (.int64(-5), #"{"$numberLong":"-5"}"#, "-5"),
    (1.0, #"{"$numberDouble":"1.0"}"#, "1.0"),
    (.double(-0.0), #"{"$numberDouble":"-0.0"}"#, "-0.0"),
    (7_776_000.0, #"{"$numberDouble":"7.776E+06"}"#, "7776000.0"),
    (123456.75, #"{"$numberDouble":"123456.75"}"#, "123456.75"),
    (0.0001, #"{"$numberDouble":"0.0001"}"#, "0.0001"),
    (0.000012, #"{"$numberDouble":"1.2E-05"}"#, "1.2E-05"),
    (1e300, #"{"$numberDouble":"1E+300"}"#, "1E+300"),
    (.double(.nan), #"{"$numberDouble":"NaN"}"#, #"{"$numberDouble":"NaN"}"#),
    (.double(-.infinity), #"{"$numberDouble":"-Infinity"}"#, #"{"$numberDouble":"-Infinity"}"#),
    (
      .date(DateTime(milliseconds: 0)), #"{"$date":{"$numberLong":"0"}}"#,
      #"{"$date":"1970-01-01T00:00:00Z"}"#
    ),
    (
      .date(DateTime(milliseconds: 951_782_400_070)), #"{"$date":{"$numberLong":"951782400070"}}"#,
      #"{"$date":"2000-02-29T00:00:00.070Z"}"#
    ),
    (
      .date(DateTime(milliseconds: 253_402_300_799_999)),
      #"{"$date":{"$numberLong":"253402300799999"}}"#, #"{"$date":"9999-12-31T23:59:59.999Z"}"#
    ),
    (
      .date(DateTime(milliseconds: 253_402_300_800_000)),
      #"{"$date":{"$numberLong":"253402300800000"}}"#,
      #"{"$date":{"$numberLong":"253402300800000"}}"#
    ),
    (
      .date(DateTime(milliseconds: -1)), #"{"$date":{"$numberLong":"-1"}}"#,
      #"{"$date":{"$numberLong":"-1"}}"#
    ),
    (
      .binary(Binary(bytes: [255], subtype: 4)), #"{"$binary":{"base64":"/w==","subType":"04"}}"#,
      #"{"$binary":{"base64":"/w==","subType":"04"}}"#
    ),
    (["a": []], #"{"a":[]}"#, #"{"a":[]}"#),
  ]

  @Test("values are spelled as the specification and mongodump spell them", arguments: spellings)
  func spelling(_ value: Value, canonical: String, relaxed: String) throws {
    #expect(ExtendedJSON.text(value, .canonical) == canonical)
    #expect(ExtendedJSON.text(value, .relaxed) == relaxed)
    #expect(try ExtendedJSON.parse(canonical) == value)
  }

  static let accepted: [(String, Value)] = [
    (#"{"$date":1500}"#, .date(DateTime(milliseconds: 1500))),
    (#"{"$date":"1969-12-31T23:59:59.999Z"}"#, .date(DateTime(milliseconds: -1))),
    (#"{"$date":"1970-01-01T01:00:00.5+0100"}"#, .date(DateTime(milliseconds: 500))),
    (#"{"$date":"1970-01-01T00:00-01:30"}"#, .date(DateTime(milliseconds: 5_400_000))),
    (#"{"$binary":"AQI=","$type":"00"}"#, .binary(Binary(bytes: [1, 2]))),
    (#"{"$type":"05","$binary":"AQI="}"#, .binary(Binary(bytes: [1, 2], subtype: 5))),
    (#"{"$regex":"a","$options":"xi"}"#, .regex(RegularExpression(pattern: "a", options: "ix"))),
    (#"{"$regex":"a"}"#, ["$regex": "a"]),
    (#"{"$type":"string"}"#, ["$type": "string"]),
    (#"{"$exists":true,"$gt":{"$numberLong":"5"}}"#, ["$exists": true, "$gt": .int64(5)]),
    (
      #"{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}"#,
      .binary(
        Binary(bytes: (0..<16).map { UInt8($0) * 0x11 }, subtype: 4))
    ),
    (#"{"$timestamp":{"i":2,"t":1}}"#, .timestamp(Timestamp(seconds: 1, increment: 2))),
    ("2147483647", .int32(.max)), ("2147483648", .int64(1 << 31)),
    ("9223372036854775808", 9_223_372_036_854_775_808.0), ("1e2", 100.0), ("1.0", 1.0),
    (#""\ud83d\udc26\u00e9\/\b""#, "\u{1F426}é/\u{8}"),
    ("\u{FEFF} [ ] ", []),
    (#"{"$ref":"c","$id":{"$numberInt":"1"}}"#, ["$ref": "c", "$id": 1]),
  ]

  @Test("legacy forms, plain numbers and operators are read as what they are", arguments: accepted)
  func accepts(_ text: String, _ value: Value) throws {
    #expect(try ExtendedJSON.parse(text) == value)
  }

  @Test(
    "text that is not Extended JSON is refused",
    arguments: [
      "", "{", "01", "+1", ".5", "1.", "1e", "nul", "truex", "[1,]", #"{"a":1,}"#, "{a:1}", "'a'",
      #""\x""#, #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "\"a\nb\"", "1 2", "1e999", "NaN",
      #"{"a\u0000b":1}"#, #"{"$oid":"12"}"#, #"{"$oid":"0102030405060708090a0b0g"}"#,
      #"{"$numberInt":"2147483648"}"#, #"{"$numberInt":" 1"}"#, #"{"$numberInt":1}"#,
      #"{"$numberLong":"+1"}"#, #"{"$numberDouble":"0x1p3"}"#, #"{"$numberDouble":"inf"}"#,
      #"{"$numberDecimal":"1E+6145"}"#, #"{"$oid":"0102030405060708090a0b0c","x":1}"#,
      #"{"$date":"2001-02-29T00:00:00Z"}"#, #"{"$date":"yesterday"}"#, #"{"$date":true}"#,
      #"{"$binary":{"base64":"AQ","subType":"00"}}"#, #"{"$binary":{"base64":"AQ=="}}"#,
      #"{"$binary":{"base64":"AR==","subType":"00"}}"#, #"{"$timestamp":{"t":-1,"i":0}}"#,
      #"{"$timestamp":{"t":4294967296,"i":0}}"#, #"{"$minKey":2}"#, #"{"$undefined":false}"#,
      #"{"$regularExpression":{"pattern":"a\u0000","options":""}}"#, #"{"$scope":{}}"#,
      #"{"$uuid":"0011223344556677-8899-aabbccddeeff"}"#,
    ])
  func refuses(_ text: String) {
    #expect(throws: BSONError.self) { try ExtendedJSON.parse(text) }
  }

  @Test("names that repeat are kept")
  func duplicateNames() throws {
    let document = try ExtendedJSON.parseDocument(#"{"a":1,"a":2}"#)
    #expect(document.keys == ["a", "a"])
    #expect(document.extendedJSON(.relaxed) == #"{"a":1,"a":2}"#)
  }

  @Test("strings are escaped as mongodump does")
  func escapes() {
    let text: Value = .string(
      "<&>\"\\/\u{8}\u{9}\u{A}\u{C}\u{D}\u{1}\u{1F}\u{7F}é\u{2027}\u{2028}\u{2029}")
    #expect(
      ExtendedJSON.text(text, .canonical)
        == "\"<&>\\\"\\\\/\\b\\t\\n\\f\\r\\u0001\\u001f\u{7F}é\u{2027}\\u2028\\u2029\"")
  }

  @Test("bytes that are not UTF-8 are shown as U+FFFD, one each")
  func invalidUTF8() throws {
    var bytes = (["a": "xxxx"] as Document).bytes
    bytes.replaceSubrange(11..<15, with: [0xE2, 0x80, 0x41, 0xFF])
    #expect(
      try Document(bytes: bytes).extendedJSON(.canonical) == #"{"a":"\ufffd\ufffdA\ufffd"}"#)
  }

  @Test("an indent puts every member on its own line")
  func pretty() {
    let document: Document = ["a": 1, "b": ["c": [1, 2], "d": [:]]]
    #expect(
      document.extendedJSON(.relaxed, indent: 2) == """
        {
          "a": 1,
          "b": {
            "c": [
              1,
              2
            ],
            "d": {}
          }
        }
        """)
  }
}
