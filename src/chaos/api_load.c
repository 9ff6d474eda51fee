/* Writer, reader and watcher of the API. */
#include "chaos/api_load.h"

#include "base/file.h"
#include "base/time.h"
#include "object/object.h"
#include "transport/http_client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NAME_PREFIX "prove-write-"
#define LINE_MAX_BYTES                                                                                                 \
    (16 * MIB) /* others write large objects into the namespace, too: each is one line of the watch */
#define LIST_MAX_BYTES  (256 * MIB)
#define RECONNECT_MS    50
#define DRAIN_MS        (PROBE_LIMIT_US / 1000 + 500)
#define VERIFY_LIMIT_MS (60 * SECOND_MS)
#define CATCH_UP_MS     (5 * SECOND_MS)

struct load {
    struct loop *loop;
    struct http_client *client, *watch_client;
    struct tls_context *tls;
    const struct api_load_options *o;
    struct probe_log *log;
    struct api_load_findings *found;
    char *path;
    int64_t began_us, stopped_ms, verify_until_ms;
    struct loop_timer tick, watch_timer;
    uint8_t *told;        /* by number of a write: how often the watcher was told */
    int64_t last_written; /* number of the last acknowledged write, -1: none */
    uint64_t watched;     /* the last revision the watcher was told */
    struct http_call *watch;
    bool watch_listed;
    struct buf line;
};

struct call {
    struct load *load;
    uint32_t index;
    int status;
};

static bool number_of_name(struct str name, uint64_t *ret)
{
    return str_starts(name, STR(NAME_PREFIX)) && str_to_u64(str_from(name, sizeof(NAME_PREFIX) - 1), ret);
}

/* --- writes and reads ------------------------------------------------------------------------------------------------------------- */

static void on_call_head(UNUSED struct http_call *http, const struct http_response *head, void *arg)
{
    ((struct call *)arg)->status = head->status;
}

static void on_call_done(UNUSED struct http_call *http, const struct error *err, void *arg)
{
    struct call *c = arg;
    struct load *l = c->load;
    struct probe *p = &l->log->probes[c->index];
    bool write = p->flow == API_FLOW_WRITE, ok = c->status == (write ? 201 : 200);

    if (err)
        probe_finish(p,
                     err->code == ERR_TIMEOUT   ? PROBE_TIMEOUT
                     : err->sys == ECONNREFUSED ? PROBE_REFUSED
                                                : PROBE_RESET,
                     0, time_monotonic_us());
    else
        probe_finish(p, ok ? PROBE_OK : c->status == 404 ? PROBE_WRONG : PROBE_STATUS, c->status, time_monotonic_us());
    /* The acknowledgement counts, also one that came too late for the statistics. */
    if (write && !err && ok) {
        l->found->acknowledged++;
        p->pod = 1;
        l->last_written = MAX(l->last_written, (int64_t)(c->index / 2));
    }
    free(c);
}

static void begin(struct load *l, uint32_t index)
{
    static const struct http_call_callbacks callbacks = { .on_head = on_call_head, .on_done = on_call_done };
    struct http_header headers[] = { { STR("Accept"), STR("application/json") },
                                     { STR("Content-Type"), STR("application/json") } };
    struct probe *p = &l->log->probes[index];
    bool write = index % 2 == API_FLOW_WRITE;
    struct call *c = xnew(struct call);
    AUTO_FREE char *name = xasprintf(NAME_PREFIX "%lld", (long long)(write ? index / 2 : l->last_written));
    AUTO_FREE char *target = write || l->last_written < 0 ? xstrdup(l->path) : xasprintf("%s/%s", l->path, name);
    AUTO_FREE char *body = xasprintf(
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"},\"data\":{\"number\":\"%u\"}}",
        name, (unsigned)(index / 2));

    *p = (struct probe){ .due_us = l->began_us + (int64_t)index * 500000 / l->o->rate,
                         .flow = index % 2,
                         .pod = PROBE_NO_POD };
    *c = (struct call){ .load = l, .index = index };
    http_client_call(l->client,
                     &(struct http_call_request){ .method = write ? STR("POST") : STR("GET"),
                                                  .target = str_of(target),
                                                  .headers = headers,
                                                  .headers_count = write ? 2 : 1,
                                                  .body = write ? str_of(body) : STR_NONE,
                                                  .timeout_ms = PROBE_LIMIT_US / 1000,
                                                  .total_timeout_ms = PROBE_LIMIT_US / 1000 },
                     &callbacks, c);
}

