internal import BSON
internal import MongoDB

/// The members that hold data, for what each has of its own.
struct Members {
  let context: CheckContext

  /// What one of them says: a value, or why there is none.
  struct Answer<R> {
    var member: String
    var value: R?
    var failure: String?
  }

  /// Asks one after the other, each on a connection of its own; of a single one the connection is there.
  func each<R>(_ body: (Client) throws(MongoError) -> R) throws(MongoError) -> [Answer<R>] {
    let client = context.database.client
    let hosts = client.dataMembers(context.server)
    guard hosts.count > 1 else {
      let name = hosts.first ?? client.settings.hosts.first ?? "the server"
      return [answer(name) { () throws(MongoError) -> R in try body(client) }]
    }
    var answers: [Answer<R>] = []
    for host in hosts {
      try context.options.cancellation.check()
      answers.append(
        answer(host) { () throws(MongoError) -> R in
          let pool = try ClientPool(try client.settings.member(host), maxSize: 1)
          do {
            return try pool.withClient(body)
          } catch let error as MongoError {
            throw error
          } catch {
            throw MongoError(.client, "the member cannot be asked")
          }
        })
    }
    return answers
  }

  private func answer<R>(
    _ member: String, _ body: () throws(MongoError) -> R
  ) -> Answer<R> {
    do {
      return Answer(member: member, value: try body())
    } catch {
      let why = error.kind == .privilege ? "not allowed to look" : error.message
      return Answer(member: member, failure: why)
    }
  }

  /// What `$indexStats` says of these collections, on every member that answers.
  func indexUses(_ collections: [String]) throws(MongoError) -> [IndexUse] {
    let database = context.database.name
    let options = CommandOptions(
      readPreference: .secondaryPreferred, maxTime: context.options.commandLimit)
    let answers = try each { client throws(MongoError) -> [(String, [Document])] in
      var found: [(String, [Document])] = []
      for name in collections {
        let cursor = try client.database(database).aggregate(
          name, pipeline: [["$indexStats": [:]]], command: options)
        found.append((name, try cursor.all()))
      }
      return found
    }
    for answer in answers {
      guard let why = answer.failure else { continue }
      context.note("The index use of \(answer.member) is not known: \(why).")
    }
    return answers.flatMap { answer in
      (answer.value ?? []).flatMap { name, rows in
        rows.map { row in
          let accesses = row["accesses"]?.documentValue
          return IndexUse(
            member: answer.member, collection: name, index: row["name"]?.stringValue ?? "",
            operations: accesses?["ops"]?.integerValue ?? 0,
            since: accesses?["since"]?.dateValue?.milliseconds ?? 0)
        }
      }
    }
  }

  /// `metrics.ttl.passes` of the member that we write to, and the seconds that it is up.
  func ttlPasses() throws(MongoError) -> (passes: Int64, uptime: Int64)? {
    var command: Document = ["serverStatus": 1]
    for section in ["repl", "wiredTiger", "locks", "tcmalloc", "opLatencies", "sharding"] {
      command.append(section, 0)
    }
    let status = try context.database.client.run(
      command, on: "admin", options: CommandOptions(maxTime: .seconds(30)))
    let ttl = status["metrics"]?.documentValue?["ttl"]?.documentValue
    guard let passes = ttl?["passes"]?.integerValue else { return nil }
    return (passes, status["uptime"]?.integerValue ?? 0)
  }
}
