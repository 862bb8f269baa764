import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite struct FailoverTests {
  @Test("transactions and reads go on when the primary is killed, each exactly once")
  func primaryKilled() throws {
    let server = try PrivateServer(members: 3)
    try TestServer.run(uri: server.uri) { test in
      try test.withDatabase { database in
        _ = try database.run(["create": "c"], options: .majority)
        _ = try database.insert("c", [["_id": "counter", "n": 0]])
        let me = try #require(try database.client.hello().me)
        let primary = try #require(server.hosts.firstIndex(of: me))
        for number in 0..<60 {
          if number == 30 { try server.signal(SIGKILL, member: primary) }
          try database.client.withTransaction { session in
            let counter: Document = ["q": ["_id": "counter"], "u": ["$inc": ["n": 1]]]
            _ = try database.update("c", [counter], session: session)
            _ = try database.insert("c", [["_id": .integer(number)]], session: session)
          }
        }
        #expect(try database.findOne("c", filter: ["_id": "counter"])?["n"] == 60)
        #expect(try database.count("c", filter: ["_id": ["$type": "int"]]) == 60)
        #expect(try database.client.hello().me != me)
      }
    }
  }

  @Test("a standalone runs commands and leases, and refuses transactions")
  func standalone() throws {
    try TestServer.run(.standalone) { server in
      try server.withDatabase { database in
        _ = try database.insert("c", [["_id": 1], ["_id": 2]])
        #expect(try database.find("c", options: ["batchSize": 1]).all().count == 2)
        let lease = try Lease.acquire(
          pool: server.pool, database: database.name, collection: "lock", id: "run",
          holder: [:], cancellation: Cancellation())
        try lease.release()
        let error = try #require(throws: MongoError.self) {
          try database.client.withTransaction { session in
            try database.insert("c", [["_id": 3]], session: session)
          }
        }
        #expect(error.kind == .server && error.code == 20)
        #expect(try database.count("c") == 2)
      }
    }
  }
}

@Suite struct ChildProcessTests {
  @Test("a program's output, folder, environment and end are seen")
  func outcome() throws {
    let result = try ChildProcess(
      "/bin/sh", ["-c", "cat; echo $A; pwd; echo b >&2; exit 3"], environment: ["A": "a"],
      directory: "/usr", stdin: "in\n"
    ).wait()
    #expect(result.stdout == "in\na\n/usr\n" && result.stderr == "b\n" && result.exitCode == 3)
  }

  @Test("nobody waits for a program that has ended, and what it said is told")
  func ended() throws {
    let child = try ChildProcess("/bin/sh", ["-c", "echo why >&2; exit 1"])
    let over = #expect(throws: Patience.Over.self) {
      try Patience.wait(forFile: "/no/such/file", of: child)
    }
    #expect(over?.description.contains("why") == true)
  }

  @Test("a program is killed by a signal after it has said something")
  func killed() throws {
    let child = try ChildProcess("/bin/sh", ["-c", "echo ready; exec sleep 1000"])
    #expect(child.waitFor("ready"))
    child.kill(SIGTERM)
    #expect(child.wait().exitCode == -SIGTERM)
  }
}
