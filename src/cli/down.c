/* `klein down`: remove a local cluster, whole or half made, and everything it put on this machine. */
#include "base/file.h"
#include "base/time.h"
#include "cli/chaos.h"
#include "cli/commands.h"
#include "cli/links.h"
#include "cli/run.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the cluster's name" },
    { 0 },
};

/* Remove a cgroup and those below it, deepest first; only directories can be removed there. */
static void remove_cgroup(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *entry;

    while (d && (entry = readdir(d)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            AUTO_FREE char *below = xasprintf("%s/%s", path, entry->d_name);
            remove_cgroup(below);
        }
    if (d)
        closedir(d);
    /* The kernel needs a moment after the last process of a killed namespace is gone. */
    int64_t until_ms = time_monotonic_ms() + 2000;
    while (d && rmdir(path) < 0 && time_monotonic_ms() < until_ms)
        usleep(2000);
}

/* Agents keep a cluster's containers below klein/NAME in every hierarchy: /sys/fs/cgroup/[CONTROLLER/]klein/NAME. */
static void remove_cgroups(const char *name)
{
    static const char root[] = "/sys/fs/cgroup";
    DIR *d = opendir(root);
    struct dirent *entry;
    AUTO_FREE char *unified = xasprintf("%s/klein/%s", root, name);

    remove_cgroup(unified);
    while (d && (entry = readdir(d))) {
        if (entry->d_name[0] == '.' || str_is(str_of(entry->d_name), "klein"))
            continue;
        AUTO_FREE char *own = xasprintf("%s/%s/klein/%s", root, entry->d_name, name);
        AUTO_FREE char *parent = xasprintf("%s/%s/klein", root, entry->d_name);
        if (!file_exists(own))
            continue;
        remove_cgroup(own);
        rmdir(parent); /* only when no other cluster uses it */
    }
    if (d)
        closedir(d);
    AUTO_FREE char *parent = xasprintf("%s/klein", root);
    rmdir(parent);
}

/* Is the controller in use by a version 1 hierarchy? /proc/cgroups: NAME HIERARCHY GROUPS ENABLED. */
static bool is_version_1(const char *controller)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct str rest, line, word;

    file_read("/proc/cgroups", &text, NULL);
    for (rest = buf_str(&text); str_next(&rest, '\n', &line);)
        if (str_next(&line, '\t', &word) && str_is(word, controller) && str_next(&line, '\t', &word))
            return !str_is(word, "0");
    return false;
}

/*
 * On a hybrid machine agents mount the hugetlb hierarchy for crun, in their own mount namespaces (node/cgroup.c). From here it is not to be
 * seen, so it is mounted for a moment. With its last group gone the kernel gives the controller back to version 2.
 */
static void remove_hugetlb_cgroups(const char *name)
{
    AUTO_FREE char *folder = xasprintf("/run/klein-hugetlb-%s", name);
    AUTO_FREE char *parent = xasprintf("%s/klein", folder);
    AUTO_FREE char *own = xasprintf("%s/%s", parent, name);

    if (file_exists("/sys/fs/cgroup/hugetlb/cgroup.procs") || !is_version_1("hugetlb") ||
        file_mkdirs(folder, 0700, NULL) < 0)
        return;
    if (mount("klein", folder, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hugetlb") == 0) {
        if (file_exists(own))
            remove_cgroup(own);
        rmdir(parent);
        umount2(folder, MNT_DETACH);
    }
    rmdir(folder);
}

/* "PROGRAM init /run/klein/NAME/..." is one of ours, whatever the record says. */
static bool is_init_of(struct str command, const char *name)
{
    AUTO_FREE char *folder = xasprintf("/run/klein/%s/", name);
    struct str program, word, spec;

    return str_next(&command, '\0', &program) && str_next(&command, '\0', &word) && str_is(word, "init") &&
           str_next(&command, '\0', &spec) && str_starts(spec, str_of(folder));
}

/* Inits that the record does not name: it was lost, or `klein up` was killed before it was written. */
static int kill_unrecorded(const char *name, struct error *err)
{
    DIR *d = opendir("/proc");
    struct dirent *entry;
    int result = 0;

    while (d && result == 0 && (entry = readdir(d))) {
        AUTO_FREE char *path = xasprintf("/proc/%s/cmdline", entry->d_name);
        AUTO_BUF struct buf command = BUF_MAX(128 * KIB);
        int64_t pid;
        if (!str_to_i64(str_of(entry->d_name), &pid) || file_read(path, &command, NULL) < 0)
            continue;
        if (is_init_of(buf_str(&command), name))
            result = kill_and_wait((pid_t)pid, process_start_time((pid_t)pid), 10 * SECOND_MS, err);
    }
    if (d)
        closedir(d);
    return result;
}

/* Disks of servers (`klein up --disk-size`): whatever is mounted below the cluster's data. */
static void remove_mounts(const char *name)
{
    AUTO_FREE char *folder = xasprintf("/var/lib/klein/%s/", name);
    AUTO_BUF struct buf text = BUF_MAX(4 * MIB);
    struct str rest, line, path;

    file_read("/proc/self/mounts", &text, NULL);
    for (rest = buf_str(&text); str_next(&rest, '\n', &line);)
        if (str_next(&line, ' ', &path) && str_next(&line, ' ', &path) && str_starts(path, str_of(folder))) {
            AUTO_FREE char *at = str_dup(path);
            umount2(at, MNT_DETACH);
        }
}

static int run(const struct args *a, struct error *err)
{
    const char *name = arg(a, "name");
    struct cluster_record c;
    bool found;

    if (a->words_count || cluster_name_check(name, err) < 0) {
        if (a->words_count)
            fail(err, ERR_BAD_REQUEST, "unexpected argument '%s'", a->words[0]);
        return EXIT_USAGE;
    }
    if (geteuid() != 0)
        return fail(err, ERR_FORBIDDEN, "`klein down` removes namespaces and must run as root");
    AUTO_FD int lock = cluster_lock(name, err);
    if (lock < 0 || cluster_load(name, &c, &found, err) < 0)
        return -1;
    if (found) {
        cluster_undo_orphans(&c, NULL); /* stopped processes, helpers; what cannot be undone is removed with the rest */
        for (int i = 0; i < c.nodes_count; i++)
            if (kill_and_wait(c.nodes[i].pid, c.nodes[i].start_time, 10 * SECOND_MS, err) < 0)
                return -1;
        for (int i = 0; i < c.servers_count; i++) /* and with their namespaces etcd */
            if (kill_and_wait(c.servers[i].pid, c.servers[i].start_time, 10 * SECOND_MS, err) < 0)
                return -1;
        if (kill_and_wait(c.edge.pid, c.edge.start_time, 10 * SECOND_MS, err) < 0)
            return -1;
        links_remove_host(&c);
    }
    if (kill_unrecorded(name, err) < 0)
        return -1;
    remove_cgroups(name);
    remove_hugetlb_cgroups(name);
    remove_mounts(name);
    cluster_forget(&c);
    printf(found ? "Cluster '%s' is removed.\n" : "There is no cluster '%s'; leftovers of that name are removed.\n",
           name);
    return 0;
}

const struct subcommand command_down = {
    .name = "down",
    .summary = "Remove a local cluster and everything it put on this machine.",
    .usage = "[--name NAME]",
    .options = options,
    .run = run,
};
