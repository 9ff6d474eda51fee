/* Where things are, for backup and restore. */
#include "cli/place.h"

#include "backup/keys.h"
#include "base/env.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK_PREFIX "klein-backup-"
#define WORK_AGE_MS MINUTE_MS

static int load(const char *name, struct cluster_record *c, struct error *err)
{
    bool found;

    if (cluster_name_check(name, err) < 0 || cluster_load(name, c, &found, err) < 0)
        return -1;
    return found ? 0 : fail(err, ERR_NOT_FOUND, "there is no cluster '%s' on this machine", name);
}

char *place_data(const struct args *a, struct error *err)
{
    struct cluster_record c;

    if (!arg(a, "name"))
        return xstrdup(arg(a, "data"));
    if (load(arg(a, "name"), &c, err) < 0)
        return NULL;
    char *path = cluster_server_path(&c, c.servers_count ? &c.servers[0] : NULL, "");
    path[strlen(path) - 1] = '\0'; /* the slash */
    return path;
}

/* Keys and the certificate to ask with are the same on every server: any that has them will do. */
char *place_data_with_keys(const struct args *a, struct error *err)
{
    struct cluster_record c;

    if (!arg(a, "name"))
        return xstrdup(arg(a, "data"));
    if (load(arg(a, "name"), &c, err) < 0)
        return NULL;
    char *path = cluster_pki_path(&c);
    path[strlen(path) - strlen("/pki")] = '\0';
    return path;
}

char *place_url(const struct args *a)
{
    struct cluster_record c;
    char address[16];

    if (!arg(a, "name") || load(arg(a, "name"), &c, NULL) < 0)
        return xstrdup(arg(a, "server"));
    cluster_edge_address(&c, address);
    return xasprintf("https://%s:%d", address, CLUSTER_API_PORT);
}

struct target *place_target(const struct args *a, const char *option, struct error *err)
{
    return target_open(arg(a, option),
                       &(struct target_options){ .credentials_file = arg(a, "credentials-file"),
                                                 .identity_file = arg(a, "identity-file"),
                                                 .known_hosts_file = arg(a, "known-hosts-file") },
                       err);
}

int place_passphrase(const struct args *a, struct secret *ret, struct error *err)
{
    return arg(a, "passphrase-file") ? passphrase_read(arg(a, "passphrase-file"), ret, err) : 0;
}

/* The lock goes with its process, however that ends: a folder that can be locked belongs to nobody. -1: it is in use, or no folder. */
static int lock_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* What runs that were killed have left. Younger ones may be about to be locked. */
static void sweep(const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    struct stat st;

    while (d && (entry = readdir(d))) {
        AUTO_FREE char *path = xasprintf("%s/%s", folder, entry->d_name);
        if (!str_starts(str_of(entry->d_name), STR(WORK_PREFIX)) || strlen(entry->d_name) != STR(WORK_PREFIX).n + 6)
            continue;
        AUTO_FD int fd = lock_folder(path);
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
            (int64_t)st.st_mtime * 1000 < env_wall_ms(env_system()) - WORK_AGE_MS)
            file_remove_tree(path, NULL);
    }
    if (d)
        closedir(d);
}

char *place_work(const struct args *a, struct error *err)
{
    char *path = xasprintf("%s/" WORK_PREFIX "XXXXXX", arg(a, "work"));

    sweep(arg(a, "work"));
    if (mkdtemp(path)) {
        /* Stays open on purpose: as long as this process lives nobody sweeps its folder. Where nothing can be locked nothing is swept. */
        lock_folder(path);
        return path;
    }
    fail_sys(err, errno, "make a temporary folder in '%s'", arg(a, "work"));
    free(path);
    return NULL;
}

char *place_fetch(struct target *t, const char *id, const char *work, char *ret_id, struct error *err)
{
    AUTO_TARGET_NAMES struct target_names ids = { 0 };
    int64_t time;
    uint64_t revision;

    if (!id && target_backups(t, &ids, err) < 0)
        return NULL;
    if (!id && !ids.count)
        return fail_null(err, ERR_NOT_FOUND, "there is no backup at %s", t->text);
    id = id ? id : ids.names[ids.count - 1];
    if (!backup_id_parse(str_of(id), &time, &revision))
        return fail_null(err, ERR_BAD_REQUEST, "'%s' is no backup's id: `klein backup list` tells them", id);
    snprintf(ret_id, BACKUP_ID_SIZE, "%s", id);
    AUTO_FREE char *path = xasprintf("%s/%s", work, id);
    if (file_mkdirs(path, 0700, err) < 0)
        return NULL;
    if (t->ops->get(t, id, path, err) < 0) {
        error_context(err, "fetch backup '%s'", id);
        return NULL;
    }
    return TAKE(path);
}
