/* The servers of a local cluster that have machines of their own. */
#include "cli/up_servers.h"

#include "base/file.h"
#include "base/time.h"
#include "cli/links.h"

#include <stdlib.h>
#include <unistd.h>

#define TOKEN_S 3600

/* Of an etcd, or of a store that moves there when the server starts (after grow, restore, recover). */
static bool has_data(const struct cluster_record *c, const struct machine *m)
{
    AUTO_FREE char *wal = cluster_server_path(c, m, "etcd/member/wal");
    AUTO_FREE char *store = cluster_server_path(c, m, "store/klein.db");

    return file_exists(wal) || file_exists(store);
}

bool up_servers_any_alive(const struct cluster_record *c)
{
    for (int i = 0; i < c->servers_count; i++)
        if (machine_is_alive(&c->servers[i]))
            return true;
    return false;
}

static int start(struct cluster_record *c, struct machine *m, const struct machine_settings *settings, const char *join,
                 struct error *err)
{
    int ready_fd;

    if (machine_start_server(c, m, settings, join, &ready_fd, err) < 0)
        return -1;
    if (links_make_node(c, m, err) < 0) {
        close(ready_fd);
        return -1;
    }
    return machine_ready(ready_fd, err);
}

int up_servers_begin(struct cluster_record *c, const struct machine_settings *settings, int *ret_started,
                     struct error *err)
{
    bool fresh = true;

    for (int i = 0; i < c->servers_count; i++)
        fresh = fresh && !has_data(c, &c->servers[i]);
    for (int i = 0; i < c->servers_count; i++) {
        struct machine *m = &c->servers[i];
        if (machine_is_alive(m) || !(fresh ? i == 0 : has_data(c, m)))
            continue;
        if (start(c, m, settings, NULL, err) < 0)
            return -1;
        ++*ret_started;
    }
    return 0;
}

/* Whom to join: a server that runs and has data. */
static const struct machine *find_member(const struct cluster_record *c)
{
    for (int i = 0; i < c->servers_count; i++)
        if (machine_is_alive(&c->servers[i]) && has_data(c, &c->servers[i]))
            return &c->servers[i];
    return NULL;
}

int up_servers_join(struct cluster_record *c, struct remote *r, const struct machine_settings *settings,
                    int *ret_started, struct error *err)
{
    const struct machine *member = find_member(c);

    for (int i = 0; i < c->servers_count; i++) {
        struct machine *m = &c->servers[i];
        AUTO_SECRET struct secret token = { 0 };
        if (machine_is_alive(m))
            continue;
        if (!member)
            return fail(err, ERR_UNAVAILABLE, "no server runs that '%s' could join", m->name);
        AUTO_FREE char *url = xasprintf("https://%s:%d", member->address, CLUSTER_API_PORT);
        AUTO_FREE char *path = machine_server_token_path(c, m);
        if (remote_token_create(r, REMOTE_TOKEN_SERVER, TOKEN_S, &token, err) < 0 ||
            file_write(path, secret_reveal(&token), 0600, err) < 0 || start(c, m, settings, url, err) < 0)
            return -1;
        ++*ret_started;
    }
    return 0;
}

int up_servers_ready(const struct cluster_record *c, struct remote *r, struct error *err)
{
    struct object *answer = NULL;
    struct view_iter it = { 0 };
    int ready = 0;

    if (remote_call(r, "GET", "/klein/v1/servers", STR_NONE, 5000, &answer, err) < 0)
        return -1;
    while (view_next(view_get_str(object_root(answer), STR("items")), &it)) {
        struct str name = view_str(view_get_str(it.value, STR("name")));
        for (int i = 0; i < c->servers_count; i++)
            ready += str_is(name, c->servers[i].name) && view_bool(view_get_str(it.value, STR("ready")), false);
    }
    object_unref(answer);
    return ready;
}
