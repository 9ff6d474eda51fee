/* Control groups above the runtime's: finding the hierarchies, pods' limits, removal. */
#include "node/cgroup.h"

#include "base/file.h"
#define LOG_PART "node"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUP_ROOT      "/sys/fs/cgroup"
#define CGROUP2_MAGIC    0x63677270
#define HIERARCHIES_MAX  24
#define REMOVE_DEPTH_MAX 16
#define SHARES_MIN       2
#define SHARES_MAX       262144
#define SHARES_PER_CPU   1024
#define QUOTA_MIN_US     1000

struct cgroups {
    enum cgroup_mode mode;
    char *hierarchies[HIERARCHIES_MAX]; /* absolute mount points; v2: one */
    size_t hierarchies_count;
    char *node_path; /* "/klein/CLUSTER/NODE" */
};

static const char *const qos_texts[] = { "BestEffort", "Burstable", "Guaranteed" };
static const char *const qos_folders[] = { "besteffort", "burstable", "guaranteed" };

const char *qos_class_text(enum qos_class q)
{
    return qos_texts[q];
}

static bool is_cgroup2(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
}

static void find_hierarchies(struct cgroups *c)
{
    c->hierarchies_count = 0;
    if (is_cgroup2(CGROUP_ROOT)) {
        c->mode = CGROUP_V2;
        c->hierarchies[c->hierarchies_count++] = xstrdup(CGROUP_ROOT);
        return;
    }
    c->mode = is_cgroup2(CGROUP_ROOT "/unified") ? CGROUP_HYBRID : CGROUP_V1;
    DIR *dir = opendir(CGROUP_ROOT);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir)) && c->hierarchies_count < HIERARCHIES_MAX;) {
        char path[300];
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", CGROUP_ROOT, e->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) /* links like cpu -> cpu,cpuacct are seen once */
            c->hierarchies[c->hierarchies_count++] = xstrdup(path);
    }
    closedir(dir);
}

/*
 * crun 1.8 calls a machine "hybrid" and refuses it when v2 holds a controller that v1 lacks: with only hugetlb there, mounting
 * hugetlb as v1 takes it away from v2.
 */
static void mount_hugetlb(struct cgroups *c)
{
    AUTO_BUF struct buf text = BUF_MAX(4096);

    if (c->mode != CGROUP_HYBRID || file_read(CGROUP_ROOT "/unified/cgroup.controllers", &text, NULL) < 0)
        return;
    if (!str_is(str_trim(buf_str(&text)), "hugetlb"))
        return;
    mkdir(CGROUP_ROOT "/hugetlb", 0755);
    if (mount("klein", CGROUP_ROOT "/hugetlb", "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hugetlb") < 0) {
        log_warn("cannot mount the hugetlb control group hierarchy; crun may refuse to work",
                 KV("errno", "%s", strerror(errno)));
        return;
    }
    log_info("hugetlb control group hierarchy mounted for crun");
}

static void hierarchies_clear(struct cgroups *c)
{
    for (size_t i = 0; i < c->hierarchies_count; i++)
        free(c->hierarchies[i]);
    c->hierarchies_count = 0;
}

static int write_file(const char *path, const char *text)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t n = strlen(text);
    return fd >= 0 && write(fd, text, n) == (ssize_t)n ? 0 : -1;
}

/* v2: hand the controllers down to the children of `path` (a folder below the root). */
static void enable_controllers(const char *folder)
{
    static const char *const names[] = { "+cpu", "+memory", "+pids", "+cpuset", "+io" };
    AUTO_FREE char *control = xasprintf("%s/cgroup.subtree_control", folder);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        write_file(control, names[i]); /* one by one: an absent controller must not stop the others */
}

/* mkdir -p below a hierarchy's root. On v2 every level hands its controllers down. */
static int make_group(struct cgroups *c, const char *hierarchy, const char *path)
{
    AUTO_FREE char *full = xasprintf("%s%s", hierarchy, path);
    size_t root = strlen(hierarchy);

    if (c->mode == CGROUP_V2)
        enable_controllers(hierarchy);
    for (char *p = full + root + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        if (mkdir(full, 0755) < 0 && errno != EEXIST)
            return -1;
        if (c->mode == CGROUP_V2 && end)
            enable_controllers(full);
        *p = end;
        if (!end)
            return 0;
    }
}

static const char *hierarchy_of(const struct cgroups *c, const char *controller)
{
    if (c->mode == CGROUP_V2)
        return c->hierarchies[0];
    for (size_t i = 0; i < c->hierarchies_count; i++) {
        struct str rest = str_of(strrchr(c->hierarchies[i], '/') + 1), part;
        while (str_next(&rest, ',', &part)) {
            if (str_is(part, controller))
                return c->hierarchies[i];
        }
    }
    return NULL;
}

