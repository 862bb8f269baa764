// An application imports Martlet alone: documents, errors, plans and reports come with it.
@_exported public import BSON
@_exported public import Migration
@_exported public import MongoDB
