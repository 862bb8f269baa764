#ifndef MARTLET_CMALLOC_SHIM_H
#define MARTLET_CMALLOC_SHIM_H

#include <malloc.h>

/* One heap for all threads. glibc's eight for each core keep what each has freed; returns 0 on failure. */
static inline int
martlet_use_one_arena (void)
{
#ifdef M_ARENA_MAX
   return mallopt (M_ARENA_MAX, 1);
#else
   return 1;
#endif
}

#endif
