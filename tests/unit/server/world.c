/* A server on the memory store and a simulated loop. */
#include "world.h"

#include <stdio.h>

static bool is_done(void *arg)
{
    return *(bool *)arg;
}

static void on_ready(void *arg, const struct error *err)
{
    if (err)
        FAIL("the server did not start: %s", error_text(err));
    *(bool *)arg = true;
}

void world_start_with(struct world *w, const struct server_config *config)
{
    *w = (struct world){ 0 };
    w->body.max = 64 * MIB;
    struct server_config own = *config;
    w->guest = own.loop;
    if (!w->guest)
        env_sim_init(&w->sim, test_seed(), 1790000000000);
    w->loop = w->guest ? own.loop : loop_new_sim(&w->sim);
    own.loop = w->loop;
    w->server = server_new(&own);
    bool ready = false;
    server_start(w->server, on_ready, &ready);
    ASSERT(loop_sim_run_until(w->loop, is_done, &ready, 10000));
    static const struct str groups[] = { STR_INIT("system:masters") };
    struct http_peer peer = {
        .certificate = true, .common_name = STR("tester"), .organizations = groups, .organizations_count = 1
    };
    w->client = http_client_new_local(w->loop, server_handler, w->server, &peer);
}

void world_start(struct world *w)
{
    world_start_with(w, &(struct server_config){ 0 });
}

static void on_stopped(void *arg, const struct error *err)
{
    if (err)
        FAIL("the server did not stop: %s", error_text(err));
    *(bool *)arg = true;
}

void world_stop(struct world *w)
{
    bool stopped = false;
    http_client_free(w->client);
    server_stop(w->server, on_stopped, &stopped);
    ASSERT(loop_sim_run_until(w->loop, is_done, &stopped, 60000));
    if (!w->guest)
        loop_free(w->loop);
    arena_done(&w->arena);
    buf_done(&w->body);
}

void world_advance(struct world *w, int64_t ms)
{
    loop_sim_advance(w->loop, ms);
}

static void on_answer(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct world *w = arg;
    w->done = true;
    if (!head)
        FAIL("no answer: %s", error_text(err));
    w->status = head->status;
    buf_add(&w->body, body);
    w->content_type_in = arena_str(&w->arena, http_response_header(head, STR("content-type")));
    w->warning = arena_str(&w->arena, http_response_header(head, STR("warning")));
    w->retry_after = arena_str(&w->arena, http_response_header(head, STR("retry-after")));
    w->etag = arena_str(&w->arena, http_response_header(head, STR("etag")));
}

int ask(struct world *w, const char *method, const char *target, const char *body)
{
    AUTO_FREE char *copy = xstrdup(body ? body : ""), *where = xstrdup(target);
    arena_reset(&w->arena);
    buf_clear(&w->body);
    w->done = false;
    w->tree = NULL;
    struct http_header headers[] = {
        { STR("accept"), str_of(w->accept ? w->accept : "application/json") },
        { STR("content-type"), str_of(w->content_type ? w->content_type : "application/json") },
    };
    struct http_call_request request = {
        .method = str_of(method),
        .target = str_of(where),
        .headers = headers,
        .headers_count = 2,
        .body = str_of(copy),
    };
    http_client_fetch(w->client, &request, 64 * MIB, on_answer, w);
    if (!loop_sim_run_until(w->loop, is_done, &w->done, 60000))
        FAIL("no answer to %s %s", method, target);
    if (str_starts(w->content_type_in, STR("application/json")))
        w->tree = value_parse(&w->arena, buf_str(&w->body), NULL, NULL);
    return w->status;
}

int askf(struct world *w, const char *method, const char *body, const char *target_format, ...)
{
    va_list args;
    va_start(args, target_format);
    AUTO_ARENA struct arena a = { 0 };
    struct str target = arena_vprintf(&a, target_format, args);
    va_end(args);
    return ask(w, method, target.p, body);
}

