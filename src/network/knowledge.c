/* What this node's network last knew of the cluster: Services, EndpointSlices and Nodes, in one checksummed file. */
#include "network/internal.h"

#include "base/codec.h"
#include "base/file.h"
#include "kinds/fields.h"
#include "object/value.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_PART "network"
#include "base/log.h"

#define FILE_NAME      "cluster.json"
#define FILE_BYTES_MAX (64 * MIB) /* some 20,000 Services with their endpoints */
#define SAVE_MS        1000       /* changes come in crowds */
#define SAVE_SHARE     20         /* a large file is written less often: writing takes at most this part of the time */
#define KINDS          3

/* One write, on a worker; objects are immutable and counted across threads. It outlives the owner. */
struct save {
    struct knowledge *owner;
    char *path;
    const struct object **objects[KINDS];
    size_t counts[KINDS];
    int64_t started_ms;
    bool too_large;
    struct error err;
};

struct knowledge {
    struct network *network;
    char *path;
    struct loop_timer timer;
    struct save *saving;
    int64_t pause_ms;
    bool changed, warned;
};

static const char *const member_names[KINDS] = { "nodes", "services", "endpointSlices" };

static struct cache *cache_of(const struct knowledge *k, size_t i)
{
    return i == 0 ? k->network->nodes : i == 1 ? k->network->services : k->network->slices;
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

/* Of a Node only what ways to it are made of: the rest is large and changes with every heartbeat. */
static void write_node(struct buf *to, const struct object *o)
{
    AUTO_ARENA struct arena a = { 0 };
    struct view root = object_root(o);
    struct value *node = value_object(&a), *status;

    value_set(&a, value_make_object(&a, node, F_NODE_METADATA), F_OBJECT_META_NAME, object_name(o));
    value_set(&a, value_make_object(&a, node, F_NODE_SPEC), F_NODE_SPEC_POD_CIDR,
              view_str_at(root, F_NODE_SPEC, F_NODE_SPEC_POD_CIDR));
    status = value_make_object(&a, node, F_NODE_STATUS);
    if (view_present(view_path(root, F_NODE_STATUS, F_NODE_STATUS_ADDRESSES)))
        value_put(&a, status, F_NODE_STATUS_ADDRESSES,
                  value_of_view(&a, view_path(root, F_NODE_STATUS, F_NODE_STATUS_ADDRESSES)));
    value_write(to, node);
}

static void save_work(void *arg)
{
    struct save *s = arg;
    AUTO_BUF struct buf content = BUF_MAX(FILE_BYTES_MAX), file = BUF_MAX(FILE_BYTES_MAX + KIB);

    for (size_t kind = 0; kind < KINDS; kind++) {
        buf_addf(&content, "%c\"%s\":[", kind ? ',' : '{', member_names[kind]);
        for (size_t i = 0; i < s->counts[kind]; i++) {
            if (i)
                buf_add_char(&content, ',');
            if (kind == 0)
                write_node(&content, s->objects[kind][i]);
            else
                buf_add(&content, object_json(s->objects[kind][i]));
        }
        buf_add_char(&content, ']');
    }
    buf_add_text(&content, "}\n");
    s->too_large = content.full;
    if (s->too_large) {
        unlink(s->path); /* half of it would be worse than nothing */
        return;
    }
    buf_addf(&file, "{\"version\":1,\"checksum\":%u}\n", crc32c(0, buf_str(&content)));
    buf_add(&file, buf_str(&content));
    file_write(s->path, buf_str(&file), 0600, &s->err);
}

static void warn_once(struct knowledge *k, const struct save *s)
{
    bool failed = s->too_large || s->err.code;

    if (failed && !k->warned && s->too_large)
        log_warn(
            "the cluster has too many Services to keep them on disk: an agent restarted while no server answers would "
            "not answer DNS",
            KV("bytes_max", "%lld", (long long)FILE_BYTES_MAX));
    else if (failed && !k->warned)
        log_warn("what is known of the cluster is not saved, tried again with the next change", KV_ERR(&s->err));
    k->warned = failed;
}

static void save_done(void *arg)
{
    struct save *s = arg;
    struct knowledge *k = s->owner;

    if (k) {
        k->saving = NULL;
        k->pause_ms = MAX((int64_t)SAVE_MS, SAVE_SHARE * (loop_now_ms(k->network->loop) - s->started_ms));
        warn_once(k, s);
        if (k->changed)
            loop_timer_start(&k->timer, k->pause_ms);
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < s->counts[kind]; i++)
            object_unref(s->objects[kind][i]);
        free(s->objects[kind]);
    }
    error_done(&s->err);
    free(s->path);
    free(s);
}

