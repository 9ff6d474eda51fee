/* The half of preparing a container that touches the disk: root, subpaths, user names. For workers. */
#include "base/file.h"
#include "node/container_prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PASSWD_MAX (1 * MIB)
#define GROUPS_MAX 64
#define ID_MAX     ((int64_t)UINT32_MAX - 1) /* CVE-2024-40635: larger ones wrap around to root */

static int make_folder(struct arena *a, struct str folder, const char *name, mode_t mode, struct error *err)
{
    struct str path = arena_printf(a, "%.*s/%s", STR_ARG(folder), name);
    if (file_mkdirs(path.p, mode, err) < 0)
        return -1;
    chmod(path.p, mode);
    return 0;
}

static int mount_root(struct prepared *p, struct error *err)
{
    struct arena *a = &p->arena;
    struct str options = arena_printf(a, "lowerdir=%.*s,upperdir=%.*s/upper,workdir=%.*s/work", STR_ARG(p->lower),
                                      STR_ARG(p->folder), STR_ARG(p->folder));

    container_folder_remove(arena_strdup(a, p->folder));
    if (make_folder(a, p->folder, "upper", 0755, err) < 0 || make_folder(a, p->folder, "work", 0755, err) < 0 ||
        make_folder(a, p->folder, "rootfs", 0755, err) < 0 || make_folder(a, p->folder, "subpaths", 0755, err) < 0)
        return -1;
    /* volatile: nothing of a container's writable layer outlives a power cut, so syncing it when it is unmounted is waste. */
    struct str fast = arena_printf(a, "%.*s,volatile", STR_ARG(options));
    if (mount("overlay", p->spec.rootfs.p, "overlay", 0, fast.p) < 0 &&
        mount("overlay", p->spec.rootfs.p, "overlay", 0, options.p) < 0)
        return fail_sys(err, errno, "mount the container's root file system");
    AUTO_FD int fd = open(p->message_path.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || fchmod(fd, 0666) < 0)
        return fail_sys(err, errno, "create the termination message");
    return 0;
}

