/* Running a server until it is told to stop. */
#include "server/run.h"

#include "loop/watch.h"

#define LOG_PART "server"
#include "base/log.h"

#include <signal.h>
#include <unistd.h>

struct run {
    struct loop *loop;
    struct server *server;
    const struct server_hooks *hooks;
    struct signal_watch *signals[2];
    struct error *err;
    bool failed, stopping, hooks_ran;
};

static void on_stopped(void *arg, const struct error *err)
{
    struct run *r = arg;
    if (err) {
        /* Requests hang, so nothing can be freed in order. Every write that was answered is on the disk. */
        log_error("the server did not stop cleanly", KV_ERR(err));
        _exit(1);
    }
    log_info("server stopped");
    loop_stop(r->loop);
}

static void stop(struct run *r)
{
    if (r->stopping)
        return;
    r->stopping = true;
    if (r->hooks_ran && r->hooks->stopping)
        r->hooks->stopping(r->server, r->hooks->arg);
    server_stop(r->server, on_stopped, r);
}

static void on_signal(int signal, void *arg)
{
    struct run *r = arg;
    log_info("stopping", KV("signal", "%d", signal));
    stop(r);
}

static void on_ready(void *arg, const struct error *err)
{
    struct run *r = arg;
    AUTO_ERROR struct error failed = { 0 };
    if (!err && r->hooks && r->hooks->started) {
        r->hooks_ran = true;
        if (r->hooks->started(r->server, r->hooks->arg, &failed) < 0)
            err = &failed;
    }
    if (!err)
        return;
    r->failed = true;
    fail(r->err, err->code, "%s", error_text(err));
    stop(r);
}

int server_run(const struct server_config *config, const struct server_hooks *hooks, struct error *err)
{
    struct run r = { .hooks = hooks, .err = err };
    struct server_config own = *config;
    own.loop = r.loop = loop_new_system(env_system());
    r.server = server_new(&own);
    r.signals[0] = signal_watch_new(r.loop, SIGTERM, on_signal, &r);
    r.signals[1] = signal_watch_new(r.loop, SIGINT, on_signal, &r);
    server_start(r.server, on_ready, &r);
    loop_run(r.loop);
    for (size_t i = 0; i < ARRAY_SIZE(r.signals); i++)
        signal_watch_free(r.signals[i]);
    loop_free(r.loop);
    return r.failed ? -1 : 0;
}
