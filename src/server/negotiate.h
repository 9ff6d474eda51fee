/*
 * Content negotiation: which form a body has, which form the answer takes. Source: apiserver/pkg/endpoints/handlers/negotiation.
 */
#ifndef SERVER_NEGOTIATE_H
#define SERVER_NEGOTIATE_H

#include "server/request.h"

/* One clause of Accept: "application/json;as=Table;v=v1;g=meta.k8s.io". */
struct media_range {
    struct str type;               /* "application/json", "*" "/" "*" */
    struct str as, version, group; /* parameters as, v, g; empty when absent */
    bool watch_stream;             /* stream=watch */
    int quality;                   /* thousandths */
};
#define MEDIA_RANGES_MAX 32
/* Clauses of `accept` by falling quality, equal ones in their order. Clauses that do not parse are left out. */
size_t media_ranges(struct str accept, struct media_range ret[MEDIA_RANGES_MAX]);

/* Sets answer_type, answer_as from the Accept header. ERR_NOT_ACCEPTABLE. */
int negotiate_answer(struct request *r, struct error *err);
/* Sets body_type or patch_type from Content-Type. ERR_UNSUPPORTED_MEDIA_TYPE. */
int negotiate_body(struct request *r, struct error *err);
struct str media_type_text(enum media_type t);
bool negotiate_wants_gzip(const struct request *r);

#endif
