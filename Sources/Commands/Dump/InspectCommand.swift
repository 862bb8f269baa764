import ArgumentParser
import BSON
import Dump
import Fingerprint
import Foundation
import MongoDB

/// `martlet inspect`: reads a dump without a server.
struct InspectCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "inspect", "What an archive or a dump's folder holds, and whether it is whole.",
    discussion: """
      Reads all of it and checks every checksum. Needs no server.

      EXAMPLES:
        martlet inspect shop.archive.gz
        martlet inspect dump --documents shop.orders        # one JSON document a line
        martlet inspect broken.archive --salvage saved.archive
      """)

  @OptionGroup var options: GlobalOptions

  @Argument(help: ArgumentHelp("Archive, folder, or - for standard input.", valueName: "dump"))
  var path: String

  @Option(help: ArgumentHelp("Print this collection's documents.", valueName: "namespace"))
  var documents: String?

  @Flag(help: "Look into every document: types, lengths, nesting.")
  var full = false

  @Option(help: ArgumentHelp("Copy what is whole of a damaged archive.", valueName: "file"))
  var salvage: String?

  func execute(_ context: CommandContext) throws -> CommandStatus {
    if let salvage { return try save(to: salvage, context) }
    var inspector = Inspector()
    inspector.checksDocuments = full
    let progress = Progress(context.console, "inspect", unit: .bytes)
    inspector.progress = { done in
      try context.cancellation.check()
      progress.update(done: done)
    }
    if let documents { return try print(documents, inspector, context) }
    let report =
      try path == "-"
      ? inspector.inspect(Input.open(FileSource(descriptor: 0, path: "standard input")))
      : inspector.inspect(path: path)
    progress.finish()
    context.console.show(InspectPage(path: path, report: report))
    return .done
  }

  private func print(_ name: String, _ inspector: Inspector, _ context: CommandContext) throws
    -> CommandStatus
  {
    var inspector = inspector
    var found = false
    inspector.document = { namespace, bytes in
      guard namespace.description == name || namespace.logical.description == name else { return }
      found = true
      context.console.out(
        try Document(bytes: [UInt8](bytes)).extendedJSON(options.json ? .canonical : .relaxed))
    }
    let report =
      try path == "-"
      ? inspector.inspect(Input.open(FileSource(descriptor: 0, path: "standard input")))
      : inspector.inspect(path: path)
    let isThere = report.collections.contains {
      $0.namespace.description == name || $0.dataNamespace.description == name
    }
    guard found || isThere else {
      throw CommandError(.usage, "there is no \(name) in \(path)", hint: "martlet inspect \(path)")
    }
    return .done
  }

  private func save(to target: String, _ context: CommandContext) throws -> CommandStatus {
    let file = try FileSource(path: path)
    var prefix = [UInt8](repeating: 0, count: 2)
    let count = try prefix.withUnsafeMutableBytes { try file.read(into: $0) }
    try file.rewind()
    let isGzip = count == 2 && prefix == [0x1F, 0x8B]
    let unpacked = isGzip ? GzipSource(file, salvages: true) : nil
    let output = try OutputFile(path: target)
    var report = try Salvager().salvage(unpacked ?? file, to: output)
    if let lost = unpacked?.lost, lost > 0 {
      report.stopped = report.stopped ?? "\(lost) compressed blocks could not be read"
    }
    try output.commit()
    context.console.show(SalvagePage(target: target, report: report))
    return report.isIntact ? .done : .backupDamaged
  }
}

/// A dump's contents.
struct InspectPage: CommandOutput {
  let path: String
  let report: DumpReport

  var json: JSONValue {
    .object([
      ("path", .string(path)), ("format", .string(report.format)),
      ("gzip", .bool(report.isCompressed)),
      ("serverVersion", .string(optional: report.serverVersion)),
      ("toolVersion", .string(optional: report.toolVersion)),
      ("documents", .integer(report.total.count)), ("bytes", .integer(report.total.bytes)),
      ("collections", .array(report.collections.map(Self.json))),
      ("findings", .strings(report.findings)),
    ])
  }

  private static func json(_ collection: DumpReport.Collection) -> JSONValue {
    .object([
      ("namespace", .string(collection.namespace.description)),
      ("type", .string(optional: collection.metadata.type)),
      ("count", .integer(collection.tally.count)), ("bytes", .integer(collection.tally.bytes)),
      ("fingerprint", .string(collection.tally.fingerprint.description)),
      (
        "indexes",
        .strings(collection.metadata.indexes.compactMap { $0["name"]?.stringValue })
      ),
      ("crc", .string(optional: collection.crc.map { "ok:" + String($0, radix: 16) })),
    ])
  }

  func write(to page: inout Page) {
    let kind = report.format == "archive" ? "archive" : "folder"
    page.line(
      "\(kind)\(report.isCompressed ? ", gzip" : ""), server \(report.serverVersion ?? "unknown"), "
        + "written by \(report.toolVersion ?? "unknown")")
    var table = Table([
      "namespace", "type", .number("documents"), .number("bytes"), .number("indexes"), "checksum",
    ])
    for collection in report.collections {
      table.add(
        "\(collection.namespace.description)", "\(collection.metadata.type ?? "")",
        "\(collection.tally.count)", "\(collection.tally.bytes)",
        "\(collection.metadata.indexes.count)", "\(collection.crc == nil ? "none" : "right")")
    }
    page.table(table)
    page.line("\(report.total.count) documents, \(report.total.bytes) bytes: whole")
    for finding in report.findings { page.line("note: \(finding)") }
  }
}

/// What a salvage kept and lost.
struct SalvagePage: CommandOutput {
  let target: String
  let report: Salvager.Report

  var json: JSONValue {
    .object([
      ("target", .string(target)), ("intact", .bool(report.isIntact)),
      ("stopped", .string(optional: report.stopped)),
      (
        "collections",
        .array(
          report.collections.map { collection in
            .object([
              ("namespace", .string(collection.namespace.description)),
              ("kept", .integer(collection.kept)), ("dropped", .integer(collection.dropped)),
              ("intact", .bool(collection.isIntact)),
            ])
          })
      ),
      (
        "skipped",
        .array(
          report.skipped.map {
            .object([("from", .integer($0.lowerBound)), ("to", .integer($0.upperBound))])
          })
      ),
    ])
  }

  func write(to page: inout Page) {
    var table = Table(["namespace", .number("kept"), .number("dropped"), "state"])
    for collection in report.collections {
      let state =
        collection.isIntact
        ? "whole" : collection.isComplete ? "documents lost or altered" : "end is missing"
      table.add(
        "\(collection.namespace.description)", "\(collection.kept)", "\(collection.dropped)",
        "\(state)")
    }
    page.table(table)
    for range in report.skipped {
      page.line("bytes \(range.lowerBound) to \(range.upperBound) made no sense")
    }
    if let stopped = report.stopped { page.line("stopped: \(stopped)") }
    page.line(report.isIntact ? "nothing is lost" : "what is whole is in \(target)")
  }
}
