/// What an input is, told by its first bytes and never by a flag.
public enum InputFormat: Sendable, Hashable {
  case archive
  case gzip
  case age
  case zstd
  case empty
  /// Raw BSON looks like nothing in particular.
  case other

  /// The first bytes that are needed to tell.
  static let prefixLength = 64

  /// - Source: archive-format.md 1.10, RFC 1952, the age format's version line.
  public init(prefix: some Collection<UInt8>) {
    let start = Array(prefix.prefix(Self.prefixLength))
    if start.isEmpty {
      self = .empty
    } else if start.starts(with: ArchiveFormat.magic) {
      self = .archive
    } else if start.starts(with: [0x1F, 0x8B]) {
      self = .gzip
    } else if start.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
      self = .zstd
    } else if start.starts(with: "age-encryption.org/".utf8)
      || start.starts(with: "-----BEGIN AGE ENCRYPTED FILE".utf8)
    {
      self = .age
    } else {
      self = .other
    }
  }
}

/// Opens an input whatever it is wrapped in.
public enum Input {
  /// What was found, outermost first, and the bytes inside.
  public struct Opened {
    /// The wrappers and the content, e.g. gzip, then archive.
    public let formats: [InputFormat]
    /// The bytes with all wrappers taken off.
    public let source: any ByteSource

    /// The content's own format.
    public var content: InputFormat { formats.last ?? .empty }
  }

  /// Looks at the first bytes and takes off gzip, as often as it is there (at most 4 times).
  ///
  /// Blocks until some bytes are there.
  /// - Throws: ``DumpError`` `.unsupported` with a hint for encrypted or zstd input.
  public static func open(_ source: any ByteSource, path: String? = nil) throws(DumpError) -> Opened
  {
    var formats: [InputFormat] = []
    var current = source
    while true {
      var prefix = [UInt8](repeating: 0, count: InputFormat.prefixLength)
      let count = try read(&prefix, from: current)
      prefix.removeLast(prefix.count - count)
      let format = InputFormat(prefix: prefix)
      formats.append(format)
      let whole = PrefixedSource(prefix, then: current)
      switch format {
      case .gzip where formats.count <= 4: current = GzipSource(whole)
      case .age:
        throw DumpError(
          .unsupported, "the input is encrypted with age", path: path,
          hint: "decrypt it on the way: age -d -i KEYFILE FILE | martlet load --archive")
      case .zstd:
        throw DumpError(
          .unsupported, "the input is compressed with zstd", path: path,
          hint: "decompress it on the way: zstd -dc FILE | martlet load --archive")
      default: return Opened(formats: formats, source: whole)
      }
    }
  }

  private static func read(_ prefix: inout [UInt8], from source: any ByteSource) throws(DumpError)
    -> Int
  {
    var done = 0
    while done < prefix.count {
      let rest = prefix.count - done
      var piece = [UInt8](repeating: 0, count: rest)
      let result: Result<Int, DumpError> = piece.withUnsafeMutableBytes { buffer in
        do throws(DumpError) { return .success(try source.read(into: buffer)) } catch {
          return .failure(error)
        }
      }
      let count = try result.get()
      if count == 0 { break }
      prefix.replaceSubrange(done..<done + count, with: piece[..<count])
      done += count
    }
    return done
  }
}
