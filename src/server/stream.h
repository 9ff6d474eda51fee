/*
 * Streams to agents: logs, exec, attach, port forwarding, proxying. The client's side is HTTP, SPDY/3.1 or WebSocket; the agent's
 * side is what docs/reference/agent-protocol.md says, over its tunnel.
 *
 * Always true: nothing is upgraded before the agent said yes, so an error never leaves a tunnel open (CVE-2018-1002105); redirects
 * are passed back, never followed (CVE-2020-8559); the addresses dialled are the agent's own records of its pods (CVE-2022-3294);
 * the caller's credentials stop here.
 * Back-pressure goes through: a side that does not read stops the other side's reading.
 */
#ifndef SERVER_STREAM_H
#define SERVER_STREAM_H

#include "server/request.h"
#include "transport/http_client.h"

/* --- where to (stream_target.c) --- */

struct stream_target {
    struct http_client *agent;
    struct str node, namespace_, pod, uid, container;
};
/* The pod's node's agent. Fails: no such pod, not bound to a node, node not connected. */
int stream_find_pod(struct request *r, struct str namespace_, struct str pod, struct stream_target *ret,
                    struct error *err);
/* Also the container: `wanted`, else the only one, else the one of the default-container annotation. */
int stream_find_container(struct request *r, struct str wanted, struct stream_target *ret, struct error *err);
/* "/VERB/NAMESPACE/POD/CONTAINER?uid=UID", percent-encoded; parameters are appended with stream_add_query(). */
void stream_path(struct buf *to, const char *verb, const struct stream_target *t);
void stream_add_query(struct buf *to, const char *name, struct str value);
/* A query parameter of the request; "" when absent. */
struct str stream_query(struct request *r, const char *name);
bool stream_query_bool(struct request *r, const char *name);

/* --- HTTP through (stream_relay.c) --- */

struct stream_relay {
    struct http_client *agent;
    struct str method, target; /* of the call to the agent */
    const struct http_header *headers;
    size_t headers_count;
    struct str content_type; /* of the answer; empty: the agent's */
    bool with_body;          /* the request's body goes through too */
};
/* Takes r's exchange and answers it with what the agent answers. Returns PHASE_ANSWERED. */
enum phase_result stream_relay(struct request *r, const struct stream_relay *how);
/* An answer for an exchange whose request has ended already: a Status. Takes the exchange. */
void stream_respond_error(struct http_exchange *x, const struct error *err);
void stream_respond_agent(struct http_exchange *x, int status, struct str content_type, struct str body);

/* --- frames to and from the agent (stream_frames.c) --- */

enum stream_channel {
    CHANNEL_STDIN,
    CHANNEL_STDOUT,
    CHANNEL_STDERR,
    CHANNEL_RESULT,
    CHANNEL_RESIZE,
    CHANNEL_CLOSE = 255
};
#define FRAME_HEAD_BYTES 5
#define FRAME_MAX_BYTES  65536

/* Append payload as one or more frames. An empty payload makes one empty frame. */
void stream_frames_add(struct buf *to, enum stream_channel channel, struct str payload);
struct stream_frames { /* {0} starts */
    unsigned char head[FRAME_HEAD_BYTES];
    size_t head_bytes, left;
    struct buf result; /* gathers CHANNEL_RESULT */
};
/*
 * Feed bytes from the agent: fn gets payloads in pieces as they come, and the result whole with `last`. -1: protocol error.
 * fn returns false to stop (the session is gone).
 */
typedef bool stream_frame_fn(void *arg, enum stream_channel channel, struct str payload, bool last);
int stream_frames_feed(struct stream_frames *f, struct str bytes, stream_frame_fn *fn, void *arg);
void stream_frames_done(struct stream_frames *f);

/* --- exec and attach (stream_exec.c), and the client's protocols below it (stream_exec_spdy.c, stream_exec_websocket.c) --- */

struct exec_session;
struct exec_options {
    bool stdin_, stdout_, stderr_, tty;
};
/* What a protocol does for a session. */
struct exec_front {
    /* Upgrade the exchange; NULL: it is no upgrade of this protocol after all (the exchange is still the caller's). */
    struct channel *(*upgrade)(struct exec_session *e, struct http_exchange *x);
    void (*started)(struct exec_session *e);                    /* after the upgrade; may be NULL */
    void (*received)(struct exec_session *e, struct str bytes); /* from the client */
    void (*send)(struct exec_session *e, enum stream_channel channel, struct str bytes); /* stdout, stderr */
    void (*result)(struct exec_session *e, struct str status_json);                      /* the last thing sent */
    void (*done)(struct exec_session *e);                                                /* frees `front_data` */
};
extern const struct exec_front exec_front_spdy, exec_front_websocket;

struct exec_session {
    const struct exec_front *front;
    void *front_data;
    struct exec_options options;
    struct env *env;
    struct loop *loop;
    struct http_exchange *exchange; /* until the upgrade */
    struct http_call *call;         /* to the agent */
    struct channel *client, *agent;
    struct stream_frames frames;
    struct buf refusal; /* the agent's answer when it is not 200 */
    int refusal_status;
    bool ready;    /* the client has opened what it needs: output may flow */
    bool finished; /* the result was sent */
    bool agent_full, client_full;
    struct loop_timer deadline;
};
/* Called by fronts. */
void exec_to_agent(struct exec_session *e, enum stream_channel channel, struct str bytes);
void exec_to_client(struct exec_session *e, struct buf *output); /* sends and empties it */
void exec_ready(struct exec_session *e);
void exec_fail(struct exec_session *e); /* the client broke the protocol: end everything */

#endif
