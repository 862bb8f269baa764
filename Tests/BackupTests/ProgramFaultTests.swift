import Dump
import Glibc
import MongoDB
import TestSupport
import Testing

@testable import Backup

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

  /// True when nobody of that process's number runs any more.
  private func isGone(_ pid: Int32) -> Bool {
    let gone: Void? = try? Patience.wait(for: "the end of \(pid)") {
      guard let state = try? Transfer.bytes(FileSource(path: "/proc/\(pid)/stat"), limit: 4096)
      else { return true }
      // A zombie has ended; this process does not wait for its children's children.
      return String(decoding: state, as: UTF8.self).contains(") Z ")
    }
    return gone != nil
  }

  @Test("a program that hangs ends with the work, and so does what it has started")
  func stopped() throws {
    let cancellation = Cancellation()
    let program = try RunningProgram(
      ["sh", "-c", "sleep 600 & echo $!; sleep 600; true"], input: false, output: true,
      limits: .init(cancellation: cancellation))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 100, alignment: 1)
    defer { buffer.deallocate() }
    let count = try program.read(into: buffer)
    let child = Int32(String(decoding: buffer[..<count], as: UTF8.self).filter(\.isNumber))
    cancellation.cancel(.interrupted(15))
    #expect(throws: (any Error).self) { try program.read(into: buffer) }
    #expect(program.failure(kill: false).code == .cancelled)
    #expect(isGone(program.pid))
    #expect(isGone(try #require(child)))
  }

  @Test("a program that moves nothing, reads nothing, or takes too long is given up")
  func patience() throws {
    let silent = #expect(throws: BackupError.self) {
      let program = try RunningProgram(
        ["sleep", "600"], input: false, output: true, limits: .init(silence: 200))
      do { try Transfer.all(ProgramSource(program), to: NullSink()) } catch {
        throw program.failure(kill: true)
      }
    }
    #expect(silent?.message.contains("moved nothing") == true)
    #expect(silent?.hint != nil)

    let deaf = try RunningProgram(
      ["sleep", "600"], input: true, output: false, limits: .init(silence: 200))
    #expect(throws: (any Error).self) {
      try deaf.write(all: [UInt8](repeating: 1, count: 8 << 20))
    }
    #expect(isGone(deaf.pid))

    let slow = #expect(throws: BackupError.self) {
      try RunningProgram.output(of: ["sleep", "600"], limits: .init(total: 200))
    }
    #expect(slow?.message.contains("took longer") == true)
  }

  @Test("what a program leaves running behind it does not keep us")
  func background() throws {
    let program = try RunningProgram(
      ["sh", "-c", "echo why >&2; sleep 30 >/dev/null </dev/null & exit 3"], input: false,
      output: true)
    let error = #expect(throws: BackupError.self) { try program.finish() }
    #expect(error?.message.contains("exit code 3: why") == true)
  }

  @Test("messages quote no secret of the environment, of a command or of a remote")
  func secrets() throws {
    let said = Redaction.text(
      "auth with geheim1 failed, path /usr", environment: ["PGPASSWORD": "geheim1", "X": "/usr"])
    #expect(said == "auth with *** failed, path /usr")
    let command = #expect(throws: BackupError.self) {
      try CommandWords.split("pg_dump postgres://u:geheim@h/x | gzip", name: "postgres")
    }
    #expect(command?.message.contains("geheim") == false)
    #expect(command?.message.contains("'postgres'") == true)

    let remote = ":s3,access_key_id=geheim12,secret_access_key='geheim:34',env_auth=false:bucket"
    let store = RcloneStore(remote: remote, program: "false", attempts: 1)
    #expect(
      store.location == "rclone::s3,access_key_id=***,secret_access_key='***',env_auth=false:bucket"
    )
    let failed = #expect(throws: BackupError.self) { try store.list("", recursively: false) }
    #expect(failed.map { "\($0)".contains("geheim") } == false)
  }

  @Test(
    "what a copy of many has not brought is asked for one by one",
    arguments: ["exit 4", "exit 0", "exit 1"])
  func partialCopy(_ end: String) throws {
    let scratch = try ScratchFolder()
    let script = "#!/bin/sh\ncase \" $* \" in *\" copy \"*) \(end);; esac\nexec rclone \"$@\"\n"
    try ChildProcess.writeProgram(script, to: scratch.path + "/rclone")
    let store = RcloneStore(
      remote: ":local:" + scratch.path + "/store", program: scratch.path + "/rclone", attempts: 1)
    let names = ["a/1", "a/2", "b/3", "b/4"]
    for name in names { try store.put(name, bytes: Array(name.utf8)) }
    let read = try store.read(all: names + ["none"], limit: 100)
    #expect(read == Dictionary(uniqueKeysWithValues: names.map { ($0, Array($0.utf8)) }))
  }

  @Test("an rclone that hangs is an error in the end, also in the middle of a file")
  func hangingRclone() throws {
    let scratch = try ScratchFolder()
    try ChildProcess.writeProgram("#!/bin/sh\nexec sleep 600\n", to: scratch.path + "/rclone")
    let store = RcloneStore(
      remote: "x:y", program: scratch.path + "/rclone", attempts: 1, patience: .seconds(1))
    #expect(throws: BackupError.self) { try store.list("", recursively: false) }
    let writer = try store.put("a", size: nil)
    #expect(throws: (any Error).self) {
      try writer.write(all: [UInt8](repeating: 1, count: 8 << 20))
    }
  }
}

extension RunningProgram {
  fileprivate func write(all bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { try write($0) }
  }
}
