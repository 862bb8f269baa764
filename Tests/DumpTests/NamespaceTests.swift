import Testing

@testable import Dump

@Suite struct NamespaceTests {
  @Test(
    "renames give what mongorestore's do",
    arguments: [
      ("$db$.user$$", "test.user$$_$db$", "stuff.user", "test.user_stuff"),
      ("$db$.user$$", "test.user$$_$db$", "stuff.users", "test.users_stuff"),
      (#"pr\*d\\.*"#, #"st*g\\ing.*"#, #"pr*d\.users"#, #"st*g\ing.users"#),
      (
        "$:)*$.us(?:2)er$?$", "test.us(?:2)er$?$_$:)*$", "stuff.us(?:2)ers", "test.us(?:2)ers_stuff"
      ),
      ("*.*", "*_test.*", "prod.turbo.encabulators", "prod_test.turbo.encabulators"),
    ])
  func renames(_ from: String, _ to: String, _ input: String, _ output: String) throws {
    let to = to == #"st*g\\ing.*"# ? #"st\*g\\ing.*"# : to
    #expect(try NamespaceRename(from: from, to: to).apply(to: input) == output)
  }

  @Test(
    "renames that cannot work are refused",
    arguments: [
      ("$db$.user$db$", "a.b"), ("$db$.us$er$table$", "a.b"), ("a.*", "b.c"), ("$a$.x", "$b$.x"),
    ])
  func badRenames(_ from: String, _ to: String) {
    #expect(throws: DumpError.self) { try NamespaceRename(from: from, to: to) }
  }

  @Test(
    "patterns match what mongorestore's do",
    arguments: [
      ("*.user*", "stuff.users", true), (#"pr\*d\.*"#, "pr*d.magic", true),
      (#"pr\*d\.*"#, #"pr*d\.magic"#, false), (#"pr\*d\.*"#, "prod.magic", false),
      ("*.*", "stuff", false), ("*", "a.b", true), ("a.*b*", "a.xbx", true),
    ])
  func patterns(_ pattern: String, _ input: String, _ expected: Bool) throws {
    #expect(try NamespacePattern(pattern).matches(input) == expected)
  }

  @Test("a dollar in a pattern is refused", arguments: ["$.user$", "*.user$"])
  func dollars(_ pattern: String) {
    #expect(throws: DumpError.self) { try NamespacePattern(pattern) }
  }

  @Test("the rename given last goes first, and buckets follow their time-series")
  func selection() throws {
    let selection = NamespaceSelection(
      includes: [try NamespacePattern("shop.*")], excludes: [try NamespacePattern("*.tmp*")],
      renames: [
        try NamespaceRename(from: "shop.*", to: "old.*"),
        try NamespaceRename(from: "shop.metrics", to: "new.m"),
      ])
    #expect(selection.takes(Namespace("shop", "system.buckets.metrics")))
    #expect(!selection.takes(Namespace("shop", "tmp1")))
    #expect(!selection.takes(Namespace("other", "a")))
    #expect(
      try selection.target(of: Namespace("shop", "system.buckets.metrics"))
        == Namespace("new", "system.buckets.m"))
    #expect(try selection.target(of: Namespace("shop", "a")) == Namespace("old", "a"))
  }

  @Test(
    "file names are escaped as mongodump does",
    arguments: [
      ("a/b", "a%2Fb"), ("100%", "100%25"), ("cafés", "caf%C3%A9s"), ("a+b c", "a%2Bb+c"),
      ("unicode_ž馬", "unicode_%C5%BE%E9%A6%AC"),
    ])
  func fileNames(_ name: String, _ file: String) throws {
    #expect(FileNames.escape(name) == file)
    #expect(try FileNames.collection(of: file, known: nil) == name)
  }

  @Test("an over-long name is cut, and only its own metadata may give it back")
  func longNames() throws {
    let name = String(repeating: "ž", count: 100)
    let file = FileNames.escape(name)
    #expect(file.utf8.count == 238)
    #expect(try FileNames.collection(of: file, known: name) == name)
    #expect(throws: DumpError.self) { try FileNames.collection(of: file, known: name + "x") }
    #expect(throws: DumpError.self) { try FileNames.collection(of: file, known: nil) }
  }
}
