/* The processes of a cluster, by role, from /proc. */
#include "chaos/seen.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>

static const char *const names[] = {
    [ROLE_OTHER] = "other",       [ROLE_SERVER] = "server", [ROLE_ETCD] = "etcd",
    [ROLE_AGENT] = "agent",       [ROLE_FENCE] = "fence",   [ROLE_HAPROXY] = "haproxy",
    [ROLE_REGISTRY] = "registry", [ROLE_CONMON] = "conmon", [ROLE_CONTAINER] = "container",
};

const char *role_name(enum role role)
{
    return names[role];
}

bool role_of_name(const char *name, enum role *ret)
{
    for (size_t i = 1; i < ARRAY_SIZE(names); i++)
        if (str_is(str_of(name), names[i])) {
            *ret = (enum role)i;
            return true;
        }
    return false;
}

static int read_proc(pid_t pid, const char *file, struct buf *to)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/%s", (int)pid, file);

    return file_read(path, to, NULL);
}

/* Fields of /proc/PID/stat are counted after the last bracket: the second one is the command and may hold anything. */
static uint64_t read_stat(pid_t pid, pid_t *ret_parent)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct str rest, part = STR_NONE;
    int64_t parent = 0;
    uint64_t start;
    ptrdiff_t end;

    if (pid <= 0 || read_proc(pid, "stat", &text) < 0 || (end = str_find_last(buf_str(&text), ')')) < 0)
        return 0;
    rest = str_from(buf_str(&text), (size_t)end + 2);
    for (int field = 3; field <= 22; field++) {
        str_next(&rest, ' ', &part);
        if (field == 3 && (str_is(part, "Z") || str_is(part, "X")))
            return 0;
        if (field == 4)
            str_to_i64(part, &parent);
    }
    *ret_parent = (pid_t)parent;
    return str_to_u64(part, &start) ? start : 0;
}

uint64_t seen_start_time(pid_t pid)
{
    pid_t parent;

    return read_stat(pid, &parent);
}

enum role role_of_command(struct str comm, struct str arguments)
{
    struct str program = STR_NONE, word = STR_NONE;

    if (str_is(comm, "etcd"))
        return ROLE_ETCD;
    if (str_is(comm, "haproxy"))
        return ROLE_HAPROXY;
    if (str_is(comm, "conmon"))
        return ROLE_CONMON;
    if (str_starts(comm, STR("docker-registr")))
        return ROLE_REGISTRY;
    if (!str_next(&arguments, '\0', &program) || !str_next(&arguments, '\0', &word))
        return ROLE_OTHER;
    if (str_is(word, "server"))
        return ROLE_SERVER;
    if (str_is(word, "agent"))
        return ROLE_AGENT;
    return str_is(word, "fence") ? ROLE_FENCE : ROLE_OTHER;
}

bool pod_uid_of_cgroup(struct str text, char ret[64])
{
    struct str line, part;

    while (str_next(&text, '\n', &line))
        while (str_next(&line, '/', &part))
            if (str_starts(part, STR("pod")) && part.n >= 3 + 36 && part.n < 64) {
                snprintf(ret, 64, "%.*s", (int)(part.n - 3), part.p + 3);
                return true;
            }
    ret[0] = '\0';
    return false;
}

static bool read_process(struct seen_process *p)
{
    AUTO_BUF struct buf comm = BUF_MAX(KIB);
    AUTO_BUF struct buf arguments = BUF_MAX(128 * KIB);
    AUTO_BUF struct buf cgroup = BUF_MAX(64 * KIB);

    p->start_time = read_stat(p->pid, &p->parent);
    if (!p->start_time || read_proc(p->pid, "comm", &comm) < 0)
        return false;
    read_proc(p->pid, "cmdline", &arguments);
    read_proc(p->pid, "cgroup", &cgroup);
    p->role = role_of_command(str_trim(buf_str(&comm)), buf_str(&arguments));
    if (pod_uid_of_cgroup(buf_str(&cgroup), p->pod_uid) && p->role != ROLE_CONMON)
        p->role = str_is(str_trim(buf_str(&comm)), "crun") ? ROLE_OTHER : ROLE_CONTAINER;
    return true;
}

static const struct seen_process *find_process(const struct seen *s, pid_t pid)
{
    for (int i = 0; i < s->processes_count; i++)
        if (s->processes[i].pid == pid)
            return &s->processes[i];
    return NULL;
}

/* The machine whose init is an ancestor. */
static int machine_of(const struct seen *s, const struct seen_process *p)
{
    for (int steps = 0; p && steps < 64; steps++) {
        for (int i = 0; i < s->machines_count; i++)
            if (s->machines[i].init && p->parent == s->machines[i].init)
                return i;
        p = find_process(s, p->parent);
    }
    return -1;
}

/* A monitor is in the pod's group or not, as the runtime likes: its container's is asked. */
static void name_monitors(struct seen *s)
{
    for (int i = 0; i < s->processes_count; i++)
        for (int k = 0; k < s->processes_count && s->processes[i].role == ROLE_CONMON; k++)
            if (s->processes[k].parent == s->processes[i].pid && s->processes[k].pod_uid[0])
                memcpy(s->processes[i].pod_uid, s->processes[k].pod_uid, sizeof(s->processes[i].pod_uid));
}

int seen_read_processes(struct seen *s, struct error *err)
{
    DIR *d = opendir("/proc");
    struct dirent *entry;
    int kept = 0;

    if (!d)
        return fail(err, ERR_INTERNAL, "read /proc");
    s->processes_count = 0;
    while ((entry = readdir(d)) && s->processes_count < SEEN_PROCESSES_MAX) {
        struct seen_process *p = &s->processes[s->processes_count];
        int64_t pid;
        *p = (struct seen_process){ .machine = -1 };
        if (!str_to_i64(str_of(entry->d_name), &pid))
            continue;
        p->pid = (pid_t)pid;
        s->processes_count += read_process(p);
    }
    closedir(d);
    for (int i = 0; i < s->processes_count; i++)
        s->processes[i].machine = machine_of(s, &s->processes[i]);
    name_monitors(s);
    for (int i = 0; i < s->processes_count; i++)
        if (s->processes[i].machine >= 0)
            s->processes[kept++] = s->processes[i];
    s->processes_count = kept;
    return 0;
}

const struct seen_machine *seen_machine_named(const struct seen *s, const char *name)
{
    for (int i = 0; i < s->machines_count; i++)
        if (str_is(str_of(s->machines[i].name), name))
            return &s->machines[i];
    return NULL;
}
