/* From a tar stream to an overlayfs lower directory, trusting nothing in it. */
#include "node/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BYTES_MAX      ((int64_t)64 * 1024 * 1024 * 1024)
#define ENTRIES_MAX    2000000
#define PATH_MAX_BYTES 4096
#define DEPTH_MAX      256
#define READ_BLOCK     (64 * KIB)
#define WHITEOUT       ".wh."
#define OPAQUE         ".wh..wh..opq"

struct unpack {
    struct archive *archive;
    int root;
    struct layer_limits limits;
    int64_t bytes, entries;
    /* The folder of the last entry: archives name a folder's files one after the other. */
    char parent_path[PATH_MAX_BYTES];
    int parent;
};

static int open_in_root(int root, const char *path, int flags)
{
    struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* "./a//b/" -> "a/b". Fails for "..", names over NAME_MAX and deep paths. */
static int clean_path(const char *raw, char ret[PATH_MAX_BYTES], struct error *err)
{
    struct str rest = str_of(raw), part;
    size_t n = 0, depth = 0;

    if (!raw || rest.n >= PATH_MAX_BYTES)
        return fail(err, ERR_INVALID, "a path in the layer is too long");
    while (str_next(&rest, '/', &part)) {
        if (!part.n || str_is(part, "."))
            continue;
        if (str_is(part, "..") || part.n > NAME_MAX || ++depth > DEPTH_MAX)
            return fail(err, ERR_INVALID, "the path '%.200s' in the layer is not allowed", raw);
        if (n)
            ret[n++] = '/';
        memcpy(ret + n, part.p, part.n);
        n += part.n;
    }
    ret[n] = '\0';
    return 0;
}

/* Open a folder below the root, making what is missing; symbolic links inside are followed inside. Step by step and not by
 * recursion: the archive chooses the depth, and this runs on a worker's small stack. */
static int open_folder(struct unpack *u, const char *path, struct error *err)
{
    char above[PATH_MAX_BYTES];
    int fd = open_in_root(u->root, path[0] ? path : ".", O_PATH | O_DIRECTORY);

    for (const char *end = path; fd < 0 && errno == ENOENT && *end;) {
        const char *name = *end == '/' ? end + 1 : end;
        end = strchrnul(name, '/');
        snprintf(above, sizeof(above), "%.*s", (int)(end - path), path);
        fd = open_in_root(u->root, above, O_PATH | O_DIRECTORY);
        if (fd < 0 && errno == ENOENT) {
            above[name - path] = '\0';
            AUTO_FD int parent = open_in_root(u->root, above[0] ? above : ".", O_PATH | O_DIRECTORY);
            above[name - path] = *name;
            if (parent < 0 || (mkdirat(parent, above + (name - path), 0755) < 0 && errno != EEXIST))
                return fail_sys(err, errno, "make the folder '%.200s' of the layer", above);
            fd = openat(parent, above + (name - path), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (fd < 0)
                return fail_sys(err, errno, "open the folder '%.200s' of the layer", above);
        }
        if (fd >= 0 && *end) { /* a step on the way */
            close(fd);
            fd = -1;
            errno = ENOENT;
        }
    }
    return fd >= 0 ? fd : fail_sys(err, errno, "open the folder '%.200s' of the layer", path);
}

/* The folder an entry lies in (kept open for the next one) and its last name. */
static int enter_parent(struct unpack *u, const char *path, const char **ret_name, struct error *err)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX_BYTES];

    snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
    *ret_name = slash ? slash + 1 : path;
    if (u->parent >= 0 && strcmp(parent, u->parent_path) == 0)
        return 0;
    int fd = open_folder(u, parent, err);
    if (fd < 0)
        return -1;
    if (u->parent >= 0)
        close(u->parent);
    u->parent = fd;
    memcpy(u->parent_path, parent, strlen(parent) + 1);
    return 0;
}

static void forget_parent(struct unpack *u)
{
    if (u->parent >= 0)
        close(u->parent);
    u->parent = -1;
}

