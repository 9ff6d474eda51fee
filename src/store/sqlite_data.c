/*
 * The statements of the SQLite engine. Runs on the engine's thread only.
 *
 * A stored value is a header and the value: format (1 byte), CRC-32C over key, revision and value (4 bytes, little endian).
 * The checksum covers key and revision too, so a row that a broken disk put in another's place is noticed.
 */
#define LOG_PART "store"
#include "store/sqlite.h"

#include "base/codec.h"
#include "base/crash_point.h"
#include "base/log.h"

#include <stdlib.h>

#define HEADER_BYTES  5
#define HEADER_FORMAT 1

void owned_change_done(struct owned_change *c)
{
    free(c->key);
    free(c->value);
    free(c->previous_value);
    *c = (struct owned_change){ 0 };
}

static uint32_t checksum(struct str key, uint64_t revision, struct str value)
{
    uint32_t crc = crc32c(0, key);

    crc = crc32c(crc, (struct str){ (const char *)&revision, sizeof(revision) });
    return crc32c(crc, value);
}

static void corrupt(struct str key, uint64_t revision)
{
    log_error("a stored value is corrupt (checksum): klein ends here instead of serving it; restore from a backup",
              KV_STR("key", key), KV("revision", "%llu", (unsigned long long)revision));
    abort();
}

static struct str column(sqlite3_stmt *st, int i)
{
    const char *p = sqlite3_column_blob(st, i);

    return (struct str){ p, (size_t)sqlite3_column_bytes(st, i) };
}

/* Check and strip the header of a stored value. */
static struct str unwrap(struct str key, uint64_t revision, struct str stored)
{
    uint32_t want;

    if (stored.n < HEADER_BYTES || stored.p[0] != HEADER_FORMAT)
        corrupt(key, revision);
    memcpy(&want, stored.p + 1, sizeof(want));
    struct str value = str_from(stored, HEADER_BYTES);
    if (want != checksum(key, revision, value))
        corrupt(key, revision);
    return value;
}

static int failed(struct database *d, enum statement s, struct error *err)
{
    int code = sqlite3_errcode(d->db);

    sqlite3_reset(d->statements[s]);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
        log_error("the database is corrupt: klein ends here instead of serving it; restore from a backup",
                  KV("sqlite", "%s", sqlite3_errmsg(d->db)));
        abort();
    }
    return fail(err, ERR_UNAVAILABLE, "%s",
                code == SQLITE_FULL ? "the disk is full: the change was not made; free space and try again"
                                    : sqlite3_errmsg(d->db));
}

/* Run a statement that gives no rows. */
static int step(struct database *d, enum statement s, struct error *err)
{
    if (sqlite3_step(d->statements[s]) != SQLITE_DONE)
        return failed(d, s, err);
    sqlite3_reset(d->statements[s]);
    return 0;
}

static void bind_blob(struct database *d, enum statement s, int i, struct str v)
{
    sqlite3_bind_blob64(d->statements[s], i, v.p ? v.p : "", v.n, SQLITE_STATIC);
}

static void bind_u64(struct database *d, enum statement s, int i, uint64_t v)
{
    sqlite3_bind_int64(d->statements[s], i, (sqlite3_int64)v);
}

int database_begin(struct database *d, struct error *err)
{
    return step(d, ST_BEGIN, err);
}

int database_commit(struct database *d, struct error *err)
{
    return step(d, ST_COMMIT, err);
}

void database_rollback(struct database *d)
{
    if (!sqlite3_get_autocommit(d->db))
        step(d, ST_ROLLBACK, NULL);
}

/* The key's present revision (0 = absent) and, when asked for, a copy of its value. */
static int find(struct database *d, struct str key, uint64_t *ret_revision, char **ret_value, size_t *ret_n,
                struct error *err)
{
    sqlite3_stmt *st = d->statements[ST_FIND];

    *ret_revision = 0;
    bind_blob(d, ST_FIND, 1, key);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *ret_revision = (uint64_t)sqlite3_column_int64(st, 0);
        if (ret_value) {
            struct str value = unwrap(key, *ret_revision, column(st, 1));
            *ret_value = str_dup(value);
            *ret_n = value.n;
        }
    } else if (rc != SQLITE_DONE) {
        return failed(d, ST_FIND, err);
    }
    sqlite3_reset(st);
    return 0;
}

static int compare_check(struct database *d, const struct store_write *w, uint64_t have, struct str present,
                         struct error *err)
{
    uint64_t guard;

