internal import Glibc

/// Why a host does not answer: libmongoc only says that it could not connect.
enum Reachability {
  /// Tries one TCP connection for up to a second. Nil when it succeeds.
  static func complaint(about hostAndPort: String) -> String? {
    guard let colon = hostAndPort.lastIndex(of: ":") else { return nil }
    let host = hostAndPort[..<colon].filter { $0 != "[" && $0 != "]" }
    let port = String(hostAndPort[hostAndPort.index(after: colon)...])
    var wanted = addrinfo()
    wanted.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, port, &wanted, &found)
    guard status == 0, let address = found else {
      return String(cString: gai_strerror(status)).lowercased()
    }
    defer { freeaddrinfo(found) }
    let failure = connectError(address.pointee)
    return failure == 0 ? nil : String(cString: strerror(failure)).lowercased()
  }

  private static func connectError(_ address: addrinfo) -> Int32 {
    let descriptor = socket(
      address.ai_family, address.ai_socktype | Int32(SOCK_NONBLOCK.rawValue), address.ai_protocol)
    guard descriptor >= 0 else { return errno }
    defer { close(descriptor) }
    guard connect(descriptor, address.ai_addr, address.ai_addrlen) != 0 else { return 0 }
    guard errno == EINPROGRESS else { return errno }
    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    guard poll(&waiting, 1, 1000) > 0 else { return ETIMEDOUT }
    var failure: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 else { return errno }
    return failure
  }
}
