/// Appends encoded values to a byte buffer.
enum Encoder {
  static func append(key: String, value: Value, to out: inout [UInt8]) {
    out.append(value.type.rawValue)
    // A name is a C string: what follows a NUL cannot be said.
    out.append(contentsOf: key.utf8.prefix { $0 != 0 })
    out.append(0)
    append(value, to: &out)
  }

  static func append(_ value: Value, to out: inout [UInt8]) {
    switch value {
    case .double(let x): append(x.bitPattern, to: &out)
    case .string(let x), .javascript(let x), .symbol(let x): append(string: x, to: &out)
    case .document(let x): out.append(contentsOf: x.bytes)
    case .array(let x): append(array: x, to: &out)
    case .binary(let x): append(x, to: &out)
    case .undefined, .null, .minKey, .maxKey: break
    case .objectID(let x): out.append(contentsOf: x.bytes)
    case .bool(let x): out.append(x ? 1 : 0)
    case .date(let x): append(UInt64(bitPattern: x.milliseconds), to: &out)
    case .regex(let x):
      out.append(contentsOf: x.pattern.utf8.prefix { $0 != 0 })
      out.append(0)
      out.append(contentsOf: x.options.utf8.prefix { $0 != 0 })
      out.append(0)
    case .dbPointer(let x):
      append(string: x.namespace, to: &out)
      out.append(contentsOf: x.id.bytes)
    case .javascriptWithScope(let code, let scope):
      let start = out.count
      append(UInt32(0), to: &out)
      append(string: code, to: &out)
      out.append(contentsOf: scope.bytes)
      patchLength(&out, at: start)
    case .int32(let x): append(UInt32(bitPattern: x), to: &out)
    case .timestamp(let x): append(x.rawValue, to: &out)
    case .int64(let x): append(UInt64(bitPattern: x), to: &out)
    case .decimal128(let x):
      append(x.low, to: &out)
      append(x.high, to: &out)
    }
  }

  /// Writes the distance from `start` to the end into the four bytes at `start`.
  static func patchLength(_ out: inout [UInt8], at start: Int) {
    let length = UInt32(truncatingIfNeeded: out.count - start)
    for i in 0..<4 { out[start + i] = UInt8(truncatingIfNeeded: length >> (8 * i)) }
  }

  static func append<T: FixedWidthInteger>(_ value: T, to out: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { out.append(contentsOf: $0) }
  }

  private static func append(string: String, to out: inout [UInt8]) {
    append(UInt32(truncatingIfNeeded: string.utf8.count + 1), to: &out)
    out.append(contentsOf: string.utf8)
    out.append(0)
  }

  private static func append(array: [Value], to out: inout [UInt8]) {
    let start = out.count
    append(UInt32(0), to: &out)
    for (index, value) in array.enumerated() { append(key: String(index), value: value, to: &out) }
    out.append(0)
    patchLength(&out, at: start)
  }

  private static func append(_ binary: Binary, to out: inout [UInt8]) {
    append(UInt32(truncatingIfNeeded: binary.stored.count), to: &out)
    out.append(binary.subtype)
    out.append(contentsOf: binary.stored)
  }
}
