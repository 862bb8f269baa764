import CMalloc

/// How the process keeps its memory.
public enum ProcessMemory {
  /// One heap for all threads, for programs that only dump or load; to be called before threads start.
  ///
  /// The driver takes and frees megabytes for every reply, on every thread, and each heap of glibc's
  /// keeps what was freed on it: a quarter of a dump's memory. Nothing else here allocates often enough
  /// to notice that the heap is shared. - Source: docs/benchmarks.md.
  public static func useOneHeap() { _ = martlet_use_one_arena() }
}
