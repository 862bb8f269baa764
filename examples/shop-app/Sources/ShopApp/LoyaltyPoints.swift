import Martlet

/// A migration in Swift, ordered between the files by its number.
///
/// Its body and the ledger entry share one transaction: all of it is there, or nothing.
let loyaltyPoints: @Sendable () throws -> CodeMigration = {
  try CodeMigration(
    id: "002_loyalty_points", description: "Loyalty points, one for every ten euros spent",
    up: { database in
      try database.insert(
        "loyalty_levels",
        [
          ["_id": "bronze", "from": 0], ["_id": "silver", "from": 100],
          ["_id": "gold", "from": 500],
        ]
      )
      _ = try database.update(
        "customers",
        [
          [
            "q": ["points": ["$exists": false]],
            "u": [
              ["$set": ["points": ["$floor": ["$divide": [["$ifNull": ["$spent", 0]], 10]]]]]
            ],
            "multi": true,
          ]
        ])
    },
    down: { database in
      _ = try database.delete("loyalty_levels", [["q": [:], "limit": 0]])
      _ = try database.update(
        "customers", [["q": [:], "u": ["$unset": ["points": ""]], "multi": true]])
    })
}
