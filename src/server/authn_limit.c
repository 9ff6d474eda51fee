/*
 * How often one address may present wrong bootstrap tokens, and join: a bucket per address, so that guessing costs time and
 * one guesser does not lock others out. A fixed number of buckets, chosen by a keyed hash: memory is bounded whatever comes.
 */
#include "server/authn.h"
#include "server/server_internal.h"

#include <stdlib.h>

#define BUCKETS          1024
#define ATTEMPTS_BURST   30
#define ATTEMPT_EVERY_MS 200

struct authn_limit {
    int64_t full_at_ms[BUCKETS]; /* when the bucket is full again; the past: it is */
};

int authn_limit_init(struct server *s, UNUSED struct error *err)
{
    server_part_set(s, SERVER_PART_authn_limit, xnew(struct authn_limit));
    return 0;
}

void authn_limit_done(struct server *s)
{
    free(server_part(s, SERVER_PART_authn_limit));
    server_part_set(s, SERVER_PART_authn_limit, NULL);
}

/* The caller's bucket; NULL when there is no address to count. */
static int64_t *bucket_of(struct request *r)
{
    struct authn_limit *limit = server_part(r->server, SERVER_PART_authn_limit);
    char ip[ADDRESS_TEXT_SIZE];
    if (!r->exchange || !r->exchange->peer->address.length)
        return NULL;
    return &limit->full_at_ms[str_hash(str_of(address_format_ip(&r->exchange->peer->address, ip))) % BUCKETS];
}

bool authn_attempts_left(struct request *r)
{
    const int64_t *full_at_ms = bucket_of(r);
    int64_t now_ms = env_monotonic_ms(server_env(r->server));
    return !full_at_ms || MAX(*full_at_ms, now_ms) + ATTEMPT_EVERY_MS <= now_ms + ATTEMPTS_BURST * ATTEMPT_EVERY_MS;
}

bool authn_attempt(struct request *r)
{
    int64_t *full_at_ms = bucket_of(r);
    if (!authn_attempts_left(r))
        return false;
    if (full_at_ms)
        *full_at_ms = MAX(*full_at_ms, env_monotonic_ms(server_env(r->server))) + ATTEMPT_EVERY_MS;
    return true;
}
