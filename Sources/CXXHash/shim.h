#ifndef MARTLET_CXXHASH_SHIM_H
#define MARTLET_CXXHASH_SHIM_H

#include <xxhash.h>

#endif
