/* A SQLite store's folder without the engine: read as a whole, or filled anew. */
#include "store/seed.h"
#include "store/sqlite.h"

#include "base/file.h"

#include <stdlib.h>

#define COMMIT_EVERY 20000 /* entries: a crash while seeding leaves a folder nobody uses, so this bounds memory only */

struct store_seed {
    struct database d;
    int pending;
};

/* --- reading ------------------------------------------------------------------------------------------------------- */

struct dump {
    store_dump_fn *fn;
    void *arg;
    struct error *err;
    bool failed;
};

static void dump_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct dump *d = arg;

    d->failed = d->failed || d->fn(d->arg, key, value, revision, d->err) < 0;
}

int store_sqlite_dump(const char *folder, store_dump_fn *fn, void *arg, uint64_t *ret_revision, struct error *err)
{
    AUTO_FREE char *file = xasprintf("%s/klein.db", folder);
    struct dump dump = { fn, arg, err, false };
    struct database d;

    if (!file_exists(file))
        return fail(err, ERR_NOT_FOUND, "there is no store in '%s'", folder);
    if (database_open(&d, folder, err) < 0)
        return -1;
    *ret_revision = d.revision;
    int result = database_list(&d, STR_NONE, dump_entry, &dump, err);
    database_close(&d);
    return dump.failed ? -1 : result;
}

int store_sqlite_last_revision(const char *folder, uint64_t *ret_revision, struct error *err)
{
    AUTO_FREE char *file = xasprintf("%s/klein.db", folder);
    struct database d;

    if (!file_exists(file))
        return fail(err, ERR_NOT_FOUND, "there is no store in '%s'", folder);
    if (database_open(&d, folder, err) < 0)
        return -1;
    *ret_revision = d.revision;
    database_close(&d);
    return 0;
}

/* --- filling ------------------------------------------------------------------------------------------------------- */

struct store_seed *store_seed_new(const char *folder, struct error *err)
{
    AUTO_FREE char *file = xasprintf("%s/klein.db", folder);
    struct store_seed *s = xnew(struct store_seed);

    if (file_exists(file)) {
        fail(err, ERR_ALREADY_EXISTS, "there is a store in '%s' already", folder);
    } else if (database_open(&s->d, folder, err) == 0) {
        if (database_begin(&s->d, err) == 0)
            return s;
        database_close(&s->d);
    }
    free(s);
    return NULL;
}

int store_seed_add(struct store_seed *s, struct str key, struct str value, uint64_t revision, struct error *err)
{
    if (!key.n || key.n > STORE_KEY_MAX || !revision)
        return fail(err, ERR_BAD_REQUEST, "an entry needs a key of 1 to %d bytes and a revision", STORE_KEY_MAX);
    if (database_seed(&s->d, key, value, revision, err) < 0)
        return error_context(err, "write '%.*s' into the new store", STR_ARG(key));
    if (++s->pending < COMMIT_EVERY)
        return 0;
    s->pending = 0;
    return database_commit(&s->d, err) < 0 ? -1 : database_begin(&s->d, err);
}

int store_seed_end(struct store_seed *s, uint64_t base, struct error *err)
{
    int result = base < s->d.revision
                     ? fail(err, ERR_BAD_REQUEST, "the new store would go back from revision %llu to %llu",
                            (unsigned long long)s->d.revision, (unsigned long long)base)
                     : database_seed_end(&s->d, base, err);

    if (result == 0)
        result = database_commit(&s->d, err);
    store_seed_abort(s);
    return result;
}

void store_seed_abort(struct store_seed *s)
{
    if (!s)
        return;
    database_rollback(&s->d);
    database_close(&s->d);
    free(s);
}
