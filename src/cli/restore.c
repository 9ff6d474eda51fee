/*
 * `klein restore`: a server's data folder out of a backup, on an empty machine or over a broken cluster.
 *
 * Everything is made ready beside the old data first; then the folders change places in one step, and the old data stays, renamed. So a
 * restore that fails or is killed leaves what was there.
 */
#include "backup/keys.h"
#include "backup/rebuild.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/chaos.h"
#include "cli/cluster_data.h"
#include "cli/commands.h"
#include "cli/living.h"
#include "cli/place.h"
#include "cli/run.h"
#include "cli/sandbox.h"
#include "store/etcd_process.h"
#include "store/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHANGES_MAX 16

static const struct option_row options[] = {
    PLACE_OPTIONS,
    { "from", "PLACE", BACKUP_FOLDER,
      "FOLDER, s3://BUCKET/PREFIX?endpoint=URL&region=NAME, or rsync://USER@HOST[:PORT]/PATH" },
    { "backup", "ID", NULL, "this backup instead of the newest" },
    { "to-time", "TIME", NULL, "the state at this time, 2026-11-21T10:00:00Z: a backup and the change log" },
    { "revision", "N", NULL, "the state at this revision" },
    { "backup-only", NULL, NULL, "the backup as it is; else the change log is added as far as it goes" },
    { "changes", "FOLDER", NULL, "a further change log, e.g. of another server", true },
    { "store", "sqlite|etcd", NULL, "what the restored server stands on; default: what the one before stood on" },
    { "without-keys", NULL, NULL,
      "do not ask for a passphrase: keep the keys that are there, or let new ones be made" },
    { "force", NULL, NULL, "also over a server that is running: it is ended" },
    { 0 },
};

struct restore {
    const struct args *args;
    struct target *target;
    struct secret passphrase;
    struct cluster_record cluster; /* of --name */
    bool is_cluster;
    int lock;          /* on the cluster; -1 */
    char *data, *work; /* work is beside data, so that folders can change places */
    char *fresh;       /* WORK/data */
    char *backup;      /* the backup on this machine */
    char id[BACKUP_ID_SIZE];
    struct manifest manifest;
    struct changes_target wanted;
    struct change_set changes;
    struct findings notes;
    bool use_changes, keys_from_backup, keys_kept;
    uint64_t entries, base;
    char aside[4200];
};

/* --- what is asked for ----------------------------------------------------------------------------------------------- */

static int read_wanted(struct restore *r, struct error *err)
{
    const char *time = arg(r->args, "to-time"), *revision = arg(r->args, "revision");

    if (time && revision)
        return fail(err, ERR_BAD_REQUEST, "--to-time and --revision exclude each other");
    if (time && !time_parse(str_of(time), &r->wanted.time_ms))
        return fail(err, ERR_BAD_REQUEST, "--to-time must be a time like 2026-11-21T10:00:00Z, not '%s'", time);
    if (revision && (!str_to_u64(str_of(revision), &r->wanted.revision) || !r->wanted.revision))
        return fail(err, ERR_BAD_REQUEST, "--revision must be a number, not '%s'", revision);
    if (arg_given(r->args, "backup-only") && (time || revision))
        return fail(err, ERR_BAD_REQUEST, "--backup-only restores the backup as it is: it has no other time");
    return 0;
}

/* The newest backup that is not after what is wanted. */
static int choose_backup(struct restore *r, struct error *err)
{
    AUTO_TARGET_NAMES struct target_names ids = { 0 };
    const char *asked = arg(r->args, "backup"), *chosen = NULL;

    if (asked) {
        snprintf(r->id, sizeof(r->id), "%s", asked);
        return 0;
    }
    if (target_backups(r->target, &ids, err) < 0)
        return -1;
    for (size_t i = 0; i < ids.count; i++) {
        int64_t time_ms;
        uint64_t revision;
        backup_id_parse(str_of(ids.names[i]), &time_ms, &revision);
        if ((!r->wanted.time_ms || time_ms <= r->wanted.time_ms) &&
            (!r->wanted.revision || revision <= r->wanted.revision))
            chosen = ids.names[i];
    }
    if (!chosen)
        return fail(err, ERR_NOT_FOUND, ids.count ? "no backup at %s is old enough" : "there is no backup at %s",
                    r->target->text);
    snprintf(r->id, sizeof(r->id), "%s", chosen);
    return 0;
}

