/*
 * The joining server's side of POST /klein/v1/servers/join: asks a running server for the cluster's keys and a place among the members,
 * and writes them into the data folder. The other side is servers_join.c.
 *
 * The server asked is trusted only when its chain holds the authority that the token names; the keys travel only then. What cannot be
 * reached, or says "not now", is asked again until servers_joining_free(); a refusal ends it. It may be repeated at any time: whatever
 * was interrupted goes on where it was.
 */
#ifndef SERVER_SERVERS_JOINING_H
#define SERVER_SERVERS_JOINING_H

#include "loop/loop.h"
#include "server/servers_record.h"

struct servers_joining_options { /* borrowed until the end */
    struct loop *loop;
    const char *url, *token;           /* TOKENID.TOKENSECRET.CAHASH */
    const char *data_folder;           /* DATA/pki gets the keys */
    const char *peer_url, *client_url; /* of the local member; NULL with an etcd of one's own */
    const char *service_cidr, *pod_cidr, *service_account_issuer; /* must be the cluster's */
    struct server_record *record; /* name and zone are sent; the answer is put in and saved */
};
struct servers_joining;
typedef void servers_joined_fn(void *arg, const struct error *err);
/* NULL: the token or the URL is malformed. done comes once, in a later round; then free. */
struct servers_joining *servers_joining_start(const struct servers_joining_options *o, servers_joined_fn *done,
                                              void *arg, struct error *err);
void servers_joining_free(struct servers_joining *j); /* done will not come any more; NULL is fine */

#endif
