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

/* What libmongoc itself connects with, TLS included. In no header of it: weak, for a library that hides it. */
extern mongoc_stream_t *
mongoc_client_default_stream_initiator (const mongoc_uri_t *uri,
                                        const mongoc_host_list_t *host,
                                        void *client,
                                        bson_error_t *error) __attribute__ ((weak));

/* Lets `connect` make the client's connections; false where the library does not let it connect as usual. */
static inline bool
martlet_client_set_connect (mongoc_client_t *client, mongoc_stream_initiator_t connect, void *data)
{
   if (!mongoc_client_default_stream_initiator) {
      return false;
   }
   mongoc_client_set_stream_initiator (client, connect, data);
   return true;
}

/* Connects as libmongoc does. */
static inline mongoc_stream_t *
martlet_client_connect (const mongoc_uri_t *uri, const mongoc_host_list_t *host, mongoc_client_t *client,
                        bson_error_t *error)
{
   return mongoc_client_default_stream_initiator (uri, host, client, error);
}

/* True for libmongoc's buffered stream, whose buffer is empty between replies. The type has no public name. */
static inline bool
martlet_stream_is_buffered (const mongoc_stream_t *stream)
{
   return stream->type == 3;
}

#endif
