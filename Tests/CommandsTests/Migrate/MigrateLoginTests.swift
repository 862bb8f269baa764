import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

/// Who may not get in is told so, and finds no password in what is printed.
@Suite("logging in") struct MigrateLoginTests {
  @Test("a wrong password is 12, and is not repeated in the error")
  func wrongPassword() throws {
    let server = try PrivateServer(auth: true)
    let host = try #require(server.hosts.first)
    for command in [
      ["migrate", "status"], ["migrate", "up", "--yes"], ["migrate", "plan", "--json"],
    ] {
      let result = try MartletBinary.run(
        command + ["--db", "shop"],
        environment: [
          "MARTLET_URI": "mongodb://root:n0t-the-secret@\(host)/?authSource=admin&replicaSet=rs0"
        ], directory: DocumentationTests.root.path)
      #expect(result.exitCode == 12, "\(result.stderr)")
      #expect(!(result.stdout + result.stderr).contains("n0t-the-secret"))
    }
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    let written = try pool.withClient { try $0.database("shop").listCollections() }
    #expect(written.isEmpty)
  }
}
