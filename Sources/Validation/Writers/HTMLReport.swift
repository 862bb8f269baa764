/// The report as one HTML file: no script, no network, light and dark, on paper and on a phone.
public struct HTMLReport: Sendable {
  let report: Report
  let options: ReportOptions

  public init(_ report: Report, _ options: ReportOptions = .init()) {
    self.report = report
    self.options = options
  }

  /// The whole file.
  public var text: String {
    var out = HTMLText()
    out.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
    // Nothing can be loaded or run, even if something slipped through the escaping.
    out.raw(
      "<meta http-equiv=\"Content-Security-Policy\" "
        + "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n")
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
    out.raw("<meta name=\"generator\" content=\"martlet\">\n")
    out.element("title", "\(report.verdict.words): \(title) of \(report.subject)")
    out.raw("<style>\n\(HTMLStyle.sheet)\n</style>\n</head>\n<body>\n<main>\n")
    header(&out)
    findings(&out)
    metrics(&out)
    timeline(&out)
    plan(&out)
    rest(&out)
    out.raw("</main>\n</body>\n</html>\n")
    return out.text
  }

  private var title: String {
    switch report.kind {
    case .before: "Validation before"
    case .after: "Validation after"
    case .compare: "Comparison"
    case .window: "Maintenance window"
    }
  }

  private func header(_ out: inout HTMLText) {
    out.raw("<header>\n")
    out.element("p", title, "soft")
    out.element("h1", report.subject)
    let verdict = report.verdict.rawValue
    out.raw("<div class=\"verdict \(verdict)\" id=\"verdict\" data-verdict=\"\(verdict)\">")
    out.element("strong", report.verdict.words)
    out.element("span", sentence)
    out.raw("</div>\n<ul class=\"counts\" id=\"counts\">\n")
    for status in CheckResult.Status.allCases {
      let count = report.count(status)
      out.raw("<li data-status=\"\(status.rawValue)\" data-count=\"\(count)\"><b>")
      out.raw("\(Words.grouped(Int64(count)))</b>\(Self.word(status))</li>\n")
    }
    out.raw("</ul>\n")
    out.element(
      "p",
      "\(Words.instant(report.startedAt)) to \(Words.instant(report.finishedAt)), "
        + Words.time(Double(report.finishedAt - report.startedAt))
        + (report.isStrict ? ". Strict: warnings and skipped checks fail." : "."), "soft")
    for note in report.notes { out.element("p", note) }
    out.raw("</header>\n")
  }

  private var sentence: String {
    let bad = report.count(.failed) + report.count(.error)
    let warnings = report.count(.warning)
    let skipped = report.checks.count { $0.status == .skipped && $0.applies }
    switch report.verdict {
    case .failed where bad == 0 && !report.timeline.contains { $0.state == .failed }:
      return "Nothing failed, but warnings and skipped checks fail in a strict run."
    case .failed where bad == 0: return "A stage failed; see the timeline."
    case .failed: return "\(Words.counted(Int64(bad), "checks")) failed. Evidence is below."
    case .reservations:
      let parts = [
        warnings > 0 ? Words.counted(Int64(warnings), "warnings") : nil,
        skipped > 0 ? "\(Words.counted(Int64(skipped), "checks")) not made" : nil,
      ]
      let list = parts.compactMap(\.self).joined(separator: ", ")
      return list.isEmpty ? "Nothing was checked." : "Nothing failed: \(list)."
    case .passed: return "Every check was made, and none found anything."
    }
  }

  static func word(_ status: CheckResult.Status) -> String {
    switch status {
    case .failed: "failed"
    case .error: "not carried out"
    case .warning: "warnings"
    case .skipped: "skipped"
    case .passed: "passed"
    }
  }

  // MARK: - findings

