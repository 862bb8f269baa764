/// Full and short names of collections.
public enum Names {
  /// The collection in a full name of this database, or the name itself: others may have dots too.
  public static func collection(_ name: String, in database: String) -> String {
    name.hasPrefix(database + ".") ? String(name.dropFirst(database.count + 1)) : name
  }

  /// `database.collection`, whether or not the database was written.
  static func full(_ name: String, in database: String) -> String {
    name.hasPrefix(database + ".") ? name : "\(database).\(name)"
  }
}
