/* Supervising an etcd member. */
#include "store/etcd_process.h"

#include "base/codec.h"
#include "base/file.h"
#include "base/time.h"
#include "loop/process.h"
#include "loop/watch.h"
#include "wire/json_scan.h"

#define LOG_PART "etcd"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS   (5 * SECOND_MS)
#define LIVED_MS         (10 * SECOND_MS) /* an etcd that lived so long starts from the first delay again */
#define STOP_MS          (5 * SECOND_MS)
#define LOG_LOOK_MS      (10 * SECOND_MS)
#define ARGUMENTS_MAX    64

struct etcd_process {
    struct loop *loop;
    char *folder, *data, *record, *log;
    char *argv[ARGUMENTS_MAX + 1];
    int argc;
    char digest[SHA256_HEX_SIZE];
    struct process *child;     /* started by us */
    struct pid_watch *adopted; /* or found */
    pid_t pid;
    bool found;
    unsigned starts;
    int64_t started_ms, wait_ms;
    struct loop_timer restart, look, kill;
    bool stopping, replacing; /* replacing: an adopted one with other arguments is on its way out */
    loop_fn *stopped;
    void *stopped_arg;
};

/* --- the command line ----------------------------------------------------------------------------------------------------- */

static void add(struct etcd_process *p, const char *word)
{
    if (p->argc < ARGUMENTS_MAX)
        p->argv[p->argc++] = xstrdup(word);
}

static void option(struct etcd_process *p, const char *name, const char *format, ...) PRINTF(3, 4);
static void option(struct etcd_process *p, const char *name, const char *format, ...)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    char value[4096];
    va_list args;

    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    buf_addf(&text, "--%s=%s", name, value);
    add(p, text.p);
}

static void arguments(struct etcd_process *p, const struct etcd_process_options *o)
{
    int client = o->client_port ? o->client_port : ETCD_CLIENT_PORT,
        peer = o->peer_port ? o->peer_port : ETCD_PEER_PORT;

    add(p, o->program ? o->program : "etcd");
    option(p, "name", "%s", o->name);
    option(p, "data-dir", "%s", p->data);
    option(p, "listen-client-urls", "https://%s:%d", o->address, client);
    option(p, "advertise-client-urls", "https://%s:%d", o->address, client);
    option(p, "listen-peer-urls", "https://%s:%d", o->address, peer);
    option(p, "initial-advertise-peer-urls", "https://%s:%d", o->address, peer);
    option(p, "cert-file", "%s", o->certificate_file);
    option(p, "key-file", "%s", o->key_file);
    option(p, "trusted-ca-file", "%s", o->ca_file);
    add(p, "--client-cert-auth");
    option(p, "peer-cert-file", "%s", o->certificate_file);
    option(p, "peer-key-file", "%s", o->key_file);
    option(p, "peer-trusted-ca-file", "%s", o->ca_file);
    add(p, "--peer-client-cert-auth");
    option(p, "heartbeat-interval", "%d", ETCD_HEARTBEAT_MS);
    option(p, "election-timeout", "%d", ETCD_ELECTION_MS);
    add(p, "--pre-vote"); /* a member that was cut off does not unseat the leader when it comes back */
    option(p, "snapshot-count", "%d", ETCD_SNAPSHOT_COUNT);
    option(p, "max-request-bytes", "%d", (int)ETCD_REQUEST_MAX_BYTES);
    option(p, "max-txn-ops", "%d", ETCD_TXN_OPS_MAX);
    option(p, "quota-backend-bytes", "%llu", ETCD_QUOTA_BYTES);
    option(p, "auto-compaction-retention", "0"); /* klein compacts, behind the slowest server's watch */
    option(p, "max-wals", "2");
    option(p, "max-snapshots", "2");
    /* etcd's own check asks for five quiet seconds between two changes; the servers check more, and in words (server/servers_plan.h). */
    option(p, "strict-reconfig-check", "false");
    option(p, "logger", "zap");
    option(p, "log-outputs", "stderr");
    option(p, "log-level", "warn");
}