/* --- the watch ------------------------------------------------------------------------------------------------------------------------ */

static void tell(struct load *l, struct str name, uint64_t revision, bool listed)
{
    uint64_t number;

    if (!listed && revision <= l->watched)
        l->found->watch_disorder++;
    l->watched = MAX(l->watched, revision);
    if (!number_of_name(name, &number) || number >= l->log->capacity)
        return;
    if (listed) {
        l->told[number] = MAX(l->told[number], 1);
        return;
    }
    l->found->watch_events++;
    if (l->told[number]++)
        l->found->watch_repeated++;
    l->told[number] = MIN(l->told[number], 2);
}

static void take_line(struct load *l, struct str line)
{
    AUTO_OBJECT struct object *o = object_parse(line, NULL);
    struct view root = object_root(o), object = view_get_str(root, STR("object"));
    struct str type = view_str(view_get_str(root, STR("type")));
    struct view metadata = view_get_str(object, STR("metadata"));
    uint64_t revision = 0;

    if (str_is(type, "ERROR")) {
        l->watch_listed = false;
        l->found->watch_gone++;
        return;
    }
    str_to_u64(view_str(view_get_str(metadata, STR("resourceVersion"))), &revision);
    if (str_is(type, "ADDED"))
        tell(l, view_str(view_get_str(metadata, STR("name"))), revision, false);
    else if (str_is(type, "BOOKMARK") && revision >= l->watched)
        l->watched = revision;
}

static void on_watch_head(UNUSED struct http_call *http, const struct http_response *head, void *arg)
{
    struct load *l = arg;

    if (head->status == 410) {
        l->watch_listed = false;
        l->found->watch_gone++;
    }
}

static void on_watch_body(UNUSED struct http_call *http, struct str bytes, void *arg)
{
    struct load *l = arg;

    buf_add(&l->line, bytes);
    for (;;) {
        ptrdiff_t end = str_find(buf_str(&l->line), '\n');
        if (end < 0)
            break;
        take_line(l, str_part(buf_str(&l->line), 0, (size_t)end));
        buf_drop(&l->line, (size_t)end + 1);
    }
}

static void on_watch_done(UNUSED struct http_call *http, UNUSED const struct error *err, void *arg)
{
    struct load *l = arg;

    l->watch = NULL;
    l->found->watch_reconnects++;
    buf_clear(&l->line);
    loop_timer_start(&l->watch_timer, RECONNECT_MS);
}

static void take_list(struct load *l, struct str body, void (*fn)(struct load *l, struct str name, uint64_t revision))
{
    struct object *o = object_parse_limit(body, LIST_MAX_BYTES, NULL);
    struct view_iter it = { 0 };
    uint64_t revision;

    while (fn && view_next(view_get_str(object_root(o), STR("items")), &it)) {
        struct view metadata = view_get_str(it.value, STR("metadata"));
        fn(l, view_str(view_get_str(metadata, STR("name"))), 0);
    }
    if (str_to_u64(view_str(view_get_str(view_get_str(object_root(o), STR("metadata")), STR("resourceVersion"))),
                   &revision)) {
        l->watched = MAX(l->watched, revision);
        l->watch_listed = true;
    }
    object_unref(o);
}

static void tell_listed(struct load *l, struct str name, uint64_t revision)
{
    tell(l, name, revision, true);
}

static void on_listed(void *arg, const struct http_response *head, struct str body, UNUSED const struct error *err)
{
    struct load *l = arg;

    l->watch = NULL;
    if (head && head->status == 200)
        take_list(l, body, tell_listed);
    loop_timer_start(&l->watch_timer, l->watch_listed ? 0 : RECONNECT_MS);
}