static int write_whiteout(struct unpack *u, const char *name, struct error *err)
{
    if (strcmp(name, OPAQUE) == 0) {
        char self[64];
        snprintf(self, sizeof(self), "/proc/self/fd/%d", u->parent);
        if (setxattr(self, "trusted.overlay.opaque", "y", 1, 0) < 0)
            return fail_sys(err, errno, "mark a folder of the layer as opaque");
        return 0;
    }
    const char *hidden = name + strlen(WHITEOUT);
    if (!hidden[0] || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0 || strchr(hidden, '/'))
        return fail(err, ERR_INVALID, "bad whiteout '%.200s' in the layer", name);
    if (mknodat(u->parent, hidden, S_IFCHR, 0) < 0 && errno != EEXIST)
        return fail_sys(err, errno, "write a whiteout of the layer");
    return 0;
}

static int copy_file(struct unpack *u, const char *name, struct archive_entry *e, struct error *err)
{
    AUTO_FD int fd = openat(u->parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    const void *block;
    size_t n;
    la_int64_t offset;

    if (fd < 0)
        return fail_sys(err, errno, "create '%.200s' of the layer", name);
    for (;;) {
        int r = archive_read_data_block(u->archive, &block, &n, &offset);
        if (r == ARCHIVE_EOF)
            break;
        if (r < ARCHIVE_WARN)
            return fail(err, ERR_INVALID, "the layer is damaged: %s", archive_error_string(u->archive));
        u->bytes += (int64_t)n;
        if (u->bytes > u->limits.bytes_max)
            return fail(err, ERR_TOO_LARGE, "the layer unpacks to more than %lld bytes",
                        (long long)u->limits.bytes_max);
        if (u->limits.stop && *u->limits.stop)
            return fail(err, ERR_UNAVAILABLE, "the agent is stopping");
        for (size_t done = 0; done < n;) {
            ssize_t w = pwrite(fd, (const char *)block + done, n - done, offset + (off_t)done);
            if (w < 0)
                return fail_sys(err, errno, "write '%.200s' of the layer", name);
            done += (size_t)w;
        }
    }
    if (ftruncate(fd, archive_entry_size(e)) < 0) /* a sparse end */
        return fail_sys(err, errno, "write '%.200s' of the layer", name);
    return 0;
}

static int make_hard_link(struct unpack *u, const char *name, const char *raw_target, struct error *err)
{
    char target[PATH_MAX_BYTES], folder[PATH_MAX_BYTES];

    if (clean_path(raw_target, target, err) < 0)
        return -1;
    char *slash = strrchr(target, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - target) : 0, target);
    AUTO_FD int parent = open_in_root(u->root, folder[0] ? folder : ".", O_PATH | O_DIRECTORY);
    if (parent < 0 || linkat(parent, slash ? slash + 1 : target, u->parent, name, 0) < 0)
        return fail_sys(err, errno, "link '%.200s' to '%.200s' in the layer", name, target);
    return 0;
}

