/* Finding pods again, and reclaiming what a crash left. */
#include "node/recover.h"

#include "base/file.h"
#include "node/pod.h"
#include "node/sandbox.h"
#define LOG_PART "node"
#include "base/log.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

#define MOUNTINFO_MAX (32 * MIB)

/* --- adopting -------------------------------------------------------------------------------------------------------------- */

static void adopt(struct pod *p)
{
    struct agent *a = p->agent;

    for (size_t i = 0; i < p->facts.containers_count; i++) {
        struct pod_container *c = &p->containers[i];
        if (c->facts->state == CONTAINER_RUNNING) {
            bool alive = runtime_adopt(a->runtime, str_of(c->facts->id), &c->facts->ids, container_exited, c);
            container_reset_probes(c, true);
            log_info(alive ? "container found again" : "container ended while the agent was away",
                     KV_STR("pod", p->name), KV("container", "%s", c->facts->name));
        } else if (c->facts->id[0]) {
            container_cleanup(c); /* idempotent: what an interrupted start or end left */
        }
    }
}

static void load_pods(struct agent *a)
{
    AUTO_FREE char *folder = xasprintf("%s/pods", a->data);
    DIR *dir = opendir(folder);

    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        AUTO_ERROR struct error err = { 0 };
        if (e->d_name[0] == '.')
            continue;
        struct pod *p = pod_load(a, str_of(e->d_name), &err);
        if (p)
            map_put(&a->pods, p->uid, p);
        else
            log_warn("a pod's record is not readable; what is left of it is taken away", KV("uid", "%s", e->d_name),
                     KV_ERR(&err));
    }
    closedir(dir);
}

/* --- reclaiming ---------------------------------------------------------------------------------------------------------------- */

static bool id_is_known(const struct agent *a, struct str id)
{
    struct str key;
    void *value;

    for (size_t i = 0; map_next(&a->pods, &i, &key, &value);) {
        const struct pod *p = value;
        for (size_t k = 0; k < p->facts.containers_count; k++) {
            if (str_is(id, p->facts.containers[k].id))
                return true;
        }
    }
    return false;
}

static void reclaim_container(void *arg, struct str id)
{
    struct agent *a = arg;
    if (!id_is_known(a, id)) {
        log_info("container of no pod is removed", KV_STR("container", id));
        runtime_delete(a->runtime, id, NULL, NULL);
    }
}

struct uids {
    struct agent *agent;
    char *list[1024];
    enum qos_class qos[1024];
    size_t count;
};

static void note_group(void *arg, enum qos_class qos, struct str uid)
{
    struct uids *u = arg;
    if (!map_has(&u->agent->pods, uid) && u->count < ARRAY_SIZE(u->list)) {
        u->qos[u->count] = qos;
        u->list[u->count++] = str_dup(uid);
    }
}

static void reclaim_groups(struct agent *a)
{
    struct uids *u = xnew(struct uids);
    AUTO_ARENA struct arena arena = { 0 };

    u->agent = a;
    cgroup_each_pod(a->cgroups, note_group, u);
    for (size_t i = 0; i < u->count; i++) {
        cgroup_remove(a->cgroups, cgroup_pod_path(a->cgroups, &arena, u->qos[i], str_of(u->list[i])));
        free(u->list[i]);
    }
    free(u);
}

/* Folders named by uid that belong to no pod. */
static void reclaim_folders(struct agent *a, const char *folder, bool sandbox)
{
    DIR *dir = opendir(folder);

    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || map_has(&a->pods, str_of(e->d_name)))
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", folder, e->d_name);
        if (sandbox)
            sandbox_remove(path);
        unmount_below(path);
        file_remove_tree(path, NULL);
    }
    closedir(dir);
}

static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

void unmount_below(const char *folder)
{
    AUTO_BUF struct buf text = BUF_MAX(MOUNTINFO_MAX);
    AUTO_FREE char *prefix = xasprintf("%s/", folder);
    char **list = NULL;
    size_t count = 0, capacity = 0;
    struct str rest, line;

    if (file_read("/proc/self/mountinfo", &text, NULL) < 0)
        return;
    for (rest = buf_str(&text); str_next(&rest, '\n', &line);) {
        struct str part = STR_NONE;
        for (int i = 0; i < 5; i++)
            str_cut(&line, ' ', &part);
        char *path = str_dup(part);
        unescape(path);
        if (!str_starts(str_of(path), str_of(prefix))) {
            free(path);
            continue;
        }
        GROW(list, count, capacity);
        list[count++] = path;
    }
    while (count > 0) { /* later mounts lie above earlier ones */
        umount2(list[--count], MNT_DETACH | UMOUNT_NOFOLLOW);
        free(list[count]);
    }
    free(list);
}

static void reclaim_addresses(struct agent *a)
{
    struct str *uids = xcalloc(a->pods.count + 1, sizeof(*uids)), key;
    size_t n = 0;
    void *value;

    for (size_t i = 0; map_next(&a->pods, &i, &key, &value);) {
        if (((struct pod *)value)->facts.sandbox == PART_READY)
            uids[n++] = key;
    }
    if (a->network)
        network_keep_only(a->network, uids, n);
    free(uids);
}

void agent_recover(struct agent *a)
{
    AUTO_FREE char *pods = xasprintf("%s/pods", a->data);
    AUTO_FREE char *sandboxes = xasprintf("%s/ns", a->run);
    AUTO_FREE char *contents = xasprintf("%s/v", a->run);
    struct str key;
    void *value;

    load_pods(a);
    runtime_each(a->runtime, reclaim_container, a);
    reclaim_folders(a, sandboxes, true);
    reclaim_folders(a, contents, false);
    reclaim_folders(a, pods, false);
    reclaim_groups(a);
    reclaim_addresses(a);
    for (size_t i = 0; map_next(&a->pods, &i, &key, &value);) {
        struct pod *p = value;
        adopt(p);
        pod_touch(p);
    }
}