static int fetch(struct restore *r, struct error *err)
{
    char id[BACKUP_ID_SIZE];

    if (choose_backup(r, err) < 0)
        return -1;
    r->backup = place_fetch(r->target, r->id, r->work, id, err);
    return r->backup && manifest_read(r->backup, &r->manifest, err) == 0 ? 0 : -1;
}

/* --- the change log ---------------------------------------------------------------------------------------------------- */

static int fetch_changes(struct restore *r, char **folders, size_t *count, struct error *err)
{
    AUTO_TARGET_NAMES struct target_names all = { 0 };

    if (r->target->ops->list(r->target, &all, err) < 0)
        return -1;
    for (size_t i = 0; i < all.count && *count < CHANGES_MAX; i++) {
        if (!str_starts(str_of(all.names[i]), STR("changes")))
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", r->work, all.names[i]);
        if (file_mkdirs(path, 0700, err) < 0 || r->target->ops->get(r->target, all.names[i], path, err) < 0)
            return error_context(err, "fetch the change log");
        folders[(*count)++] = TAKE(path);
    }
    return 0;
}

/* Newer than what was shipped, when the disks are still there. */
static void add_own_changes(const struct restore *r, char **folders, size_t *count)
{
    folders[(*count)++] = xasprintf("%s/" CHANGES_FOLDER, r->data);
    for (int i = 1; r->is_cluster && i < r->cluster.servers_count; i++)
        folders[(*count)++] = cluster_server_path(&r->cluster, &r->cluster.servers[i], CHANGES_FOLDER);
}

static int gather_changes(struct restore *r, struct error *err)
{
    char *folders[CHANGES_MAX + ARG_VALUES_MAX + CLUSTER_SERVERS_MAX];
    size_t count = 0;

    if (arg_given(r->args, "backup-only"))
        return 0;
    int result = fetch_changes(r, folders, &count, err);
    add_own_changes(r, folders, &count);
    for (int i = 0; i < arg_count(r->args, "changes"); i++)
        folders[count++] = xstrdup(arg_nth(r->args, "changes", i));
    if (result == 0)
        result = changes_gather((const char *const *)folders, count, r->manifest.revision, r->manifest.time_ms,
                                &r->wanted, &r->changes, &r->notes, err);
    for (size_t i = 0; i < count; i++)
        free(folders[i]);
    if (result < 0)
        return -1;
    bool at_backup = r->wanted.revision == r->manifest.revision;
    if (!r->changes.reached && !at_backup)
        return fail(err, ERR_NOT_FOUND,
                    "that state cannot be had from backup '%s': %s; the backup alone: --backup-only%s%.*s", r->id,
                    r->changes.why, r->notes.count ? "\n" : "", STR_ARG(buf_str(&r->notes.text)));
    r->use_changes = r->changes.reached;
    return 0;
}

/* --- the new data folder ------------------------------------------------------------------------------------------------- */

static int add_entry(void *arg, struct str key, struct str value, uint64_t revision, struct error *err)
{
    return store_seed_add(arg, key, value, revision, err);
}

/* The highest revision anybody can have been told: of the backup, of the log, of the store that is replaced when it can still be read. */
static uint64_t highest_known(struct restore *r)
{
    AUTO_FREE char *store = xasprintf("%s/store", r->data);
    uint64_t old = 0, logged = MAX(r->changes.highest, r->changes.to);

    if (!living_pid(r->data))
        store_sqlite_last_revision(store, &old, NULL);
    return MAX(MAX(r->manifest.revision, logged), old);
}

static int fill_store(struct restore *r, struct error *err)
{
    AUTO_FREE char *store = xasprintf("%s/store", r->fresh);
    struct rebuild_options o = { .backup = r->backup,
                                 .manifest = &r->manifest,
                                 .changes = r->use_changes ? &r->changes : NULL };

    r->base = rebuild_base(highest_known(r), r->manifest.time_ms, env_wall_ms(env_system()));
    struct store_seed *seed = store_seed_new(store, err);
    if (!seed)
        return -1;
    if (rebuild(&o, add_entry, seed, &r->entries, err) < 0) {
        store_seed_abort(seed);
        return -1;
    }
    return store_seed_end(seed, r->base, err);
}

