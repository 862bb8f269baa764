import BSON
import MongoDB

extension Executor {
  /// Whether the `unless` of a step holds now.
  func isLeftOut(_ step: PlannedStep) throws -> Bool {
    guard let unless = step.options.unless else { return false }
    guard try !database.listCollections(filter: ["name": .string(unless.collection)]).isEmpty else {
      return false
    }
    if let index = unless.index {
      // One that is being built may yet fail.
      let there = try database.listIndexes(unless.collection, includeBuildUUIDs: true)
      guard there.contains(where: { $0.name == index && !$0.isUnfinished }) else { return false }
    }
    if let filter = unless.filter {
      return try database.findOne(unless.collection, filter: filter) != nil
    }
    return true
  }
}
