/* Reads: get, list, watch. Each is called by `perform`. */
#ifndef SERVER_READ_H
#define SERVER_READ_H

#include "server/filter.h"
#include "server/request.h"

enum phase_result read_get(struct request *r);
enum phase_result read_list(struct request *r);
enum phase_result watch_start(struct request *r);
enum phase_result write_deletecollection(struct request *r);

/* Revision a reader named: 0 for "" and "0". ERR_BAD_REQUEST; ERR_TIMEOUT when it is in the future. */
int read_revision(struct request *r, uint64_t *ret, struct error *err);

/* Opaque continue tokens: where the next page starts, at which revision. */
struct continue_token {
    uint64_t revision;           /* 0: the newest (an inconsistent continuation) */
    struct str namespace_, name; /* the last object of the page before */
};
struct str continue_encode(struct arena *a, const struct continue_token *t);
int continue_decode(struct arena *a, struct str text, struct continue_token *ret, struct error *err);

#endif
