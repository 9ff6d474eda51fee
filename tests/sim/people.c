/* Those who use the cluster: docs in people.h. */
#include "people.h"

#include "kinds/fields.h"
#include "object/value.h"

#include <stdio.h>
#include <stdlib.h>

#define CONFIGMAPS  4
#define REMEMBER_MS 30000

struct people {
    struct cluster_sim *cluster;
    struct process *process;
    struct api *api;
    struct cache *seen;
    struct loop_timer writes, wishes, again;
    unsigned counter;
    bool resting, concluded, made;
    int replicas, wished[32]; /* and when */
    int64_t wished_ms[32];
    size_t wishes_count;
    const char *image;
    size_t making;
};

struct asked {
    struct people *people;
    struct history_op *op;
    char *key, *value;
};

static struct sim *sim_of(struct people *p)
{
    return p->cluster->sim;
}

static uint64_t below(struct people *p, uint64_t n)
{
    return env_random_below(&p->process->env.env, n);
}

/* --- ConfigMaps ------------------------------------------------------------------------------------------------------------------ */

static struct str value_of(const struct object *o)
{
    return view_str(view_get_str(view_path(object_root(o), F_CONFIG_MAP_DATA), STR("v")));
}

void people_watched(struct sim *s, struct history_watch *w, const struct object *o, bool deleted, uint64_t revision)
{
    struct store_change c = { .revision = revision,
                              .type = deleted ? STORE_DELETE : STORE_PUT,
                              .key = object_name(o),
                              .value = value_of(o),
                              .previous_revision = HISTORY_PREVIOUS_UNKNOWN };
    const char *wrong = history_event(w, &c);

    if (wrong)
        sim_fail(s, "%s", wrong);
}

static void on_written(void *arg, const struct object *result, const struct error *err)
{
    struct asked *x = arg;
    struct people *p = x->people;

    sim_trace(sim_of(p), "people: %s=%s -> %llu %s", x->key, x->value,
              (unsigned long long)(result ? object_revision(result) : 0), err ? error_reason(err->code) : "done");
    if (!err)
        history_written(x->op, object_revision(result));
    else if (err->code == ERR_CONFLICT || err->code == ERR_ALREADY_EXISTS || err->code == ERR_NOT_FOUND ||
             err->code == ERR_UNAVAILABLE || err->code == ERR_TOO_MANY_REQUESTS)
        history_failed(x->op, err->code);
    else if (err->code != ERR_TIMEOUT && err->code != ERR_SERVER_TIMEOUT)
        sim_fail(sim_of(p), "a write of %s was answered with: %s", x->key, error_text(err));
    free(x->key);
    free(x->value);
    free(x);
}

static void on_read(void *arg, const struct object *result, const struct error *err)
{
    struct asked *x = arg;

    if (!err)
        history_read_done(x->op, value_of(result), 0);
    else if (err->code == ERR_NOT_FOUND)
        history_read_done(x->op, STR_NONE, 0);
    else
        history_abandon(x->op);
    free(x->key);
    free(x);
}

static void read_one(struct people *p, const char *name)
{
    struct asked *x = xnew(struct asked);

    *x = (struct asked){ .people = p, .key = xstrdup(name) };
    x->op = history_read(sim_of(p)->history, "people", str_of(name));
    api_call(p->api,
             &(struct api_call){ .verb = API_GET,
                                 .kind = &kind_configmap,
                                 .namespace_ = STR("default"),
                                 .name = str_of(x->key),
                                 .grace_seconds = -1 },
             on_read, x);
}

static void on_ignored(void *arg, const struct object *result, const struct error *err)
{
    (void)arg, (void)result, (void)err;
}

static void delete_one(struct people *p, const char *name)
{
    api_call(p->api,
             &(struct api_call){ .verb = API_DELETE,
                                 .kind = &kind_configmap,
                                 .namespace_ = STR("default"),
                                 .name = str_of(name),
                                 .grace_seconds = -1 },
             on_ignored, p);
}

