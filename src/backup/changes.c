/* Writing the change log. */
#include "backup/changes.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct log_file {
    char name[SEGMENT_NAME_MAX + 1];
    int64_t begun_ms, ended_ms;
    uint64_t bytes;
};

/* SERVER-TIMEMS-FROM.seg, the numbers with leading zeros. */
static bool name_parse(const char *name, const char *server, int64_t *ret_begun_ms)
{
    struct str rest = str_of(name);
    size_t n = strlen(server);

    return segment_name_is_valid(rest) && str_starts(rest, str_of(server)) && rest.n == n + 1 + 15 + 1 + 20 + 4 &&
           rest.p[n] == '-' && str_to_i64(str_part(rest, n + 1, 15), ret_begun_ms) && str_ends(rest, STR(".seg"));
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct log_file *)a)->name, ((const struct log_file *)b)->name);
}

/* This server's files, oldest first. */
static struct log_file *list_files(const struct change_log *l, size_t *ret_count)
{
    DIR *d = opendir(l->folder);
    struct log_file *files = NULL;
    size_t count = 0, capacity = 0;
    struct dirent *entry;
    struct stat st;

    while (d && (entry = readdir(d))) {
        int64_t begun;
        if (!name_parse(entry->d_name, l->server, &begun) || fstatat(dirfd(d), entry->d_name, &st, 0) < 0)
            continue;
        GROW(files, count, capacity);
        files[count] = (struct log_file){ .begun_ms = begun,
                                          .ended_ms = (int64_t)st.st_mtime * 1000,
                                          .bytes = (uint64_t)st.st_size };
        snprintf(files[count++].name, sizeof(files->name), "%s", entry->d_name);
    }
    if (d)
        closedir(d);
    if (count)
        qsort(files, count, sizeof(*files), compare_files);
    *ret_count = count;
    return files;
}

static int take_to(void *arg, const struct block *b, struct error *err)
{
    uint64_t *to = arg;

    (void)err;
    *to = MAX(*to, b->to);
    return 0;
}

int change_log_open(struct change_log *l, const char *folder, const char *server, uint64_t *ret_to, struct error *err)
{
    size_t count;

    *l = (struct change_log){ .folder = xstrdup(folder), .server = xstrdup(server), .fd = -1 };
    *ret_to = 0;
    if (!segment_name_is_valid(str_of(server)) || strlen(server) > 40)
        return fail(err, ERR_BAD_REQUEST, "'%s' cannot be part of a file's name", server);
    if (file_mkdirs(folder, 0700, err) < 0)
        return -1;
    AUTO_FREE struct log_file *files = list_files(l, &count);
    /* The newest may hold nothing whole yet; one that is damaged covers what comes before the damage. */
    for (size_t i = count; i-- > 0 && !*ret_to;) {
        AUTO_FREE char *path = xasprintf("%s/%s", folder, files[i].name);
        segment_read(path, &(struct segment_reader){ .block = take_to, .arg = ret_to, .torn_end = true }, NULL);
    }
    return 0;
}

static int write_all(int fd, struct str bytes, struct error *err)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_sys(err, n < 0 ? errno : ENOSPC, "write the change log");
        bytes = str_from(bytes, (size_t)n);
    }
    return 0;
}

static int begin_file(struct change_log *l, uint64_t from, int64_t time_ms, struct error *err)
{
    AUTO_FREE char *path =
        xasprintf("%s/%s-%015lld-%020llu.seg", l->folder, l->server, (long long)time_ms, (unsigned long long)from);

    l->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (l->fd < 0)
        return fail_sys(err, errno, "make '%s'", path);
    AUTO_FD int folder_fd = open(l->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd >= 0)
        fsync(folder_fd);
    l->written = SEGMENT_MAGIC.n;
    l->begun_ms = time_ms;
    return write_all(l->fd, SEGMENT_MAGIC, err);
}

static void end_file(struct change_log *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

int change_log_append(struct change_log *l, struct str records, uint64_t from, uint64_t to, int64_t time_ms,
                      struct error *err)
{
    AUTO_BUF struct buf block = BUF_MAX(3 * BLOCK_PLAIN_MAX);

    if (l->fd >= 0 &&
        (l->written >= CHANGES_FILE_MAX || time_ms - l->begun_ms >= CHANGES_FILE_MS || time_ms < l->begun_ms))
        end_file(l);
    block_write(&block, records, from, to, time_ms);
    if ((l->fd < 0 && begin_file(l, from, time_ms, err) < 0) || write_all(l->fd, buf_str(&block), err) < 0) {
        end_file(l); /* what follows a torn block could not be read: the next one starts a file */
        return -1;
    }
    if (fdatasync(l->fd) < 0) {
        int sys = errno;
        end_file(l);
        return fail_sys(err, sys, "write the change log to the disk");
    }
    l->written += block.n;
    return 0;
}

void change_log_trim(struct change_log *l, int64_t now_ms, int64_t keep_ms, uint64_t bytes_max)
{
    size_t count;
    uint64_t all = 0;
    AUTO_FREE struct log_file *files = list_files(l, &count);

    for (size_t i = 0; i < count; i++)
        all += files[i].bytes;
    for (size_t i = 0; i + 1 < count && (files[i].ended_ms < now_ms - keep_ms || all > bytes_max); i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", l->folder, files[i].name);
        if (unlink(path) == 0)
            all -= files[i].bytes;
    }
}

void change_log_done(struct change_log *l)
{
    end_file(l);
    free(l->folder);
    free(l->server);
    *l = (struct change_log){ .fd = -1 };
}
