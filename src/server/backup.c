/*
 * GET /klein/v1/backup: every object at one revision, and its digest (backup/dump.h). For administrators.
 *
 * The state's snapshots cost nothing and never change, so a backup holds up no writer; what it takes is a piece of the answer, and
 * the old versions of what changes meanwhile. Digests are computed here, from what is in memory, and not from what anybody wrote into a file.
 * `?stale=true` leaves out the question whether this server has seen everything: for a cluster that has lost its majority.
 */
#include "server/backup.h"

#include "backup/dump.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "object/value.h"
#include "server/response.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define PIECE_BYTES (256 * KIB)
#define VALUE_TEXT  STR("\"resourceVersion\":")

struct dump {
    struct request *request;
    struct object_set *sets; /* by kind */
    struct object_cursor cursor;
    size_t kind;
    bool in_kind, ended;
    uint64_t objects;
    EVP_MD_CTX *digests;
};

/* The stored form of an object in memory: its text without the resourceVersion, which the store keeps apart. */
static void write_value(struct buf *to, const struct object *o)
{
    struct str text = object_json(o);
    struct str number =
        view_json(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_RESOURCE_VERSION)); /* any kind's */
    if (!number.p) {
        buf_add(to, text);
        return;
    }
    size_t from = (size_t)(number.p - text.p) - VALUE_TEXT.n, until = (size_t)(number.p - text.p) + number.n;
    assert(str_eq(str_part(text, from, VALUE_TEXT.n), VALUE_TEXT));
    if (text.p[until] == ',')
        until++;
    else if (text.p[from - 1] == ',')
        from--;
    buf_add(to, str_part(text, 0, from));
    buf_add(to, str_from(text, until));
}

void backup_write_object(struct buf *to, const struct kind *k, const struct object *o, enum record_type type,
                         int64_t time_ms, unsigned char ret_digest[SHA256_SIZE])
{
    AUTO_BUF struct buf key = BUF_MAX(STORE_KEY_MAX), value = BUF_MAX(OBJECT_SIZE_MAX + KIB);
    state_key(&key, k, object_namespace(o), object_name(o));
    if (type != RECORD_DELETE)
        write_value(&value, o);
    segment_record_write(to, &(struct record){ .type = type,
                                               .key = buf_str(&key),
                                               .value = buf_str(&value),
                                               .revision = object_revision(o),
                                               .time_ms = time_ms });
    if (!ret_digest)
        return;
    record_digest(buf_str(&key), object_revision(o), buf_str(&value), ret_digest);
    segment_record_write(to, &(struct record){ .type = RECORD_DIGEST,
                                               .key = buf_str(&key),
                                               .revision = object_revision(o),
                                               .value = { (const char *)ret_digest, SHA256_SIZE } });
}

struct str backup_cluster_id(struct server *s)
{
    return object_uid(state_get(s->state, &kind_namespace, STR_NONE, STR("kube-system")));
}

static void write_head(struct dump *d, struct buf *to)
{
    struct server *s = d->request->server;
    AUTO_BUF struct buf json = BUF_MAX(4 * KIB);
    int64_t now_ms = env_wall_ms(s->env);
    char time[TIME_TEXT_SIZE];
    buf_addf(&json, "{\"formatVersion\":%d,\"kleinVersion\":\"%s\",\"cluster\":\"%.*s\",\"server\":", BACKUP_FORMAT,
             KLEIN_VERSION, STR_ARG(backup_cluster_id(s)));
    json_write_str(&json, str_of(s->config.name ? s->config.name : "server"));
    buf_addf(&json, ",\"engine\":\"%s\",\"revision\":\"%llu\",\"time\":\"%s\",\"timeMs\":%lld}",
             s->config.servers.store ? s->config.servers.store : "sqlite", (unsigned long long)state_revision(s->state),
             time_format(now_ms, time), (long long)now_ms);
    segment_record_write(to, &(struct record){ .type = RECORD_HEAD, .value = buf_str(&json) });
}

static void write_end(struct dump *d, struct buf *to)
{
    AUTO_BUF struct buf json = BUF_MAX(KIB);
    unsigned char digest[SHA256_SIZE];
    EVP_DigestFinal_ex(d->digests, digest, NULL);
    buf_addf(&json, "{\"objects\":%llu,\"digest\":\"", (unsigned long long)d->objects);
    hex_encode(&json, (struct str){ (const char *)digest, sizeof(digest) });
    buf_add_text(&json, "\"}");
    segment_record_write(to, &(struct record){ .type = RECORD_END, .value = buf_str(&json) });
    d->ended = true;
}

