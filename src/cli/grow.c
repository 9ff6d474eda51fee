/*
 * `klein grow`: a local cluster of one server on SQLite becomes one of several on etcd.
 *
 * The server is ended, its data folder becomes that of the first of the new servers with the note that its state moves to etcd (as `klein
 * server migrate` leaves it), and `klein up` starts everything: the first server moves the state, the others join it. Each step is one
 * atomic rename or write, and doing it again after an interruption goes on where it ended. `--servers 1` is the way back (shrink.h).
 */
#include "base/file.h"
#include "base/time.h"
#include "cli/cluster_data.h"
#include "cli/commands.h"
#include "cli/run.h"
#include "cli/shrink.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the cluster's name" },
    { "servers", "N", "3", "how many servers it shall have, spread over the zones; 1: one on SQLite again" },
    { 0 },
};

/* The folder of the one server becomes the first one's. */
static int hand_over(const struct cluster_record *c, struct error *err)
{
    AUTO_FREE char *old = cluster_data_path(c, "server");
    AUTO_FREE char *fresh = cluster_server_path(c, &c->servers[0], "");
    AUTO_FREE char *parent = cluster_data_path(c, "servers");
    AUTO_FREE char *note = cluster_data_path(c, "server/server.json");
    AUTO_FREE char *store = cluster_data_path(c, "server/store/klein.db");

    fresh[strlen(fresh) - 1] = '\0'; /* the slash */
    if (!file_exists(old) && file_exists(fresh))
        return 0;
    if (!file_exists(store))
        return fail(err, ERR_NOT_FOUND, "there is no state on SQLite in '%s'", old);
    /* What server/servers_record.h reads: the store in force, and what moves there first. */
    if (file_write(note, STR("{\"store\":\"etcd\",\"seed\":\"store\"}\n"), 0600, err) < 0 ||
        file_mkdirs(parent, 0700, err) < 0)
        return -1;
    return rename(old, fresh) < 0 ? fail_sys(err, errno, "rename '%s' to '%s'", old, fresh) : 0;
}

static int grow(struct cluster_record *c, int servers, struct error *err)
{
    if (kill_and_wait(c->edge.pid, c->edge.start_time, 10 * SECOND_MS, err) < 0)
        return -1;
    cluster_plan_servers(c, servers);
    c->etcd = true;
    return hand_over(c, err) < 0 ? -1 : cluster_save(c, err);
}

static int run(const struct args *a, struct error *err)
{
    const char *name = arg(a, "name");
    struct cluster_record c;
    int64_t servers;
    bool found;

    if (args_no_words(a, err) < 0 || cluster_name_check(name, err) < 0 ||
        arg_number(a, "servers", 1, CLUSTER_SERVERS_MAX, &servers, err) < 0)
        return EXIT_USAGE;
    if (geteuid() != 0)
        return fail(err, ERR_FORBIDDEN, "`klein grow` makes namespaces and must run as root");
    AUTO_FD int lock = cluster_lock(name, err);
    if (lock < 0 || cluster_load(name, &c, &found, err) < 0)
        return -1;
    if (!found)
        return fail(err, ERR_NOT_FOUND, "there is no cluster '%s' on this machine", name);
    if (servers == 1 ? !c.servers_count : c.servers_count || c.etcd)
        return fail(err, ERR_CONFLICT,
                    servers == 1 ? "cluster '%s' has one server already" : "cluster '%s' has its state on etcd already",
                    name);
    if (c.disk_mib)
        return fail(err, ERR_CONFLICT, "cluster '%s' has disks of its own (--disk-size), which stay where they are",
                    name);
    printf(servers == 1 ? "cluster '%s': its servers end, one server on SQLite takes over their state\n"
                        : "cluster '%s': its server ends now, several servers on etcd take over its state\n",
           name);
    fflush(stdout);
    if ((servers == 1 ? cluster_shrink(&c, err) : grow(&c, (int)servers, err)) < 0)
        return -1;
    cleanup_fd(&lock);
    lock = -1;
    return cluster_go_on_with_up(name, err);
}

const struct subcommand command_grow = {
    .name = "grow",
    .summary = "Make several servers on etcd out of a local cluster's one on SQLite, or the other way round.",
    .usage = "[--name NAME] [--servers N]",
    .options = options,
    .run = run,
};
