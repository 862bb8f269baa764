import Commands

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

exit(runMartlet(Array(CommandLine.arguments.dropFirst())))