/* Looked at by etcd while it has no data only: not part of the digest, or every member that joins would restart the others. */
static void first_arguments(struct etcd_process *p, const struct etcd_process_options *o)
{
    option(p, "initial-cluster", "%s", o->initial_cluster);
    option(p, "initial-cluster-state", "%s", o->existing ? "existing" : "new");
    option(p, "initial-cluster-token", "%s", o->cluster_token);
}

static void take_digest(struct etcd_process *p)
{
    AUTO_BUF struct buf all = BUF_MAX(256 * KIB);

    for (int i = 0; i < p->argc; i++) {
        buf_add_text(&all, p->argv[i]);
        buf_add_char(&all, '\n');
    }
    sha256_hex(buf_str(&all), p->digest);
}

/* --- the record -------------------------------------------------------------------------------------------------------------- */

static bool runs_on(pid_t pid, const char *data)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/cmdline", (int)pid);
    AUTO_FREE char *wanted = xasprintf("--data-dir=%s", data);
    AUTO_BUF struct buf text = BUF_MAX(128 * KIB);
    struct str rest, word;

    if (file_read(path, &text, NULL) < 0)
        return false;
    for (rest = buf_str(&text); str_next(&rest, '\0', &word);)
        if (str_is(word, wanted))
            return true;
    return false;
}

static pid_t read_record(const char *record, const char *data, struct str *ret_digest, struct buf *text)
{
    int64_t pid, start;

    if (file_read(record, text, NULL) < 0 || !json_scan_number(buf_str(text), "pid", &pid) ||
        !json_scan_number(buf_str(text), "startTime", &start) || pid <= 1 ||
        pid_start_time((pid_t)pid) != (uint64_t)start || !runs_on((pid_t)pid, data))
        return 0;
    if (ret_digest && !json_scan_text(buf_str(text), "arguments", ret_digest))
        *ret_digest = STR_NONE;
    return (pid_t)pid;
}

/* One that was started just before we were killed has no record yet: its command line tells. */
static pid_t look_for(const char *data)
{
    DIR *d = opendir("/proc");
    struct dirent *entry;
    int64_t pid, found = 0;

    while (d && !found && (entry = readdir(d)))
        if (str_to_i64(str_of(entry->d_name), &pid) && pid > 1 && runs_on((pid_t)pid, data))
            found = pid;
    if (d)
        closedir(d);
    return (pid_t)found;
}

static void write_record(struct etcd_process *p)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    buf_addf(&text, "{\"pid\":%d,\"startTime\":%llu,\"arguments\":\"%s\"}\n", (int)p->pid,
             (unsigned long long)pid_start_time(p->pid), p->digest);
    if (file_write(p->record, buf_str(&text), 0600, &err) < 0)
        log_warn("etcd's record could not be written; it is found by its command line", KV_ERR(&err));
}

/* --- the log's size ------------------------------------------------------------------------------------------------------------ */

struct turn { /* a copy on a worker */
    char *log;
};

static void turn_log(void *arg)
{
    struct turn *t = arg;
    AUTO_FREE char *old = xasprintf("%s.1", t->log);
    AUTO_FD int from = open(t->log, O_RDWR | O_CLOEXEC);
    AUTO_FD int to = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char block[64 * 1024];
    ssize_t n;

    /* etcd holds the file open for appending: what it writes after the copy and before the cut is lost, a line at most. */
    while (from >= 0 && to >= 0 && (n = read(from, block, sizeof(block))) > 0)
        if (write(to, block, (size_t)n) != n)
            break; /* the disk is full: an empty log is what helps then */
    if (from >= 0 && ftruncate(from, 0) < 0)
        log_warn("etcd's log could not be emptied", KV("file", "%s", t->log), KV("error", "%s", strerror(errno)));
    free(t->log);
    free(t);
}

