import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// `martlet dump` as scripts call it.
@Suite struct DumpCommandTests {
  private func withData(_ body: (TestServer, Scratch) throws -> Void) throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        _ = try database.insert(
          "a", (0..<50).map { ["_id": .int32($0), "n": .int32($0), "g": .int32($0 % 3)] })
        _ = try database.insert("b", [["_id": 1], ["_id": 2]])
        for name in ["tmp_1", "tmp_2"] { _ = try database.insert(name, [["_id": 1]]) }
        _ = try database.run([
          "create": "v", "viewOn": "a", "pipeline": [["$match": ["n": ["$lt": 10]]]],
        ])
        _ = try database.run([
          "create": "ts", "timeseries": ["timeField": "t", "metaField": "m"],
        ])
        _ = try database.insert(
          "ts",
          (0..<60).map { (n: Int64) -> Document in
            [
              "t": .date(DateTime(milliseconds: n * 60_000)), "m": ["s": .int64(n % 3)],
              "v": .int64(n),
            ]
          })
      }
      try body(server, scratch)
    }
  }

  @Test("what is left out by name or by its beginning is not in the dump, and quiet is quiet")
  func excludes() throws {
    try withData { server, scratch in
      let result = try server.done(
        "$M dump --uri=$U --db $DB --excludeCollection a --excludeCollection=b "
          + "--excludeCollectionsWithPrefix tmp_ --archive=x --quiet", in: scratch)
      #expect(result.stdout.isEmpty && result.stderr.isEmpty)
      #expect(try server.names("x", in: scratch) == ["ts", "v"])
    }
  }

  @Test(
    "what mongodump refuses is refused",
    arguments: [
      "--db $DB -c a --excludeCollection b", "--excludeCollection a", "-c a", "-q '{}' --db $DB",
      "--db $DB -c a -q '{}' --queryFile f", "--db $DB -c a -q '{'", "--out - --db $DB",
      "--db $DB -c a --out - --gzip", "--archive=x --out y", "--dumpDbUsersAndRoles",
      "--db $DB -c a --dumpDbUsersAndRoles", "--db $DB -j 0", "--db $DB --readPreference near",
      "--db $DB -c system.buckets.ts",
    ])
  func refusals(_ options: String) throws {
    try TestServer.withCopy { server, scratch in
      let result = try server.sh("$M dump --uri $U \(options)", in: scratch)
      #expect(result.exitCode == 64, "\(result.stderr)")
      #expect(scratch.names.isEmpty)
    }
  }

  @Test("views can be dumped as what they show, and then nothing else is")
  func viewsAsCollections() throws {
    try withData { server, scratch in
      _ = try server.done("$M dump --uri $U --db $DB --viewsAsCollections --out=d", in: scratch)
      _ = try server.done("$M load --uri $U d $AS", in: scratch)
      try server.withCopyDatabase { copy in
        let there = try copy.listCollections()
        #expect(there.map(\.name) == ["v"] && there.map(\.type) == [.collection])
        let ids = try copy.find("v", options: ["sort": ["_id": 1]]).all().map { $0["_id"] }
        #expect(ids == (0..<10).map { .int32($0) })
      }
    }
  }

  @Test(
    "a query comes from the command line or a file; on a time-series it may name the meta field")
  func queries() throws {
    try withData { server, scratch in
      let query = #"{"n": {"$gte": {"$numberInt": "45"}}}"#
      _ = try server.done(
        "echo '\(query)' >f; $M dump --uri $U --db $DB -c a -q '\(query)' --archive=one; "
          + "$M dump --uri $U --db $DB --collection=a --queryFile=f --archive two; "
          + #"$M dump --uri $U --db $DB -c ts --query='{"m.s":{"$in":[1]}}' --archive=three"#,
        in: scratch)
      for name in ["one", "two"] {
        #expect(try server.inspected(name, in: scratch)["documents"]?.integerValue == 5)
      }
      _ = try server.done("$M load --uri $U --archive=three $AS", in: scratch)
      try server.withCopyDatabase { copy in
        let found = try copy.find("ts").all()
        #expect(found.count == 20)
        #expect(found.allSatisfy { $0["m"]?.documentValue?["s"]?.integerValue == 1 })
      }
      let other = try server.sh(
        #"$M dump --uri $U --db $DB -c ts -q '{"v":1}' --archive=four"#, in: scratch)
      #expect(other.exitCode == 64 && other.stderr.contains("the meta field is 'm'"))
      #expect(!scratch.names.contains { $0.contains("four") })
    }
  }

  @Test("a collection that is not there makes an empty dump, and is named")
  func missing() throws {
    try withData { server, scratch in
      let result = try server.done("$M dump --uri $U --db $DB -c nowhere --out d", in: scratch)
      #expect(result.stderr.contains("there is no \(server.databaseName).nowhere"))
      #expect(result.stderr.contains("0 documents of 0 collections"))
      #expect(try server.names("d", in: scratch).isEmpty)
    }
  }

  @Test("standard output and input carry archives and documents, in every spelling")
  func streams() throws {
    try withData { server, scratch in
      let described = try server.describe(server.databaseName)
      for line in [
        "$M dump --uri $U --db $DB --archive | $M load --uri $U --archive $AS --drop",
        "$M dump --uri=$U --db=$DB --gzip --archive=- | $M load --uri=$U --archive=- $AS --drop",
        "$M dump $U -d $DB --gzip --archive - | $M load $U --gzip --archive - $AS --drop",
      ] {
        _ = try server.done(line, in: scratch)
        #expect(try server.describe(server.copyName) == described, "\(line)")
      }
      for source in ["-", "--dir -", "--dir=-"] {
        _ = try server.done(
          "$M dump --uri $U -d $DB -c a --out - >a.bson; "
            + "$M load --uri $U -d $COPY -c piped --drop \(source) <a.bson", in: scratch)
        let piped = try server.withCopyDatabase { try $0.find("piped").all() }
        #expect(piped.count == 50)
      }
      let size = try FilePath.read(scratch.file("a.bson")).count
      let counted = try server.sh("$M dump --uri $U -d $DB -c a -o - | wc -c", in: scratch)
      #expect(counted.number == size)
    }
  }

  @Test("what stands in a device's place is written to, never replaced")
  func devices() throws {
    try withData { server, scratch in
      let full = try server.sh("$M dump --uri $U --db $DB --archive=/dev/full", in: scratch)
      #expect(full.exitCode == 1 && full.stderr.contains("No space left on device"))
      let pipe = try server.sh("$M dump --uri $U --db $DB --archive >/dev/full", in: scratch)
      #expect(pipe.exitCode == 1 && pipe.stderr.contains("No space left on device"))
      _ = try server.done(
        "mkfifo p; $M dump --uri $U --db $DB --archive=p & $M inspect - <p; wait $!", in: scratch)
      _ = try server.done(
        "touch old; ln -s old link; $M dump $U -d $DB --archive=link", in: scratch)
      _ = try server.done("test -L link && $M inspect old", in: scratch)
      let summary = try server.done(
        "$M dump $U -d $DB --archive=q --summary /dev/stdout", in: scratch)
      #expect(try ExtendedJSON.parseDocument(summary.stdout)["documents"]?.integerValue != nil)
      let salvage = try server.sh("$M inspect q --salvage p", in: scratch)
      #expect(salvage.exitCode == 1 && salvage.stderr.contains("cannot be replaced"))
      let kind = try server.sh("stat -c %F /dev/full p /dev/stdout", in: scratch).stdout
      #expect(kind == "character special file\nfifo\nsymbolic link\n")
    }
  }

  @Test("a file system that takes no more ends the dump with an error, and nothing stays behind")
  func fileLimit() throws {
    try withData { server, scratch in
      let noise = (0..<200).map { (n: Int32) -> Document in
        let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255) }
        return ["_id": .int32(n), "noise": .binary(Binary(bytes: bytes))]
      }
      try server.withDatabase { _ = try $0.insert("large", noise) }
      for target in ["--archive=x", "--archive=x --gzip", "--out x", "--out x --gzip"] {
        // 100 kB; without the trap the system would kill instead of refusing.
        let result = try server.sh(
          "trap '' XFSZ; ulimit -f 200; exec $M dump --uri $U --db $DB \(target)", in: scratch)
        #expect(result.exitCode == 1 && result.stderr.contains("File too large"), "\(target)")
        #expect(scratch.names.isEmpty, "\(target)")
      }
    }
  }

  @Test("a name that leads to nothing is told, and an empty query is none, but for one of a file")
  func nothing() throws {
    try withData { server, scratch in
      let dump = try server.done("$M dump --uri $U --db ${DB}_no --archive=x", in: scratch)
      #expect(dump.stderr.contains("note: the database \(server.databaseName)_no has nothing"))
      _ = try server.done("$M dump --uri $U --db $DB -c a --query '' --archive=y", in: scratch)
      #expect(try server.inspected("y", in: scratch)["documents"]?.integerValue == 50)
      for content in ["''", "' \\n'"] {
        let blank = try server.sh(
          "printf \(content) >f; $M dump --uri $U --db $DB -c a --queryFile f --archive=z",
          in: scratch)
        #expect(blank.exitCode == 64 && blank.stderr.contains("there is no query in f"))
      }
      let load = try server.done("$M load --uri $U --archive=y --nsInclude 'no.*'", in: scratch)
      #expect(load.stderr.contains("note: nothing in the dump was chosen"))
      let some = try server.done("$M load --uri $U --archive=y $AS", in: scratch)
      #expect(!some.stderr.contains("note: nothing"))
    }
  }

  @Test("where to read comes from the flag, as a word or as JSON, or from the connection string")
  func readPreference() throws {
    try withData { server, scratch in
      let soon = server.uri + "&serverSelectionTimeoutMS=300"
      for preference in ["secondaryPreferred", #"'{"mode":"nearest"}'"#] {
        let line = "$M dump --uri $U --db $DB --archive=x --readPreference \(preference)"
        _ = try server.done(line, in: scratch)
      }
      // There is no secondary.
      let flag = "$M dump --uri $U --db $DB --archive=y --readPreference=secondary"
      #expect(try server.sh(flag, in: scratch, uri: soon).exitCode == 10)
      let option = "$M dump --uri \"$U&readPreference=secondary\" --db $DB --archive=y"
      #expect(try server.sh(option, in: scratch, uri: soon).exitCode == 10)
      let both = option + " --readPreference=primary"
      #expect(try server.sh(both, in: scratch).exitCode == 0)
    }
  }
}

extension ChildProcess.Result {
  /// Standard output as a number.
  var number: Int? { Int(stdout.trimmingCharacters(in: .whitespacesAndNewlines)) }
}
