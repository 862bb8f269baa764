/// A folder that takes a report in all its forms.
public struct ReportFolder: Sendable {
  public let path: String

  public init(_ path: String) { self.path = path }

  /// Makes the folder and proves that it can be written, before a long run finds out at its end.
  /// - Throws: ``ValidationError`` `unwritable`.
  public func prepare() throws(ValidationError) {
    try WholeFile.makeFolder(path)
    let probe = "\(path)/.martlet-probe"
    try WholeFile.write("", to: probe)
    WholeFile.remove(probe)
  }

  /// Writes `martlet-KIND.html`, `.json` and `.xml`, replacing older ones. Returns their paths. Blocks.
  /// - Throws: ``ValidationError`` `unwritable`.
  public func write(
    _ report: Report, _ options: ReportOptions = .init()
  ) throws(ValidationError) -> [String] {
    try WholeFile.makeFolder(path)
    let base = "\(path)/martlet-\(report.kind.rawValue)"
    let files = [
      ("\(base).html", HTMLReport(report, options).text),
      ("\(base).json", JSONReport(report, options).text),
      ("\(base).xml", JUnitReport(report, options).text),
    ]
    for (file, text) in files { try WholeFile.write(text, to: file) }
    return files.map(\.0)
  }
}