void container_folder_remove(const char *folder)
{
    AUTO_FREE char *root = xasprintf("%s/rootfs", folder);
    AUTO_FREE char *subpaths = xasprintf("%s/subpaths", folder);

    while (umount2(root, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    subpath_unmount_all(subpaths);
    file_remove_tree(folder, NULL);
}

/* --- users --------------------------------------------------------------------------------------------------------------- */

/* A file of the container's root, never through a link out of it. */
static int read_in_root(const struct prepared *p, const char *path, struct buf *to)
{
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    AUTO_FD int root = open(p->spec.rootfs.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int fd = root >= 0 ? (int)syscall(SYS_openat2, root, path, &how, sizeof(how)) : -1;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -1;
    for (;;) {
        char *at = buf_reserve(to, 4096);
        ssize_t n = at ? read(fd, at, 4096) : -1;
        if (n <= 0)
            return n == 0 ? 0 : -1;
        to->n += (size_t)n;
    }
}

static bool to_id(struct str s, int64_t *ret)
{
    return str_to_i64(s, ret) && *ret >= 0 && *ret <= ID_MAX;
}

/* The fields of a line of passwd or group. */
static size_t split(struct str line, struct str *fields, size_t max)
{
    size_t n = 0;
    while (n < max && str_cut(&line, ':', &fields[n]))
        n++;
    if (n < max)
        n++; /* the last one has no colon behind it */
    return n;
}

/* By name or number; false when a name is not there. A number need not be. */
static bool find_user(struct str passwd, struct str wanted, int64_t *ret_uid, int64_t *ret_gid, struct str *ret_name)
{
    struct str line, f[4];
    int64_t number = -1;
    bool is_number = to_id(wanted, &number);

    while (str_next(&passwd, '\n', &line)) {
        int64_t uid, gid;
        if (split(line, f, 4) < 4 || !to_id(f[2], &uid) || !to_id(f[3], &gid))
            continue;
        if (str_eq(f[0], wanted) || (is_number && uid == number)) {
            *ret_uid = uid;
            *ret_gid = gid;
            *ret_name = f[0];
            return true;
        }
    }
    *ret_uid = number;
    *ret_gid = 0;
    return is_number;
}

static bool find_group(struct str group, struct str wanted, int64_t *ret_gid)
{
    struct str line, f[3];

    if (to_id(wanted, ret_gid))
        return true;
    while (str_next(&group, '\n', &line)) {
        if (split(line, f, 3) == 3 && str_eq(f[0], wanted) && to_id(f[2], ret_gid))
            return true;
    }
    return false;
}

static void add_group(struct prepared *p, int64_t gid)
{
    for (size_t i = 0; i < p->groups_count; i++) {
        if (p->groups[i] == gid)
            return;
    }
    if (p->groups_count < GROUPS_MAX)
        p->groups[p->groups_count++] = gid;
}

/* The image's own membership lists count too (supplementalGroupsPolicy Merge). */
static void add_memberships(struct prepared *p, struct str group, struct str name)
{
    struct str line, f[4], member;

    while (name.n && str_next(&group, '\n', &line)) {
        int64_t gid;
        if (split(line, f, 4) < 4 || !to_id(f[2], &gid))
            continue;
        struct str members = line;
        for (int i = 0; i < 3; i++)
            str_cut(&members, ':', &member);
        while (str_next(&members, ',', &member)) {
            if (str_eq(member, name))
                add_group(p, gid);
        }
    }
}

static int resolve_user(struct prepared *p, struct error *err)
{
    AUTO_BUF struct buf passwd = BUF_MAX(PASSWD_MAX);
    AUTO_BUF struct buf group = BUF_MAX(PASSWD_MAX);
    struct str rest = p->user, user, name = STR_NONE;
    int64_t uid, gid;

    read_in_root(p, "etc/passwd", &passwd);
    read_in_root(p, "etc/group", &group);
    if (p->user_set)
        user = arena_printf(&p->arena, "%lld", (long long)p->spec.uid), rest = STR_NONE;
    else
        str_cut(&rest, ':', &user);
    if (!user.n)
        user = STR("0");
    if (!find_user(buf_str(&passwd), user, &uid, &gid, &name))
        return fail(err, ERR_INVALID, "unable to find user %.*s: no matching entries in passwd file", STR_ARG(user));
    if (rest.n && !find_group(buf_str(&group), rest, &gid))
        return fail(err, ERR_INVALID, "unable to find group %.*s: no matching entries in group file", STR_ARG(rest));
    p->spec.uid = uid;
    if (!p->group_set)
        p->spec.gid = gid;
    add_memberships(p, buf_str(&group), name);
    p->spec.groups = p->groups;
    p->spec.groups_count = p->groups_count;
    return 0;
}

/* Source: kubelet's verifyRunAsNonRoot. CVE-2019-11245: also after a restart. */
static int check_non_root(const struct prepared *p, struct error *err)
{
    struct str rest = p->user, user;
    int64_t number;

    if (!p->non_root)
        return 0;
    str_cut(&rest, ':', &user);
    if (!p->user_set && user.n && !to_id(user, &number))
        return fail(err, ERR_FORBIDDEN,
                    "container has runAsNonRoot and image has non-numeric user (%.*s), cannot verify user is non-root "
                    "(pod: \"%.*s_%.*s\", container: %.*s)",
                    STR_ARG(user), STR_ARG(p->pod_name), STR_ARG(p->namespace_), STR_ARG(p->container_name));
    if (p->spec.uid == 0)
        return fail(err, ERR_FORBIDDEN,
                    "container has runAsNonRoot and image will run as root (pod: \"%.*s_%.*s\", container: %.*s)",
                    STR_ARG(p->pod_name), STR_ARG(p->namespace_), STR_ARG(p->container_name));
    return 0;
}

int container_finish(struct prepared *p, struct error *err)
{
    if (mount_root(p, err) < 0 || resolve_user(p, err) < 0 || check_non_root(p, err) < 0)
        return -1;
    for (size_t i = 0; i < p->subpaths_count; i++) {
        if (subpath_mount(p->subpaths[i].volume, p->subpaths[i].path, p->subpaths[i].target.p, err) < 0)
            return -1;
    }
    struct str log_folder = str_part(p->log_path, 0, (size_t)str_find_last(p->log_path, '/'));
    if (file_mkdirs(arena_strdup(&p->arena, log_folder), 0755, err) < 0)
        return -1;
    return container_spec_write(&p->spec, &p->config, err);
}
