/* The data folders of a local cluster's servers. */
#include "cli/cluster_data.h"

#include "backup/manifest.h"
#include "base/env.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char *cluster_server_folder(const struct cluster_record *c, const struct machine *server)
{
    char *path = cluster_server_path(c, server, "");

    path[strlen(path) - 1] = '\0'; /* the slash */
    return path;
}

bool cluster_server_has_etcd(const struct cluster_record *c, const struct machine *server)
{
    AUTO_FREE char *wal = cluster_server_path(c, server, "etcd/member/wal");

    return file_exists(wal);
}

int cluster_end_servers(const struct cluster_record *c, struct error *err)
{
    for (int i = 0; i < c->servers_count; i++)
        if (kill_and_wait(c->servers[i].pid, c->servers[i].start_time, 10 * SECOND_MS, err) < 0)
            return -1;
    return 0;
}

int cluster_set_aside(const char *path, const char *why, char **ret, struct error *err)
{
    char id[BACKUP_ID_SIZE];

    if (!file_exists(path))
        return 0;
    backup_id(env_wall_ms(env_system()), 0, id);
    AUTO_FREE char *to = xasprintf("%s.%s-%.16s", path, why, id);
    if (rename(path, to) < 0)
        return fail_sys(err, errno, "rename '%s' to '%s'", path, to);
    if (ret)
        *ret = TAKE(to);
    return 0;
}

int cluster_set_others_aside(const struct cluster_record *c, const struct machine *kept, const char *why,
                             struct error *err)
{
    for (int i = 0; i < c->servers_count; i++) {
        AUTO_FREE char *folder = cluster_server_folder(c, &c->servers[i]);
        if (&c->servers[i] != kept && cluster_set_aside(folder, why, NULL, err) < 0)
            return -1;
    }
    return 0;
}

/* A descriptor of a new network namespace; it goes with the descriptor and the processes in it. */
static int new_network(const char *address, struct error *err)
{
    AUTO_FREE char *with_length = xasprintf("%s/32", address);
    const char *const up[] = { "ip", "link", "set", "lo", "up", NULL };
    const char *const add[] = { "ip", "address", "add", with_length, "dev", "lo", NULL };
    AUTO_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    if (own < 0 || unshare(CLONE_NEWNET) < 0)
        return fail_sys(err, errno, "make a network namespace");
    AUTO_FD int fresh = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (setns(own, CLONE_NEWNET) < 0 || fresh < 0)
        return fail_sys(err, errno, "enter a network namespace");
    if (run_command(up, fresh, STR_NONE, NULL, err) < 0 || run_command(add, fresh, STR_NONE, NULL, err) < 0)
        return -1;
    int result = fresh;
    fresh = -1;
    return result;
}

int cluster_server_command(const char *verb, const char *folder, const char *to, const char *address, struct error *err)
{
    const char *const argv[] = { "/proc/self/exe", "server", verb, "--data", folder, to ? "--to" : NULL, to, NULL };
    AUTO_FD int network = -1;

    if (address && (network = new_network(address, err)) < 0)
        return -1;
    return run_command(argv, network, STR_NONE, NULL, err);
}

int cluster_go_on_with_up(const char *name, struct error *err)
{
    const char *const argv[] = { "klein", "up", "--name", name, NULL };

    execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    return fail_sys(err, errno, "start `klein up --name %s`, which does the rest", name);
}