static void write_one(struct people *p, const char *name)
{
    const struct object *known = cache_get(p->seen, STR("default"), str_of(name));
    struct asked *x = xnew(struct asked);
    struct store_write w = { .type = STORE_PUT };
    AUTO_OBJECT struct object *body = NULL;
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    *x = (struct asked){ .people = p, .key = xstrdup(name), .value = xasprintf("%u", ++p->counter) };
    w.key = str_of(x->key);
    w.value = str_of(x->value);
    w.expect = known ? object_revision(known) : STORE_EXPECT_ABSENT;
    x->op = history_write(sim_of(p)->history, "people", &w);
    if (known)
        buf_addf(&text, "{\"metadata\":{\"resourceVersion\":\"%llu\"},\"data\":{\"v\":\"%s\"}}",
                 (unsigned long long)object_revision(known), x->value);
    else
        buf_addf(
            &text,
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"},\"data\":{\"v\":\"%s\"}}",
            name, x->value);
    if (!known)
        body = object_parse(buf_str(&text), NULL);
    api_call(p->api,
             &(struct api_call){ .verb = known ? API_PATCH : API_CREATE,
                                 .kind = &kind_configmap,
                                 .namespace_ = STR("default"),
                                 .name = known ? str_of(x->key) : STR_NONE,
                                 .body = body,
                                 .patch = known ? buf_str(&text) : STR_NONE,
                                 .patch_type = API_PATCH_MERGE,
                                 .grace_seconds = -1 },
             on_written, x);
}

static void on_writes(void *arg)
{
    struct people *p = arg;
    char name[16];

    if (p->resting)
        return;
    loop_timer_start(&p->writes, 30 + (int64_t)below(p, 120));
    snprintf(name, sizeof(name), "c%d", (int)below(p, CONFIGMAPS));
    switch (below(p, 6)) {
    case 0:
        delete_one(p, name);
        break;
    case 1:
    case 2:
        read_one(p, name);
        break;
    default:
        write_one(p, name);
    }
}

/* --- wishes ---------------------------------------------------------------------------------------------------------------------- */

static void remember(struct people *p)
{
    p->wished[p->wishes_count % ARRAY_SIZE(p->wished)] = p->replicas;
    p->wished_ms[p->wishes_count++ % ARRAY_SIZE(p->wished)] = sim_now_ms(sim_of(p));
}

int people_replicas_least(const struct people *p)
{
    int least = p->replicas;

    for (size_t i = 0; i < MIN(p->wishes_count, ARRAY_SIZE(p->wished)); i++)
        if (i + 1 == p->wishes_count || p->wished_ms[i] + REMEMBER_MS > sim_now_ms(p->cluster->sim))
            least = MIN(least, p->wished[i]);
    return least;
}

int people_replicas(const struct people *p)
{
    return p->replicas;
}

const char *people_image(const struct people *p)
{
    return p->image;
}

static void wish(struct people *p, api_done_fn *done)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    sim_trace(sim_of(p), "people: web is to be %d of %s", p->replicas, p->image);
    remember(p);
    buf_addf(
        &text,
        "{\"spec\":{\"replicas\":%d,\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]}}}}",
        p->replicas, p->image);
    api_call(p->api,
             &(struct api_call){ .verb = API_PATCH,
                                 .kind = &kind_deployment,
                                 .namespace_ = STR("default"),
                                 .name = STR("web"),
                                 .patch = buf_str(&text),
                                 .patch_type = API_PATCH_MERGE,
                                 .grace_seconds = -1 },
             done, p);
}

static void on_wishes(void *arg)
{
    static const char *const images[] = { "v1", "v2", "v3" };
    struct people *p = arg;

    if (p->resting)
        return;
    loop_timer_start(&p->wishes, 1500 + (int64_t)below(p, 3000));
    if (below(p, 2))
        p->replicas = 3 + (int)below(p, 5);
    else
        p->image = images[below(p, ARRAY_SIZE(images))];
    wish(p, on_ignored);
}

