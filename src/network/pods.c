/* Which pod of this node has which address. */
#include "network/pods.h"

#include "base/codec.h"
#include "base/file.h"
#include "object/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_PART "network"
#include "base/log.h"

#define FILE_BYTES_MAX (16 * MIB)
#define FIRST_ADDRESS  2 /* 0 is the network, 1 the bridge */

struct save { /* a write on a worker; outlives the set when that is freed meanwhile */
    struct pods *owner;
    char *path, *text;
    size_t text_n;
    struct error err;
};

struct pods {
    struct loop *loop;
    char *path;
    struct ip_prefix range;
    struct map by_uid;     /* uid -> struct net_pod */
    struct net_pod **used; /* by offset in the range */
    uint32_t size, cursor;
    struct save *saving;
    bool changed;
    struct loop_task save_task;
};

static void save_start(void *arg);

struct pods *pods_new(struct loop *loop, const char *folder)
{
    struct pods *p = xnew(struct pods);

    p->loop = loop;
    p->path = xasprintf("%s/pod-addresses.json", folder);
    p->save_task = (struct loop_task){ .fn = save_start, .arg = p };
    return p;
}

static void pod_free(struct net_pod *pod)
{
    if (!pod)
        return;
    free(pod->uid);
    free(pod->host_ports);
    free(pod);
}

/* --- file ------------------------------------------------------------------------------------------------------------ */

static void write_text(const struct pods *p, struct buf *to)
{
    AUTO_BUF struct buf pods = BUF_MAX(FILE_BYTES_MAX);
    char ip[IP_TEXT_SIZE];
    struct net_pod *pod;

    buf_addf(&pods, "{\"next\":%u,\"pods\":[", p->cursor);
    for (size_t i = 0, n = 0; pods_next(p, &i, &pod); n++) {
        buf_add_text(&pods, n ? ",{\"uid\":" : "{\"uid\":");
        json_write_str(&pods, str_of(pod->uid));
        buf_addf(&pods, ",\"ip\":\"%s\"}", ip_format(pod->ip, ip));
    }
    buf_add_text(&pods, "]}");
    buf_addf(to, "{\"version\":1,\"checksum\":%u,\"addresses\":%.*s}\n", crc32c(0, buf_str(&pods)),
             STR_ARG(buf_str(&pods)));
}

static void save_work(void *arg)
{
    struct save *s = arg;

    file_write(s->path, (struct str){ s->text, s->text_n }, 0600, &s->err);
}

static void save_free(struct save *s)
{
    error_done(&s->err);
    free(s->path);
    free(s->text);
    free(s);
}

static void save_done(void *arg)
{
    struct save *s = arg;

    if (s->err.code)
        log_warn("pod addresses not saved, the links' aliases remember them", KV_ERR(&s->err));
    if (s->owner) {
        s->owner->saving = NULL;
        if (s->owner->changed)
            loop_defer(s->owner->loop, &s->owner->save_task);
    }
    save_free(s);
}

static struct save *save_new(struct pods *p)
{
    AUTO_BUF struct buf text = BUF_MAX(FILE_BYTES_MAX);
    struct save *s = xnew(struct save);

    write_text(p, &text);
    s->owner = p;
    s->path = xstrdup(p->path);
    s->text = buf_take(&text, &s->text_n);
    p->changed = false;
    return s;
}

static void save_start(void *arg)
{
    struct pods *p = arg;

    if (p->saving || !p->changed)
        return;
    p->saving = save_new(p);
    loop_work(p->loop, save_work, save_done, p->saving);
}

static void changed(struct pods *p)
{
    p->changed = true;
    loop_defer(p->loop, &p->save_task);
}

void pods_free(struct pods *p)
{
    struct net_pod *pod;

    if (!p)
        return;
    loop_defer_cancel(&p->save_task);
    if (p->changed) {
        struct save *s = save_new(p);
        save_work(s);
        s->owner = NULL;
        save_done(s);
    }
    if (p->saving)
        p->saving->owner = NULL;
    for (size_t i = 0; pods_next(p, &i, &pod);)
        pod_free(pod);
    map_done(&p->by_uid);
    free(p->used);
    free(p->path);
    free(p);
}

static void put(struct pods *p, struct str uid, uint32_t ip)
{
    struct net_pod *pod = xnew(struct net_pod);
    unsigned char digest[SHA256_SIZE];

    sha256(uid, digest);
    pod->ip = ip;
    pod->uid = str_dup(uid);
    snprintf(pod->link, sizeof(pod->link), "kp%02x%02x%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3],
             digest[4], digest[5]);
    pod_free(map_put(&p->by_uid, uid, pod));
}

