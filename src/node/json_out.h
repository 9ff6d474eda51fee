/*
 * A streaming JSON writer over struct buf: typed calls, commas and quotes by the writer, so that no generated file (OCI
 * configuration, records) is ever glued together from text. Misnesting is a mistake of ours and asserts.
 */
#ifndef NODE_JSON_OUT_H
#define NODE_JSON_OUT_H

#include "object/value.h"

#define JSON_OUT_DEPTH_MAX 32

struct json_out {
    struct buf *to;
    bool comma[JSON_OUT_DEPTH_MAX];
    unsigned depth;
};

/* Each takes the member's name, or NULL inside an array (and for the outermost value). */
void json_object(struct json_out *j, const char *name);
void json_object_end(struct json_out *j);
void json_array(struct json_out *j, const char *name);
void json_array_end(struct json_out *j);
void json_str(struct json_out *j, const char *name, struct str s);
void json_text(struct json_out *j, const char *name, const char *s);
void json_int(struct json_out *j, const char *name, int64_t i);
void json_bool(struct json_out *j, const char *name, bool b);
void json_raw(struct json_out *j, const char *name, struct str json);           /* text that is JSON already */
void json_strs(struct json_out *j, const char *name, const char *const *items); /* ends in NULL */

#endif
