import ArgumentParser

/// What a new migration file starts with.
enum MigrationTemplate: String, ExpressibleByArgument, CaseIterable {
  case plain, collection, field, backfill, validator, ttl

  func text(description: String, collection: String, field: String) -> String {
    let name = ProjectTemplate.scalar(collection)
    let key = ProjectTemplate.scalar(field)
    return """
      description: \(ProjectTemplate.scalar(description))

      # A step is a MongoDB database command, exactly as in MongoDB's manual.
      \(steps(name, key))
      """
  }

  private func steps(_ name: String, _ key: String) -> String {
    switch self {
    case .plain:
      """
      up:
        - create: \(name)

      # down: is derived from what `up` did. Write steps here to replace it, or `down: irreversible`.

      """
    case .collection:
      """
      up:
        - create: \(name)
        - createIndexes: \(name)
          indexes:
            - { key: { created_at: 1 } }
            - { key: { \(key): 1 } }

      # down: derived. The collection is dropped, or kept under another name once it has documents.

      """
    case .field:
      """
      up:
        # Only where the field is missing: values that are there stay. Long updates run in chunks,
        # keep what they change, and go on after a kill.
        - update: \(name)
          updates:
            - q: { \(key): { $exists: false } }
              u: { $set: { \(key): null } }
              multi: true

      # down: derived. The field is taken away again from the documents that are unchanged since.

      """
    case .backfill:
      """
      up:
        # A pipeline computes the new value from the document itself; the filter keeps it repeatable.
        - update: \(name)
          updates:
            - q: { \(key): { $exists: false } }
              u:
                - $set: { \(key): { $ifNull: [$updated_at, $created_at] } }
              multi: true
          martlet: { chunk: 1000, pause: 0 }

      # down: derived from pre-images; a pipeline keeps the whole document.

      """
    case .validator:
      """
      up:
        # `moderate` leaves documents alone that do not pass already; `warn` logs instead of refusing.
        # `martlet migrate plan` counts the documents that would fail.
        - collMod: \(name)
          validator:
            $jsonSchema:
              bsonType: object
              required: [\(key)]
              properties:
                \(key): { bsonType: string }
          validationLevel: moderate
          validationAction: warn

      # down: derived. The validator, level and action that were there before come back.

      """
    case .ttl:
      """
      up:
        # Documents go 90 days after created_at, at once when they are older: see `martlet migrate plan`.
        - createIndexes: \(name)
          indexes:
            - key: { created_at: 1 }
              expireAfterSeconds: 7776000

      # down: derived. The index goes; documents that have expired do not come back.

      """
    }
  }
}