static int load_text(struct pods *p, struct str text, struct error *err)
{
    struct str marker = STR(",\"addresses\":");
    AUTO_OBJECT struct object *o = object_parse(text, err);
    struct view root, list;
    struct view_iter it = { 0 };
    const char *at;

    if (!o)
        return -1;
    root = object_root(o);
    at = memmem(text.p, text.n, marker.p, marker.n);
    if (!at || text.n < 2 || !str_ends(text, STR("}\n")))
        return fail(err, ERR_INVALID, "not a file of pod addresses");
    text = str_from(text, (size_t)(at - text.p) + marker.n);
    text.n -= 2;
    if (view_int(view_get_str(root, STR("checksum")), -1) != (int64_t)crc32c(0, text))
        return fail(err, ERR_INVALID, "the checksum does not fit");
    if (view_int(view_get_str(root, STR("version")), 0) != 1)
        return fail(err, ERR_INVALID, "written by a newer version");
    list = view_get_str(root, STR("addresses"));
    p->cursor = (uint32_t)view_int(view_get_str(list, STR("next")), 0);
    while (view_next(view_get_str(list, STR("pods")), &it)) {
        uint32_t ip;
        if (ip_parse(view_str(view_get_str(it.value, STR("ip"))), &ip))
            put(p, view_str(view_get_str(it.value, STR("uid"))), ip);
    }
    return 0;
}

int pods_load(struct pods *p, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(FILE_BYTES_MAX);
    AUTO_FREE char *aside = NULL;

    if (file_read(p->path, &text, &inner) < 0) {
        if (inner.code == ERR_NOT_FOUND)
            return 0;
    } else if (load_text(p, buf_str(&text), &inner) == 0) {
        return 0;
    }
    aside = xasprintf("%s.damaged", p->path);
    rename(p->path, aside); /* for people to look at */
    error_move(err, &inner);
    return error_context(err, "read '%s'", p->path);
}

void pods_remove_file(struct pods *p)
{
    loop_defer_cancel(&p->save_task);
    p->changed = false;
    unlink(p->path);
}

/* --- range ----------------------------------------------------------------------------------------------------------- */

static bool offset_of(const struct pods *p, uint32_t ip, uint32_t *ret)
{
    *ret = ntohl(ip) - ntohl(p->range.ip);
    return ip_prefix_has(&p->range, ip) && *ret >= FIRST_ADDRESS && *ret + 1 < p->size;
}

void pods_set_range(struct pods *p, const struct ip_prefix *range)
{
    struct net_pod *pod;

    if (range->ip == p->range.ip && range->length == p->range.length)
        return;
    free(p->used);
    p->range = *range;
    p->size = (uint32_t)1 << (32 - range->length);
    p->used = xcalloc(p->size, sizeof(struct net_pod *));
    for (size_t i = 0; pods_next(p, &i, &pod);) {
        uint32_t at;
        if (offset_of(p, pod->ip, &at) && !p->used[at]) {
            p->used[at] = pod;
            continue;
        }
        map_del(&p->by_uid, str_of(pod->uid));
        pod_free(pod);
        changed(p);
    }
}

const struct ip_prefix *pods_range(const struct pods *p)
{
    return &p->range;
}

uint32_t pods_gateway(const struct pods *p)
{
    return ip_prefix_nth(&p->range, 1);
}

struct net_pod *pods_find(const struct pods *p, struct str uid)
{
    return map_get(&p->by_uid, uid);
}

struct net_pod *pods_reserve(struct pods *p, struct str uid, struct error *err)
{
    struct net_pod *pod = pods_find(p, uid);

    if (pod)
        return pod;
    if (!p->size)
        return fail_null(err, ERR_UNAVAILABLE, "this node has no range of pod addresses yet");
    for (uint32_t tried = 0; tried < p->size; tried++) {
        uint32_t at = (p->cursor + tried) % p->size;
        if (at < FIRST_ADDRESS || at + 1 >= p->size || p->used[at])
            continue;
        put(p, uid, ip_prefix_nth(&p->range, at));
        p->cursor = at + 1;
        changed(p);
        return p->used[at] = pods_find(p, uid);
    }
    return fail_null(err, ERR_UNAVAILABLE, "all %u pod addresses of this node are taken", p->size - FIRST_ADDRESS - 1);
}

void pods_adopt(struct pods *p, struct str uid, uint32_t ip)
{
    uint32_t at;

    if (!uid.n || uid.n > POD_UID_MAX || pods_find(p, uid) || !offset_of(p, ip, &at) || p->used[at])
        return;
    put(p, uid, ip);
    p->used[at] = pods_find(p, uid);
    changed(p);
}

void pods_release(struct pods *p, struct str uid)
{
    struct net_pod *pod = map_del(&p->by_uid, uid);
    uint32_t at;

    if (!pod)
        return;
    if (p->size && offset_of(p, pod->ip, &at) && p->used[at] == pod)
        p->used[at] = NULL;
    pod_free(pod);
    changed(p);
}

bool pods_next(const struct pods *p, size_t *i, struct net_pod **ret)
{
    struct str uid;
    void *value;

    if (!map_next(&p->by_uid, i, &uid, &value))
        return false;
    *ret = value;
    return true;
}

size_t pods_count(const struct pods *p)
{
    return p->by_uid.count;
}