    if (w->guard_key.n) {
        if (find(d, w->guard_key, &guard, NULL, NULL, err) < 0)
            return -1;
        if (guard != w->guard_revision)
            return fail(err, ERR_TERM_OVER, "the writer's term is over: '%.*s' has changed", STR_ARG(w->guard_key));
    }
    if (w->expect == STORE_EXPECT_ABSENT && have)
        return fail(err, ERR_ALREADY_EXISTS, "key '%.*s' exists already", STR_ARG(w->key));
    if (!have && (w->type == STORE_DELETE || (w->expect != STORE_EXPECT_ANY && w->expect != STORE_EXPECT_ABSENT)))
        return fail(err, ERR_NOT_FOUND, "key '%.*s' not found", STR_ARG(w->key));
    if (w->expect == STORE_EXPECT_VALUE ? !str_eq(w->expect_value, present)
                                        : w->expect != STORE_EXPECT_ANY && w->expect != have)
        return fail(err, ERR_CONFLICT, "key '%.*s' has changed", STR_ARG(w->key));
    return 0;
}

static int insert_change(struct database *d, const struct store_change *c, struct error *err)
{
    AUTO_BUF struct buf stored = BUF_MAX(STORE_VALUE_MAX + HEADER_BYTES);
    uint32_t crc = checksum(c->key, c->revision, c->value);

    buf_add_char(&stored, HEADER_FORMAT);
    buf_add_bytes(&stored, &crc, sizeof(crc));
    buf_add(&stored, c->value);
    if (stored.full)
        return fail(err, ERR_TOO_LARGE, "a value may have %zu bytes, this one has %zu", (size_t)STORE_VALUE_MAX,
                    c->value.n);
    bind_u64(d, ST_INSERT_CHANGE, 1, c->revision);
    bind_blob(d, ST_INSERT_CHANGE, 2, c->key);
    bind_u64(d, ST_INSERT_CHANGE, 3, c->type);
    bind_u64(d, ST_INSERT_CHANGE, 4, c->previous_revision);
    bind_blob(d, ST_INSERT_CHANGE, 5, buf_str(&stored));
    return step(d, ST_INSERT_CHANGE, err);
}

static int add_obsolete(struct database *d, uint64_t since, uint64_t revision, struct error *err)
{
    bind_u64(d, ST_ADD_OBSOLETE, 1, since);
    bind_u64(d, ST_ADD_OBSOLETE, 2, revision);
    return step(d, ST_ADD_OBSOLETE, err);
}

static int set_current(struct database *d, const struct store_change *c, struct error *err)
{
    enum statement s = c->type == STORE_PUT ? ST_SET_CURRENT : ST_DEL_CURRENT;

    bind_blob(d, s, 1, c->key);
    if (c->type == STORE_PUT)
        bind_u64(d, s, 2, c->revision);
    if (step(d, s, err) < 0)
        return -1;
    if (c->previous_revision && add_obsolete(d, c->revision, c->previous_revision, err) < 0)
        return -1;
    return c->type == STORE_DELETE ? add_obsolete(d, c->revision, c->revision, err) : 0;
}

int database_write(struct database *d, const struct store_write *w, struct owned_change *ret, uint64_t *ret_have,
                   struct error *err)
{
    struct owned_change made = { 0 };
    struct store_change *c = &made.change;
    size_t previous_n = 0;

    if (find(d, w->key, ret_have, &made.previous_value, &previous_n, err) < 0)
        return -1;
    if (compare_check(d, w, *ret_have, (struct str){ made.previous_value, previous_n }, err) < 0) {
        owned_change_done(&made);
        return -1;
    }
    made.key = str_dup(w->key);
    made.value = w->type == STORE_PUT ? str_dup(w->value) : str_dup((struct str){ made.previous_value, previous_n });
    *c = (struct store_change){
        .revision = d->revision + 1,
        .type = w->type,
        .key = { made.key, w->key.n },
        .value = { made.value, w->type == STORE_PUT ? w->value.n : previous_n },
        .previous_revision = *ret_have,
        .previous_value = { made.previous_value, previous_n },
        .cookie = w->cookie,
    };
    if (insert_change(d, c, err) < 0 || set_current(d, c, err) < 0) {
        owned_change_done(&made);
        return -1;
    }
    d->revision = c->revision;
    *ret = made;
    return 0;
}

