/* What all places for backups have in common. */
#include "backup/target.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

void target_names_done(struct target_names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->names[i]);
    free(n->names);
    *n = (struct target_names){ 0 };
}

void target_names_add(struct target_names *n, struct str name)
{
    if (n->count == TARGET_NAMES_MAX)
        return;
    GROW(n->names, n->count, n->capacity);
    n->names[n->count++] = str_dup(name);
}

struct target *target_open(const char *url, const struct target_options *o, struct error *err)
{
    struct str text = str_of(url);

    if (str_starts(text, STR("s3://")))
        return target_open_s3(url, o, err);
    if (str_starts(text, STR("rsync://")))
        return target_open_rsync(url, o, err);
    if (!text.n || str_contains(text, STR("://")))
        return fail_null(err, ERR_BAD_REQUEST,
                         "'%s' is no place for backups: a folder, s3://BUCKET/PREFIX?endpoint=URL, or "
                         "rsync://USER@HOST/PATH is expected",
                         url);
    return target_open_folder(url);
}

void target_free(struct target *t)
{
    if (!t)
        return;
    free(t->text);
    t->ops->free(t);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int target_backups(struct target *t, struct target_names *ret, struct error *err)
{
    AUTO_TARGET_NAMES struct target_names all = { 0 };
    int64_t time;
    uint64_t revision;

    if (t->ops->list(t, &all, err) < 0)
        return error_context(err, "list backups at %s", t->text);
    for (size_t i = 0; i < all.count; i++)
        if (backup_id_parse(str_of(all.names[i]), &time, &revision))
            target_names_add(ret, str_of(all.names[i]));
    if (ret->count)
        qsort(ret->names, ret->count, sizeof(*ret->names), compare_names);
    return 0;
}

int target_local_files(const char *folder, struct target_names *ret, struct error *err)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    bool manifest = false;

    if (!d)
        return fail_sys(err, errno, "read '%s'", folder);
    while ((entry = readdir(d))) {
        struct str name = str_of(entry->d_name);
        if (str_is(name, MANIFEST_FILE))
            manifest = true;
        else if (segment_name_is_valid(name))
            target_names_add(ret, name);
    }
    closedir(d);
    if (ret->count)
        qsort(ret->names, ret->count, sizeof(*ret->names), compare_names);
    if (manifest)
        target_names_add(ret, STR(MANIFEST_FILE));
    return 0;
}
