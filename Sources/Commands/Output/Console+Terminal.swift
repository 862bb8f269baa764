#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension Console {
  /// How to write, from the options, the environment and what the descriptors are.
  static func appearance(
    _ options: GlobalOptions, environment: [String: String]
  ) -> Appearance {
    let dumb = environment["TERM"] == "dumb"
    // no-color.org: any value but the empty one.
    let noColour = options.noColor || dumb || !(environment["NO_COLOR"] ?? "").isEmpty
    let outIsTerminal = isatty(STDOUT_FILENO) == 1
    let errorIsTerminal = isatty(STDERR_FILENO) == 1
    return Appearance(
      json: options.json,
      quiet: options.quiet,
      verbose: options.verbose || environment["DEBUG"].map(isOn) ?? false,
      colourOut: outIsTerminal && !noColour && !options.json,
      colourError: errorIsTerminal && !noColour,
      liveProgress: errorIsTerminal && !dumb,
      width: terminalWidth())
  }

  private static func isOn(_ text: String) -> Bool {
    !["", "0", "false", "no", "off"].contains(text.lowercased())
  }

  private static func terminalWidth() -> Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return 80 }
    return Int(size.ws_col)
  }

  static let writeToDescriptors: Sink = { stream, text in
    let descriptor = stream == .out ? STDOUT_FILENO : STDERR_FILENO
    var text = text
    return text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while !rest.isEmpty {
        let written = write(descriptor, rest.baseAddress, rest.count)
        if written > 0 {
          rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        } else if errno == EAGAIN {
          var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          poll(&wait, 1, 1000)
        } else if errno != EINTR {
          return errno
        }
      }
      return nil
    }
  }
}
