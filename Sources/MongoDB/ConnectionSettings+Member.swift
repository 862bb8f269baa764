extension ConnectionSettings {
  /// The same user and options, for one member of the set: `host:port` as `hello` names it.
  ///
  /// What each member has of its own, such as its disk, is asked there.
  /// - Throws: ``MongoError`` of kind `invalidURI`.
  public func member(_ host: String) throws(MongoError) -> ConnectionSettings {
    let scheme = uri.hasPrefix("mongodb+srv://") ? "mongodb+srv://" : "mongodb://"
    let rest = uri.dropFirst(scheme.count)
    let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    let place = parts.first ?? ""
    let user = place.firstIndex(of: "@").map { place[...$0] } ?? ""
    let path = place.dropFirst(user.count).drop { $0 != "/" }
    var options = (parts.count > 1 ? parts[1] : "").split { "&;".contains($0) }.map(String.init)
    func has(_ names: String...) -> Bool {
      options.contains { option in
        names.contains { option.lowercased().hasPrefix($0.lowercased() + "=") }
      }
    }
    // What an SRV record would have said.
    if scheme == "mongodb+srv://" {
      if !has("tls", "ssl") { options.append("tls=true") }
      if !user.isEmpty || username != nil, !has("authSource") { options.append("authSource=admin") }
    }
    let dropped = ["replicaset=", "directconnection=", "loadbalanced=", "readpreference", "srv"]
    options.removeAll { option in dropped.contains { option.lowercased().hasPrefix($0) } }
    options.append("directConnection=true")
    let text =
      "mongodb://\(user)\(host)\(path.isEmpty ? "/" : String(path))?"
      + options.joined(separator: "&")
    return try ConnectionSettings(
      uri: text, username: username, password: password, appName: appName,
      serverSelectionTimeout: min(serverSelectionTimeout, .seconds(3)),
      connectTimeout: min(connectTimeout, .seconds(3)))
  }
}
