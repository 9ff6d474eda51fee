/*
 * A real etcd of one or three members for tests and benchmarks: on loopback ports of its own, with data below a folder
 * that the caller removes, or one of its own. Everything here blocks. Members end with the process that started them, however that ends.
 */
#ifndef TESTS_LIB_ETCD_CLUSTER_H
#define TESTS_LIB_ETCD_CLUSTER_H

#include "loop/loop.h"

#include <sys/types.h>

#define ETCD_MEMBERS_MAX 5

struct etcd_test_member {
    pid_t pid; /* 0: not running */
    int client_port, peer_port;
    char url[64], peer_url[64], name[16];
    struct str endpoint;
};

struct etcd_cluster {
    struct etcd_test_member members[ETCD_MEMBERS_MAX];
    int count;
    char folder[200];
    bool own_folder;
    int64_t quota_bytes; /* of the database; 0: etcd's own 2 GB */
    /* all three or none: TLS with client certificates for clients; files in PEM */
    const char *certificate_file, *key_file, *client_ca_file;
    struct str endpoints[ETCD_MEMBERS_MAX]; /* for options */
};

/*
 * Starts the members and waits until each answers to /health. Fails by ending the process with a message. folder NULL: one in the
 * temporary folder, which etcd_cluster_stop() removes.
 */
void etcd_cluster_start(struct etcd_cluster *c, int count, const char *folder);
void etcd_cluster_stop(struct etcd_cluster *c);
void etcd_cluster_wait(struct etcd_cluster *c); /* until a leader has accepted a write through every running member */
void etcd_member_start(struct etcd_cluster *c, int i);
void etcd_member_kill(struct etcd_cluster *c, int i); /* SIGKILL, and it is gone */
void etcd_member_signal(struct etcd_cluster *c, int i, int signal);
/* Runs the loop for a moment: closed connections let go of their memory. */
void etcd_cluster_settle(struct loop *loop);
int etcd_cluster_leader(struct etcd_cluster *c); /* -1: none that anybody knows */

#endif
