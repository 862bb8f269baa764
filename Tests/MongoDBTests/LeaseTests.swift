import BSON
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@Suite struct LeaseTests {
  @Test("of many contenders exactly one has the lease, and the fence rises with every take")
  func contention() throws {
    try TestServer.run { server in
      let fences = Mutex<[Int64]>([])
      let inside = Mutex(0)
      let failures = Mutex<[String]>([])
      let group = DispatchGroup()
      for _ in 0..<6 {
        let thread = Thread {
          defer { group.leave() }
          do {
            for _ in 0..<4 {
              let lease = try acquire(server, wait: .seconds(60))
              let others = inside.withLock { count in
                count += 1
                return count - 1
              }
              if others != 0 { failures.withLock { $0.append("\(others) others have it") } }
              fences.withLock { $0.append(lease.fence) }
              try lease.check()
              inside.withLock { $0 -= 1 }
              try lease.release()
            }
          } catch { failures.withLock { $0.append("\(error)") } }
        }
        group.enter()
        thread.start()
      }
      group.wait()
      #expect(failures.withLock(\.self).isEmpty)
      #expect(fences.withLock(\.self) == Array(1...24))
    }
  }

  @Test("another run is refused with holder and expiry until the lease is released")
  func locked() throws {
    try TestServer.run { server in
      let lease = try acquire(server)
      let error = try #require(throws: MongoError.self) { try acquire(server) }
      #expect(error.kind == .locked)
      #expect(error.message.contains("deploy@web1, process 42 (martlet test)"))
      #expect(error.message.contains("until 20"))
      try server.pool.withClient { client in
        let holder = try Lease.holder(
          client: client, database: server.databaseName, collection: "lock", id: "run")
        #expect(holder?.fence == 1 && holder?.isExpired == false)
        try lease.verify(client)
      }
      try lease.release()
      #expect(try acquire(server).fence == 2)
    }
  }

  @Test("an expired lease is taken; its old owner is told and cannot release the new one")
  func expired() throws {
    try TestServer.run { server in
      let cancellation = Cancellation()
      let old = try acquire(
        server, duration: .milliseconds(200), heartbeat: .seconds(60), cancellation: cancellation)
      let new = try acquire(server, wait: .seconds(30))
      #expect(new.fence == 2)
      #expect(throws: MongoError.self) { try old.check() }
      #expect(cancellation.reason == .leaseLost)
      #expect(throws: MongoError.self) { try old.release() }
      try new.check()
      try server.pool.withClient { try new.verify($0) }
      try new.release()
    }
  }

  @Test("a heartbeat moves the end of a lease on")
  func heartbeat() throws {
    try TestServer.run { server in
      // Far more than a busy machine needs for one heartbeat; its end is not waited for.
      let lease = try acquire(server, heartbeat: .milliseconds(100))
      let first = try #require(try holder(server))
      try Patience.wait(for: "a heartbeat") {
        try #require(try holder(server)).expiresAt > first.expiresAt
      }
      try lease.check()
      #expect(try holder(server)?.isExpired == false)
      try lease.release()
    }
  }

  @Test("a lease that is stolen in mid-run cancels the work at the next heartbeat")
  func stolen() throws {
    try TestServer.run { server in
      for theft in 0..<2 {
        let cancellation = Cancellation()
        let lease = try acquire(
          server, heartbeat: .milliseconds(50), cancellation: cancellation)
        try server.withDatabase { database in
          if theft == 0 {
            #expect(
              try Lease.forceRelease(
                client: database.client, database: database.name, collection: "lock", id: "run"))
          } else {
            let other = Value.objectID(.generate(seconds: 1))
            _ = try database.update(
              "lock",
              [["q": ["_id": "run"], "u": ["$set": ["owner": other], "$inc": ["fence": 1]]]])
          }
        }
        try Patience.wait(for: "the loss to be seen") { cancellation.reason != nil }
        #expect(cancellation.reason == .leaseLost)
        let error = try #require(throws: MongoError.self) { try cancellation.check() }
        #expect(error.kind == .leaseLost)
        #expect(throws: MongoError.self) { try lease.check() }
        #expect(throws: MongoError.self) { try lease.release() }
      }
    }
  }

  @Test("a reply that was not confirmed by a majority is no lease, and leaves none behind")
  func unconfirmed() throws {
    let server = try PrivateServer()
    try TestServer.run(uri: server.uri) { server in
      let concern: Value = ["code": 64, "errmsg": "waiting for replication timed out"]
      _ = try server.pool.withClient { client in
        try client.run(
          [
            "configureFailPoint": "failCommand", "mode": ["times": 1],
            "data": ["failCommands": ["findAndModify"], "writeConcernError": concern],
          ], on: "admin")
      }
      let error = try #require(throws: MongoError.self) { try acquire(server) }
      #expect(error.kind == .writeConcern && error.code == 64)
      let lease = try acquire(server)
      #expect(lease.fence > 1)
      try lease.release()
    }
  }

  @Test("a server that hangs ends the lease in time, though the heartbeat hangs too")
  func hangingServer() throws {
    let server = try PrivateServer()
    try TestServer.run(uri: server.uri) { test in
      let cancellation = Cancellation()
      let lease = try acquire(
        test, duration: .seconds(2), heartbeat: .milliseconds(100), cancellation: cancellation)
      try server.signal(SIGSTOP, member: 0)
      defer { try? server.signal(SIGCONT, member: 0) }
      try Patience.wait(for: "the end of the lease") { cancellation.reason != nil }
      #expect(cancellation.reason == .leaseLost && !lease.isValid)
      try server.signal(SIGCONT, member: 0)
      #expect(throws: MongoError.self) { try lease.release() }
    }
  }

  private func holder(_ server: TestServer) throws -> LeaseHolder? {
    try server.pool.withClient {
      try Lease.holder(
        client: $0, database: server.databaseName, collection: "lock", id: "run")
    }
  }
}

@discardableResult
private func acquire(
  _ server: TestServer, duration: Duration = .seconds(60), heartbeat: Duration = .seconds(20),
  wait: Duration = .zero, cancellation: Cancellation = Cancellation()
) throws -> Lease {
  try Lease.acquire(
    pool: server.pool, database: server.databaseName, collection: "lock", id: "run",
    holder: ["host": "web1", "user": "deploy", "pid": 42, "tool": "martlet test"],
    duration: duration, heartbeat: heartbeat, wait: wait, cancellation: cancellation)
}
