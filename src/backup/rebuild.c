/* Backup and change log, merged. */
#include "backup/rebuild.h"

#include <stdlib.h>

/* etcd gives 1,024 revisions to each transaction, of which a fast cluster makes 10,000 a second. A year of it is 5e14 of 9e18. */
#define REVISIONS_A_MS ((uint64_t)16 * 1024)
#define MARGIN_LEAST   ((uint64_t)1000 * 1000 * 1000)

struct merge {
    const struct rebuild_options *o;
    rebuild_entry_fn *fn;
    void *arg;
    struct known_objects known;
    struct findings findings;
    uint64_t entries;
};

static int emit(struct merge *m, struct str key, struct str value, uint64_t revision, struct error *err)
{
    m->entries++;
    return m->fn(m->arg, key, value, revision, err);
}

static int take_object(void *arg, const struct record *r, struct error *err)
{
    struct merge *m = arg;

    if (r->type != RECORD_OBJECT)
        return fail(err, ERR_BAD_REQUEST, "it holds something else than objects");
    known_objects_compare(&m->known, "the backup's files", r->key, r->revision, r->value, &m->findings);
    if (m->findings.count)
        return 0;
    /* Changed or gone since: the change log has the last word, below. */
    if (m->o->changes && map_has(&m->o->changes->by_key, r->key))
        return 0;
    return emit(m, r->key, r->value, r->revision, err);
}

static int read_objects(struct merge *m, struct error *err)
{
    const struct manifest *manifest = m->o->manifest;

    for (size_t i = 0; i < manifest->files_count; i++) {
        if (!str_starts(str_of(manifest->files[i].name), STR("objects-")))
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", m->o->backup, manifest->files[i].name);
        if (segment_read(path, &(struct segment_reader){ .record = take_object, .arg = m }, err) < 0)
            return -1;
    }
    known_objects_end(&m->known, "the backup's files", &m->findings);
    return 0;
}

static int add_changes(struct merge *m, struct error *err)
{
    struct str key;
    void *value;

    for (size_t i = 0; m->o->changes && map_next(&m->o->changes->by_key, &i, &key, &value);) {
        const struct changed *c = value;
        if (!c->gone && emit(m, key, c->value, c->revision, err) < 0)
            return -1;
    }
    return 0;
}

static int merge(struct merge *m, struct error *err)
{
    backup_check_files(m->o->backup, m->o->manifest, &m->findings);
    if (!m->findings.count)
        known_objects_load(&m->known, m->o->backup, m->o->manifest, &m->findings);
    if (!m->findings.count && read_objects(m, err) < 0)
        return -1;
    if (m->findings.count)
        return fail(err, ERR_BAD_REQUEST, "backup '%s' is bad:\n%.*s", m->o->manifest->id,
                    STR_ARG(str_part(buf_str(&m->findings.text), 0, m->findings.text.n - 1)));
    return add_changes(m, err);
}

int rebuild(const struct rebuild_options *o, rebuild_entry_fn *fn, void *arg, uint64_t *ret_entries, struct error *err)
{
    struct merge m = { .o = o, .fn = fn, .arg = arg };
    int result = merge(&m, err);

    *ret_entries = m.entries;
    known_objects_done(&m.known);
    findings_done(&m.findings);
    return result;
}

uint64_t rebuild_base(uint64_t highest, int64_t backup_time_ms, int64_t now_ms)
{
    uint64_t elapsed = now_ms > backup_time_ms ? (uint64_t)(now_ms - backup_time_ms) : 0;

    return highest + MARGIN_LEAST + elapsed * REVISIONS_A_MS;
}
