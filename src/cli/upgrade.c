/*
 * `klein upgrade`: move a local cluster to another program, one machine after the other: servers (the leader last), the gateway, then the nodes
 * zone by zone. A machine that does not come back healthy halts it, and every machine that was moved is moved back.
 *
 * Nothing is remembered beside the machines' links, so an upgrade that was interrupted goes on when it is called again, or back when it
 * is called with the program of before.
 */
#include "base/time.h"
#include "cli/commands.h"
#include "cli/program.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "cli/run.h"
#include "cli/upgrade.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS       50
#define STOP_LIMIT_MS (15 * SECOND_MS) /* after SIGTERM; then SIGKILL */
#define STABLE_MS     1500             /* healthy without a break before the next machine's turn */
#define CALL_LIMIT_MS 2000

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the cluster's name" },
    { "program", "FILE", NULL, "the program to move to; default: this one" },
    { "machine", "NAME", NULL, "only this machine (edge, server-a, node-a1, ...)", .repeated = true },
    { "timeout", "SECONDS", "30", "how long a machine may take to be healthy again" },
    { 0 },
};

/* --- what runs where ------------------------------------------------------------------------------------------------ */

static bool runs_copy(pid_t pid, const char *copy)
{
    AUTO_FREE char *exe = xasprintf("/proc/%d/exe", (int)pid);
    struct stat runs, wanted;

    return pid > 0 && stat(exe, &runs) == 0 && stat(copy, &wanted) == 0 && runs.st_dev == wanted.st_dev &&
           runs.st_ino == wanted.st_ino;
}

/* The process of this role ends; the machine's init starts it again, from the machine's link. */
static int restart(const struct upgrade_unit *u, const char *role, const char *copy, int64_t until_ms,
                   struct error *err)
{
    pid_t old = process_child_with(u->machine->pid, role), now;
    uint64_t start_time = process_start_time(old);
    int64_t kill_ms = time_monotonic_ms() + STOP_LIMIT_MS;

    if (runs_copy(old, copy))
        return 0;
    if (old > 0)
        kill(old, SIGTERM);
    for (;;) {
        now = process_child_with(u->machine->pid, role);
        if (now > 0 && now != old && runs_copy(now, copy))
            return 0;
        if (time_monotonic_ms() > kill_ms && kill_and_wait(old, start_time, 5000, err) < 0)
            return -1;
        if (!machine_is_alive(u->machine))
            return fail(err, ERR_UNAVAILABLE, "machine '%s' is gone", u->machine->name);
        if (time_monotonic_ms() > until_ms)
            return fail(err, ERR_TIMEOUT, "the %s of '%s' did not start again", role, u->machine->name);
        poll(NULL, 0, POLL_MS);
    }
}

/* --- health --------------------------------------------------------------------------------------------------------- */

/* Of the array `list` below `items`: the item of this name. */
static struct view item_named(const struct object *list, const char *name)
{
    struct view_iter it = { 0 };

    while (view_next(view_get_str(object_root(list), STR("items")), &it))
        if (str_is(view_str(view_get_str(it.value, STR("name"))), name))
            return it.value;
    return VIEW_ABSENT;
}

static int server_is_healthy(struct remote *r, const struct upgrade_unit *u, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    AUTO_OBJECT struct object *servers = NULL;

    if (!u->server)
        return remote_fetch(r, "/readyz", CALL_LIMIT_MS, &text, err);
    if (remote_call(r, "GET", "/klein/v1/servers", STR_NONE, CALL_LIMIT_MS, &servers, err) < 0)
        return -1;
    struct view item = item_named(servers, u->server);
    if (!view_bool(view_get_str(item, STR("ready")), false))
        return fail(err, ERR_UNAVAILABLE, "server '%s' is not ready", u->server);
    return 0;
}

static int agent_is_healthy(struct remote *r, const struct upgrade_unit *u, struct error *err)
{
    AUTO_OBJECT struct object *nodes = NULL;

    if (remote_call(r, "GET", "/klein/v1/nodes", STR_NONE, CALL_LIMIT_MS, &nodes, err) < 0)
        return -1;
    struct view item = item_named(nodes, u->node);
    if (!view_bool(view_get_str(item, STR("connected")), false) || view_bool(view_get_str(item, STR("silent")), true))
        return fail(err, ERR_UNAVAILABLE, "node '%s' is not connected", u->node);
    return 0;
}

static bool is_true(struct view conditions, const char *type)
{
    struct view_iter it = { 0 };

    while (view_next(conditions, &it))
        if (str_is(view_str(view_get_str(it.value, STR("type"))), type))
            return str_is(view_str(view_get_str(it.value, STR("status"))), "True");
    return false;
}

static struct view conditions_of(struct view object)
{
    return view_get_str(view_get_str(object, STR("status")), STR("conditions"));
}