static void watch(void *arg)
{
    static const struct http_call_callbacks callbacks = { .on_head = on_watch_head,
                                                          .on_body = on_watch_body,
                                                          .on_done = on_watch_done };
    struct load *l = arg;
    struct http_header accept = { STR("Accept"), STR("application/json") };
    AUTO_FREE char *target = xasprintf("%s?watch=true&allowWatchBookmarks=true&resourceVersion=%llu", l->path,
                                       (unsigned long long)l->watched);
    struct http_call_request request = { .method = STR("GET"),
                                         .target = str_of(target),
                                         .headers = &accept,
                                         .headers_count = 1,
                                         .timeout_ms = PROBE_LIMIT_US / 1000 };

    if (l->watch_listed) {
        l->watch = http_client_call(l->watch_client, &request, &callbacks, l);
        return;
    }
    request.target = str_of(l->path);
    request.total_timeout_ms = 10 * SECOND_MS;
    l->watch = http_client_fetch(l->watch_client, &request, LIST_MAX_BYTES, on_listed, l);
}

/* --- the end ---------------------------------------------------------------------------------------------------------------------------- */

static uint8_t *listed; /* by number: in the last list */
static size_t listed_count;

static void mark_listed(UNUSED struct load *l, struct str name, UNUSED uint64_t revision)
{
    uint64_t number;

    if (number_of_name(name, &number) && number < listed_count)
        listed[number] = 1;
}

static void compare(struct load *l)
{
    uint32_t sent = atomic_load(&l->log->sent);

    for (uint32_t i = API_FLOW_WRITE; i < sent; i += 2) {
        bool acknowledged = l->log->probes[i].pod == 1;
        l->found->lost += acknowledged && !listed[i / 2];
        l->found->unsure_kept += !acknowledged && listed[i / 2];
        l->found->watch_missed += acknowledged && !l->told[i / 2];
    }
    l->found->verified = true;
    loop_stop(l->loop);
}

static void verify(void *arg);

static bool all_told(const struct load *l)
{
    for (uint32_t i = API_FLOW_WRITE; i < atomic_load(&l->log->sent); i += 2)
        if (l->log->probes[i].pod == 1 && !l->told[i / 2])
            return false;
    return true;
}

static void check_told(void *arg)
{
    struct load *l = arg;

    if (all_told(l) || loop_now_ms(l->loop) > l->verify_until_ms)
        compare(l);
    else
        loop_timer_start(&l->tick, 50);
}

static void on_verified(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct load *l = arg;
    uint64_t watched = l->watched;

    if (head && head->status == 200) {
        take_list(l, body, mark_listed);
        l->watched = watched; /* what the list told is still to be told by the watch */
        l->verify_until_ms = loop_now_ms(l->loop) + CATCH_UP_MS;
        loop_timer_init(&l->tick, l->loop, check_told, l);
        loop_timer_start(&l->tick, 0);
        return;
    }
    snprintf(l->found->error, sizeof(l->found->error), "%s", err ? error_text(err) : "the list was refused");
    loop_timer_init(&l->tick, l->loop, verify, l);
    loop_timer_start(&l->tick, 200);
}

static void verify(void *arg)
{
    struct load *l = arg;
    struct http_header accept = { STR("Accept"), STR("application/json") };

    if (loop_now_ms(l->loop) > l->stopped_ms + VERIFY_LIMIT_MS) {
        loop_stop(l->loop);
        return;
    }
    http_client_fetch(l->client,
                      &(struct http_call_request){ .method = STR("GET"),
                                                   .target = str_of(l->path),
                                                   .headers = &accept,
                                                   .headers_count = 1,
                                                   .timeout_ms = 10 * SECOND_MS,
                                                   .total_timeout_ms = 20 * SECOND_MS },
                      LIST_MAX_BYTES, on_verified, l);
}

