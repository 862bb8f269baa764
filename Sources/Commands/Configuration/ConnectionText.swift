import Foundation

/// The few parts of a connection string that decide what a command works on; the driver reads the rest.
struct ConnectionText: Sendable, Hashable {
  /// Nil when the URI has none.
  let database: String?
  let hasUser: Bool
  let hasPassword: Bool

  /// Nil for anything that is no MongoDB connection string.
  init?(_ uri: String) {
    guard let scheme = ["mongodb://", "mongodb+srv://"].first(where: uri.hasPrefix) else {
      return nil
    }
    let beforeOptions = uri.dropFirst(scheme.count).prefix { $0 != "?" }
    // A password must be percent-encoded, so the first slash after the last @ ends the hosts.
    let at = beforeOptions.lastIndex(of: "@")
    let user = at.map { beforeOptions[..<$0] }
    let hosts = at.map { beforeOptions[beforeOptions.index(after: $0)...] } ?? beforeOptions
    hasUser = user.map { !$0.isEmpty } ?? false
    hasPassword = user?.contains(":") ?? false
    guard let slash = hosts.firstIndex(of: "/") else {
      database = nil
      return
    }
    let name = String(hosts[hosts.index(after: slash)...])
    database = name.isEmpty ? nil : Self.decoded(name)
  }

  /// The URI with one more option, percent-encoded.
  static func adding(option: String, _ value: String, to uri: String) -> String {
    let encoded = value.utf8.map { byte in
      let scalar = Unicode.Scalar(byte)
      let plain = scalar.isASCII && (scalar.properties.isAlphabetic || (48...57).contains(byte))
      return plain || "-_.~".unicodeScalars.contains(scalar)
        ? String(scalar) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }.joined()
    if uri.contains("?") {
      return uri + (uri.hasSuffix("?") || uri.hasSuffix("&") ? "" : "&") + "\(option)=\(encoded)"
    }
    let afterScheme = uri.range(of: "://").map { uri[$0.upperBound...] } ?? uri[...]
    return uri + (afterScheme.contains("/") ? "?" : "/?") + "\(option)=\(encoded)"
  }

  private static func decoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Substring(text)
    while let first = rest.first {
      if first == "%", let byte = UInt8(rest.dropFirst().prefix(2), radix: 16) {
        bytes.append(byte)
        rest = rest.dropFirst(3)
      } else {
        bytes += Array(String(first).utf8)
        rest = rest.dropFirst()
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
