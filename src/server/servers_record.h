/*
 * DATA/server.json: what this server is, kept over restarts: the kind of its store, its name, and as a member of an etcd cluster
 * its address, the other members, and how far its joining came. Blocking.
 */
#ifndef SERVER_SERVERS_RECORD_H
#define SERVER_SERVERS_RECORD_H

#include "base/error.h"

#define SERVERS_MAX 16

struct server_record {
    char *store; /* "sqlite", "etcd" */
    char *name, *zone, *address;
    char *cluster_token;          /* etcd's --initial-cluster-token */
    char *initial_cluster;        /* etcd's, as it was when this member was added */
    char *endpoints[SERVERS_MAX]; /* of all members' clients, as last known */
    size_t endpoints_count;
    char *seed;  /* "store": the state in DATA/store goes into the new etcd before anything else; "" when it is there */
    bool member; /* etcd has run here: without its data this is a lost disk */
    bool learning; /* added as a learner and not promoted yet */
    bool removed;  /* taken out of the cluster: this folder is of no use any more */
};

/* *ret_found false when there is none. */
int server_record_load(const char *data_folder, struct server_record *ret, bool *ret_found, struct error *err);
int server_record_save(const char *data_folder, const struct server_record *r, struct error *err);
void server_record_done(struct server_record *r);
void server_record_set(char **field, struct str text);
void server_record_set_endpoints(struct server_record *r, const struct str *endpoints, size_t count);

#endif