/* The keys that are there: of the server, or of any server of the cluster. */
static char *old_pki(const struct restore *r)
{
    return r->is_cluster ? cluster_pki_path(&r->cluster) : xasprintf("%s/pki", r->data);
}

static int copy_kept(const char *from, const char *to, struct error *err)
{
    const char *const argv[] = { "cp", "-a", from, to, NULL };

    return file_exists(from) ? run_command(argv, -1, STR_NONE, NULL, err) : 0;
}

static int fill_keys(struct restore *r, struct error *err)
{
    AUTO_FREE char *pki = xasprintf("%s/pki", r->fresh);
    AUTO_FREE char *old = old_pki(r);
    AUTO_FREE char *sealed = xasprintf("%s/" KEYS_FILE, r->backup);
    AUTO_BACKUP_KEYS struct backup_keys keys = { 0 };

    if (arg(r->args, "passphrase-file") && (r->manifest.has_keys || r->manifest.sealed)) {
        if (manifest_keys(&r->manifest, &r->passphrase, &keys, err) < 0 ||
            manifest_check_seal(r->backup, secret_reveal(&keys.manifest), err) < 0)
            return -1;
        if (r->manifest.has_keys && !arg_given(r->args, "without-keys")) {
            r->keys_from_backup = true;
            return keys_unseal(sealed, &keys, pki, err);
        }
    }
    if (r->manifest.has_keys && !arg_given(r->args, "without-keys") && !file_exists(old))
        return fail(
            err, ERR_BAD_REQUEST,
            "backup '%s' holds the keys and certificates of the cluster under a passphrase: --passphrase-file is "
            "needed, or --without-keys (then nodes and people must join anew)",
            r->id);
    r->keys_kept = file_exists(old);
    return copy_kept(old, pki, err);
}

/* With etcd the state moves there when the server starts: a member alone, which others join (server/servers_local.c). */
static int choose_store(struct restore *r, struct error *err)
{
    AUTO_FREE char *old = xasprintf("%s/etcd", r->data);
    AUTO_FREE char *note = xasprintf("%s/server.json", r->fresh);
    const char *store = arg(r->args, "store");

    if (store && strcmp(store, "etcd") && strcmp(store, "sqlite"))
        return fail(err, ERR_BAD_REQUEST, "--store is sqlite or etcd, not '%s'", store);
    if (r->is_cluster && store && !strcmp(store, "etcd") != r->cluster.etcd)
        return fail(err, ERR_BAD_REQUEST, "cluster '%s' stands on %s: `klein grow` changes that, before or after",
                    r->cluster.name, r->cluster.etcd ? "etcd" : "SQLite");
    if (r->is_cluster ? r->cluster.etcd : store ? !strcmp(store, "etcd") : file_exists(old))
        return file_write(note, STR("{\"store\":\"etcd\",\"seed\":\"store\"}\n"), 0600, err);
    return 0;
}

static int make_fresh(struct restore *r, struct error *err)
{
    r->fresh = xasprintf("%s/data", r->work);
    if (file_mkdirs(r->fresh, 0700, err) < 0 || choose_store(r, err) < 0 || fill_store(r, err) < 0)
        return -1;
    return fill_keys(r, err);
}

/* The etcd of the old data runs on without its server, on the addresses that the new one needs. */
static int end_old_etcd(struct restore *r, struct error *err)
{
    pid_t pid = r->aside[0] ? etcd_process_recorded(r->aside) : 0;

    return pid ? kill_and_wait(pid, process_start_time(pid), 10 * SECOND_MS, err) : 0;
}

/* --- the change of places ------------------------------------------------------------------------------------------------ */

