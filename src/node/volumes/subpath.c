/* subPath mounts by descriptor: what is checked is what is mounted. */
#include "node/volumes/volumes.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_beneath(int folder, const char *path, int flags)
{
    struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
}

/* Make the missing folders of `path`, each beneath the volume. */
static int make_folders(int root, char *path, struct error *err)
{
    for (char *p = path;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        int fd = open_beneath(root, path, O_PATH);
        if (fd >= 0) {
            close(fd);
        } else {
            char *slash = strrchr(path, '/');
            if (slash)
                *slash = '\0';
            AUTO_FD int parent = open_beneath(root, slash ? path : ".", O_PATH | O_DIRECTORY);
            if (slash)
                *slash = '/';
            if (parent < 0 || mkdirat(parent, slash ? slash + 1 : path, 0755) < 0)
                return fail_sys(err, errno, "create the subPath '%s'", path);
        }
        *p = end;
        if (!end)
            return 0;
    }
}

static int make_target(const char *target, bool folder, struct error *err)
{
    if (folder)
        return file_mkdirs(target, 0700, err);
    AUTO_FD int fd = open(target, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? fail_sys(err, errno, "create '%s'", target) : 0;
}

int subpath_mount(struct str volume, struct str path, const char *target, struct error *err)
{
    AUTO_FREE char *root_path = str_dup(volume);
    AUTO_FREE char *sub = str_dup(path);
    struct str rest = path, part;
    struct stat st;

    while (str_next(&rest, '/', &part)) {
        if (str_is(part, ".."))
            return fail(err, ERR_INVALID, "the subPath '%s' must not contain '..'", sub);
    }
    if (!path.n || path.p[0] == '/')
        return fail(err, ERR_INVALID, "the subPath '%s' must be relative", sub);
    AUTO_FD int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return fail_sys(err, errno, "open the volume '%s'", root_path);
    if (make_folders(root, sub, err) < 0)
        return -1;
    AUTO_FD int fd = open_beneath(root, sub, O_PATH);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_sys(err, errno, "the subPath '%s' leads out of its volume or cannot be opened", sub);
    if (make_target(target, S_ISDIR(st.st_mode), err) < 0)
        return -1;
    AUTO_FREE char *by_descriptor = xasprintf("/proc/self/fd/%d", fd);
    if (mount(by_descriptor, target, NULL, MS_BIND, NULL) < 0)
        return fail_sys(err, errno, "mount the subPath '%s'", sub);
    return 0;
}
