#ifndef MARTLET_CLIBMONGOC_SHIM_H
#define MARTLET_CLIBMONGOC_SHIM_H

#include <mongoc/mongoc.h>

#endif