static int put_in_place(struct restore *r, struct error *err)
{
    AUTO_BUF struct buf parent = BUF_MAX(8 * KIB);
    char id[BACKUP_ID_SIZE];
    struct stat st;

    backup_id(env_wall_ms(env_system()), 0, id);
    snprintf(r->aside, sizeof(r->aside), "%s.replaced-%.16s", r->data, id);
    if (stat(r->data, &st) < 0) {
        r->aside[0] = '\0';
        if (rename(r->fresh, r->data) < 0)
            return fail_sys(err, errno, "rename '%s' to '%s'", r->fresh, r->data);
    } else {
        /* At no moment is there no data folder: both change places at once, and then the old one gets its name. */
        if (renameat2(AT_FDCWD, r->fresh, AT_FDCWD, r->data, RENAME_EXCHANGE) < 0)
            return fail_sys(err, errno, "exchange '%s' and '%s'", r->fresh, r->data);
        if (rename(r->fresh, r->aside) < 0)
            return fail_sys(err, errno, "rename '%s' to '%s'", r->fresh, r->aside);
    }
    buf_addf(&parent, "%s/..", r->data);
    AUTO_FD int fd = open(parent.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) < 0 ? fail_sys(err, errno, "write the folder to the disk") : 0;
}

static pid_t find_living(const struct restore *r)
{
    pid_t pid = living_pid(r->data);

    for (int i = 0; !pid && r->is_cluster && i < r->cluster.servers_count; i++) {
        AUTO_FREE char *folder = cluster_server_folder(&r->cluster, &r->cluster.servers[i]);
        pid = living_pid(folder);
    }
    return pid;
}

static int check_living(struct restore *r, struct error *err)
{
    pid_t pid = find_living(r);

    if (r->is_cluster && r->cluster.disk_mib)
        return fail(err, ERR_CONFLICT, "cluster '%s' has disks of its own (--disk-size), which cannot change places",
                    r->cluster.name);
    if (!pid || arg_given(r->args, "force"))
        return 0;
    return fail(err, ERR_CONFLICT,
                "a server is running on '%s' (process %d): a restore takes the cluster back to an earlier state. Say "
                "--force if "
                "that is what you want; the present data is kept aside then",
                r->data, (int)pid);
}

static void tell(struct restore *r, int64_t began_ms)
{
    char time[TIME_TEXT_SIZE];
    uint64_t revision = r->use_changes ? r->changes.to : r->manifest.revision;
    int64_t at_ms = r->use_changes ? r->changes.to_ms : r->manifest.time_ms;

    printf("Restored %llu objects into %s in %.2f s: the state of %s, revision %llu (backup %s%s).\n",
           (unsigned long long)r->entries, r->data, (double)(time_monotonic_ms() - began_ms) / 1000,
           time_format(at_ms, time), (unsigned long long)revision, r->id, r->use_changes ? " and the change log" : "");
    if (r->use_changes)
        printf("%llu changes of the log were added; %s.\n", (unsigned long long)r->changes.changes, r->changes.why);
    if (r->notes.count)
        printf("Of the change log, this could not be used:\n%.*s", STR_ARG(buf_str(&r->notes.text)));
    printf("Revisions go on above %llu, so no client can mistake what it saw before; watches begin anew once.\n",
           (unsigned long long)r->base);
    if (!r->keys_from_backup)
        printf(r->keys_kept ? "The keys and certificates that were there are still there.\n"
                            : "There are no keys: the server makes new ones, and nodes and people must join anew.\n");
    if (r->aside[0])
        printf("What was there before is kept in %s.\n", r->aside);
    if (!r->is_cluster)
        printf("Next: start `klein server --data %s` with the options it had; further servers join it anew.\n",
               r->data);
}

static int exchange(struct restore *r, struct error *err)
{
    pid_t pid = living_pid(r->data);

    if (put_in_place(r, err) < 0)
        return -1;
    /* It still writes into the folder that was moved away: nothing of that can reach the new one. */
    return (pid && living_end(pid, err) < 0) ? -1 : end_old_etcd(r, err);
}

