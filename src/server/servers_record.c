/* DATA/server.json. */
#include "server/servers_record.h"

#include "base/file.h"
#include "object/value.h"

#include <stdlib.h>

#define RECORD_MAX (64 * KIB)

static const struct {
    const char *name;
    size_t at;
} texts[] = {
    { "store", offsetof(struct server_record, store) },
    { "name", offsetof(struct server_record, name) },
    { "zone", offsetof(struct server_record, zone) },
    { "address", offsetof(struct server_record, address) },
    { "clusterToken", offsetof(struct server_record, cluster_token) },
    { "seed", offsetof(struct server_record, seed) },
    { "initialCluster", offsetof(struct server_record, initial_cluster) },
};

static const struct {
    const char *name;
    size_t at;
} switches[] = {
    { "member", offsetof(struct server_record, member) },
    { "learning", offsetof(struct server_record, learning) },
    { "removed", offsetof(struct server_record, removed) },
};

static char **text_at(const struct server_record *r, size_t i)
{
    return (char **)(void *)((uintptr_t)r + texts[i].at);
}

static bool *switch_at(const struct server_record *r, size_t i)
{
    return (bool *)(void *)((uintptr_t)r + switches[i].at);
}

void server_record_set(char **field, struct str text)
{
    free(*field);
    *field = str_dup(text);
}

void server_record_set_endpoints(struct server_record *r, const struct str *endpoints, size_t count)
{
    while (r->endpoints_count)
        free(r->endpoints[--r->endpoints_count]);
    for (size_t i = 0; i < count && i < SERVERS_MAX; i++)
        r->endpoints[r->endpoints_count++] = str_dup(endpoints[i]);
}

void server_record_done(struct server_record *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(*text_at(r, i));
    server_record_set_endpoints(r, NULL, 0);
    *r = (struct server_record){ 0 };
}

int server_record_load(const char *data_folder, struct server_record *ret, bool *ret_found, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/server.json", data_folder);
    AUTO_BUF struct buf text = BUF_MAX(RECORD_MAX);
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error problem = { 0 };
    struct str endpoints[SERVERS_MAX];

    *ret = (struct server_record){ 0 };
    *ret_found = false;
    if (file_read(path, &text, &problem) < 0) {
        if (problem.code == ERR_NOT_FOUND)
            return 0;
        error_move(err, &problem);
        return error_context(err, "read '%s'", path);
    }
    const struct value *v = value_parse(&a, buf_str(&text), NULL, err), *list = value_get_str(v, STR("endpoints"));
    if (!v)
        return error_context(err, "read '%s'", path);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        server_record_set(text_at(ret, i), value_to_str(value_get_str(v, str_of(texts[i].name))));
    for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
        *switch_at(ret, i) = value_to_bool(value_get_str(v, str_of(switches[i].name)), false);
    size_t count = value_type(list) == VALUE_ARRAY ? MIN(list->items_count, (uint32_t)SERVERS_MAX) : 0;
    for (size_t i = 0; i < count; i++)
        endpoints[i] = value_to_str(list->items[i]);
    server_record_set_endpoints(ret, endpoints, count);
    *ret_found = true;
    return 0;
}

int server_record_save(const char *data_folder, const struct server_record *r, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/server.json", data_folder);
    AUTO_BUF struct buf text = BUF_MAX(RECORD_MAX);
    AUTO_ARENA struct arena a = { 0 };
    struct value *o = value_object(&a), *list = value_array(&a);

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (*text_at(r, i))
            value_put_str(&a, o, str_of(texts[i].name), value_text(&a, *text_at(r, i)));
    for (size_t i = 0; i < r->endpoints_count; i++)
        value_append(&a, list, value_text(&a, r->endpoints[i]));
    value_put_str(&a, o, STR("endpoints"), list);
    for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
        value_put_str(&a, o, str_of(switches[i].name), value_bool(&a, *switch_at(r, i)));
    value_write_pretty(&text, o, 2);
    buf_add_char(&text, '\n');
    return file_write(path, buf_str(&text), 0600, err);
}
