/// The engine under another name, for modules that have a `Migrator` of their own.
///
/// `Migration.Migrator` would be looked up in the type `Migration`.
public typealias MigrationEngine = Migrator
