/* Making volumes on disk and taking them away. */
#include "node/volumes/folders.h"
#include "node/volumes/volumes.h"

#include "base/file.h"
#define LOG_PART "node"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TMPFS_MAGIC_NUMBER 0x01021994

static bool is_tmpfs_mount(const char *path)
{
    struct statfs fs;
    struct stat st, above;
    AUTO_FREE char *parent = xasprintf("%s/..", path);
    return statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC_NUMBER && stat(path, &st) == 0 &&
           stat(parent, &above) == 0 && st.st_dev != above.st_dev;
}

static int apply_empty_dir(const struct volume *v, const char *path, struct error *err)
{
    if (file_mkdirs(path, 0755, err) < 0)
        return -1;
    if (v->type == VOLUME_MEMORY && !is_tmpfs_mount(path)) {
        char options[64] = "mode=0777";
        if (v->size_limit_bytes > 0)
            snprintf(options, sizeof(options), "mode=0777,size=%lld", (long long)v->size_limit_bytes);
        if (mount("klein", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
            return fail_sys(err, errno, "mount a tmpfs at '%s'", path);
    }
    if (v->fs_group >= 0 && chown(path, (uid_t)-1, (gid_t)v->fs_group) < 0)
        return fail_sys(err, errno, "set the group of '%s'", path);
    if (chmod(path, v->fs_group >= 0 ? 02777 : 0777) < 0)
        return fail_sys(err, errno, "set the mode of '%s'", path);
    return 0;
}

static int check_type(const char *path, mode_t type, const char *what, struct error *err)
{
    struct stat st;
    if (stat(path, &st) < 0 || (st.st_mode & S_IFMT) != type)
        return fail(err, ERR_INVALID, "hostPath type check failed: %s is not a %s", path, what);
    return 0;
}

static int apply_host_path(const struct volume *v, const char *path, struct error *err)
{
    static const struct {
        const char *name;
        mode_t type;
        const char *what;
    } types[] = {
        { "Directory", S_IFDIR, "directory" },      { "File", S_IFREG, "file" },
        { "Socket", S_IFSOCK, "socket" },           { "CharDevice", S_IFCHR, "character device" },
        { "BlockDevice", S_IFBLK, "block device" },
    };

    if (str_is(v->host_path_type, "DirectoryOrCreate")) {
        if (file_mkdirs(path, 0755, err) < 0)
            return -1;
        return check_type(path, S_IFDIR, "directory", err);
    }
    if (str_is(v->host_path_type, "FileOrCreate")) {
        AUTO_FD int fd =
            open(path, O_RDONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644); /* a pod may have put a pipe there */
        return fd < 0 ? fail_sys(err, errno, "create '%s'", path) : check_type(path, S_IFREG, "file", err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (str_is(v->host_path_type, types[i].name))
            return check_type(path, types[i].type, types[i].what, err);
    }
    if (!file_exists(path)) /* the empty type checks nothing; the bind mount then needs a folder, as Docker made one */
        return file_mkdirs(path, 0755, err);
    return 0;
}

/* A volume that keeps its content: the folder, and whom it belongs to. */
static int apply_persistent(const struct volume *v, const char *path, struct error *err)
{
    if (v->type == VOLUME_FOLDER) {
        AUTO_FREE char *folder = str_dup(str_part(v->path, 0, v->path.n - v->persistent.n - 1));
        AUTO_FREE char *name = str_dup(v->persistent);
        if (volume_folder_make(folder, name, err) < 0)
            return -1;
    } else if (!file_exists(path)) {
        return fail(err, ERR_NOT_FOUND, "path \"%s\" does not exist", path);
    }
    return v->fs_group >= 0 && !v->read_only ? volume_set_group(path, v->fs_group, v->group_if_needed, err) : 0;
}

int volumes_apply(const struct volume_set *set, struct error *err)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct volume *v = &set->items[i];
        AUTO_FREE char *path = str_dup(v->path);
        int r = v->type == VOLUME_CONTENT ? content_write(path, v->files, v->files_count, v->owner, v->fs_group, err)
                : v->type == VOLUME_HOST_PATH                         ? apply_host_path(v, path, err)
                : v->type == VOLUME_FOLDER || v->type == VOLUME_LOCAL ? apply_persistent(v, path, err)
                                                                      : apply_empty_dir(v, path, err);
        if (r < 0)
            return error_context(err, "MountVolume.SetUp failed for volume \"%.*s\" ", STR_ARG(v->name));
    }
    return 0;
}

static void unmount_children(const char *folder)
{
    DIR *dir = opendir(folder);

    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' && (!e->d_name[1] || (e->d_name[1] == '.' && !e->d_name[2])))
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", folder, e->d_name);
        while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            ;
    }
    closedir(dir);
}

void subpath_unmount_all(const char *folder)
{
    unmount_children(folder);
    file_remove_tree(folder, NULL);
}

void volumes_remove(const char *pod_folder, const char *content_folder)
{
    AUTO_FREE char *volumes = xasprintf("%s/volumes", pod_folder);
    AUTO_ERROR struct error err = { 0 };

    unmount_children(volumes);
    if (file_remove_tree(volumes, &err) < 0 || file_remove_tree(content_folder, &err) < 0)
        log_warn("volumes not removed", KV("folder", "%s", pod_folder), KV_ERR(&err));
}
