/*
 * The audit log: one JSON line for each completed request, metadata level, in upstream's field names. Off unless a file is
 * configured. Lines gather in memory and are written by a worker; when the disk does not keep up they are dropped and counted.
 */
#include "server/server_internal.h"

#include "base/file.h"
#include "base/time.h"
#include "server/metrics.h"

#define LOG_PART "audit"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GATHERED_MAX_BYTES (1 * MIB)
#define WRITE_EVERY_MS     200

struct audit {
    struct server *server;
    const char *path;
    uint64_t max_bytes;
    struct buf gathered, writing;
    struct loop_timer timer;
    uint64_t dropped;
    bool busy, ending;
};

static struct audit *audit_of(const struct request *r)
{
    return server_part(r->server, SERVER_PART_audit);
}

/* On a worker: append what was gathered; begin a new file when the old one is full. */
static void write_lines(void *arg)
{
    struct audit *a = arg;
    struct stat st;
    AUTO_FD int fd = open(a->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size > a->max_bytes) {
        AUTO_FREE char *old = xasprintf("%s.1", a->path);
        if (rename(a->path, old) == 0) {
            close(TAKE_FD(fd));
            fd = open(a->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        }
    }
    struct str left = buf_str(&a->writing);
    while (fd >= 0 && left.n) {
        ssize_t n = write(fd, left.p, left.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        left = str_from(left, (size_t)n);
    }
    if (left.n)
        log_warn("audit lines lost", KV("file", "%s", a->path), KV("bytes", "%zu", left.n));
}

static void written(void *arg)
{
    struct audit *a = arg;
    a->busy = false;
    buf_clear(&a->writing);
    if (a->ending) {
        buf_done(&a->writing);
        free(a);
        return;
    }
    if (a->gathered.n)
        loop_timer_start(&a->timer, WRITE_EVERY_MS);
}

static void on_timer(void *arg)
{
    struct audit *a = arg;
    if (a->busy || a->gathered.n == 0)
        return;
    struct buf empty = a->writing;
    a->writing = a->gathered;
    a->gathered = empty;
    a->busy = true;
    if (a->dropped)
        log_warn("audit lines dropped", KV("count", "%llu", (unsigned long long)a->dropped));
    a->dropped = 0;
    loop_work(a->server->loop, write_lines, written, a);
}

static void add(struct buf *to, const char *name, struct str value)
{
    if (str_empty(value))
        return;
    buf_addf(to, ",\"%s\":", name);
    json_write_str(to, value);
}

static void add_user(struct buf *to, const char *name, const struct identity *i)
{
    buf_addf(to, ",\"%s\":{\"username\":", name);
    json_write_str(to, i->user);
    buf_add_text(to, ",\"groups\":[");
    for (size_t g = 0; g < i->groups_count; g++) {
        if (g)
            buf_add_char(to, ',');
        json_write_str(to, i->groups[g]);
    }
    buf_add_text(to, "]}");
}

static void write_event(struct request *r, struct buf *to)
{
    char text[TIME_TEXT_SIZE];
    struct buf start = *to;
    buf_addf(to,
             "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/"
             "v1\",\"level\":\"Metadata\",\"auditID\":\"%s\",\"stage\":\"ResponseComplete\"",
             r->id);
    add(to, "requestURI", r->source == REQUEST_LOCAL ? STR_NONE : r->info.path);
    add(to, "verb", r->info.verb);
    if (!str_empty(r->impersonator.user)) {
        add_user(to, "user", &r->impersonator);
        add_user(to, "impersonatedUser", &r->identity);
    } else {
        add_user(to, "user", &r->identity);
    }
    if (r->info.is_resource) {
        buf_add_text(to, ",\"objectRef\":{\"apiVersion\":");
        json_write_str(to, r->info.version);
        add(to, "apiGroup", r->info.group);
        add(to, "resource", r->info.resource);
        add(to, "subresource", r->info.subresource);
        add(to, "namespace", r->info.namespace_);
        add(to, "name", r->info.name);
        buf_add_char(to, '}');
    }
    int status = r->core.answered_status   ? r->core.answered_status
                 : r->err.code == ERR_NONE ? 200
                                           : error_http_status(r->err.code);
    buf_addf(to, ",\"responseStatus\":{\"code\":%d},\"requestReceivedTimestamp\":\"%s\"", status,
             time_format_micro(r->wall_ms * 1000, text));
    buf_addf(to, ",\"stageTimestamp\":\"%s\"}\n", time_format_micro(env_wall_ms(r->server->env) * 1000, text));
    if (to->full) {
        buf_truncate(to, start.n);
        to->full = false;
    }
}

enum phase_result phase_audit_received(struct request *r)
{
    (void)r;
    return PHASE_DONE; /* at metadata level only completed requests are written */
}

enum phase_result phase_audit_complete(struct request *r)
{
    struct audit *a = audit_of(r);
    metrics_count(r);
    throttle_release(r);
    if (!a)
        return PHASE_DONE;
    size_t before = a->gathered.n;
    write_event(r, &a->gathered);
    if (a->gathered.n == before)
        a->dropped++;
    if (!a->busy && !loop_timer_running(&a->timer))
        loop_timer_start(&a->timer, WRITE_EVERY_MS);
    return PHASE_DONE;
}

int audit_init(struct server *s, struct error *err)
{
    (void)err;
    if (!s->config.audit_file)
        return 0;
    struct audit *a = xnew(struct audit);
    *a = (struct audit){ .server = s, .path = s->config.audit_file, .max_bytes = s->config.audit_max_bytes };
    a->gathered.max = a->writing.max = GATHERED_MAX_BYTES;
    loop_timer_init(&a->timer, s->loop, on_timer, a);
    server_part_set(s, SERVER_PART_audit, a);
    return 0;
}

void audit_done(struct server *s)
{
    struct audit *a = server_part(s, SERVER_PART_audit);
    if (!a)
        return;
    loop_timer_stop(&a->timer);
    a->ending = true;
    if (!a->busy) {
        struct buf gathered = a->gathered;
        a->gathered = a->writing;
        a->writing = gathered;
        write_lines(a);
    }
    buf_done(&a->gathered);
    if (a->busy)
        return; /* the worker's end frees it */
    buf_done(&a->writing);
    free(a);
}