int database_list(struct database *d, struct str prefix, database_entry_fn *entry, void *arg, struct error *err)
{
    sqlite3_stmt *st = d->statements[ST_LIST];
    int rc;

    bind_blob(d, ST_LIST, 1, prefix);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct str key = column(st, 0);
        uint64_t revision = (uint64_t)sqlite3_column_int64(st, 2);
        if (!str_starts(key, prefix))
            break;
        entry(arg, key, unwrap(key, revision, column(st, 1)), revision);
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return failed(d, ST_LIST, err);
    sqlite3_reset(st);
    return 0;
}

int database_history(struct database *d, uint64_t from, database_change_fn *change, void *arg, struct error *err)
{
    sqlite3_stmt *st = d->statements[ST_HISTORY];
    int rc;

    if (from < d->compacted)
        return fail(err, ERR_EXPIRED, "history before revision %llu is gone", (unsigned long long)d->compacted);
    bind_u64(d, ST_HISTORY, 1, from + (MUTANT("sqlite-history-skips-one") ? 1 : 0));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_change c = {
            .revision = (uint64_t)sqlite3_column_int64(st, 0),
            .key = column(st, 1),
            .type = sqlite3_column_int(st, 2) == STORE_DELETE ? STORE_DELETE : STORE_PUT,
            .previous_revision = (uint64_t)sqlite3_column_int64(st, 3),
        };
        c.value = unwrap(c.key, c.revision, column(st, 4));
        if (sqlite3_column_type(st, 5) != SQLITE_NULL)
            c.previous_value = unwrap(c.key, c.previous_revision, column(st, 5));
        change(arg, &c);
    }
    if (rc != SQLITE_DONE)
        return failed(d, ST_HISTORY, err);
    sqlite3_reset(st);
    return 0;
}

static int set_meta(struct database *d, const char *name, uint64_t number, struct error *err)
{
    sqlite3_bind_text(d->statements[ST_SET_META], 1, name, -1, SQLITE_STATIC);
    bind_u64(d, ST_SET_META, 2, number);
    return step(d, ST_SET_META, err);
}

static int remove_obsolete(struct database *d, uint64_t since, uint64_t revision, struct error *err)
{
    bind_u64(d, ST_COMPACT_CHANGE, 1, revision);
    bind_u64(d, ST_COMPACT_OBSOLETE, 1, since);
    bind_u64(d, ST_COMPACT_OBSOLETE, 2, revision);
    if (step(d, ST_COMPACT_CHANGE, err) < 0)
        return -1;
    return step(d, ST_COMPACT_OBSOLETE, err);
}

int database_compact(struct database *d, uint64_t revision, int limit, bool *ret_more, struct error *err)
{
    sqlite3_stmt *st = d->statements[ST_COMPACT_FIND];
    uint64_t(*rows)[2] = xcalloc((size_t)limit, sizeof(*rows));
    int count = 0, rc, result = 0;

    revision = MAX(MIN(revision, d->revision), d->compacted);
    bind_u64(d, ST_COMPACT_FIND, 1, revision + (MUTANT("sqlite-compaction-goes-too-far") ? 3 : 0));
    sqlite3_bind_int(st, 2, limit);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && count < limit) {
        rows[count][0] = (uint64_t)sqlite3_column_int64(st, 0);
        rows[count++][1] = (uint64_t)sqlite3_column_int64(st, 1);
    }
    sqlite3_reset(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        result = failed(d, ST_COMPACT_FIND, err);
    /* The mark is set in the transaction that removes the first row: a reader never finds a hole that is not announced. */
    if (result == 0 && !MUTANT("sqlite-compacted-not-noted") && set_meta(d, "compacted", revision, err) < 0)
        result = -1;
    if (result == 0 && set_meta(d, "revision", d->revision, err) < 0)
        result = -1;
    for (int i = 0; i < count && result == 0; i++)
        result = remove_obsolete(d, rows[i][0], rows[i][1], err);
    free(rows);
    *ret_more = count == limit;
    if (result == 0)
        d->compacted = revision;
    return result;
}

int database_seed(struct database *d, struct str key, struct str value, uint64_t revision, struct error *err)
{
    struct store_change c = { .revision = revision, .type = STORE_PUT, .key = key, .value = value };

    if (insert_change(d, &c, err) < 0 || set_current(d, &c, err) < 0)
        return -1;
    d->revision = MAX(d->revision, revision);
    return 0;
}

int database_seed_end(struct database *d, uint64_t base, struct error *err)
{
    d->revision = d->compacted = base;
    return set_meta(d, "compacted", base, err) < 0 ? -1 : set_meta(d, "revision", base, err);
}