static int list_pods(struct remote *r, const struct upgrade_unit *u, struct object **ret, struct error *err)
{
    AUTO_FREE char *target = xasprintf("/api/v1/pods?fieldSelector=spec.nodeName%%3D%s", u->node);

    return remote_call(r, "GET", target, STR_NONE, CALL_LIMIT_MS, ret, err);
}

static struct str uid_of(struct view pod)
{
    return view_str(view_get_str(view_get_str(pod, STR("metadata")), STR("uid")));
}

/* Pods that were Ready before and are there still must be Ready again. */
static int pods_are_healthy(struct remote *r, const struct upgrade_unit *u, const struct object *before,
                            struct error *err)
{
    AUTO_OBJECT struct object *now = NULL;
    struct view_iter it = { 0 };

    if (!u->pods || !before)
        return 0;
    if (list_pods(r, u, &now, err) < 0)
        return -1;
    while (view_next(view_get_str(object_root(now), STR("items")), &it)) {
        struct view_iter old = { 0 };
        struct view metadata = view_get_str(it.value, STR("metadata"));
        if (is_true(conditions_of(it.value), "Ready") || view_present(view_get_str(metadata, STR("deletionTimestamp"))))
            continue;
        while (view_next(view_get_str(object_root(before), STR("items")), &old))
            if (str_eq(uid_of(old.value), uid_of(it.value)) && is_true(conditions_of(old.value), "Ready"))
                return fail(err, ERR_UNAVAILABLE, "pod '%.*s' on '%s' was Ready before and is not",
                            STR_ARG(view_str(view_get_str(metadata, STR("name")))), u->node);
    }
    return 0;
}

static int node_is_ready(struct remote *r, const struct upgrade_unit *u, struct error *err)
{
    AUTO_OBJECT struct object *node = NULL;
    AUTO_FREE char *target = xasprintf("/api/v1/nodes/%s", u->node);

    if (!u->pods)
        return 0;
    if (remote_call(r, "GET", target, STR_NONE, CALL_LIMIT_MS, &node, err) < 0)
        return -1;
    return is_true(conditions_of(object_root(node)), "Ready")
               ? 0
               : fail(err, ERR_UNAVAILABLE, "node '%s' is not Ready", u->node);
}

static int is_healthy(struct remote *r, const struct upgrade_unit *u, const struct object *before, struct error *err)
{
    if (u->has_server && server_is_healthy(r, u, err) < 0)
        return -1;
    if (u->node && (agent_is_healthy(r, u, err) < 0 || node_is_ready(r, u, err) < 0))
        return -1;
    return pods_are_healthy(r, u, before, err);
}

static int wait_healthy(struct remote *r, const struct upgrade_unit *u, const struct object *before, int64_t stable_ms,
                        int64_t until_ms, struct error *err)
{
    AUTO_ERROR struct error last = { 0 };
    int64_t since_ms = 0;
    pid_t server = 0, agent = 0;

    for (;;) {
        int64_t now_ms = time_monotonic_ms();
        pid_t server_now = process_child_with(u->machine->pid, "server");
        pid_t agent_now = process_child_with(u->machine->pid, "agent");
        bool same =
            (!u->has_server || (server_now && server_now == server)) && (!u->node || (agent_now && agent_now == agent));
        error_done(&last);
        last = (struct error){ 0 };
        if (is_healthy(r, u, before, &last) < 0 || !same)
            since_ms = 0;
        else if (!since_ms)
            since_ms = now_ms;
        if (since_ms && now_ms - since_ms >= stable_ms)
            return 0;
        if (now_ms > until_ms)
            return fail(err, ERR_TIMEOUT, "'%s' did not stay healthy: %s", u->machine->name,
                        last.message ? last.message : "its processes end and start again");
        server = server_now;
        agent = agent_now;
        poll(NULL, 0, POLL_MS);
    }
}

/* --- moving --------------------------------------------------------------------------------------------------------- */

struct upgrade {
    struct cluster_record *cluster;
    struct remote *remote;
    int64_t limit_ms;
};

static int move_unit(struct upgrade *up, const struct upgrade_unit *u, const char *copy, struct error *err)
{
    AUTO_OBJECT struct object *before = NULL;
    int64_t until_ms = time_monotonic_ms() + up->limit_ms;

    if (u->pods)
        list_pods(up->remote, u, &before, NULL);
    if (program_set(up->cluster, u->machine->name, copy, err) < 0)
        return -1;
    if (u->has_server && restart(u, "server", copy, until_ms, err) < 0)
        return -1;
    if (u->node && restart(u, "agent", copy, until_ms, err) < 0)
        return -1;
    return wait_healthy(up->remote, u, before, STABLE_MS, until_ms, err);
}

