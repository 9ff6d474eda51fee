/*
 * The HAProxy process: started once, reloaded for structure, commanded through its runtime socket, found again after our
 * own restart. Callbacks come on the loop, never from inside a call.
 */
#ifndef GATEWAY_HAPROXY_H
#define GATEWAY_HAPROXY_H

#include "base/buf.h"
#include "loop/loop.h"

struct haproxy;

/* folder holds haproxy.cfg, haproxy.pid, runtime.sock. */
struct haproxy *haproxy_new(struct loop *loop, const char *folder);
void haproxy_free(struct haproxy *h); /* the process goes on */
void haproxy_kill(struct haproxy *h); /* the process ends */
bool haproxy_is_running(const struct haproxy *h);

typedef void haproxy_done_fn(void *arg, const struct error *err);
/* Look at haproxy.cfg.new with `haproxy -c`, put it in place, start or reload. err: it was refused, the old one goes on. */
void haproxy_reload(struct haproxy *h, haproxy_done_fn *done, void *arg);
/* Send commands (each ends with '\n' and has at most 12 KiB), 2 s at most for 12 KiB; `answer` is what came back, valid during the call. */
typedef void haproxy_answer_fn(void *arg, struct str answer, const struct error *err);
void haproxy_command(struct haproxy *h, struct str commands, haproxy_answer_fn *answered, void *arg);
/* The process ended by itself, a moment ago: haproxy_reload() starts it again, with what is true by now. */
void haproxy_on_ended(struct haproxy *h, loop_fn *fn, void *arg);

#endif
