/* A volume's folder on disk: what tenants put into it is never trusted, and links in it are never followed. */
#include "base/file.h"
#include "node/volumes/folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH_MAX 256

static int open_beneath(int folder, const char *path, int flags)
{
    struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
}

/* Names of PersistentVolumes are DNS subdomains; anything else was not made by the API. */
static bool name_is_fine(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) <= 253;
}

int volume_folder_make(const char *volumes, const char *name, struct error *err)
{
    struct stat st;

    if (!name_is_fine(name))
        return fail(err, ERR_INVALID, "'%s' is no name of a volume", name);
    if (file_mkdirs(volumes, 0711, err) < 0)
        return -1;
    AUTO_FD int root = open(volumes, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return fail_sys(err, errno, "open '%s'", volumes);
    AUTO_FD int there = open_beneath(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (there >= 0)
        return 0;
    if (errno != ENOENT)
        return fail_sys(err, errno, "open the folder of volume '%s'", name);
    if (mkdirat(root, name, 0777) < 0 && errno != EEXIST)
        return fail_sys(err, errno, "create the folder of volume '%s'", name);
    AUTO_FD int made = open_beneath(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (made < 0 || fstat(made, &st) < 0 || fchmod(made, 0777) < 0) /* whoever the container runs as; as an emptyDir */
        return fail_sys(err, errno, "open the folder of volume '%s'", name);
    return fsync(root) < 0 && errno != EBADF ? fail_sys(err, errno, "sync '%s'", volumes) : 0;
}

int volume_folder_remove(const char *volumes, const char *name, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", volumes, name);
    struct stat st;

    if (!name_is_fine(name))
        return fail(err, ERR_INVALID, "'%s' is no name of a volume", name);
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : fail_sys(err, errno, "look at '%s'", path);
    return file_remove_tree(path, err);
}

/* --- fsGroup ------------------------------------------------------------------------------------------------------- */

/* Source: pkg/volume/volume_linux.go: read and write for the group, folders keep the group for what is made in them. */
static mode_t wanted_mode(const struct stat *st)
{
    mode_t mode = st->st_mode & 07777;

    return S_ISDIR(st->st_mode) ? mode | 02770 : mode | 0660;
}

static bool is_right(const struct stat *st, int64_t group)
{
    return st->st_gid == (gid_t)group && (st->st_mode & 07777) == wanted_mode(st);
}

static int give_one(int fd, const struct stat *st, int64_t group, struct error *err)
{
    AUTO_FREE char *self = xasprintf("/proc/self/fd/%d", fd);

    if (is_right(st, group))
        return 0;
    if (fchownat(fd, "", (uid_t)-1, (gid_t)group, AT_EMPTY_PATH) < 0 || chmod(self, wanted_mode(st)) < 0)
        return fail_sys(err, errno, "give a volume's files to group %lld", (long long)group);
    return 0;
}

/* Depth first, the folder itself last: an interrupted walk is started again, since its root is not right yet. */
static int give_folder(int fd, int64_t group, int depth, struct error *err)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    struct stat st;

    if (!dir) {
        if (copy >= 0)
            close(copy);
        return fail_sys(err, errno, "read a folder of a volume");
    }
    for (struct dirent *e; r == 0 && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        AUTO_FD int child = openat(fd, e->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0 || fstat(child, &st) < 0)
            continue; /* a container removed it meanwhile */
        if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
            r = give_folder(child, group, depth + 1, err);
        else if (S_ISREG(st.st_mode))
            r = give_one(child, &st, group, err);
    }
    closedir(dir);
    if (r == 0 && fstat(fd, &st) == 0)
        r = give_one(fd, &st, group, err);
    return r;
}

int volume_set_group(const char *path, int64_t group, bool only_if_needed, struct error *err)
{
    AUTO_FD int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_sys(err, errno, "open the volume '%s'", path);
    return only_if_needed && is_right(&st, group) ? 0 : give_folder(fd, group, 0, err);
}