static void look_at_log(void *arg)
{
    struct etcd_process *p = arg;
    struct stat st;

    loop_timer_start(&p->look, LOG_LOOK_MS);
    if (stat(p->log, &st) < 0 || st.st_size < (off_t)ETCD_LOG_MAX_BYTES)
        return;
    struct turn *t = xnew(struct turn);
    t->log = xstrdup(p->log);
    loop_work(p->loop, turn_log, NULL, t);
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */

static void destroy(struct etcd_process *p)
{
    loop_timer_stop(&p->restart);
    loop_timer_stop(&p->look);
    loop_timer_stop(&p->kill);
    pid_watch_free(p->adopted);
    if (p->child)
        process_forget(p->child);
    for (int i = 0; i < p->argc; i++)
        free(p->argv[i]);
    free(p->folder);
    free(p->data);
    free(p->record);
    free(p->log);
    free(p);
}

static void gone(struct etcd_process *p)
{
    int64_t now_ms = loop_now_ms(p->loop);

    p->pid = 0;
    p->found = false;
    loop_timer_stop(&p->kill);
    if (p->stopping) {
        loop_fn *stopped = p->stopped;
        void *arg = p->stopped_arg;
        unlink(p->record);
        destroy(p);
        stopped(arg);
        return;
    }
    if (p->replacing || now_ms - p->started_ms > LIVED_MS)
        p->wait_ms = RESTART_FIRST_MS;
    loop_timer_start(&p->restart, p->replacing ? 0 : p->wait_ms);
    if (!p->replacing)
        p->wait_ms = MIN(p->wait_ms * 2, RESTART_MAX_MS);
    p->replacing = false;
}

static void child_ended(UNUSED struct process *child, struct process_exit how, void *arg)
{
    struct etcd_process *p = arg;

    p->child = NULL;
    if (!p->stopping)
        log_error("etcd ended; it is started again", KV("code", "%d", how.code), KV("signal", "%d", how.signal),
                  KV("after_ms", "%lld", (long long)p->wait_ms), KV("log", "%s", p->log));
    gone(p);
}

static void adopted_ended(struct pid_watch *w, void *arg)
{
    struct etcd_process *p = arg;

    pid_watch_free(w);
    p->adopted = NULL;
    if (!p->stopping && !p->replacing)
        log_error("etcd ended; it is started again", KV("after_ms", "%lld", (long long)p->wait_ms),
                  KV("log", "%s", p->log));
    gone(p);
}

static int spawn(struct etcd_process *p, struct error *err)
{
    /* Of our environment nothing: etcd takes options from ETCD_..., and tells the service manager of its readiness for us. */
    static const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    AUTO_FD int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        return fail_sys(err, errno, "open '%s'", p->log);
    const struct process_fd fds[] = { { 1, log }, { 2, log } };
    p->argv[p->argc] = NULL;
    struct process_options o = {
        .argv = (const char *const *)p->argv, .env = env, .fds = fds, .fds_count = ARRAY_SIZE(fds), .new_session = true
    };
    p->child = process_spawn(p->loop, &o, child_ended, p, err);
    if (!p->child)
        return -1;
    p->pid = process_pid(p->child);
    p->started_ms = loop_now_ms(p->loop);
    p->starts++;
    write_record(p);
    log_info("etcd started", KV("pid", "%d", (int)p->pid));
    return 0;
}

static void restart(void *arg)
{
    struct etcd_process *p = arg;
    AUTO_ERROR struct error err = { 0 };

    if (spawn(p, &err) == 0)
        return;
    log_error("etcd could not be started; trying again", KV_ERR(&err), KV("after_ms", "%lld", (long long)p->wait_ms));
    loop_timer_start(&p->restart, p->wait_ms);
    p->wait_ms = MIN(p->wait_ms * 2, RESTART_MAX_MS);
}

static void send_signal(struct etcd_process *p, int signal)
{
    if (p->child)
        process_kill(p->child, signal);
    else if (p->adopted)
        pid_watch_kill(p->adopted, signal, NULL);
}

static void kill_now(void *arg)
{
    struct etcd_process *p = arg;

    log_warn("etcd does not end; killing it", KV("pid", "%d", (int)p->pid));
    send_signal(p, SIGKILL);
}

/* 1 adopted, 0 there is none. */
static int adopt(struct etcd_process *p)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct str digest = STR_NONE;
    pid_t pid = read_record(p->record, p->data, &digest, &text);

    if (!pid)
        pid = look_for(p->data);
    if (!pid || !(p->adopted = pid_watch_new(p->loop, pid, adopted_ended, p, NULL)))
        return 0;
    p->pid = pid;
    p->found = true;
    p->started_ms = loop_now_ms(p->loop);
    p->replacing = !str_is(digest, p->digest);
    if (p->replacing) {
        log_info("etcd runs with other arguments; it is started anew", KV("pid", "%d", (int)pid));
        send_signal(p, SIGTERM);
        loop_timer_start(&p->kill, STOP_MS);
    } else {
        log_info("etcd found running", KV("pid", "%d", (int)pid));
    }
    return 1;
}

