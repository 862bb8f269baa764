import BSON
import Testing

@testable import Dump

@Suite struct MetadataTests {
  @Test("mongodump's metadata files are written again byte for byte")
  func golden() throws {
    let folder = Fixtures.golden + "/dir/golden"
    let names = try FilePath.list(folder).filter { $0.hasSuffix(".metadata.json") }
    #expect(names.count == 21)
    for name in names {
      let text = try Fixtures.text("dir/golden/" + name)
      #expect(try CollectionMetadata(text: text).text() == text, "\(name)")
    }
  }

  @Test("an empty metadata file is no metadata")
  func empty() throws {
    let metadata = try CollectionMetadata(text: "")
    #expect(metadata.indexes.isEmpty && metadata.options == nil)
  }

  @Test("metadata of old tools is read: bare numbers and legacy types")
  func old() throws {
    let metadata = try CollectionMetadata(
      text: #"{"options":{},"indexes":[{"v":2,"key":{"a":1.0},"name":"a_1","ns":"t.b"}]}"#)
    #expect(metadata.options == nil)
    #expect(metadata.indexes.first?["v"] == .int32(2))
  }

  @Test("options that Extended JSON cannot carry are refused rather than changed")
  func notCarried() {
    let validator: Document = ["$numberInt": "1"]
    let metadata = CollectionMetadata(
      options: ["validator": ["a": .document(validator)]], indexes: [], uuid: nil,
      collectionName: "c", type: "collection")
    #expect(throws: DumpError.self) { try metadata.text() }
  }

  @Test("a dump folder is found by its file names")
  func folder() throws {
    let dump = try DirectoryDump(path: Fixtures.golden + "/dir")
    #expect(dump.items.count == 21)
    #expect(dump.serverVersion == "6.0.5")
    #expect(dump.unknown.isEmpty)
    let metrics = try #require(dump.items.first { $0.namespace.isBuckets })
    #expect(metrics.metadata?.hasSuffix("/metrics.metadata.json") == true)
    let one = try DirectoryDump(path: Fixtures.golden + "/dir/golden", database: "other")
    #expect(one.items.count == 21 && one.items.allSatisfy { $0.namespace.database == "other" })
  }
}
