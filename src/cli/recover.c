/*
 * `klein recover`: a local cluster whose majority of servers is lost for good goes on with what the disk of one holds.
 *
 * That one becomes a cluster of one (`klein server recover`), the data of the others is set aside, and `klein up` starts it and makes the
 * others anew, which join. Doing it again after an interruption goes on: each step looks at what is there.
 */
#include "base/file.h"
#include "cli/cluster_data.h"
#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the cluster's name" },
    { "server", "NAME", NULL, "whose data is kept; default: of those with data one that runs, else the first" },
    { "force", NULL, NULL, "also while a majority of the servers runs" },
    { 0 },
};

static int choose(const struct cluster_record *c, const char *asked, const struct machine **ret, struct error *err)
{
    *ret = NULL;
    for (int i = 0; i < c->servers_count; i++) {
        const struct machine *m = &c->servers[i];
        bool better = !*ret || (!machine_is_alive(*ret) && machine_is_alive(m));
        if (cluster_server_has_etcd(c, m) && (asked ? !strcmp(asked, m->name) : better))
            *ret = m;
    }
    if (*ret)
        return 0;
    return asked ? fail(err, ERR_NOT_FOUND, "cluster '%s' has no server '%s' with data", c->name, asked)
                 : fail(err, ERR_NOT_FOUND,
                        "no server of cluster '%s' has data left: `klein restore --name %s --from PLACE` brings it "
                        "back from a backup",
                        c->name, c->name);
}

static int check_lost(const struct cluster_record *c, bool force, struct error *err)
{
    int alive = 0;

    for (int i = 0; i < c->servers_count; i++)
        alive += machine_is_alive(&c->servers[i]) && cluster_server_has_etcd(c, &c->servers[i]);
    if (force || 2 * alive <= c->servers_count)
        return 0;
    return fail(
        err, ERR_CONFLICT,
        "%d of %d servers of cluster '%s' run, which is a majority: `klein up --name %s` makes the others again "
        "and loses nothing. --force does it nevertheless; writes that the kept server does not have are lost",
        alive, c->servers_count, c->name, c->name);
}

static int recover(struct cluster_record *c, const struct args *a, struct error *err)
{
    const struct machine *kept;

    if (!c->servers_count)
        return fail(err, ERR_CONFLICT, "cluster '%s' has one server: `klein up --name %s` starts it again", c->name,
                    c->name);
    if (check_lost(c, arg_given(a, "force"), err) < 0 || choose(c, arg(a, "server"), &kept, err) < 0)
        return -1;
    AUTO_FREE char *folder = cluster_server_folder(c, kept);
    printf("cluster '%s' goes on with what the disk of '%s' holds; the other servers are made anew and join it\n",
           c->name, kept->name);
    fflush(stdout);
    if (cluster_end_servers(c, err) < 0 || cluster_server_command("recover", folder, NULL, kept->address, err) < 0)
        return -1;
    return cluster_set_others_aside(c, kept, "lost", err);
}

static int run(const struct args *a, struct error *err)
{
    const char *name = arg(a, "name");
    struct cluster_record c;
    bool found;

    if (args_no_words(a, err) < 0 || cluster_name_check(name, err) < 0)
        return EXIT_USAGE;
    if (geteuid() != 0)
        return fail(err, ERR_FORBIDDEN, "`klein recover` makes namespaces and must run as root");
    AUTO_FD int lock = cluster_lock(name, err);
    if (lock < 0 || cluster_load(name, &c, &found, err) < 0)
        return -1;
    if (!found)
        return fail(err, ERR_NOT_FOUND, "there is no cluster '%s' on this machine", name);
    if (recover(&c, a, err) < 0)
        return -1;
    cleanup_fd(&lock);
    lock = -1;
    return cluster_go_on_with_up(name, err);
}

const struct subcommand command_recover = {
    .name = "recover",
    .summary = "Go on with one server of a local cluster when a majority is lost for good.",
    .usage = "[--name NAME] [--server NAME]",
    .options = options,
    .run = run,
};
