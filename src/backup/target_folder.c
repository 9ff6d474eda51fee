/* Backups in a folder of this machine. */
#include "backup/target.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    struct target base;
    char *path;
};

static struct folder *folder_of(struct target *t)
{
    return container_of(t, struct folder, base);
}

static int copy_bytes(int from, int to, struct error *err)
{
    AUTO_FREE char *block = xmalloc(MIB);
    ssize_t n;

    while ((n = read(from, block, MIB)) > 0)
        for (ssize_t at = 0; at < n;) {
            ssize_t written = write(to, block + at, (size_t)(n - at));
            if (written <= 0)
                return fail_sys(err, written < 0 ? errno : ENOSPC, "write");
            at += written;
        }
    if (n < 0)
        return fail_sys(err, errno, "read");
    return fsync(to) < 0 ? fail_sys(err, errno, "write to the disk") : 0;
}

/* Under another name first: a copy that is broken off never looks like the file. */
static int copy_file(const char *from, const char *folder, const char *name, struct error *err)
{
    AUTO_FREE char *part = xasprintf("%s/.part-%s", folder, name);
    AUTO_FREE char *to = xasprintf("%s/%s", folder, name);
    AUTO_FD int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    AUTO_FD int out = in < 0 ? -1 : open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (in < 0 || out < 0)
        return fail_sys(err, errno, "open '%s'", in < 0 ? from : part);
    if (copy_bytes(in, out, err) < 0)
        return error_context(err, "copy '%s' to '%s'", from, to);
    return rename(part, to) < 0 ? fail_sys(err, errno, "rename '%s'", part) : 0;
}

static bool same_size(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_size == y.st_size;
}

static int copy_folder(const char *from, const char *to, bool only_new, struct error *err)
{
    AUTO_TARGET_NAMES struct target_names files = { 0 };

    if (target_local_files(from, &files, err) < 0 || file_mkdirs(to, 0700, err) < 0)
        return -1;
    for (size_t i = 0; i < files.count; i++) {
        AUTO_FREE char *source = xasprintf("%s/%s", from, files.names[i]);
        AUTO_FREE char *copy = xasprintf("%s/%s", to, files.names[i]);
        if (only_new && same_size(source, copy))
            continue;
        if (copy_file(source, to, files.names[i], err) < 0)
            return -1;
    }
    AUTO_FD int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        fsync(fd);
    return 0;
}

static int folder_put(struct target *t, const char *local, const char *name, bool only_new, struct error *err)
{
    AUTO_FREE char *to = xasprintf("%s/%s", folder_of(t)->path, name);

    return copy_folder(local, to, only_new, err);
}

static int folder_get(struct target *t, const char *name, const char *local, struct error *err)
{
    AUTO_FREE char *from = xasprintf("%s/%s", folder_of(t)->path, name);

    if (!file_exists(from))
        return fail(err, ERR_NOT_FOUND, "there is no '%s'", from);
    return copy_folder(from, local, false, err);
}

static int folder_list(struct target *t, struct target_names *ret, struct error *err)
{
    const char *path = folder_of(t)->path;
    DIR *d = opendir(path);
    struct dirent *entry;

    if (!d)
        return errno == ENOENT ? 0 : fail_sys(err, errno, "read '%s'", path);
    while ((entry = readdir(d)))
        if (segment_name_is_valid(str_of(entry->d_name)))
            target_names_add(ret, str_of(entry->d_name));
    closedir(d);
    return 0;
}

static int folder_remove(struct target *t, const char *name, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder_of(t)->path, name);
    AUTO_FREE char *manifest = xasprintf("%s/" MANIFEST_FILE, path);

    unlink(manifest); /* first: what is half removed is no backup */
    return file_remove_tree(path, err);
}

static void folder_free(struct target *t)
{
    free(folder_of(t)->path);
    free(folder_of(t));
}

static const struct target_ops folder_ops = {
    .put = folder_put, .get = folder_get, .list = folder_list, .remove = folder_remove, .free = folder_free
};

struct target *target_open_folder(const char *path)
{
    struct folder *f = xnew(struct folder);

    f->base.ops = &folder_ops;
    f->base.text = xstrdup(path);
    f->path = xstrdup(path);
    return &f->base;
}
