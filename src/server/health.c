/* /healthz, /livez, /readyz: all checks, one check, verbose, without some. Source: apiserver/pkg/server/healthz. */
#include "server/discovery.h"
#include "server/fresh.h"
#include "server/response.h"
#include "server/server_internal.h"
#include "server/servers.h"

static bool health_ping(struct server *s)
{
    (void)s;
    return true;
}

static bool health_store(struct server *s)
{
    return s->store != NULL;
}

static bool health_store_writes(struct server *s)
{
    struct store_stats stats = { 0 };
    store_stats(s->store, &stats);
    return !stats.read_only && !servers_refuse_writes(s);
}

static bool health_store_quorum(struct server *s)
{
    return !server_part(s, SERVER_PART_fresh) || !fresh_is_cut_off(s);
}

static bool health_loaded(struct server *s)
{
    return s->ready;
}

static bool health_not_stopping(struct server *s)
{
    return !s->stopping;
}

static const struct {
    const char *name;
    bool live;
    bool (*check)(struct server *s);
} checks[] = {
#define HEALTH_CHECK(name, live, check) { name, live, check },
#include "server/health.def"
#undef HEALTH_CHECK
};

static bool excluded(struct request *r, const char *name)
{
    struct str query = r->exchange->request->query, key, value;
    while (http_query_next(&query, &r->arena, &key, &value))
        if (str_is(key, "exclude") && str_is(value, name))
            return true;
    return false;
}

enum phase_result health_path(struct request *r)
{
    if (!r->exchange)
        return request_fail(r, ERR_METHOD_NOT_ALLOWED, "this path answers only over HTTP");
    struct str rest = str_from(r->info.path, 1), which, one;
    str_cut(&rest, '/', &which);
    one = rest;
    bool live = str_is(which, "livez"), fine = true, found = str_empty(one);
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        if ((live && !checks[i].live) || (!str_empty(one) && !str_is(one, checks[i].name)))
            continue;
        found = true;
        if (str_empty(one) && excluded(r, checks[i].name)) {
            buf_addf(&text, "[+]%s excluded: ok\n", checks[i].name);
            continue;
        }
        bool ok = checks[i].check(r->server);
        fine = fine && ok;
        buf_addf(&text, ok ? "[+]%s ok\n" : "[-]%s failed: reason withheld\n", checks[i].name);
    }
    if (!found)
        return request_fail(r, ERR_NOT_FOUND, "the server could not find the requested resource");
    bool verbose = http_query_has(r->exchange->request->query, STR("verbose"));
    if (fine && !(verbose && str_empty(one)))
        return request_answer(r, 200, STR("text/plain; charset=utf-8"), STR("ok"));
    buf_addf(&text, "%.*s check %s\n", STR_ARG(which), fine ? "passed" : "failed");
    return request_answer(r, fine ? 200 : 500, STR("text/plain; charset=utf-8"), buf_str(&text));
}
