/// Turns parsed JSON into BSON bytes, type wrappers resolved.
struct JSONBuilder {
  private var out: [UInt8] = []

  mutating func document(_ members: [JSON.Member]) throws(BSONError) -> Document {
    out = []
    try append(members, depth: 0)
    return Document(trusted: out)
  }

  mutating func value(_ json: JSON) throws(BSONError) -> Value {
    var holder = JSONBuilder()
    try holder.beginDocument()
    try holder.append("", json, depth: 0)
    try holder.endDocument(at: 0)
    return Document(trusted: holder.out)[""] ?? .null
  }

  private mutating func beginDocument() throws(BSONError) {
    Encoder.append(UInt32(0), to: &out)
  }

  private mutating func endDocument(at start: Int) throws(BSONError) {
    out.append(0)
    guard out.count - start <= Int(Int32.max) else {
      throw BSONError(.tooLarge, "a document is longer than its length field can say")
    }
    Encoder.patchLength(&out, at: start)
  }

  private mutating func append(_ members: [JSON.Member], depth: Int) throws(BSONError) {
    let start = out.count
    try beginDocument()
    for member in members { try append(member.key, member.value, depth: depth + 1) }
    try endDocument(at: start)
  }

  private mutating func append(_ items: [JSON], depth: Int) throws(BSONError) {
    let start = out.count
    try beginDocument()
    for (index, item) in items.enumerated() {
      try append(String(index), item, depth: depth + 1)
    }
    try endDocument(at: start)
  }

  private mutating func append(_ key: String, _ json: JSON, depth: Int) throws(BSONError) {
    guard depth <= DocumentView.maximumDepth else {
      throw BSONError(.tooDeep, "nested deeper than \(DocumentView.maximumDepth) levels")
    }
    guard !key.utf8.contains(0) else {
      throw BSONError(.invalidJSON, "a field name holds a zero byte, which BSON cannot say")
    }
    switch json {
    case .object(let members):
      if let value = try TypeWrapper.value(members) {
        Encoder.append(key: key, value: value, to: &out)
      } else {
        begin(.document, key)
        try append(members, depth: depth)
      }
    case .array(let items):
      begin(.array, key)
      try append(items, depth: depth)
    case .string(let text): Encoder.append(key: key, value: .string(text), to: &out)
    case .number(let text): Encoder.append(key: key, value: try number(text), to: &out)
    case .bool(let flag): Encoder.append(key: key, value: .bool(flag), to: &out)
    case .null: Encoder.append(key: key, value: .null, to: &out)
    }
  }

  private mutating func begin(_ type: BSONType, _ key: String) {
    out.append(type.rawValue)
    out.append(contentsOf: key.utf8)
    out.append(0)
  }

  /// The smallest integer type that holds an integer, a double for everything else.
  private func number(_ text: String) throws(BSONError) -> Value {
    if NumberText.isInteger(text) {
      if let small = Int32(text) { return .int32(small) }
      if let large = Int64(text) { return .int64(large) }
    }
    guard let value = NumberText.parseDouble(text) else {
      throw BSONError(.invalidJSON, "a number is beyond the range of a double")
    }
    return .double(value)
  }
}