/* Servers end first, so that none goes on with the old state; the others' data is out of the way before the first's is new. */
static int exchange_cluster(struct restore *r, struct error *err)
{
    struct cluster_record *c = &r->cluster;
    pid_t server = cluster_server_pid(c, NULL), etcd = cluster_etcd_pid(c, NULL);

    if (c->servers_count) {
        if (cluster_end_servers(c, err) < 0 || cluster_set_others_aside(c, &c->servers[0], "replaced", err) < 0)
            return -1;
        return put_in_place(r, err);
    }
    uint64_t started = etcd ? process_start_time(etcd) : 0;
    if (put_in_place(r, err) < 0 || (server && living_end(server, err) < 0))
        return -1;
    return etcd ? kill_and_wait(etcd, started, 10 * SECOND_MS, err) : 0;
}

static int start_cluster(struct restore *r, int64_t began_ms, struct error *err)
{
    fflush(stdout);
    cleanup_fd(&r->lock);
    r->lock = -1;
    if (cluster_repair(r->cluster.name, err) < 0)
        return error_context(err,
                             "the state is restored, but the cluster does not come up; `klein up --name %s` tries "
                             "again",
                             r->cluster.name);
    printf("Cluster '%s' is back: %d server%s, %d nodes, %.2f s after the command began.\n", r->cluster.name,
           MAX(r->cluster.servers_count, 1), r->cluster.servers_count > 1 ? "s" : "", r->cluster.nodes_count,
           (double)(time_monotonic_ms() - began_ms) / 1000);
    return 0;
}

static int restore(struct restore *r, struct error *err)
{
    int64_t began_ms = time_monotonic_ms();

    if (read_wanted(r, err) < 0)
        return EXIT_USAGE;
    if (check_living(r, err) < 0 || fetch(r, err) < 0 || gather_changes(r, err) < 0 || make_fresh(r, err) < 0)
        return -1;
    if (r->is_cluster ? exchange_cluster(r, err) < 0 : exchange(r, err) < 0)
        return -1;
    tell(r, began_ms);
    return r->is_cluster ? start_cluster(r, began_ms, err) : 0;
}

static int load_cluster(struct restore *r, struct error *err)
{
    const char *name = arg(r->args, "name");

    if (!name)
        return 0;
    r->lock = cluster_lock(name, err);
    return r->lock < 0 ? -1 : cluster_load(name, &r->cluster, &r->is_cluster, err);
}

static char *work_beside(const char *data, struct error *err)
{
    ptrdiff_t slash = str_find_last(str_of(data), '/');
    AUTO_FREE char *parent = slash < 0 ? xstrdup(".") : xstrndup(data, (size_t)MAX(slash, 1));
    char *path = xasprintf("%s/.klein-restore-XXXXXX", parent);

    if (file_mkdirs(parent, 0700, err) == 0) {
        if (mkdtemp(path))
            return path;
        fail_sys(err, errno, "make a folder in '%s'", parent);
    }
    free(path);
    return NULL;
}

static int run(const struct args *a, struct error *err)
{
    struct restore r = { .args = a, .lock = -1 };
    int result = -1;

    if (args_no_words(a, err) < 0)
        return EXIT_USAGE;
    r.target = place_target(a, "from", err);
    if (!r.target)
        return EXIT_USAGE;
    r.data = place_data(a, err);
    while (r.data && strlen(r.data) > 1 && r.data[strlen(r.data) - 1] == '/')
        r.data[strlen(r.data) - 1] = '\0';
    if (r.data && load_cluster(&r, err) == 0 && place_passphrase(a, &r.passphrase, err) == 0 &&
        (r.work = work_beside(r.data, err))) {
        result = restore(&r, err);
        file_remove_tree(r.work, NULL);
    }
    cleanup_fd(&r.lock);
    free(r.data);
    free(r.work);
    free(r.fresh);
    free(r.backup);
    secret_done(&r.passphrase);
    manifest_done(&r.manifest);
    change_set_done(&r.changes);
    findings_done(&r.notes);
    target_free(r.target);
    return result;
}

const struct subcommand command_restore = {
    .name = "restore",
    .summary = "Bring a cluster's state back from a backup, also to a moment between two of them.",
    .usage = "--from PLACE [--to-time TIME | --revision N] [--data FOLDER | --name NAME] [--passphrase-file FILE]",
    .options = options,
    .run = run,
};
