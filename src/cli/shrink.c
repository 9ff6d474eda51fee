/*
 * A local cluster of several servers on etcd becomes one of one server on SQLite.
 *
 * The others leave, so that every write is on the one that stays; its state moves to SQLite (`klein server migrate`), and its folder
 * becomes that of the server on the edge. Doing it again after an interruption goes on where it ended.
 */
#include "cli/shrink.h"

#include "base/file.h"
#include "base/time.h"
#include "cli/cluster_data.h"
#include "cli/remote.h"
#include "cli/run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define LEAVE_MS (30 * SECOND_MS)

/* What a server noted of itself (server/servers_record.h): its store, and how many other members its etcd has. */
static int read_note(const struct machine *m, const char *folder, bool *ret_etcd, int *ret_others, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/server.json", folder);
    AUTO_FREE char *own = xasprintf("//%s:", m->address);
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct view_iter it = { 0 };

    if (file_read(path, &text, err) < 0)
        return -1;
    AUTO_OBJECT struct object *note = object_parse(buf_str(&text), err);
    if (!note)
        return error_context(err, "read '%s'", path);
    *ret_etcd = str_is(view_str(view_get_str(object_root(note), STR("store"))), "etcd");
    *ret_others = 0;
    while (view_next(view_get_str(object_root(note), STR("endpoints")), &it))
        *ret_others += !str_contains(view_str(it.value), str_of(own));
    return 0;
}

static int wait_alone(const struct machine *kept, const char *folder, struct error *err)
{
    int64_t until_ms = time_monotonic_ms() + LEAVE_MS;
    int others = 0;
    bool etcd;

    while (time_monotonic_ms() < until_ms) {
        if (read_note(kept, folder, &etcd, &others, err) < 0)
            return -1;
        if (!others)
            return 0;
        poll(NULL, 0, 20);
    }
    return fail(err, ERR_TIMEOUT, "'%s' knows of %d other servers still, %lld s after they left", kept->name, others,
                (long long)(LEAVE_MS / SECOND_MS));
}

/* Those that hold a second address first answer themselves; so the one that stays is asked. */
static int let_leave(struct remote *r, const char *name, struct error *err)
{
    AUTO_FREE char *target = xasprintf("/klein/v1/servers/%s", name);
    AUTO_ERROR struct error problem = { 0 };
    int64_t until_ms = time_monotonic_ms() + LEAVE_MS;

    for (;;) {
        error_done(&problem);
        if (remote_call(r, "DELETE", target, STR_NONE, LEAVE_MS, NULL, &problem) == 0 || problem.code == ERR_NOT_FOUND)
            return 0;
        if (time_monotonic_ms() > until_ms)
            break;
        poll(NULL, 0, 100); /* a leader of etcd is being chosen, or the members are not in step yet */
    }
    error_move(err, &problem);
    return error_context(err, "let server '%s' leave", name);
}

static int let_others_leave(const struct cluster_record *c, const struct machine *kept, const char *folder,
                            struct error *err)
{
    AUTO_FREE char *url = xasprintf("https://%s:%d", kept->address, CLUSTER_API_PORT);
    AUTO_FREE char *pki = xasprintf("%s/pki", folder);
    struct remote remote = { 0 };
    int result = remote_open(&remote, url, pki, err);

    for (int i = 0; i < c->servers_count && result == 0; i++)
        if (&c->servers[i] != kept)
            result = let_leave(&remote, c->servers[i].name, err);
    remote_close(&remote);
    return result < 0 ? -1 : wait_alone(kept, folder, err);
}

/* The one that stays: the first that runs; after an interruption the one that is left. */
static const struct machine *choose(const struct cluster_record *c)
{
    const struct machine *left = NULL;

    for (int i = 0; i < c->servers_count; i++) {
        const struct machine *m = &c->servers[i];
        AUTO_FREE char *note = cluster_server_path(c, m, "server.json");
        if (machine_is_alive(m) && cluster_server_has_etcd(c, m))
            return m;
        if (!left && file_exists(note))
            left = m;
    }
    return left;
}

static int move_state(const struct cluster_record *c, const struct machine *kept, struct error *err)
{
    AUTO_FREE char *folder = cluster_server_folder(c, kept);
    int others;
    bool etcd;

    if (read_note(kept, folder, &etcd, &others, err) < 0)
        return -1;
    if (etcd && machine_is_alive(kept) && let_others_leave(c, kept, folder, err) < 0)
        return -1;
    if (cluster_end_servers(c, err) < 0)
        return -1;
    return cluster_server_command("migrate", folder, "sqlite", kept->address, err);
}

static int hand_over(const struct cluster_record *c, const struct machine *kept, struct error *err)
{
    AUTO_FREE char *to = cluster_server_folder(c, NULL);
    AUTO_FREE char *from = cluster_server_folder(c, kept);

    if (cluster_set_others_aside(c, kept, "left", err) < 0 || cluster_set_aside(to, "old", NULL, err) < 0)
        return -1;
    return rename(from, to) < 0 ? fail_sys(err, errno, "rename '%s' to '%s'", from, to) : 0;
}

int cluster_shrink(struct cluster_record *c, struct error *err)
{
    const struct machine *kept = choose(c);
    AUTO_FREE char *done = cluster_data_path(c, "server/store/klein.db");

    if (!kept && !file_exists(done))
        return fail(err, ERR_NOT_FOUND, "no server of cluster '%s' has data", c->name);
    if (kept && (move_state(c, kept, err) < 0 || hand_over(c, kept, err) < 0))
        return -1;
    if (cluster_end_servers(c, err) < 0 || kill_and_wait(c->edge.pid, c->edge.start_time, 10 * SECOND_MS, err) < 0)
        return -1;
    c->servers_count = 0;
    c->etcd = false;
    return cluster_save(c, err);
}
