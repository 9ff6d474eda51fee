/*
 * `klein server migrate` and `klein server recover`: offline changes of what a data folder's store is.
 *
 * What is in force stands in DATA/server.json and changes with one atomic write of it; the old store is only read, and kept. So a crash at any
 * moment leaves either the old store in force or the new one, whole.
 */
#include "main_commands.h"

#include "backup/dump.h"
#include "backup/rebuild.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/living.h"
#include "cli/run.h"
#include "cli/sandbox.h"
#include "loop/process.h"
#include "server/servers_record.h"
#include "store/etcd_process.h"
#include "store/seed.h"
#include "transport/http_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_LIMIT_MS MINUTE_MS

struct migration {
    const char *data;
    struct server_record record;
    char *store; /* DATA/store */
};

static int check_stopped(const char *data, struct error *err)
{
    pid_t pid = living_pid(data);

    return pid ? fail(err, ERR_CONFLICT, "a server is running on '%s' (process %d): stop it first", data, (int)pid) : 0;
}

static char *aside(const char *path, const char *why)
{
    char id[BACKUP_ID_SIZE];

    backup_id(env_wall_ms(env_system()), 0, id);
    return xasprintf("%s.%s-%.16s", path, why, id);
}

static int move_aside(const char *path, const char *why, char **ret, struct error *err)
{
    *ret = NULL;
    if (!file_exists(path))
        return 0;
    *ret = aside(path, why);
    return rename(path, *ret) < 0 ? fail_sys(err, errno, "rename '%s'", path) : 0;
}

/* --- to etcd: the next start fills a new etcd from the folder (server/servers_local.c) --------------------------------- */

static int to_etcd(struct migration *m, struct error *err)
{
    uint64_t revision;

    if (store_sqlite_last_revision(m->store, &revision, err) < 0)
        return -1;
    server_record_set(&m->record.store, STR("etcd"));
    server_record_set(&m->record.seed, STR("store"));
    m->record.member = m->record.learning = false;
    server_record_set(&m->record.initial_cluster, STR_NONE);
    server_record_set_endpoints(&m->record, NULL, 0);
    if (server_record_save(m->data, &m->record, err) < 0)
        return -1;
    printf(
        "The server in %s stands on etcd from its next start on; its %s at revision %llu moves there then, in "
        "seconds.\n"
        "Next: start it with `--store etcd --address IP`, then let others join with `--join URL --token-file FILE`.\n"
        "Until that start is done `klein server migrate --to sqlite` takes this back.\n",
        m->data, "state", (unsigned long long)revision);
    return 0;
}

/* --- to SQLite ----------------------------------------------------------------------------------------------------------- */

static int add_record(void *arg, const struct record *r, struct error *err)
{
    if (r->type != RECORD_OBJECT)
        return 0;
    return store_seed_add(arg, r->key, r->value, r->revision, err);
}

/* What the server shows, into a new SQLite folder. */
static int fill(struct migration *m, const char *folder, const char *work, uint64_t *ret_objects, struct error *err)
{
    struct sandbox_server server;
    struct dump_reader reader;
    struct store_seed *seed = store_seed_new(folder, err);

    if (!seed)
        return -1;
    if (sandbox_server_start(m->data, work, &server, err) < 0) {
        store_seed_abort(seed);
        return -1;
    }
    dump_reader_init(&reader, add_record, seed);
    int result = sandbox_server_dump(&server, m->data, &reader, err);
    sandbox_server_stop(&server);
    *ret_objects = reader.objects;
    int64_t now_ms = env_wall_ms(env_system());
    uint64_t base = rebuild_base(reader.head.revision, now_ms, now_ms);
    dump_reader_done(&reader);
    if (result < 0) {
        store_seed_abort(seed);
        return -1;
    }
    return store_seed_end(seed, base, err);
}

static int end_etcd(struct migration *m, struct error *err)
{
    AUTO_FREE char *etcd = xasprintf("%s/etcd", m->data);
    AUTO_FREE char *kept = NULL;
    pid_t pid = etcd_process_recorded(m->data);

    if (pid && kill_and_wait(pid, process_start_time(pid), 10 * SECOND_MS, err) < 0)
        return -1;
    return move_aside(etcd, "moved", &kept, err);
}

static int back_to_sqlite(struct migration *m, struct error *err)
{
    /* Nothing was moved yet: the old store was never touched. */
    server_record_set(&m->record.store, STR("sqlite"));
    server_record_set(&m->record.seed, STR_NONE);
    if (end_etcd(m, err) < 0 || server_record_save(m->data, &m->record, err) < 0)
        return -1;
    printf("The server in %s stands on SQLite, as before: nothing had been moved.\n", m->data);
    return 0;
}