static void conclude(void *arg);

static void on_concluded(void *arg, const struct object *result, const struct error *err)
{
    struct people *p = arg;

    (void)result;
    /* Said again and again: an earlier wish may lie with a server that was stopped, and be done after this one. */
    loop_timer_start(&p->again, err ? 500 : 5000);
    p->concluded = p->concluded || !err;
}

static void conclude(void *arg)
{
    wish(arg, on_concluded);
}

void people_rest(struct people *p)
{
    p->resting = true;
}

static void conclude_begin(void *arg)
{
    struct people *p = arg;

    p->image = "v9";
    loop_timer_start(&p->again, 0);
}

void people_conclude(struct people *p)
{
    loop_post(p->process->loop, conclude_begin, p);
}

bool people_have_concluded(const struct people *p)
{
    return p->concluded;
}

/* --- what is there from the start ---------------------------------------------------------------------------------------------- */

static void make_next(void *arg);

static void on_made(void *arg, const struct object *result, const struct error *err)
{
    struct people *p = arg;

    (void)result;
    if (!err || err->code == ERR_ALREADY_EXISTS)
        p->making++;
    else if (err->code == ERR_INVALID || err->code == ERR_FORBIDDEN || err->code == ERR_BAD_REQUEST)
        sim_fail(sim_of(p), "people cannot make what they need: %s", error_text(err));
    loop_timer_start(&p->again, err ? 200 : 0);
}

static void make_next(void *arg)
{
    struct people *p = arg;
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    const struct kind *kind = &kind_node;

    if (p->made) {
        conclude(p);
        return;
    }
    if (p->making == NODES + 1) {
        p->made = true;
        remember(p);
        loop_timer_start(&p->writes, 10);
        loop_timer_start(&p->wishes, 8000);
        return;
    }
    if (p->making < NODES) {
        buf_addf(&text,
                 "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n%zu\",\"labels\":{"
                 "\"kubernetes.io/hostname\":\"n%zu\",\"topology.kubernetes.io/zone\":\"z%zu\"}}}",
                 p->making, p->making, p->making % 3);
    } else {
        kind = &kind_deployment;
        buf_addf(&text,
                 "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"},\"spec\":{"
                 "\"replicas\":%d,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"strategy\":{\"rollingUpdate\":{"
                 "\"maxUnavailable\":1,\"maxSurge\":1}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},"
                 "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]}}}}",
                 p->replicas, p->image);
    }
    AUTO_OBJECT struct object *body = object_parse(buf_str(&text), NULL);
    api_call(p->api,
             &(struct api_call){ .verb = API_CREATE,
                                 .kind = kind,
                                 .namespace_ = kind->namespaced ? STR("default") : STR_NONE,
                                 .body = body,
                                 .grace_seconds = -1 },
             on_made, p);
}

static void boot(void *arg)
{
    struct people *p = arg;

    p->api = remote_api(p->cluster, p->process, PLACE_OF_PEOPLE, "kubernetes-admin", "system:masters");
    p->seen = cache_new(p->process->loop, p->api,
                        &(struct api_watch_request){ .kind = &kind_configmap, .namespace_ = STR("default") });
    make_next(p);
}

struct people *people_new(struct cluster_sim *c)
{
    struct people *p = xnew(struct people);

    p->cluster = c;
    p->replicas = 5;
    p->image = "v1";
    p->process = c->people = sim_process(c->sim, "people", 0);
    p->process->data = p;
    loop_timer_init(&p->writes, p->process->loop, on_writes, p);
    loop_timer_init(&p->wishes, p->process->loop, on_wishes, p);
    loop_timer_init(&p->again, p->process->loop, make_next, p);
    loop_post(p->process->loop, boot, p);
    return p;
}