static const struct object *next_object(struct dump *d)
{
    for (; d->kind < kinds_count; d->kind++, d->in_kind = false) {
        if (!d->in_kind)
            object_set_seek(&d->sets[d->kind], STR_NONE, STR_NONE, &d->cursor);
        d->in_kind = true;
        const struct object *o = object_cursor_next(&d->cursor);
        if (o)
            return o;
    }
    return NULL;
}

static void fill(struct dump *d, struct buf *to)
{
    unsigned char digest[SHA256_SIZE];
    while (!d->ended && to->n < PIECE_BYTES) {
        const struct object *o = next_object(d);
        if (!o) {
            write_end(d, to);
            return;
        }
        backup_write_object(to, kinds[d->kind], o, RECORD_OBJECT, 0, digest);
        EVP_DigestUpdate(d->digests, digest, sizeof(digest));
        d->objects++;
    }
}

static void dump_done(struct dump *d)
{
    for (size_t i = 0; d->sets && i < kinds_count; i++)
        object_set_done(&d->sets[i]);
    free(TAKE(d->sets));
    EVP_MD_CTX_free(TAKE(d->digests));
}

static void free_bytes(void *p)
{
    free(p);
}

/* True when everything is written; false when the client must read first. */
static bool pump(struct dump *d)
{
    while (!d->ended) {
        AUTO_BUF struct buf piece = BUF_MAX(PIECE_BYTES + 8 * MIB);
        fill(d, &piece);
        size_t n;
        char *p = buf_take(&piece, &n);
        if (!http_exchange_write(d->request->exchange, (struct http_bytes){ { p, n }, free_bytes, p }) && !d->ended)
            return false;
    }
    http_exchange_end(TAKE(d->request->exchange));
    dump_done(d);
    return true;
}

static void on_drained(struct http_exchange *x, void *user)
{
    struct request *r = user;
    (void)x;
    if (pump(r->perform))
        request_resume(r, PHASE_ANSWERED);
}

static void stop(struct request *r)
{
    r->gone = true;
    r->cancel = NULL;
    http_exchange_abort(TAKE(r->exchange));
    dump_done(r->perform);
    request_resume(r, PHASE_ANSWERED);
}

static void on_gone(struct http_exchange *x, void *user)
{
    (void)x;
    stop(user);
}

static void begin(struct dump *d)
{
    static const struct http_exchange_callbacks callbacks = { .on_drained = on_drained, .on_gone = on_gone };
    struct request *r = d->request;
    struct state *state = r->server->state;
    d->sets = xcalloc(kinds_count, sizeof(*d->sets));
    for (size_t i = 0; i < kinds_count; i++)
        if (!alias_is(kinds[i]) && (kinds[i]->verbs & VERB_GET))
            d->sets[i] = state_snapshot(state, kinds[i]);
    d->digests = EVP_MD_CTX_new();
    if (!d->digests || EVP_DigestInit_ex(d->digests, EVP_sha256(), NULL) != 1)
        abort();
    struct http_response head = response_head(r, 200, STR("application/vnd.klein.backup"), NULL, 0);
    http_exchange_set_callbacks(r->exchange, &callbacks, r);
    http_exchange_start(r->exchange, &head);
    r->cancel = stop;
    AUTO_BUF struct buf first = BUF_MAX(8 * KIB);
    write_head(d, &first);
    http_exchange_write_copy(r->exchange, buf_str(&first));
}

/* Everything committed before the question is in the state now. */
static void on_barrier(void *arg, uint64_t revision, const struct error *err)
{
    struct request *r = arg;
    (void)revision;
    if (r->gone) {
        request_resume(r, PHASE_FAILED);
        return;
    }
    if (err) {
        fail(&r->err, err->code, "this server cannot tell whether it has seen everything: %s", error_text(err));
        request_resume(r, PHASE_FAILED);
        return;
    }
    begin(r->perform);
    if (pump(r->perform))
        request_resume(r, PHASE_ANSWERED);
}

enum phase_result backup_dump(struct request *r)
{
    struct str stale = STR_NONE;
    if (!str_is(r->info.verb, "get") || !r->exchange)
        return request_fail(r, ERR_METHOD_NOT_ALLOWED, "a backup is read by GET over HTTP");
    if (!http_query_get(r->exchange->request->query, &r->arena, STR("stale"), &stale))
        stale = STR_NONE;
    struct dump *d = arena_new(&r->arena, struct dump);
    d->request = r;
    r->perform = d;
    if (!str_is(stale, "true")) {
        store_barrier(r->server->store, on_barrier, r);
        return PHASE_WAIT;
    }
    begin(d);
    return pump(d) ? PHASE_ANSWERED : PHASE_WAIT;
}