static void on_tick(void *arg)
{
    struct load *l = arg;
    int64_t now_us = time_monotonic_us();
    uint32_t sent = atomic_load(&l->log->sent);

    if (atomic_load(&l->log->stop) || sent == l->log->capacity) {
        l->stopped_ms = loop_now_ms(l->loop);
        listed_count = l->log->capacity;
        listed = xcalloc(listed_count, 1);
        loop_timer_init(&l->tick, l->loop, verify, l);
        loop_timer_start(&l->tick, DRAIN_MS);
        return;
    }
    for (; sent < l->log->capacity && l->began_us + (int64_t)sent * 500000 / l->o->rate <= now_us; sent++) {
        begin(l, sent);
        atomic_store(&l->log->sent, sent + 1);
    }
    loop_timer_start(&l->tick, 1 + (l->began_us + (int64_t)sent * 500000 / l->o->rate - now_us) / 1000);
}

/* --- the process ------------------------------------------------------------------------------------------------------------------------ */

static int read_pem(const char *folder, const char *file, struct buf *to, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, file);

    return file_read(path, to, err);
}

static struct tls_context *open_tls(const char *folder, struct error *err)
{
    AUTO_BUF struct buf ca = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf certificate = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf key_text = BUF_MAX(64 * KIB);
    AUTO_SECRET struct secret key = { 0 };

    if (read_pem(folder, "ca.crt", &ca, err) < 0 || read_pem(folder, "admin.crt", &certificate, err) < 0 ||
        read_pem(folder, "admin.key", &key_text, err) < 0)
        return NULL;
    secret_set(&key, buf_str(&key_text));
    explicit_bzero(key_text.p, key_text.n);
    return tls_context_new_client(&(struct tls_client_options){ .ca_pem = buf_str(&ca),
                                                                .certificate_pem = buf_str(&certificate),
                                                                .key_pem = &key },
                                  err);
}

static int run(struct load *l, struct error *err)
{
    struct http_client_options options = { .servers = l->o->servers,
                                           .servers_count = l->o->servers_count,
                                           .connect_timeout_ms = 500,
                                           .ping_interval_ms = 250 };

    l->tls = open_tls(l->o->pki_folder, err);
    if (!l->tls)
        return -1;
    options.tls = l->tls;
    l->loop = loop_new_system(env_system());
    l->client = http_client_new(l->loop, &options, err);
    l->watch_client = l->client ? http_client_new(l->loop, &options, err) : NULL;
    if (!l->watch_client)
        return -1;
    l->path = xasprintf("/api/v1/namespaces/%s/configmaps", l->o->space);
    l->told = xcalloc(l->log->capacity, 1);
    l->line.max = LINE_MAX_BYTES;
    l->last_written = -1;
    l->log->flows_count = 2;
    snprintf(l->log->flows[API_FLOW_WRITE], sizeof(l->log->flows[0]), "API writes");
    snprintf(l->log->flows[API_FLOW_READ], sizeof(l->log->flows[0]), "API reads");
    loop_timer_init(&l->tick, l->loop, on_tick, l);
    loop_timer_init(&l->watch_timer, l->loop, watch, l);
    l->began_us = time_monotonic_us() + 200000; /* after the first list */
    loop_timer_start(&l->watch_timer, 0);
    loop_timer_start(&l->tick, 200);
    loop_run(l->loop);
    return 0;
}

struct api_load_findings *api_load_findings_new(void)
{
    void *p = mmap(NULL, sizeof(struct api_load_findings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert(p != MAP_FAILED);
    return p;
}

void api_load_findings_free(struct api_load_findings *f)
{
    if (f)
        munmap(f, sizeof(*f));
}

int api_load_start(struct probe_log *log, struct api_load_findings *findings, const struct api_load_options *o,
                   pid_t *ret_pid, struct error *err)
{
    pid_t parent = getpid();

    *ret_pid = fork();
    if (*ret_pid < 0)
        return fail_sys(err, errno, "start the load on the API");
    if (*ret_pid > 0)
        return 0;
    struct load l = { .o = o, .log = log, .found = findings };
    AUTO_ERROR struct error own = { 0 };
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    prctl(PR_SET_NAME, "klein-api-load");
    signal(SIGINT, SIG_IGN);
    if (run(&l, &own) < 0)
        snprintf(findings->error, sizeof(findings->error), "%s", error_text(&own));
    atomic_store(&log->done, true);
    _exit(0); /* memory and sockets go with the process */
}