/* The record may name this member too. */
static size_t count_others(const struct server_record *r)
{
    AUTO_FREE char *own = xasprintf("//%s:", r->address ? r->address : "");
    size_t n = 0;

    for (size_t i = 0; i < r->endpoints_count; i++)
        n += !str_contains(str_of(r->endpoints[i]), str_of(own));
    return n;
}

static int to_sqlite(struct migration *m, struct error *err)
{
    AUTO_FREE char *fresh = xasprintf("%s/store.new", m->data);
    AUTO_FREE char *work = xasprintf("%s/migrating", m->data);
    AUTO_FREE char *kept = NULL;
    uint64_t objects = 0;

    if (m->record.seed && m->record.seed[0])
        return back_to_sqlite(m, err);
    if (count_others(&m->record))
        return fail(
            err, ERR_CONFLICT,
            "the server in '%s' is one of %zu: let the others leave first (`klein server leave` on each), so that no "
            "write is lost on them",
            m->data, count_others(&m->record) + 1);
    if (file_remove_tree(fresh, err) < 0 || file_mkdirs(work, 0700, err) < 0)
        return -1;
    int result = fill(m, fresh, work, &objects, err);
    file_remove_tree(work, NULL);
    if (result < 0 || move_aside(m->store, "old", &kept, err) < 0)
        return -1;
    if (rename(fresh, m->store) < 0)
        return fail_sys(err, errno, "rename '%s'", fresh);
    server_record_set(&m->record.store, STR("sqlite"));
    m->record.member = m->record.learning = false;
    server_record_set(&m->record.initial_cluster, STR_NONE);
    server_record_set_endpoints(&m->record, NULL, 0);
    if (server_record_save(m->data, &m->record, err) < 0 || end_etcd(m, err) < 0)
        return -1;
    printf("The server in %s stands on SQLite now, with its %llu objects; etcd was ended, its data is kept beside.\n"
           "Next: start it without --store etcd.\n",
           m->data, (unsigned long long)objects);
    return 0;
}

static int migrate(struct migration *m, const char *to, struct error *err)
{
    bool found, is_etcd;

    if (server_record_load(m->data, &m->record, &found, err) < 0)
        return -1;
    is_etcd = found && m->record.store && str_is(str_of(m->record.store), "etcd");
    if (!is_etcd && !file_exists(m->store))
        return fail(err, ERR_NOT_FOUND, "there is no server's state in '%s'", m->data);
    if (str_is(str_of(to), is_etcd ? "etcd" : "sqlite")) {
        printf("The server in %s stands on %s already.\n", m->data, to);
        return 0;
    }
    return is_etcd ? to_sqlite(m, err) : to_etcd(m, err);
}

int server_migrate(const struct args *a, struct error *err)
{
    const char *to = arg(a, "to");
    struct migration m = { .data = arg(a, "data") };

    if (!to || (strcmp(to, "etcd") && strcmp(to, "sqlite"))) {
        fail(err, ERR_BAD_REQUEST, "`klein server migrate --data FOLDER --to etcd|sqlite` is expected");
        return EXIT_USAGE;
    }
    m.store = xasprintf("%s/store", m.data);
    int result = check_stopped(m.data, err) < 0 ? -1 : migrate(&m, to, err);
    free(m.store);
    server_record_done(&m.record);
    return result;
}

/* --- recover: one member that is left becomes a cluster of one ------------------------------------------------------------ */

static void on_exit_ignored(struct process *p, struct process_exit how, void *arg)
{
    (void)p;
    (void)how;
    (void)arg;
}

static pid_t start_etcd(const char *data, const char *name, int client_port, int peer_port, struct error *err)
{
    AUTO_FREE char *folder = xasprintf("%s/etcd", data);
    AUTO_FREE char *log = xasprintf("%s/etcd.log", data);
    AUTO_FREE char *client = xasprintf("http://127.0.0.1:%d", client_port);
    AUTO_FREE char *peer = xasprintf("http://127.0.0.1:%d", peer_port);
    const char *const argv[] = { "etcd",
                                 "--name",
                                 name,
                                 "--data-dir",
                                 folder,
                                 "--force-new-cluster",
                                 "--listen-client-urls",
                                 client,
                                 "--advertise-client-urls",
                                 client,
                                 "--listen-peer-urls",
                                 peer,
                                 NULL };
    AUTO_FD int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct process_fd fds[] = { { 1, out }, { 2, out } };
    struct process *p;

    if (out < 0)
        return fail_sys(err, errno, "open '%s'", log);
    struct loop *loop = loop_new_system(env_system());
    p = process_spawn(
        loop, &(struct process_options){ .argv = argv, .fds = fds, .fds_count = 2, .kill_on_parent_death = true },
        on_exit_ignored, NULL, err);
    pid_t pid = p ? process_pid(p) : -1;
    if (p)
        process_forget(p);
    loop_free(loop);
    return pid;
}

