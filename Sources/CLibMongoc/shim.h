#ifndef MARTLET_CLIBMONGOC_SHIM_H
#define MARTLET_CLIBMONGOC_SHIM_H

#include <mongoc/mongoc.h>

/* bson_t is 128-byte aligned in Debian's build, which Swift cannot hold as a value. It lives here, on
 * the heap, and Swift sees its address only. */

/* Room for a bson_t that libmongoc fills as an out parameter; empty until then. */
static inline bson_t *
martlet_bson_room (void)
{
   bson_t *room = (bson_t *) bson_aligned_alloc0 (BSON_ALIGNOF (bson_t), sizeof (bson_t));
   bson_init (room);
   return room;
}

/* A bson_t that borrows bytes; NULL when they are not as long as they say. */
static inline bson_t *
martlet_bson_borrowing (const void *bytes, size_t length)
{
   bson_t *room = (bson_t *) bson_aligned_alloc0 (BSON_ALIGNOF (bson_t), sizeof (bson_t));
   if (!bson_init_static (room, (const uint8_t *) bytes, length)) {
      bson_free (room);
      return NULL;
   }
   return room;
}

/* Ends what either function above made. */
static inline void
martlet_bson_free (bson_t *room)
{
   bson_destroy (room);
   bson_free (room);
}

#endif