static void set_xattrs(int parent, const char *name, struct archive_entry *e)
{
    const char *key;
    const void *value;
    size_t n;
    char path[PATH_MAX_BYTES + 64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", parent, name);
    archive_entry_xattr_reset(e);
    while (archive_entry_xattr_next(e, &key, &value, &n) == ARCHIVE_OK) {
        if (strncmp(key, "user.", 5) == 0 || strcmp(key, "security.capability") == 0)
            lsetxattr(path, key, value, n, 0); /* file systems without them lose them, as with other runtimes */
    }
}

static int set_attributes(struct unpack *u, const char *name, struct archive_entry *e, struct error *err)
{
    mode_t type = archive_entry_filetype(e), mode = archive_entry_perm(e);
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
                                 { .tv_sec = archive_entry_mtime(e), .tv_nsec = archive_entry_mtime_nsec(e) } };
    int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);

    if (uid < 0 || uid > UINT32_MAX - 1 || gid < 0 || gid > UINT32_MAX - 1)
        return fail(err, ERR_INVALID, "bad owner of '%.200s' in the layer", name);
    if (fchownat(u->parent, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_sys(err, errno, "set the owner of '%.200s' of the layer", name);
    if (type != S_IFLNK &&
        fchmodat(u->parent, name, mode, 0) < 0) /* never a link: we have just made it, or it is a folder */
        return fail_sys(err, errno, "set the mode of '%.200s' of the layer", name);
    set_xattrs(u->parent, name, e);
    utimensat(u->parent, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

/* Make room: a later entry of the same name replaces an earlier one, but a folder stays a folder. */
static int remove_earlier(struct unpack *u, const char *name, bool folder, bool *ret_exists, struct error *err)
{
    struct stat st;

    *ret_exists = false;
    if (fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (S_ISDIR(st.st_mode) && folder) {
        *ret_exists = true;
        return 0;
    }
    if (unlinkat(u->parent, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
        return fail_sys(err, errno, "replace '%.200s' of the layer", name);
    return 0;
}

static int unpack_entry(struct unpack *u, struct archive_entry *e, struct error *err)
{
    char path[PATH_MAX_BYTES];
    const char *name, *target = archive_entry_hardlink(e);
    mode_t type = archive_entry_filetype(e);
    bool exists;

    if (clean_path(archive_entry_pathname(e), path, err) < 0)
        return -1;
    if (!path[0])
        return fchmod(u->root, archive_entry_perm(e)) < 0 ? fail_sys(err, errno, "set the mode of the layer's root")
                                                          : 0;
    if (enter_parent(u, path, &name, err) < 0)
        return -1;
    if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0)
        return write_whiteout(u, name, err);
    if (!target && type != S_IFREG && type != S_IFDIR && type != S_IFLNK && type != S_IFIFO)
        return 0; /* device nodes and sockets have no place in an image */
    if (remove_earlier(u, name, type == S_IFDIR && !target, &exists, err) < 0)
        return -1;
    if (target)
        return make_hard_link(u, name, target, err);
    if (type == S_IFDIR) {
        if (!exists && mkdirat(u->parent, name, 0700) < 0)
            return fail_sys(err, errno, "make the folder '%.200s' of the layer", path);
    } else if (type == S_IFLNK) {
        forget_parent(u); /* what a path means may change with a new link */
        if (enter_parent(u, path, &name, err) < 0)
            return -1;
        if (!archive_entry_symlink(e) || symlinkat(archive_entry_symlink(e), u->parent, name) < 0)
            return fail_sys(err, errno, "make the link '%.200s' of the layer", path);
    } else if (type == S_IFIFO) {
        if (mkfifoat(u->parent, name, 0600) < 0)
            return fail_sys(err, errno, "make the pipe '%.200s' of the layer", path);
    } else if (copy_file(u, name, e, err) < 0) {
        return -1;
    }
    return set_attributes(u, name, e, err);
}

static int unpack_all(struct unpack *u, struct error *err)
{
    struct archive_entry *e;

    for (;;) {
        int r = archive_read_next_header(u->archive, &e);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r < ARCHIVE_WARN)
            return fail(err, ERR_INVALID, "the layer is damaged: %s", archive_error_string(u->archive));
        if (++u->entries > u->limits.entries_max)
            return fail(err, ERR_TOO_LARGE, "the layer has more than %lld entries", (long long)u->limits.entries_max);
        if (unpack_entry(u, e, err) < 0)
            return -1;
    }
}

int layer_unpack(int fd, const char *folder, const struct layer_limits *limits, int64_t *ret_bytes, struct error *err)
{
    struct unpack u = { .parent = -1, .limits = *limits };
    int result = -1;

    if (!u.limits.bytes_max)
        u.limits.bytes_max = BYTES_MAX;
    if (!u.limits.entries_max)
        u.limits.entries_max = ENTRIES_MAX;
    u.root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u.root < 0)
        return fail_sys(err, errno, "open '%s'", folder);
    u.archive = archive_read_new();
    archive_read_support_format_tar(u.archive);
    archive_read_support_filter_gzip(u.archive);
    archive_read_support_filter_zstd(u.archive);
    if (archive_read_open_fd(u.archive, fd, READ_BLOCK) != ARCHIVE_OK)
        fail(err, ERR_INVALID, "the layer is no archive: %s", archive_error_string(u.archive));
    else
        result = unpack_all(&u, err);
    archive_read_free(u.archive);
    forget_parent(&u);
    close(u.root);
    *ret_bytes = u.bytes;
    return result;
}
