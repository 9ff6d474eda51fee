/* Parsing the path of a request into group, version, namespace, resource, name and subresource. */
#include "server/request_path.h"

#include "base/codec.h"

#define SEGMENTS_MAX 32 /* deepest served: /api/v1/namespaces/N/services/N/proxy/... and the rest is kept whole */

struct segments {
    struct str items[SEGMENTS_MAX];
    const char *raw_after[SEGMENTS_MAX]; /* where the raw path goes on behind this segment */
    size_t count;
};

static int decode_segment(struct arena *a, struct str raw, struct str *ret, struct error *err)
{
    if (str_find(raw, '%') < 0) {
        *ret = raw;
    } else {
        AUTO_BUF struct buf decoded = BUF_MAX(raw.n + 1);
        bool ok;
        percent_decode(&decoded, raw, false, &ok);
        if (!ok)
            return fail(err, ERR_BAD_REQUEST, "the path has an invalid percent-encoding");
        *ret = arena_str(a, buf_str(&decoded));
    }
    if (str_empty(*ret) || str_is(*ret, ".") || str_is(*ret, "..") || str_find(*ret, '/') >= 0)
        return fail(err, ERR_BAD_REQUEST, "the path is not canonical");
    for (size_t i = 0; i < ret->n; i++)
        if ((unsigned char)ret->p[i] < 0x20 || ret->p[i] == 0x7f)
            return fail(err, ERR_BAD_REQUEST, "the path has a control character");
    if (!str_is_utf8(*ret))
        return fail(err, ERR_BAD_REQUEST, "the path is not UTF-8");
    return 0;
}

static int split(struct arena *a, struct str path, struct segments *s, struct error *err)
{
    const char *end = path.p + path.n;
    struct str rest = str_from(path, 1), raw;
    if (str_ends(rest, STR("/")))
        rest.n--; /* one slash at the end means nothing */
    while (str_next(&rest, '/', &raw)) {
        if (s->count == SEGMENTS_MAX)
            break;
        if (decode_segment(a, raw, &s->items[s->count], err) < 0)
            return -1;
        const char *after = raw.p + raw.n;
        s->raw_after[s->count++] = after < end ? after + 1 : after;
    }
    if (s->count < SEGMENTS_MAX)
        return 0;
    /* Only what stands behind .../proxy/ may be so deep; it is not looked at, but must not climb. */
    while (str_next(&rest, '/', &raw))
        if (str_is(raw, "..") || str_is(raw, "."))
            return fail(err, ERR_BAD_REQUEST, "the path is not canonical");
    return 0;
}

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_strdup(a, s);
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] |= 0x20;
    return (struct str){ p, s.n };
}

static struct str resource_verb(struct str method, bool has_name)
{
    if (str_is(method, "GET") || str_is(method, "HEAD"))
        return has_name ? STR("get") : STR("list");
    if (str_is(method, "POST"))
        return STR("create");
    if (str_is(method, "PUT"))
        return STR("update");
    if (str_is(method, "PATCH"))
        return STR("patch");
    if (str_is(method, "DELETE"))
        return has_name ? STR("delete") : STR("deletecollection");
    return STR_NONE;
}

static bool is_namespace_subresource(struct str s)
{
    return str_is(s, "status") || str_is(s, "finalize");
}

static struct str join_path(struct arena *a, const struct segments *s)
{
    AUTO_BUF struct buf path = BUF_MAX(64 * KIB);
    for (size_t i = 0; i < s->count; i++) {
        buf_add_char(&path, '/');
        buf_add(&path, s->items[i]);
    }
    return s->count ? arena_str(a, buf_str(&path)) : STR("/");
}

int request_path_parse(struct arena *a, struct str method, struct str path, struct request_info *ret, struct error *err)
{
    *ret = (struct request_info){ 0 };
    if (!str_starts(path, STR("/")))
        return fail(err, ERR_BAD_REQUEST, "the path must start with a slash");
    struct segments s = { .count = 0 };
    if (split(a, path, &s, err) < 0)
        return -1;
    ret->path = join_path(a, &s);
    ret->verb = lower(a, method);
    size_t at;
    if (s.count >= 3 && str_is(s.items[0], "api")) {
        ret->version = s.items[1];
        at = 2;
    } else if (s.count >= 4 && str_is(s.items[0], "apis")) {
        ret->group = s.items[1];
        ret->version = s.items[2];
        at = 3;
    } else {
        return 0;
    }
    ret->is_resource = true;
    if (str_is(s.items[at], "namespaces") && s.count > at + 1) {
        ret->namespace_ = s.items[at + 1];
        if (s.count > at + 2 && !is_namespace_subresource(s.items[at + 2]))
            at += 2;
    }
    ret->resource = s.items[at];
    ret->name = s.count > at + 1 ? s.items[at + 1] : STR_NONE;
    ret->subresource = s.count > at + 2 ? s.items[at + 2] : STR_NONE;
    if (s.count > at + 3) {
        if (!str_is(ret->subresource, "proxy"))
            return fail(err, ERR_NOT_FOUND, "the server could not find the requested resource");
        ret->rest = (struct str){ s.raw_after[at + 2], (size_t)(path.p + path.n - s.raw_after[at + 2]) };
    }
    ret->verb = resource_verb(method, !str_empty(ret->name));
    if (str_empty(ret->verb))
        return fail(err, ERR_METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource");
    return 0;
}