static struct value *value_at(struct world *w, const char *path)
{
    struct str rest = str_of(path), part;
    struct value *v = w->tree;
    while (v && str_next(&rest, '.', &part)) {
        uint64_t i;
        if (value_type(v) == VALUE_ARRAY)
            v = str_to_u64(part, &i) && i < v->items_count ? v->items[i] : NULL;
        else
            v = value_type(v) == VALUE_OBJECT ? value_get_str(v, part) : NULL;
    }
    return v;
}

struct str text_at(struct world *w, const char *path)
{
    struct value *v = value_at(w, path);
    if (!v || value_type(v) == VALUE_STRING)
        return v ? value_to_str(v) : STR("");
    struct buf text = BUF_MAX(64 * MIB);
    value_write(&text, v);
    struct str copy = arena_str(&w->arena, buf_str(&text));
    buf_done(&text);
    return copy;
}

int64_t int_at(struct world *w, const char *path)
{
    return value_to_int(value_at(w, path), INT64_MIN);
}

const char *keep_at(struct world *w, const char *path)
{
    static char kept[16][512];
    static int next;
    char *to = kept[next++ % 16];
    struct str s = text_at(w, path);
    ASSERT(s.n < 512);
    memcpy(to, s.p, s.n);
    to[s.n] = 0;
    return to;
}

int make_object(struct world *w, const char *collection, const char *name, const char *labels_json)
{
    AUTO_FREE char *body = xasprintf("{\"metadata\":{\"name\":\"%s\",\"labels\":%s}}", name, labels_json);
    return ask(w, "POST", collection, body);
}

/* --- watches ---------------------------------------------------------------------------------------------------------------- */

static void on_head(struct http_call *call, const struct http_response *head, void *arg)
{
    (void)call;
    ((struct follower *)arg)->status = head->status;
}

static void on_body(struct http_call *call, struct str bytes, void *arg)
{
    (void)call;
    buf_add(&((struct follower *)arg)->lines, bytes);
}

static void on_call_done(struct http_call *call, const struct error *err, void *arg)
{
    (void)call;
    (void)err;
    ((struct follower *)arg)->done = true;
}

void follow(struct world *w, struct follower *f, const char *target)
{
    static const struct http_call_callbacks callbacks = { .on_head = on_head,
                                                          .on_body = on_body,
                                                          .on_done = on_call_done };
    *f = (struct follower){ .world = w, .lines = BUF_MAX(64 * MIB) };
    struct http_header accept = { STR("accept"), str_of(w->accept ? w->accept : "application/json") };
    struct http_call_request request = {
        .method = STR("GET"), .target = str_of(target), .headers = &accept, .headers_count = 1
    };
    f->call = http_client_call(w->client, &request, &callbacks, f);
    loop_sim_run_until_idle(w->loop);
}

static bool has_line(void *arg)
{
    struct follower *f = arg;
    return f->done || (f->lines.n && memchr(f->lines.p, '\n', f->lines.n));
}

struct str last_event_json(struct follower *f)
{
    struct str rest = buf_str(&f->lines), line;
    str_cut(&rest, '\n', &line);
    return line;
}

const char *next_event(struct follower *f)
{
    static char text[512];
    text[0] = 0;
    loop_sim_run_until(f->world->loop, has_line, f, 5000);
    struct str line = last_event_json(f);
    if (f->lines.n == 0)
        return text;
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = value_parse(&a, line, NULL, NULL), *object = value_get_str(v, STR("object"));
    struct str name = value_to_str(value_get_str(value_get_str(object, STR("metadata")), STR("name")));
    struct str type = value_to_str(value_get_str(v, STR("type")));
    if (str_is(type, "ERROR"))
        name = value_to_str(value_get_str(object, STR("message")));
    snprintf(text, sizeof(text), "%.*s %.*s", STR_ARG(type), STR_ARG(name));
    buf_drop(&f->lines, line.n + 1);
    return text;
}

void unfollow(struct follower *f)
{
    if (!f->done)
        http_call_cancel(f->call);
    loop_sim_run_until_idle(f->world->loop);
    buf_done(&f->lines);
}