static struct save *save_new(struct knowledge *k)
{
    struct save *s = xnew(struct save);

    s->owner = k;
    s->path = xstrdup(k->path);
    s->started_ms = loop_now_ms(k->network->loop);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct objects all = cache_all(cache_of(k, kind));

        s->objects[kind] = xcalloc(all.count + 1, sizeof(s->objects[kind][0]));
        s->counts[kind] = all.count;
        for (size_t i = 0; i < all.count; i++)
            s->objects[kind][i] = object_ref(all.items[i]);
    }
    k->changed = false;
    return s;
}

static void save_start(void *arg)
{
    struct knowledge *k = arg;

    if (k->saving || !k->changed)
        return;
    if (!cluster_is_synced(k->network->cluster)) { /* old and new mixed: what is on disk is whole */
        loop_timer_start(&k->timer, k->pause_ms);
        return;
    }
    k->saving = save_new(k);
    loop_work(k->network->loop, save_work, save_done, k->saving);
}

void knowledge_changed(struct knowledge *k)
{
    k->changed = true;
    if (!k->saving && !loop_timer_running(&k->timer))
        loop_timer_start(&k->timer, k->pause_ms);
}

/* --- reading ----------------------------------------------------------------------------------------------------------- */

static struct object *parse_file(struct str text, struct error *err)
{
    AUTO_OBJECT struct object *head = NULL;
    struct str line;

    if (!str_cut(&text, '\n', &line) || !(head = object_parse(line, NULL)))
        return fail_null(err, ERR_INVALID, "not a file of what is known of the cluster");
    if (view_int(view_get_str(object_root(head), STR("checksum")), -1) != (int64_t)crc32c(0, text))
        return fail_null(err, ERR_INVALID, "the checksum does not fit");
    if (view_int(view_get_str(object_root(head), STR("version")), 0) != 1)
        return fail_null(err, ERR_INVALID, "written by a newer version");
    return object_parse_limit(text, FILE_BYTES_MAX, err);
}

static void remember(struct cache *c, struct view list)
{
    struct view_iter it = { 0 };

    while (view_next(list, &it)) {
        AUTO_OBJECT struct object *o = object_of_view(it.value, NULL);

        if (o && object_name(o).n)
            cache_remember(c, o);
    }
}

/* Files of writes that a kill cut short. */
static void remove_leftovers(const struct knowledge *k)
{
    const char *folder = k->network->config.state_folder;
    DIR *dir = opendir(folder);

    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));)
        if (str_starts(str_of(e->d_name), STR(FILE_NAME "."))) {
            AUTO_FREE char *path = xasprintf("%s/%s", folder, e->d_name);
            unlink(path);
        }
    closedir(dir);
}

bool knowledge_load(struct knowledge *k)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(FILE_BYTES_MAX + KIB);
    AUTO_OBJECT struct object *all = NULL;

    remove_leftovers(k);
    if (file_read(k->path, &text, &err) == 0)
        all = parse_file(buf_str(&text), &err);
    if (!all) {
        if (err.code != ERR_NOT_FOUND)
            log_warn("what was last known of the cluster is not readable; DNS waits for a server",
                     KV("file", "%s", k->path), KV_ERR(&err));
        return false;
    }
    for (size_t kind = 0; kind < KINDS; kind++)
        remember(cache_of(k, kind), view_get_str(object_root(all), str_of(member_names[kind])));
    return true;
}

/* --- life -------------------------------------------------------------------------------------------------------------- */

struct knowledge *knowledge_new(struct network *n)
{
    struct knowledge *k = xnew(struct knowledge);

    k->network = n;
    k->path = xasprintf("%s/" FILE_NAME, n->config.state_folder);
    k->pause_ms = SAVE_MS;
    loop_timer_init(&k->timer, n->loop, save_start, k);
    return k;
}

void knowledge_remove_file(struct knowledge *k)
{
    loop_timer_stop(&k->timer);
    k->changed = false;
    unlink(k->path);
}

void knowledge_free(struct knowledge *k)
{
    if (!k)
        return;
    loop_timer_stop(&k->timer);
    if (k->saving) {
        k->saving->owner = NULL; /* what changed during this write comes with the next list */
    } else if (k->changed && k->network->cluster && cluster_is_synced(k->network->cluster)) {
        struct save *s = save_new(k);
        save_work(s);
        s->owner = NULL;
        save_done(s);
    }
    free(k->path);
    free(k);
}
