extension HTMLReport {
  /// Two bars for each figure, before above after, in one scale for each figure.
  func metrics(_ out: inout HTMLText) {
    guard !report.metrics.isEmpty else { return }
    out.raw("<section id=\"metrics\">\n")
    out.element("h2", "Before and after")
    out.raw(
      "<p class=\"soft key\">Bars: <i class=\"kb\"></i>before <i class=\"ka\"></i>after</p>\n")
    for group in Metric.Group.allCases {
      let metrics = report.metrics.filter { $0.group == group }
      guard !metrics.isEmpty else { continue }
      // What changed is what one looks for.
      let ordered =
        (0...3).flatMap { rank in metrics.filter { Self.rank($0) == rank } }
      out.raw("<div class=\"card\">")
      out.element("h3", group.title)
      for metric in ordered.prefix(Self.openFigures) { figure(metric, &out) }
      let more = ordered.dropFirst(Self.openFigures)
      if !more.isEmpty {
        out.raw("<details><summary>\(Words.counted(Int64(more.count), "more figures"))</summary>\n")
        for metric in more.prefix(Self.mostFigures) { figure(metric, &out) }
        out.raw("</details>\n")
      }
      out.raw("</div>\n")
    }
    out.raw("</section>\n")
  }

  /// What changed first, then what is new or gone, what is as it was, and what is new and empty.
  private static func rank(_ metric: Metric) -> Int {
    guard metric.before == nil || metric.after == nil else {
      return metric.before == metric.after ? 2 : 0
    }
    return max(metric.before ?? 0, metric.after ?? 0) > 0 ? 1 : 3
  }

  private static let openFigures = 12
  private static let mostFigures = 500

  private func figure(_ metric: Metric, _ out: inout HTMLText) {
    let before = metric.before.map(metric.text) ?? "–"
    let after = metric.after.map(metric.text) ?? "–"
    out.raw("<div class=\"figure\"><div class=\"name\">")
    out.element("span", metric.name)
    let change =
      metric.before == nil
      ? "new" : metric.after == nil ? "gone" : metric.change.isEmpty ? "unchanged" : metric.change
    out.element("span", "\(before) → \(after)  (\(change))", "numbers")
    out.raw("</div>")
    let most = max(metric.before ?? 0, metric.after ?? 0)
    guard most > 0 else { return out.raw("</div>\n") }
    out.raw("<svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\">")
    bar(metric.before, of: most, y: 1, "b", &out)
    bar(metric.after, of: most, y: 6.5, "a", &out)
    out.raw("</svg></div>\n")
  }

  private func bar(
    _ value: Double?, of most: Double, y: Double, _ style: String, _ out: inout HTMLText
  ) {
    guard let value, most > 0, value > 0 else { return }
    let width = max(0.5, value / most * 100)
    out.raw(
      "<rect class=\"\(style)\" x=\"0\" y=\"\(y)\" width=\"\(Words.decimal(width, 2))\" height=\"4.5\"/>"
    )
  }

  /// The stages on one scale of time.
  func timeline(_ out: inout HTMLText) {
    guard let first = report.timeline.map(\.startedAt).min() else { return }
    let end = report.timeline.map { $0.startedAt + $0.duration }.max() ?? first
    let span = max(1, Double(end - first))
    out.raw("<section id=\"timeline\">\n")
    out.element("h2", "Timeline")
    out.raw("<div class=\"card\">")
    for entry in report.timeline {
      out.raw("<div class=\"figure\"><div class=\"name\"><span>")
      out.element("span", entry.state.rawValue, "tag \(entry.state.rawValue)")
      out.text(" \(entry.name)")
      if let detail = entry.detail { out.element("span", " \(detail)", "soft") }
      out.raw("</span>")
      out.element(
        "span", "\(Words.instant(entry.startedAt)), \(Words.time(Double(entry.duration)))",
        "numbers")
      out.raw("</div>")
      let x = Double(entry.startedAt - first) / span * 100
      let width = max(0.5, Double(entry.duration) / span * 100)
      out.raw("<svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\">")
      out.raw("<rect class=\"r\" x=\"0\" y=\"5\" width=\"100\" height=\"1\"/>")
      out.raw("<rect class=\"t \(entry.state.rawValue)\" x=\"\(Words.decimal(min(x, 99.5), 2))\" ")
      out.raw("y=\"3\" width=\"\(Words.decimal(width, 2))\" height=\"5\"/></svg></div>\n")
    }
    out.raw("</div>\n</section>\n")
  }

  func plan(_ out: inout HTMLText) {
    guard !report.plan.isEmpty else { return }
    out.raw("<section id=\"plan\">\n")
    out.element("h2", "Plan")
    out.raw("<div class=\"card scroll\"><table><thead><tr><th>migration</th><th>step</th>")
    out.raw("<th>effect</th><th>detail</th></tr></thead><tbody>\n")
    for entry in report.plan {
      out.raw("<tr>")
      for text in [entry.migration, entry.step, entry.state ?? "", entry.detail ?? ""] {
        out.element("td", text)
      }
      out.raw("</tr>\n")
    }
    out.raw("</tbody></table></div>\n</section>\n")
  }

  /// What nobody has to read: folded.
  func rest(_ out: inout HTMLText) {
    out.raw("<section id=\"rest\">\n")
    out.element("h2", "Everything else")
    let skipped = report.checks.filter { $0.status == .skipped }
    if !skipped.isEmpty {
      let isOpen = skipped.contains(where: \.applies) && skipped.count <= 50
      out.raw("<details id=\"skipped\"\(isOpen ? " open" : "")><summary>")
      out.text("\(Words.counted(Int64(skipped.count), "checks")) not made, and why")
      out.raw("</summary>\n")
      table(skipped.prefix(options.maximumLines), &out)
      out.raw("</details>\n")
    }
    let passed = report.checks.filter { $0.status == .passed }
    if !passed.isEmpty {
      out.raw("<details id=\"passed\"><summary>")
      out.text("\(Words.counted(Int64(passed.count), "checks")) passed")
      out.raw("</summary>\n")
      passedTable(passed, &out)
      out.raw("</details>\n")
    }
    if !report.environment.isEmpty {
      out.raw("<details id=\"environment\"><summary>Environment</summary>\n<dl>\n")
      for fact in report.environment { out.pair(fact.name, fact.value) }
      out.raw("</dl>\n</details>\n")
    }
    out.element(
      "p",
      options.showsValues
        ? "This report shows values of documents."
        : "Values of documents are replaced by their type and size; _ids are shown.", "soft")
    out.raw("</section>\n")
  }

  private func passedTable(_ checks: [CheckResult], _ out: inout HTMLText) {
    opening(&out)
    out.raw("<th>found</th><th class=\"small\">looked at</th>")
    out.raw("<th class=\"small\">certainty</th></tr></thead><tbody>\n")
    for check in checks.prefix(options.maximumLines) {
      row(check, &out)
      for text in [
        check.message, check.lookedAt?.description ?? "", check.certainty.description,
      ] {
        out.element("td", text)
      }
      out.raw("</tr>\n")
    }
    out.raw("</tbody></table></div>\n")
  }
}
