import ArgumentParser

/// Runs `martlet` with these arguments, without the program's name. Blocks until it is done.
/// - Returns: the process's exit code.
public func runMartlet(_ arguments: [String]) -> Int32 {
  // Before anything else starts: scripts ask for the version all the time.
  if arguments == ["--version"] {
    print(Version.text)
    return CommandStatus.done.rawValue
  }
  do {
    var command = try MartletCommand.parseAsRoot(ToolArguments.normalized(arguments))
    try command.run()
    return CommandStatus.done.rawValue
  } catch let code as ExitCode {
    return code.rawValue
  } catch {
    return explain(error, json: arguments.contains("--json"))
  }
}

/// Help and version go to standard output, what the command line got wrong to standard error.
private func explain(_ error: any Error, json: Bool) -> Int32 {
  let code = MartletCommand.exitCode(for: error).rawValue
  let full = MartletCommand.fullMessage(for: error)
  let write = Console.writeToDescriptors
  guard code != CommandStatus.done.rawValue else {
    let isHelp = full.hasPrefix("OVERVIEW: ") || full.hasPrefix("USAGE: ")
    _ = write(.out, full + (isHelp ? "\n\n" + CommandStatus.help : "") + "\n")
    return code
  }
  if json {
    let report = ErrorReport(
      CommandError(
        .usage, MartletCommand.message(for: error).shownLines, hint: "see martlet help"))
    _ = write(.out, report.json.text() + "\n")
  }
  let text = full.hasPrefix("Error: ") ? "error: " + full.dropFirst(7) : full
  _ = write(.error, text.shownLines + "\n")
  return code
}
