import BSON
import Foundation

/// Who runs this process, for the ledger and the lock.
enum CallerIdentity {
  static func document(tool: String) -> Document {
    let process = ProcessInfo.processInfo
    return [
      "host": .string(process.hostName), "user": .string(NSUserName()),
      "pid": .int32(process.processIdentifier), "tool": .string(tool),
    ]
  }
}