/* Back, the last one first. What fails is told, and the others are still moved. */
static void move_back(struct upgrade *up, struct upgrade_unit *units, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        AUTO_ERROR struct error err = { 0 };
        if (!units[i].moved)
            continue;
        progress("moving %s back", units[i].machine->name);
        if (move_unit(up, &units[i], units[i].before, &err) < 0)
            fprintf(stderr, "klein upgrade: %s could not be moved back: %s\n", units[i].machine->name,
                    error_text(&err));
    }
}

static bool is_moved(const struct upgrade_unit *u, const char *copy)
{
    return u->before && str_is(str_of(u->before), copy) &&
           (!u->has_server || runs_copy(process_child_with(u->machine->pid, "server"), copy)) &&
           (!u->node || runs_copy(process_child_with(u->machine->pid, "agent"), copy));
}

static int move_all(struct upgrade *up, struct upgrade_unit *units, size_t count, const char *copy, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct upgrade_unit *u = &units[i];
        if (is_moved(u, copy)) {
            progress("%s runs it already", u->machine->name);
            continue;
        }
        progress("moving %s (%zu of %zu)", u->machine->name, i + 1, count);
        u->moved = u->before != NULL;
        if (move_unit(up, u, copy, err) == 0)
            continue;
        progress("halted: %s", error_text(err));
        move_back(up, units, i + 1);
        return error_context(err, "the cluster was moved back to the program of before");
    }
    return 0;
}

/* --- the command ---------------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct args *a, const char *machine)
{
    for (int i = 0; i < arg_count(a, "machine"); i++)
        if (str_is(str_of(arg_nth(a, "machine", i)), machine))
            return true;
    return !arg_count(a, "machine");
}

static int choose_units(const struct args *a, struct upgrade *up, struct upgrade_unit *units, size_t *ret_count,
                        struct error *err)
{
    size_t all = upgrade_order(up->cluster, up->remote, units), count = 0;

    for (size_t i = 0; i < all; i++) {
        if (!is_wanted(a, units[i].machine->name))
            continue;
        if (!machine_is_alive(units[i].machine))
            return fail(err, ERR_UNAVAILABLE, "machine '%s' is gone: `klein up --name %s` makes it again, then upgrade",
                        units[i].machine->name, up->cluster->name);
        units[count] = units[i];
        units[count].before = program_of(up->cluster, units[i].machine->name);
        count++;
    }
    *ret_count = count;
    return count ? 0 : fail(err, ERR_NOT_FOUND, "cluster '%s' has no machine of that name", up->cluster->name);
}

static int upgrade(const struct args *a, struct cluster_record *c, struct remote *r, int64_t limit_ms,
                   struct error *err)
{
    static struct upgrade_unit units[UPGRADE_UNITS_MAX];
    struct upgrade up = { c, r, limit_ms };
    AUTO_FREE char *copy = NULL;
    size_t count = 0;
    int result = choose_units(a, &up, units, &count, err);

    if (result == 0)
        result = program_store(c, arg(a, "program") ? arg(a, "program") : "/proc/self/exe", &copy, err);
    for (size_t i = 0; i < count && result == 0; i++)
        if ((result = wait_healthy(r, &units[i], NULL, 0, time_monotonic_ms() + limit_ms, err)) < 0)
            error_context(err, "nothing was changed: the cluster is not healthy before the upgrade");
    if (result == 0)
        result = move_all(&up, units, count, copy, err);
    if (result == 0)
        progress("%zu machines run %s", count, strrchr(copy, '/') + 1);
    for (size_t i = 0; i < count; i++)
        free(units[i].before);
    return result;
}

static int run(const struct args *a, struct error *err)
{
    const char *name = arg(a, "name");
    struct cluster_record c;
    struct remote remote = { 0 };
    int64_t timeout_s;
    bool found;

    progress_begin();
    if (args_no_words(a, err) < 0 || cluster_name_check(name, err) < 0 ||
        arg_number(a, "timeout", 1, 3600, &timeout_s, err) < 0)
        return EXIT_USAGE;
    if (geteuid() != 0)
        return fail(err, ERR_FORBIDDEN, "`klein upgrade` restarts processes of the cluster and must run as root");
    if (cluster_load(name, &c, &found, err) < 0)
        return -1;
    if (!found) /* told before the lock is taken: its file would stay */
        return fail(err, ERR_NOT_FOUND, "there is no cluster '%s' on this machine", name);
    AUTO_FD int lock = cluster_lock(name, err);
    if (lock < 0 || cluster_load(name, &c, &found, err) < 0)
        return -1;
    if (remote_open_cluster(&remote, &c, err) < 0)
        return -1;
    int result = upgrade(a, &c, &remote, timeout_s * SECOND_MS, err);
    remote_close(&remote);
    return result;
}

const struct subcommand command_upgrade = {
    .name = "upgrade",
    .summary = "Move a local cluster to another klein, machine by machine, and back when one does not become healthy.",
    .usage = "[--name NAME] [--program FILE] [--machine NAME ...]",
    .options = options,
    .run = run,
};
