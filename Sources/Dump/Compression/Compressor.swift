import CDeflate
import CISAL
import Glibc

/// Makes deflate streams; used by one thread at a time.
///
/// Level 1 is igzip's, which takes 0.4 of the processor time of libdeflate's level 1 for 1.02 times
/// the size; the levels above are libdeflate's. - Source: docs/benchmarks.md.
final class Compressor {
  private enum Engine {
    case fast(UnsafeMutablePointer<martlet_isal>)
    case thorough(OpaquePointer)
  }

  private let engine: Engine

  /// - Parameter level: 1 (fast) to 9, as gzip counts.
  /// - Throws: ``DumpError`` `.file` when there is no memory for one.
  init(level: Int) throws(DumpError) {
    if level <= 1, let state = martlet_isal_new() {
      engine = .fast(state)
    } else if level > 1, let handle = libdeflate_alloc_compressor(Int32(min(level, 12))) {
      engine = .thorough(handle)
    } else {
      throw DumpError(.file, "no memory for a compressor")
    }
  }

  deinit {
    switch engine {
    case .fast(let state): free(state)
    case .thorough(let handle): libdeflate_free_compressor(handle)
    }
  }

  /// The most bytes that ``deflate(_:to:)`` makes of so many.
  func bound(_ count: Int) -> Int {
    switch engine {
    // Stored blocks of at most 65,535 bytes with 5 bytes each are its last resort.
    case .fast: count + (count >> 12) + 512
    case .thorough(let handle): libdeflate_deflate_compress_bound(handle, count)
    }
  }

  /// Writes one whole stream; returns its length, 0 when it does not fit.
  func deflate(_ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer) -> Int {
    switch engine {
    case .fast(let state):
      martlet_isal_deflate(
        state, input.baseAddress, input.count, output.baseAddress, output.count)
    case .thorough(let handle):
      libdeflate_deflate_compress(
        handle, input.baseAddress, input.count, output.baseAddress, output.count)
    }
  }
}
