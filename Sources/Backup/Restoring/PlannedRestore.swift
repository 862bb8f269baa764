internal import Synchronization

/// What a plan has chosen and collected, for the run after it.
final class PlannedRestore: Sendable {
  private struct State: Sendable {
    var asked: String?
    var set: String?
    var source: ReplaySource?
    var chains: [SliceChain]?
  }

  private let state = Mutex(State())

  /// - Parameter id: what was asked for; nil let the time choose.
  func keep(set: String, for id: String?) {
    state.withLock { state in
      state.asked = id
      state.set = set
    }
  }

  /// The id of the set that was chosen. Once: whoever asks again chooses anew.
  func set(for id: String?) -> String? {
    state.withLock { state in
      defer { state.set = nil }
      return state.asked == id ? state.set : nil
    }
  }

  func keep(_ chains: [SliceChain]) { state.withLock { $0.chains = chains } }

  /// Once, like the rest.
  func takeChains() -> [SliceChain]? {
    state.withLock { state in
      defer { state.chains = nil }
      return state.chains
    }
  }

  func keep(_ source: ReplaySource, of set: String) {
    state.withLock { state in
      state.source?.remove()
      state.source = source
      state.source?.set = set
    }
  }

  /// Nil when it is of another backup, or there is none.
  func take(_ set: String) -> ReplaySource? {
    state.withLock { state in
      guard let source = state.source, source.set == set else { return nil }
      state.source = nil
      return source
    }
  }

  deinit { state.withLock { $0.source?.remove() } }
}
