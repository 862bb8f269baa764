#ifndef MARTLET_CISAL_SHIM_H
#define MARTLET_CISAL_SHIM_H

#include <isa-l/igzip_lib.h>
#include <stdlib.h>

/* The stream's state holds arrays that Swift cannot import. It lives here, and Swift sees its address
 * only. */
struct martlet_isal {
   struct isal_zstream stream;
   uint8_t buffer[ISAL_DEF_LVL2_DEFAULT];
};

/* A compressor of igzip's level 2, or NULL; ended by free. */
static inline struct martlet_isal *
martlet_isal_new (void)
{
   return (struct martlet_isal *) malloc (sizeof (struct martlet_isal));
}

/* Deflates all of the input, without any header. Returns the bytes written, 0 when they do not fit. */
static inline size_t
martlet_isal_deflate (struct martlet_isal *state, const void *input, size_t count, void *output, size_t room)
{
   struct isal_zstream *stream = &state->stream;
   isal_deflate_stateless_init (stream);
   stream->next_in = (uint8_t *) input;
   stream->avail_in = (uint32_t) count;
   stream->next_out = (uint8_t *) output;
   stream->avail_out = (uint32_t) room;
   stream->level = 2;
   stream->level_buf = state->buffer;
   stream->level_buf_size = sizeof state->buffer;
   stream->end_of_stream = 1;
   stream->flush = NO_FLUSH;
   stream->gzip_flag = IGZIP_DEFLATE;
   return isal_deflate_stateless (stream) == COMP_OK ? stream->total_out : 0;
}

#endif