static void on_stream(struct listener *l, struct stream *s, void *arg)
{
    (void)l;
    (void)arg;
    stream_close(s);
}

static int free_port(void)
{
    static const struct listener_callbacks callbacks = { .on_stream = on_stream };
    struct address any;
    struct listener *l;
    int port = 0;
    struct loop *loop = loop_new_system(env_system());

    if (address_parse(STR("127.0.0.1:0"), &any, NULL) == 0 &&
        (l = listener_new(loop, &any, NULL, &callbacks, NULL, NULL))) {
        struct address at = listener_address(l);
        port = address_port(&at);
        listener_close(l);
    }
    loop_free(loop);
    return port;
}

static int wait_etcd(pid_t pid, int port, struct error *err)
{
    AUTO_FREE char *url = xasprintf("http://127.0.0.1:%d", port);
    struct str server = str_of(url);
    int64_t until_ms = time_monotonic_ms() + START_LIMIT_MS;

    while (time_monotonic_ms() < until_ms) {
        AUTO_BUF struct buf body = BUF_MAX(64 * KIB);
        int status = 0;
        if (http_fetch_blocking(
                &(struct http_client_options){ .servers = &server, .servers_count = 1 },
                &(struct http_call_request){ .method = STR("GET"), .target = STR("/health"), .timeout_ms = 1000 },
                &status, &body, NULL) == 0 &&
            status == 200 && str_contains(buf_str(&body), STR("true")))
            return 0;
        if (!process_start_time(pid))
            return fail(err, ERR_INTERNAL, "etcd ended: its log tells why");
        poll(NULL, 0, 50);
    }
    return fail(err, ERR_TIMEOUT, "etcd did not become a cluster of one within %lld s",
                (long long)(START_LIMIT_MS / SECOND_MS));
}

static int force_new_cluster(const char *data, const char *name, struct error *err)
{
    int client_port = free_port(), peer_port = free_port();
    pid_t pid = start_etcd(data, name, client_port, peer_port, err);

    if (pid < 0)
        return -1;
    uint64_t started = process_start_time(pid);
    int result = wait_etcd(pid, client_port, err);
    kill(pid, SIGTERM);
    for (int i = 0; i < 500 && process_start_time(pid) == started; i++)
        poll(NULL, 0, 10);
    kill_and_wait(pid, started, 5 * SECOND_MS, NULL);
    return result;
}

/*
 * The state of the cluster of one moves into a new etcd, by way of SQLite. The old one must not be joined: a member that is added to an etcd
 * 3.4 after --force-new-cluster replays a log from which that took entries, and ends with another state than the one it joined (seen: the same
 * applied index, other revisions). What the lost servers had noted of themselves is no object and stays behind.
 */
static int renew_etcd(const char *data, struct error *err)
{
    struct migration m = { .data = data, .store = xasprintf("%s/store", data) };
    bool found;
    int result = server_record_load(data, &m.record, &found, err);

    result = result < 0 || to_sqlite(&m, err) < 0 || to_etcd(&m, err) < 0 ? -1 : 0;
    free(m.store);
    server_record_done(&m.record);
    return result < 0 ? error_context(err, "make a new etcd of the state that is left") : 0;
}

int server_recover(const struct args *a, struct error *err)
{
    const char *data = arg(a, "data");
    struct server_record r = { 0 };
    int64_t began_ms = time_monotonic_ms();
    bool found;

    if (check_stopped(data, err) < 0 || server_record_load(data, &r, &found, err) < 0)
        return -1;
    pid_t pid = etcd_process_recorded(data);
    int result = !found || !r.store || strcmp(r.store, "etcd") || !etcd_process_has_data(data)
                     ? fail(err, ERR_NOT_FOUND, "there is no member of an etcd cluster in '%s'", data)
                     : 0;
    if (result == 0 && pid)
        result = kill_and_wait(pid, process_start_time(pid), 10 * SECOND_MS, err);
    if (result == 0)
        result = force_new_cluster(data, r.name, err);
    if (result == 0) {
        r.learning = false;
        server_record_set_endpoints(&r, NULL, 0);
        result = server_record_save(data, &r, err);
    }
    if (result == 0)
        result = renew_etcd(data, err);
    if (result == 0)
        printf(
            "Server '%s' is a cluster of one now, with everything its disk held, in %.2f s. What only the lost servers "
            "had acknowledged is not in it; their entries are removed.\n"
            "Next: start it as before (`systemctl start klein-server`). New servers join it with empty data folders: "
            "`klein token --for-server` here, `klein server --join URL --token-file FILE` there.\n",
            r.name, (double)(time_monotonic_ms() - began_ms) / 1000);
    server_record_done(&r);
    return result;
}
