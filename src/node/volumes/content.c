/*
 * A folder of files that changes all at once: FOLDER/NAME -> ..data/NAME, FOLDER/..data -> ..HASH, FOLDER/..HASH/NAME.
 * The hash is that of the whole content, so writing the same again is nothing to do, also after a restart.
 */
#include "node/volumes/volumes.h"

#include "base/codec.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void hash_content(const struct volume_file *files, size_t count, int64_t owner, int64_t group,
                         char ret[SHA256_HEX_SIZE])
{
    AUTO_BUF struct buf all = BUF_MAX(64 * MIB);

    buf_addf(&all, "%lld %lld\n", (long long)owner, (long long)group);
    for (size_t i = 0; i < count; i++) {
        buf_addf(&all, "%zu:%.*s %o %zu:", files[i].path.n, STR_ARG(files[i].path), files[i].mode, files[i].content.n);
        buf_add(&all, files[i].content);
    }
    sha256_hex(buf_str(&all), ret);
    ret[32] = '\0';
}

/* Folders, too, belong to the group, and pass it on. Source: SetVolumeOwnership with a read-only mask. */
static int give_folder(int fd, int64_t group, struct error *err)
{
    if (group < 0)
        return fchmod(fd, 0755) < 0 ? fail_sys(err, errno, "set the mode of a volume's folder") : 0;
    if (fchown(fd, (uid_t)-1, (gid_t)group) < 0 || fchmod(fd, 02755) < 0)
        return fail_sys(err, errno, "set the group of a volume's folder");
    return 0;
}

static int make_folder(int root, const char *path, int64_t group, struct error *err)
{
    if (mkdirat(root, path, 0755) < 0)
        return errno == EEXIST ? 0 : fail_sys(err, errno, "create '%s'", path);
    AUTO_FD int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? fail_sys(err, errno, "open '%s'", path) : give_folder(fd, group, err);
}

static int write_one(int root, const struct volume_file *f, int64_t owner, int64_t group, struct error *err)
{
    AUTO_FREE char *path = str_dup(f->path);
    mode_t mode = f->mode & 0777;

    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (make_folder(root, path, group, err) < 0)
            return -1;
        *slash = '/';
    }
    AUTO_FD int fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, f->content.p ? f->content.p : "", f->content.n) != (ssize_t)f->content.n)
        return fail_sys(err, errno, "write '%s'", path);
    if (group >= 0)
        mode |= (mode & 0400) >> 3; /* the group may read what the owner may */
    if ((owner >= 0 || group >= 0) &&
        fchown(fd, owner >= 0 && group < 0 ? (uid_t)owner : (uid_t)-1, group >= 0 ? (gid_t)group : (gid_t)-1) < 0)
        return fail_sys(err, errno, "set the owner of '%s'", path);
    return fchmod(fd, mode) < 0 ? fail_sys(err, errno, "set the mode of '%s'", path) : 0;
}

static int point_data_at(int folder, const char *version, struct error *err)
{
    unlinkat(folder, "..data_tmp", 0);
    if (symlinkat(version, folder, "..data_tmp") < 0 || renameat(folder, "..data_tmp", folder, "..data") < 0)
        return fail_sys(err, errno, "switch the volume over to its new content");
    return 0;
}

/* FOLDER/a for a file "a" and for a folder of "a/b". */
static int link_names(int folder, const struct volume_file *files, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct str rest = files[i].path, first;
        str_cut(&rest, '/', &first);
        AUTO_FREE char *name = str_dup(first);
        AUTO_FREE char *target = xasprintf("..data/%s", name);
        if (symlinkat(target, folder, name) < 0 && errno != EEXIST)
            return fail_sys(err, errno, "link '%s' in the volume", name);
    }
    return 0;
}

static bool is_named(const struct volume_file *files, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        struct str rest = files[i].path, first;
        str_cut(&rest, '/', &first);
        if (str_is(first, name))
            return true;
    }
    return false;
}

/* Links whose file is gone, and earlier versions. */
static void remove_stale(const char *path, int folder, const char *version, const struct volume_file *files,
                         size_t count)
{
    DIR *dir = opendir(path);

    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "..data") == 0 ||
            strcmp(e->d_name, version) == 0)
            continue;
        if (e->d_name[0] == '.' && e->d_name[1] == '.') {
            AUTO_FREE char *old = xasprintf("%s/%s", path, e->d_name);
            file_remove_tree(old, NULL);
        } else if (!is_named(files, count, e->d_name)) {
            unlinkat(folder, e->d_name, 0);
        }
    }
    closedir(dir);
}

int content_write(const char *folder, const struct volume_file *files, size_t count, int64_t owner, int64_t group,
                  struct error *err)
{
    char hash[SHA256_HEX_SIZE], version[48], now[64] = "";

    hash_content(files, count, owner, group, hash);
    snprintf(version, sizeof(version), "..%.32s", hash);
    if (file_mkdirs(folder, 0755, err) < 0)
        return -1;
    AUTO_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_sys(err, errno, "open '%s'", folder);
    if (give_folder(fd, group, err) < 0)
        return -1;
    if (readlinkat(fd, "..data", now, sizeof(now) - 1) > 0 && strcmp(now, version) == 0)
        return 0;
    AUTO_FREE char *half = xasprintf("%s/%s", folder, version);
    file_remove_tree(half, NULL); /* of an earlier try */
    if (mkdirat(fd, version, 0755) < 0)
        return fail_sys(err, errno, "create '%s'", half);
    AUTO_FD int root = openat(fd, version, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return fail_sys(err, errno, "open '%s'", half);
    if (give_folder(root, group, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (write_one(root, &files[i], owner, group, err) < 0)
            return -1;
    }
    if (point_data_at(fd, version, err) < 0 || link_names(fd, files, count, err) < 0)
        return -1;
    remove_stale(folder, fd, version, files, count);
    return 0;
}
