#ifndef MARTLET_CLZMA_SHIM_H
#define MARTLET_CLZMA_SHIM_H

#include <lzma.h>

#endif