  private func findings(_ out: inout HTMLText) {
    let found = report.ranked.filter { ![.passed, .skipped].contains($0.status) }
    guard !found.isEmpty else { return }
    out.raw("<section id=\"findings\">\n")
    out.element("h2", "Findings")
    for check in found.prefix(options.maximumDetails) { article(check, &out) }
    let more = found.dropFirst(options.maximumDetails)
    if !more.isEmpty {
      out.raw("<details><summary>")
      out.text("\(Words.counted(Int64(more.count), "more findings")), one line each")
      out.raw("</summary>\n")
      table(more.prefix(options.maximumLines), &out)
      if more.count > options.maximumLines {
        let left = Int64(more.count - options.maximumLines)
        out.element("p", "\(Words.grouped(left)) more are in the JSON file.", "soft")
      }
      out.raw("</details>\n")
    }
    out.raw("</section>\n")
  }

  private func article(_ check: CheckResult, _ out: inout HTMLText) {
    out.raw("<article class=\"is-\(check.status.rawValue)\" data-check=\"")
    out.text(check.id)
    out.raw("\">\n<header>")
    out.element("span", TerminalReport.word(check.status), "tag \(check.status.rawValue)")
    out.raw("<h3>")
    out.element("code", check.id)
    if !check.subject.isEmpty { out.raw(" <bdi>\(check.subject.escaped)</bdi>") }
    out.raw("</h3>")
    if let stage = check.stage { out.element("span", stage, "soft") }
    out.raw("</header>\n")
    out.element("p", check.message)
    out.raw("<dl>\n")
    if let amount = check.lookedAt { out.pair("Looked at", amount.description) }
    out.pair("Certainty", check.certainty.description)
    if let cause = check.cause { out.pair("Cause", cause) }
    if let fix = check.fix { out.pair("Fix", fix) }
    if let command = check.command {
      out.raw("<dt>Shown by</dt><dd>")
      out.element("pre", command)
      out.raw("</dd>\n")
    }
    out.raw("</dl>\n")
    evidence(check, &out)
    out.raw("</article>\n")
  }

  private func evidence(_ check: CheckResult, _ out: inout HTMLText) {
    guard !check.evidence.isEmpty else { return }
    let rows = check.evidence.rows.prefix(options.maximumRows)
    out.raw("<div class=\"scroll\"><table><thead><tr>")
    for column in check.evidence.columns { out.element("th", column) }
    out.raw("</tr></thead><tbody>\n")
    for row in rows {
      out.raw("<tr>")
      for cell in row { out.element("td", cell.text(values: options.showsValues)) }
      out.raw("</tr>\n")
    }
    out.raw("</tbody></table></div>\n")
    if check.findings > Int64(rows.count) {
      out.element(
        "p", "\(rows.count) of \(Words.grouped(check.findings)) are shown.", "soft")
    }
  }

  func table(_ checks: some Sequence<CheckResult>, _ out: inout HTMLText) {
    opening(&out)
    out.raw("<th>found</th></tr></thead><tbody>\n")
    for check in checks {
      row(check, &out)
      out.element("td", check.message)
      out.raw("</tr>\n")
    }
    out.raw("</tbody></table></div>\n")
  }

  /// Of a table of checks; in a window with the stage that made each.
  func opening(_ out: inout HTMLText) {
    out.raw("<div class=\"scroll rows\"><table class=\"checks\"><thead><tr>")
    out.raw("<th class=\"id\">check</th>")
    if report.kind == .window { out.raw("<th class=\"stage\">stage</th>") }
    out.raw("<th class=\"about\">about</th>")
  }

  func row(_ check: CheckResult, _ out: inout HTMLText) {
    out.raw("<tr><td>")
    out.element("code", check.id)
    out.raw("</td>")
    if report.kind == .window { out.element("td", check.stage ?? "") }
    out.element("td", check.subject)
  }
}

/// Markup under construction. Everything but `raw` is escaped.
struct HTMLText {
  private(set) var text = ""

  mutating func raw(_ markup: String) { text += markup }
  mutating func text(_ content: String) { text += content.escaped }

  mutating func element(_ name: String, _ content: String, _ style: String? = nil) {
    text += "<\(name)"
    if let style { text += " class=\"\(style)\"" }
    text += ">" + content.escaped + "</\(name)>"
    if !["td", "th", "code", "span", "strong"].contains(name) { text += "\n" }
  }

  mutating func pair(_ name: String, _ value: String) {
    element("dt", name)
    element("dd", value)
  }
}
