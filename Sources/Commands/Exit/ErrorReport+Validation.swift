import Validation

extension ErrorReport {
  /// One line for each error: a rules file with five mistakes shows all five.
  init(validation error: ValidationError) {
    let lines = ([error] + error.others).map { error in
      let place = [error.file, error.line.map(String.init), error.column.map(String.init)]
        .compactMap(\.self).joined(separator: ":")
      return place.isEmpty ? error.message : "\(place): \(error.message)"
    }
    let status: CommandStatus =
      switch error.code {
      case .invalidRules, .unreadableRules, .differentSnapshot, .newerSnapshot: .usage
      case .unreadableSnapshot, .unwritable: .failed
      }
    self.init(
      code: error.code.rawValue, message: lines.joined(separator: "\n"), hint: error.hint,
      status: status)
    if let file = error.file { details.append(Detail(name: "file", value: .string(file))) }
    if let line = error.line {
      details.append(Detail(name: "line", value: .integer(Int64(line))))
    }
    if let column = error.column {
      details.append(Detail(name: "column", value: .integer(Int64(column))))
    }
  }
}
