extension MigrationError.Code {
  /// An applied migration's file is not what was applied.
  public static let edited = Self(rawValue: "edited")
  /// An applied migration has no file.
  public static let missingFile = Self(rawValue: "missing-file")
  /// A pending migration comes before one that is applied.
  public static let outOfOrder = Self(rawValue: "out-of-order")
  /// The ledger holds documents of another tool.
  public static let foreignLedger = Self(rawValue: "foreign-ledger")
  /// A migration is half taken back, so `up` cannot go on.
  public static let reverting = Self(rawValue: "reverting")
  /// No migration has that name or number.
  public static let unknownMigration = Self(rawValue: "unknown-migration")
  /// The step would be refused by the server as things are.
  public static let conflict = Self(rawValue: "conflict")
  /// The server is older or newer than the migration asks for, or another kind of deployment.
  public static let requirement = Self(rawValue: "requirement")
  /// There is no way back.
  public static let irreversible = Self(rawValue: "irreversible")
  /// The server refused a step.
  public static let stepFailed = Self(rawValue: "step-failed")
  /// Something is not ready: a member is down, a lock is held.
  public static let notReady = Self(rawValue: "not-ready")
  /// Another run has taken over.
  public static let leaseLost = Self(rawValue: "lease-lost")
  /// Documents changed since were left as they are.
  public static let partlyUndone = Self(rawValue: "partly-undone")
  /// A privilege that the plan needs is missing.
  public static let privilege = Self(rawValue: "privilege")
  /// Not confirmed.
  public static let declined = Self(rawValue: "declined")
}
