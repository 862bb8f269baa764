#ifndef MARTLET_CMALLOC_SHIM_H
#define MARTLET_CMALLOC_SHIM_H

#include <malloc.h>

/* One heap for all threads: glibc's eight for each core keep what each has freed. Blocks of 4 MB and more
 * have pages of their own, for good: glibc would take them from the heap once one of that size has been
 * freed, and the heap shrinks from its end only. Returns 0 on failure. */
static inline int
martlet_use_one_arena (void)
{
#ifdef M_ARENA_MAX
   return mallopt (M_ARENA_MAX, 1) && mallopt (M_MMAP_THRESHOLD, 4 << 20) &&
          mallopt (M_TRIM_THRESHOLD, 8 << 20);
#else
   return 1;
#endif
}

#endif
