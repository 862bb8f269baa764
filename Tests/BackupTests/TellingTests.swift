import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Backup

@Suite struct TellingTests {
  @Test("the metrics tell of the newest good backup, also after a failure")
  func metrics() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    _ = try SmallSet.make(in: store, archive: SmallSet.archive)
    let event = NotifierEvent.failed("backup run", "no room", exitCode: 10)
    let path = scratch.path + "/martlet.prom"
    try BackupMetrics(store).write(to: path, event: event)
    let text = String(decoding: try scratch.read("martlet.prom"), as: UTF8.self)
    #expect(text.contains("martlet_backup_last_success_timestamp_seconds 1769594405\n"))
    #expect(text.contains("martlet_last_run_exit_code 10\n"))
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      #expect(line.split(separator: " ").count == 2)
    }
  }

  @Test("metrics that are told to a device leave it one")
  func metricsToDevice() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    _ = try SmallSet.make(in: store, archive: SmallSet.archive)
    // Of the test's own: the machine's are not risked. Where none can be made there is nothing to see.
    let path = scratch.path + "/null"
    guard mknod(path, S_IFCHR | 0o600, 1 << 8 | 3) == 0 else { return }
    try BackupMetrics(store).write(to: path)
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
  }

  @Test("a store that cannot be read leaves what the metrics say of it, and the failure is told")
  func metricsWithoutStore() throws {
    let scratch = try ScratchFolder()
    let store = FaultyStore(FolderStore(path: scratch.path + "/store"))
    _ = try SmallSet.make(in: store, archive: SmallSet.archive)
    let path = scratch.path + "/martlet.prom"
    try BackupMetrics(store).write(to: path)
    store.faults.withLock { $0.isGone = true }
    let event = NotifierEvent.failed("backup run", "gone", exitCode: 1)
    for _ in 0..<2 {
      #expect(throws: BackupError.self) { try BackupMetrics(store).write(to: path, event: event) }
    }
    let text = String(decoding: try scratch.read("martlet.prom"), as: UTF8.self)
    #expect(text.contains("martlet_backup_last_success_timestamp_seconds 1769594405\n"))
    let codes = text.split(separator: "\n").filter { $0.contains("martlet_last_run_exit_code") }
    #expect(codes.map(String.init).last == "martlet_last_run_exit_code 1")
    #expect(codes.count == 3)
  }

  @Test("neither files alone nor a safety backup count as the last success")
  func successes() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    for (day, kind) in [(20, "data"), (21, "safety"), (22, "files")] {
      var manifest = try SmallSet.make(
        in: store, id: "202601\(day)T100000Z-full", archive: SmallSet.archive)
      if kind == "safety" { manifest.safetyFor = "restore" }
      if kind == "files" {
        manifest.collections = []
        manifest.files = manifest.files.map {
          Manifest.File(
            name: $0.name, role: .files, digest: $0.digest, isEncrypted: false, isCompressed: false)
        }
      }
      try store.put(manifest.id + "/manifest.json", bytes: SealedText.seal(manifest.document))
    }
    let text = try BackupMetrics(store).text()
    let day: Int64 = 86_400
    let last: Int64 = 1_769_594_405 - 8 * day
    #expect(text.contains("martlet_backup_last_success_timestamp_seconds \(last)\n"), "\(text)")
    #expect(
      text.contains("martlet_backup_last_files_success_timestamp_seconds \(last + 2 * day)\n"))
  }

  @Test("a mail and a webhook that fail are told and nothing more")
  func failures() {
    let notifier = Notifier(
      email: "ops@example.com\nBcc: x", webhook: "http://127.0.0.1:1/geheim", timeout: 1
    ) { _ in }
    let failures = notifier.send(.test)
    #expect(failures.count == 2)
    #expect(!failures.contains { $0.contains("geheim") })
  }

  @Test("what a job will not have is told when its line is printed")
  func absent() throws {
    let scratch = try ScratchFolder()
    try scratch.write(Array("database: shop\n".utf8), "martlet.yaml")
    let none: [String: String?] = ["MARTLET_URI": nil, "MARTLET_DB": nil]
    let plain = try MartletBinary.run(
      ["schedule", "cron"], environment: none, directory: scratch.path)
    #expect(!plain.stderr.contains("will not have"))
    let flags = try MartletBinary.run(
      ["schedule", "cron", "--uri", "mongodb://db1"], environment: none, directory: scratch.path)
    #expect(flags.exitCode == 0 && flags.stderr.contains("will not have --uri"))
    let variables = try MartletBinary.run(
      ["schedule", "systemd"], environment: ["MARTLET_URI": "mongodb://u:geheim@db1"],
      directory: scratch.path)
    #expect(variables.stderr.contains("will not have MARTLET_URI"))
    #expect(!(variables.stderr + variables.stdout).contains("geheim"))
  }

  @Test("a schedule quotes its folder, and a percent sign for cron")
  func schedule() {
    let schedule = Schedule(program: "/usr/bin/martlet", folder: "/srv/my 100% app")
    #expect(schedule.cron.contains("cd '/srv/my 100\\% app' && /usr/bin/martlet backup run"))
    let lines = schedule.cron.split(separator: "\n").filter { !$0.hasPrefix("#") }
    #expect(lines.count == 4)
    // A folder for the log that is not there must not keep the shell from starting the job.
    #expect(lines.allSatisfy { $0.hasSuffix("--quiet --log-file logs/backup.log >/dev/null") })
    let unit = schedule.systemd.first { $0.name == "martlet-backup.service" }?.text ?? ""
    #expect(unit.contains("WorkingDirectory=/srv/my 100%% app\n"))
    #expect(unit.contains("ExecStart=/usr/bin/martlet backup run --kind full"))
    #expect(unit.contains("OnFailure=martlet-failed@%N.service"))
    let odd = Schedule(program: "/opt/my $5 \"m\"/martlet", folder: "/srv").systemd
    #expect(odd.first?.text.contains("ExecStart=\"/opt/my $$5 \\\"m\\\"/martlet\" backup") == true)
    #expect(schedule.systemd.contains { $0.name == "martlet-oplog.service" })
    #expect(schedule.systemd.filter { $0.name.hasSuffix(".timer") }.count == 3)
  }
}
