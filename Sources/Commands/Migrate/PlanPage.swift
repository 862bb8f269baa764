import BSON
import Migration
import Validation

/// A plan, as `plan`, `--dry-run` and the question before a run show it.
struct PlanPage: CommandOutput {
  let plan: Plan
  let findings: [Finding]
  let checks: [CheckResult]

  /// - Parameter findings: of all migrations; those outside the plan are left out.
  init(plan: Plan, findings: [Finding] = [], checks: [CheckResult] = []) {
    let names = Set(plan.migrations.map(\.name))
    self.plan = plan
    self.checks = checks
    self.findings = plan.direction == .up ? findings.filter { names.contains($0.migration) } : []
  }

  // MARK: - For programs

  var json: JSONValue {
    [
      "direction": .string(plan.direction.rawValue),
      "database": .string(plan.database),
      "server": .string("\(plan.release)"),
      "batch": plan.direction == .up ? .integer(plan.batch) : .null,
      "destroys": .bool(plan.destroys),
      "migrations": .array(plan.migrations.map(json)),
      "conflicts": .array(plan.conflicts.map(\.json)),
      "findings": .array(findings.map(FindingPage.json)),
      "checks": .array(checks.map(json)),
      "unreachableMembers": .strings(plan.unreachableMembers),
    ]
  }

  private func json(_ check: CheckResult) -> JSONValue {
    [
      "id": .string(check.id), "subject": .string(check.subject),
      "status": .string(check.status.rawValue), "message": .string(check.message),
      "certainty": .string(check.certainty.word), "findings": .integer(check.findings),
      "command": .string(optional: check.command), "fix": .string(optional: check.fix),
    ]
  }

  private func json(_ planned: PlannedMigration) -> JSONValue {
    [
      "name": .string(planned.name),
      "description": .string(
        optional: planned.migration?.description ?? planned.entry?.description),
      "file": .string(optional: planned.migration?.source.path),
      "checksum": .string(optional: planned.migration?.checksum ?? planned.entry?.checksum),
      "resumed": .bool(planned.isResumed),
      "method": plan.direction == .down ? .string(planned.down.rawValue) : .null,
      "steps": .array(planned.steps.map { json($0, in: planned) }),
    ]
  }

  private func json(_ step: PlannedStep, in planned: PlannedMigration) -> JSONValue {
    let position = planned.steps.firstIndex { $0.index == step.index } ?? 0
    let group = planned.groups.firstIndex { $0.steps.contains(position) }
    let effect: (String, String?) =
      switch step.effect {
      case .change: ("change", nil)
      case .none(let reason): ("none", reason)
      case .alreadyDone: ("done", nil)
      }
    return [
      "step": .integer(Int64(step.index + 1)), "command": .string(step.name),
      "collection": .string(optional: step.target), "effect": .string(effect.0),
      "reason": .string(optional: effect.1), "impact": .strings(step.impact),
      "inverse": step.inverse.isEmpty ? .null : .string(step.inverse),
      "destroys": .bool(step.destroys), "documents": .integer(optional: step.documents),
      "transaction": group.flatMap {
        planned.groups[$0].isTransaction ? .integer(Int64($0 + 1)) : nil
      } ?? .null,
      "hash": .string(step.hash), "document": JSONValue(step.command),
    ]
  }

  // MARK: - For people

  func write(to page: inout Page) {
    page.heading(title)
    for planned in plan.migrations {
      page.line()
      page.line(StyledText(planned.name, .name) + StyledText(suffix(planned), .dim))
      if let text = planned.migration?.description ?? planned.entry?.description {
        page.line("  \(text)")
      }
      for (position, step) in planned.steps.enumerated() {
        write(step, at: position, planned, to: &page)
      }
      if planned.steps.isEmpty { page.line("  \(Self.withoutSteps(planned), .dim)") }
      for finding in findings where finding.migration == planned.name {
        FindingPage.line(finding, to: &page, indent: "  ")
      }
    }
    write(checks, to: &page)
    if !plan.unreachableMembers.isEmpty {
      page.line()
      page.line(
        StyledText(
          "members that do not answer: \(plan.unreachableMembers.joined(separator: ", "))", .warning
        ))
    }
    page.errors(
      "conflicts: nothing can be done before they are settled", plan.conflicts)
  }

  /// What did not pass, as `validate before` says it.
  private func write(_ checks: [CheckResult], to page: inout Page) {
    guard !checks.isEmpty else { return }
    page.line()
    let passed = checks.count { $0.status == .passed }
    page.line("checks  \("\(passed) of \(checks.count) passed", .dim)")
    for check in checks where check.status != .passed && check.applies {
      let style: Style =
        switch check.status {
        case .failed, .error: .bad
        case .warning: .warning
        case .skipped, .passed: .dim
        }
      page.line(
        "  \(check.status.rawValue, style) \(check.id, .bold) \(check.subject): \(check.message)")
      if let fix = check.fix { page.line("       \("fix: \(fix)", .dim)") }
    }
  }

  var title: String {
    let count = plan.migrations.count
    let noun = count == 1 ? "migration" : "migrations"
    guard count > 0 else {
      return plan.direction == .up
        ? "nothing is pending on \(plan.database)" : "nothing to take back on \(plan.database)"
    }
    return plan.direction == .up
      ? "\(count) \(noun) to apply to \(plan.database), MongoDB \(plan.release), batch \(plan.batch)"
      : "\(count) \(noun) to take back from \(plan.database), MongoDB \(plan.release)"
  }

  private func suffix(_ planned: PlannedMigration) -> String {
    if planned.isResumed { return "  goes on where an earlier attempt stopped" }
    guard plan.direction == .down else { return "" }
    switch planned.down {
    case .journal: return "  from what was recorded"
    case .steps: return "  by the steps under `down:`"
    case .code: return "  by its Swift code"
    case .unmark: return "  only marked"
    }
  }

  private static func withoutSteps(_ planned: PlannedMigration) -> String {
    switch planned.down {
    case .unmark: "was only marked as applied: the mark is taken away"
    default: planned.migration?.source.format == .code ? "written in Swift" : "nothing to take back"
    }
  }

  private func write(
    _ step: PlannedStep, at position: Int, _ planned: PlannedMigration, to page: inout Page
  ) {
    let group = planned.groups.first { $0.steps.contains(position) }
    if let group, group.isTransaction, group.steps.count > 1, group.steps.lowerBound == position {
      page.line(
        StyledText(
          "  steps \(group.steps.lowerBound + 1) to \(group.steps.upperBound)"
            + " share one transaction with the ledger entry", .dim))
    }
    let number = String(step.index + 1).padded(to: 3, right: true)
    let undo = plan.direction == .down && planned.down == .journal ? "undo " : ""
    page.line("\(number). \(undo + step.name, .bold) \(step.target ?? "")")
    switch step.effect {
    case .none(let reason): page.line("       \("nothing to do: \(reason)", .dim)")
    case .alreadyDone: page.line("       \("done by the attempt before", .dim)")
    case .change: break
    }
    for sentence in step.impact {
      page.line("       \(sentence, step.destroys ? .warning : .plain)")
    }
    if !step.inverse.isEmpty, plan.direction == .up {
      page.line("       \("undo: \(step.inverse)", .dim)")
    }
  }
}
