extension Linter {
  /// Commands that change data or schema.
  static let changing: Set<String> = [
    "create", "createIndexes", "dropIndexes", "collMod", "renameCollection", "drop", "dropDatabase",
    "insert", "update", "delete", "findAndModify", "findandmodify", "aggregate",
  ]

  /// Commands that change nothing.
  static let reading: Set<String> = [
    "find", "count", "distinct", "ping", "hello", "isMaster", "buildInfo", "collStats", "dbStats",
    "listCollections", "listIndexes", "listDatabases", "explain", "serverStatus",
    "connectionStatus",
    "usersInfo", "rolesInfo", "dataSize", "getParameter", "hostInfo", "whatsmyuri",
  ]

  /// Commands that change neither collections nor their indexes nor their documents.
  static let apart: Set<String> = [
    "analyze", "appendOplogNote", "authenticate", "balancerStart", "balancerStatus", "balancerStop",
    "addShardToZone", "cleanupOrphaned", "compact", "configureQueryAnalyzer", "createRole",
    "createSearchIndexes", "createUser", "currentOp", "dropAllRolesFromDatabase",
    "dropAllUsersFromDatabase", "dropConnections", "dropRole", "dropSearchIndex", "dropUser",
    "enableSharding", "endSessions", "filemd5", "fsync", "fsyncUnlock", "getClusterParameter",
    "getDefaultRWConcern", "getLastError", "getLog", "getMore", "grantPrivilegesToRole",
    "grantRolesToRole", "grantRolesToUser", "invalidateUserCache", "killAllSessions",
    "killCursors", "killOp", "killSessions", "listCommands", "listSearchIndexes", "logRotate",
    "mergeChunks", "moveChunk", "planCacheClear", "planCacheClearFilters", "planCacheListFilters",
    "planCacheSetFilter", "refreshSessions", "removeShardFromZone", "replSetGetConfig",
    "replSetGetStatus", "revokePrivilegesFromRole", "revokeRolesFromRole", "revokeRolesFromUser",
    "rotateCertificates", "setClusterParameter", "setDefaultRWConcern", "setIndexCommitQuorum",
    "setParameter", "split", "splitChunk", "splitVector", "startSession", "top", "updateRole",
    "updateSearchIndex", "updateUser", "updateZoneKeyRange", "validate", "validateDBMetadata",
  ]

  /// The commands of the server's manual that a database takes.
  static let known: Set<String> = changing.union(reading).union([
    "abortTransaction", "analyze", "appendOplogNote", "applyOps", "authenticate", "bulkWrite",
    "cleanupOrphaned", "clone", "cloneCollectionAsCapped", "commitTransaction", "compact",
    "configureQueryAnalyzer", "convertToCapped", "createRole", "createSearchIndexes", "createUser",
    "currentOp", "deleteIndexes", "dropAllRolesFromDatabase", "dropAllUsersFromDatabase",
    "dropConnections", "dropRole", "dropSearchIndex", "dropUser", "enableSharding", "endSessions",
    "filemd5", "fsync", "fsyncUnlock", "getClusterParameter", "getDefaultRWConcern",
    "getLastError", "getLog", "getMore", "grantPrivilegesToRole", "grantRolesToRole",
    "grantRolesToUser", "invalidateUserCache", "killAllSessions", "killCursors", "killOp",
    "killSessions", "listCommands", "listSearchIndexes", "logRotate", "mapReduce", "mergeChunks",
    "moveChunk", "movePrimary", "planCacheClear", "planCacheClearFilters", "planCacheListFilters",
    "planCacheSetFilter", "profile", "reIndex", "refineCollectionShardKey", "refreshSessions",
    "replSetGetConfig", "replSetGetStatus", "reshardCollection", "revokePrivilegesFromRole",
    "revokeRolesFromRole", "revokeRolesFromUser", "rotateCertificates", "setClusterParameter",
    "setDefaultRWConcern", "setFeatureCompatibilityVersion", "setIndexCommitQuorum", "setParameter",
    "shardCollection", "split", "splitChunk", "splitVector", "startSession", "top", "touch",
    "unshardCollection", "updateRole", "updateSearchIndex", "updateUser", "updateZoneKeyRange",
    "addShardToZone", "removeShardFromZone", "balancerStart", "balancerStop", "balancerStatus",
    "validate", "validateDBMetadata",
  ])
}
