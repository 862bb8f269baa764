import Dump
import TestSupport
import Testing

@testable import Backup

/// Programs beside us, and how they end.
@Suite struct ProgramFaultTests {
  @Test("a program fails also when whoever started us has ignored the end of children")
  func ignoredChildren() throws {
    let scratch = try ScratchFolder()
    let text = """
      backup:
        store: ./backups
        commands: [{name: x, dump: "sh -c 'echo half; exit 1'"}]
      """
    try scratch.write(Array(text.utf8), "martlet.yaml")
    let start =
      "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
      + "os.execv(sys.argv[1], sys.argv[1:])"
    let binary = try TestServer.environment("MARTLET_BINARY")
    let result = try ChildProcess(
      "/usr/bin/env", ["python3", "-c", start, binary, "backup", "run", "--kind", "files"],
      directory: scratch.path
    ).wait()
    #expect(result.exitCode == 1, "\(result.stderr)")
    #expect(result.stderr.contains("the command of 'x' failed"))
    #expect(try Catalog(FolderStore(path: scratch.path + "/backups")).sets().isEmpty)
  }
}
