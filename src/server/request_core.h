/* What the core keeps in a request for itself: nobody outside request*.c, phase*.c, write*.c, throttle.c looks at it. */
#ifndef SERVER_REQUEST_CORE_H
#define SERVER_REQUEST_CORE_H

#include "server/fresh_wait.h"
#include "server/state_store.h"

struct throttle_client;

struct request_core {
    struct list link;                        /* in the server's list of requests in flight */
    struct key_lock lock;                    /* on the object a write is about */
    bool collecting, collected, body_failed; /* the body: being asked for, there, not usable */
    bool running;                            /* inside a phase function */
    size_t admission_step;                   /* next step of mutate or admit */
    unsigned name_attempts;                  /* generateName: suffixes tried */
    bool generate_name;
    bool alone;               /* the next attempt waits until no change of the object is on its way */
    bool revision_given;      /* create with a resourceVersion: refused when it comes to storing */
    bool slot, slot_mutating; /* a place among the requests in flight */
    struct throttle_client *slot_client;
    struct list slot_link; /* waiting for one */
    bool no_change;        /* update or patch that changes nothing: no write */
    bool delete_now;       /* the write removes the object for good */
    bool response_started;
    struct fresh_wait wait;
    struct loop_timer look; /* for a revision that has not come yet */
    int64_t look_since_ms;
    struct loop_timer deadline;              /* of a write whose outcome the store does not tell */
    struct http_exchange *answered_exchange; /* holds what the request was made of */
    bool answered_late;                      /* it was answered with 504; its end only cleans up */
    struct str reserved_key;                 /* admission/service_reserve.h: the write is guarded by it */
    uint64_t reserved_revision;
    uint64_t judged_at;  /* revision of the state the attempt began with */
    bool fresh;          /* a barrier was passed since the request began */
    bool afresh;         /* begun again for newer knowledge, not for a lost race */
    int answered_status; /* for audit and metrics */
};

#endif