/* Write one limit; v1 and v2 file names differ. Failing is not fatal: the container's own group has its limits too. */
static void set(struct cgroups *c, const char *controller, const char *path, const char *file, const char *value)
{
    const char *hierarchy = hierarchy_of(c, controller);
    if (!hierarchy || make_group(c, hierarchy, path) < 0)
        return;
    AUTO_FREE char *full = xasprintf("%s%s/%s", hierarchy, path, file);
    if (write_file(full, value) < 0)
        log_debug("control group limit not set", KV("file", "%s", full), KV("value", "%s", value));
}

static void set_shares(struct cgroups *c, const char *path, int64_t shares)
{
    char value[32];

    if (c->mode == CGROUP_V2) { /* kernel weights 1..10000; formula of KEP-2254 */
        snprintf(value, sizeof(value), "%lld", (long long)(1 + (shares - 2) * 9999 / 262142));
        set(c, "cpu", path, "cpu.weight", value);
    } else {
        snprintf(value, sizeof(value), "%lld", (long long)shares);
        set(c, "cpu", path, "cpu.shares", value);
    }
}

struct cgroups *cgroups_new(const char *cluster, const char *node, struct error *err)
{
    struct cgroups *c = xnew(struct cgroups);

    find_hierarchies(c);
    mount_hugetlb(c);
    hierarchies_clear(c);
    find_hierarchies(c);
    c->node_path = xasprintf("/klein/%s/%s", cluster, node);
    if (c->hierarchies_count == 0) {
        cgroups_free(c);
        return fail_null(err, ERR_UNAVAILABLE, "no control group hierarchy is mounted at " CGROUP_ROOT);
    }
    for (size_t i = 0; i < c->hierarchies_count; i++) {
        if (make_group(c, c->hierarchies[i], c->node_path) < 0)
            log_warn("cannot make the node's control group", KV("hierarchy", "%s", c->hierarchies[i]),
                     KV("errno", "%s", strerror(errno)));
    }
    AUTO_FREE char *best_effort = xasprintf("%s/%s", c->node_path, qos_folders[QOS_BEST_EFFORT]);
    set_shares(c, best_effort, SHARES_MIN);
    return c;
}

void cgroups_free(struct cgroups *c)
{
    if (!c)
        return;
    hierarchies_clear(c);
    free(c->node_path);
    free(c);
}

enum cgroup_mode cgroups_mode(const struct cgroups *c)
{
    return c->mode;
}

struct str cgroup_pod_path(const struct cgroups *c, struct arena *a, enum qos_class qos, struct str uid)
{
    return arena_printf(a, "%s/%s/pod%.*s", c->node_path, qos_folders[qos], STR_ARG(uid));
}

int cgroup_pod_create(struct cgroups *c, struct str path, const struct spec_limits *limits, struct error *err)
{
    AUTO_FREE char *p = str_dup(path);
    char value[64];

    if (str_contains(path, STR("..")))
        return fail(err, ERR_INVALID, "bad control group path '%s'", p);
    if (limits->cpu_shares)
        set_shares(c, p, limits->cpu_shares);
    if (limits->cpu_quota_us && c->mode == CGROUP_V2) {
        snprintf(value, sizeof(value), "%lld %lld", (long long)limits->cpu_quota_us, (long long)limits->cpu_period_us);
        set(c, "cpu", p, "cpu.max", value);
    } else if (limits->cpu_quota_us) {
        snprintf(value, sizeof(value), "%lld", (long long)limits->cpu_period_us);
        set(c, "cpu", p, "cpu.cfs_period_us", value);
        snprintf(value, sizeof(value), "%lld", (long long)limits->cpu_quota_us);
        set(c, "cpu", p, "cpu.cfs_quota_us", value);
    }
    if (limits->memory_bytes) {
        snprintf(value, sizeof(value), "%lld", (long long)limits->memory_bytes);
        set(c, "memory", p, c->mode == CGROUP_V2 ? "memory.max" : "memory.limit_in_bytes", value);
    }
    if (limits->pids) {
        snprintf(value, sizeof(value), "%lld", (long long)limits->pids);
        set(c, "pids", p, "pids.max", value);
    }
    return 0;
}

static void kill_members(const char *folder)
{
    AUTO_FREE char *path = xasprintf("%s/cgroup.procs", folder);
    AUTO_BUF struct buf text = BUF_MAX(MIB);

    if (file_read(path, &text, NULL) < 0)
        return;
    for (struct str rest = buf_str(&text), line; str_next(&rest, '\n', &line);) {
        int64_t pid;
        if (str_to_i64(line, &pid) && pid > 1 && pid != getpid())
            kill((pid_t)pid, SIGKILL);
    }
}

/* Remove a group and those below; false when something was still in it. */
static bool remove_group(const char *folder, unsigned depth)
{
    DIR *dir = depth < REMOVE_DEPTH_MAX ? opendir(folder) : NULL;

    if (!dir)
        return errno == ENOENT;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        AUTO_FREE char *child = xasprintf("%s/%s", folder, e->d_name);
        remove_group(child, depth + 1);
    }
    closedir(dir);
    if (rmdir(folder) == 0 || errno == ENOENT)
        return true;
    kill_members(folder);
    return rmdir(folder) == 0 || errno == ENOENT;
}

