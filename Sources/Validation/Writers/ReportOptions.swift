/// How much of a report a writer shows.
public struct ReportOptions: Sendable, Hashable {
  /// Shows documents' values instead of their type and size. `_id`s are always shown.
  public var showsValues: Bool
  /// Most rows of evidence for each check.
  public var maximumRows: Int
  /// Most findings with all their details in the HTML file; the others get a line each.
  public var maximumDetails: Int
  /// Most findings with a line in the HTML file; the JSON file has them all.
  public var maximumLines: Int

  public init(
    showsValues: Bool = false, maximumRows: Int = 20, maximumDetails: Int = 100,
    maximumLines: Int = 10_000
  ) {
    self.showsValues = showsValues
    self.maximumRows = maximumRows
    self.maximumDetails = maximumDetails
    self.maximumLines = maximumLines
  }
}