struct etcd_process *etcd_process_start(struct loop *loop, const struct etcd_process_options *o, struct error *err)
{
    if (file_mkdirs(o->folder, 0700, err) < 0)
        return NULL;
    struct etcd_process *p = xnew(struct etcd_process);
    p->loop = loop;
    p->folder = xstrdup(o->folder);
    p->data = xasprintf("%s/etcd", o->folder);
    p->record = xasprintf("%s/etcd.json", o->folder);
    p->log = xasprintf("%s/etcd.log", o->folder);
    p->wait_ms = RESTART_FIRST_MS;
    loop_timer_init(&p->restart, loop, restart, p);
    loop_timer_init(&p->look, loop, look_at_log, p);
    loop_timer_init(&p->kill, loop, kill_now, p);
    arguments(p, o);
    take_digest(p);
    first_arguments(p, o);
    if (!adopt(p) && spawn(p, err) < 0) {
        if (err && err->code == ERR_NOT_FOUND)
            error_context(err, "etcd is not installed (Debian's package etcd-server)");
        destroy(p);
        return NULL;
    }
    loop_timer_start(&p->look, 0);
    return p;
}

void etcd_process_free(struct etcd_process *p)
{
    if (p)
        destroy(p);
}

void etcd_process_stop(struct etcd_process *p, loop_fn *stopped, void *arg)
{
    p->stopping = true;
    p->stopped = stopped;
    p->stopped_arg = arg;
    loop_timer_stop(&p->restart);
    if (!p->pid) {
        struct loop *loop = p->loop;
        unlink(p->record);
        destroy(p);
        loop_post(loop, stopped, arg);
        return;
    }
    send_signal(p, SIGTERM);
    loop_timer_start(&p->kill, STOP_MS);
}

/* --- small answers --------------------------------------------------------------------------------------------------------- */

pid_t etcd_process_pid(const struct etcd_process *p)
{
    return p->pid;
}

bool etcd_process_adopted(const struct etcd_process *p)
{
    return p->found;
}

unsigned etcd_process_starts(const struct etcd_process *p)
{
    return p->starts;
}

bool etcd_process_has_data(const char *folder)
{
    AUTO_FREE char *wal = xasprintf("%s/etcd/member/wal", folder);

    return file_exists(wal);
}

pid_t etcd_process_recorded(const char *folder)
{
    AUTO_FREE char *record = xasprintf("%s/etcd.json", folder);
    AUTO_FREE char *data = xasprintf("%s/etcd", folder);
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    return read_record(record, data, NULL, &text);
}