void cgroup_remove(struct cgroups *c, struct str path)
{
    for (size_t i = 0; i < c->hierarchies_count; i++) {
        AUTO_FREE char *full = xasprintf("%s%.*s", c->hierarchies[i], STR_ARG(path));
        /* A killed process leaves its group a moment later; the groups are found again at the next start otherwise. */
        for (int tries = 0; !remove_group(full, 0) && tries < 20; tries++)
            poll(NULL, 0, 5); /* on a worker */
    }
}

void cgroups_remove_all(struct cgroups *c)
{
    cgroup_remove(c, str_of(c->node_path));
    for (size_t i = 0; i < c->hierarchies_count; i++) {
        AUTO_FREE char *cluster = xasprintf("%s%s", c->hierarchies[i], c->node_path);
        *strrchr(cluster, '/') = '\0';
        if (rmdir(cluster) == 0) { /* the last node of the cluster, then maybe the last cluster */
            *strrchr(cluster, '/') = '\0';
            rmdir(cluster);
        }
    }
    if (c->mode == CGROUP_HYBRID && !file_exists(CGROUP_ROOT "/hugetlb/klein") &&
        file_exists(CGROUP_ROOT "/hugetlb/cgroup.procs") && umount2(CGROUP_ROOT "/hugetlb", 0) == 0)
        rmdir(CGROUP_ROOT "/hugetlb");
}

void cgroup_each_pod(struct cgroups *c, void (*fn)(void *arg, enum qos_class qos, struct str uid), void *arg)
{
    for (size_t i = 0; i < c->hierarchies_count; i++) {
        for (enum qos_class q = QOS_BEST_EFFORT; q <= QOS_GUARANTEED; q++) {
            AUTO_FREE char *folder = xasprintf("%s%s/%s", c->hierarchies[i], c->node_path, qos_folders[q]);
            DIR *dir = opendir(folder);
            if (!dir)
                continue;
            for (struct dirent *e; (e = readdir(dir));) {
                if (str_starts(str_of(e->d_name), STR("pod")))
                    fn(arg, q, str_of(e->d_name + 3));
            }
            closedir(dir);
        }
    }
}

struct str cgroup_pod_folder(const struct cgroups *c, struct arena *a, struct str path)
{
    size_t best = 0;

    for (size_t i = 0; i < c->hierarchies_count; i++)
        if (str_is(str_of(c->hierarchies[i]), CGROUP_ROOT "/memory"))
            best = i; /* the runtime always makes this one */
    return arena_printf(a, "%s%.*s", c->hierarchies_count ? c->hierarchies[best] : CGROUP_ROOT, STR_ARG(path));
}

int64_t cgroup_cpu_shares(int64_t milli_cpu)
{
    if (milli_cpu <= 0)
        return SHARES_MIN;
    return MIN(MAX(milli_cpu * SHARES_PER_CPU / 1000, SHARES_MIN), SHARES_MAX);
}

int64_t cgroup_cpu_quota_us(int64_t milli_cpu, int64_t period_us)
{
    return milli_cpu <= 0 ? 0 : MAX(milli_cpu * period_us / 1000, QUOTA_MIN_US);
}

static int64_t read_number(const struct cgroups *c, const char *controller, struct str path, const char *file)
{
    AUTO_BUF struct buf text = BUF_MAX(64);
    const char *hierarchy = hierarchy_of(c, controller);
    int64_t n;

    if (!hierarchy)
        return -1;
    AUTO_FREE char *full = xasprintf("%s%.*s/%s", hierarchy, STR_ARG(path), file);
    return file_read(full, &text, NULL) == 0 && str_to_i64(str_trim(buf_str(&text)), &n) ? n : -1;
}

int64_t cgroup_memory_bytes(const struct cgroups *c, struct str path)
{
    return read_number(c, "memory", path, c->mode == CGROUP_V2 ? "memory.current" : "memory.usage_in_bytes");
}

int64_t cgroup_cpu_usage_us(const struct cgroups *c, struct str path)
{
    if (c->mode != CGROUP_V2) {
        int64_t ns = read_number(c, "cpuacct", path, "cpuacct.usage");
        return ns < 0 ? -1 : ns / 1000;
    }
    AUTO_BUF struct buf text = BUF_MAX(4096);
    AUTO_FREE char *full = xasprintf("%s%.*s/cpu.stat", c->hierarchies[0], STR_ARG(path));
    struct str rest, line, name;
    int64_t n;

    if (file_read(full, &text, NULL) < 0)
        return -1;
    for (rest = buf_str(&text); str_next(&rest, '\n', &line);) {
        if (str_cut(&line, ' ', &name) && str_is(name, "usage_usec") && str_to_i64(line, &n))
            return n;
    }
    return -1;
}
