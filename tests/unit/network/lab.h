/*
 * A laboratory of network namespaces: a router with zones, nodes, pods with servers and clients in them, and a fake API that
 * says what the test wants. The test program leaves its own namespace first; everything ends with the process.
 */
#ifndef TESTS_NETWORK_LAB_H
#define TESTS_NETWORK_LAB_H

#include "network/link.h"
#include "network/network.h"

#include "test.h"

/* --- namespaces --- */
int lab_netns(void); /* a new one; a descriptor */
void lab_enter(int netns);
void lab_run(int netns, void (*fn)(void *arg), void *arg); /* on a thread inside, joined */
const char *lab_path(int netns);                           /* "/proc/self/fd/N" */

/* The router's zone `zone`: bridge brZ with 10.9.Z.1/24. Made by the first node of the zone. */
int lab_router(void);

struct lab_node {
    int netns;
    char name[32], address[46], folder[256];
    struct loop *loop;
    struct api *api;
    struct network *network;
};
/* A machine 10.9.ZONE.NUMBER with the agent's network on it; pod CIDR 10.244.CIDR.0/24, none for cidr < 0 (gateway only). */
struct lab_node *lab_node(int zone, int number, int cidr);
struct lab_node *lab_node_stopped(int zone, int number); /* the machine without the agent */
void lab_node_start(struct lab_node *n, int cidr);
void lab_node_start_away(struct lab_node *n); /* no server tells the pod CIDR */
void lab_node_stop(struct lab_node *n);       /* the agent, not the machine */
void lab_node_free(struct lab_node *n);
void lab_turn(struct lab_node *n, int64_t ms); /* run the agent's loop so long */
#define LAB_UNTIL(n, condition, deadline_ms)                                                                           \
    do {                                                                                                               \
        int64_t lab_end_ = test_now_ms() + (deadline_ms);                                                              \
        while (!(condition)) {                                                                                         \
            if (test_now_ms() > lab_end_)                                                                              \
                FAIL("not within %d ms: %s", (int)(deadline_ms), #condition);                                          \
            lab_turn((n), 2);                                                                                          \
        }                                                                                                              \
    } while (0)

/* A pod on the node: returns its namespace; its address in ret_ip. */
int lab_pod(struct lab_node *n, const char *uid, char ret_ip[46]);

/* --- the API --- */
struct api *lab_api(void);
void lab_api_free(struct api *api);
/* Sentences of JSON; revision grows by itself. The kind is read from the object. */
void lab_say(struct api *api, const char *json);
void lab_take_back(struct api *api, const char *json);
void lab_synced(struct api *api); /* all kinds */
void lab_bookmark(struct api *api, const char *kind);
uint64_t lab_revision(void);
void lab_say_node(struct api *api, const struct lab_node *n, int cidr);
/* Service and its slice with one port 80 -> 8080: endpoints are "IP", "IP@node" or "IP@node@zone". Nodes are in zone "near". extra: more members of spec, e.g. "\"x\":1," */
void lab_say_service(struct api *api, const char *name, const char *cluster_ip, const char *protocol,
                     const char *extra);
void lab_say_endpoints(struct api *api, const char *service, const char *protocol, const char *const *endpoints);

/* --- traffic --- */
enum { LAB_TCP, LAB_UDP };
/* Answers every connection or datagram with `name` and the peer's address: "name 10.0.0.1". */
void lab_serve(int netns, int protocol, uint16_t port, const char *name);
/* The answer, or "refused", "timeout", "unreachable". bind_ip may be NULL. Lives until the next call of the same thread. */
const char *lab_ask(int netns, int protocol, const char *ip, uint16_t port, const char *bind_ip);
const char *lab_ask_from(int netns, int protocol, const char *ip, uint16_t port, uint16_t from_port);
void lab_add_address(int netns, const char *ip); /* to its eth0 */
/* Runs the node's loop while the question is on its way. "NOERROR 10.0.0.1", "NXDOMAIN", "no answer". */
const char *lab_dns(struct lab_node *n, int netns, int protocol, const char *server, uint16_t type, const char *name);
void lab_upstream_dns(void); /* 10.9.1.1:5353: every name is 192.0.2.7 */

#endif
