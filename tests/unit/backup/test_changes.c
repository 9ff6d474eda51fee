/* The change log: what it covers, what it says when it does not, and states between two backups. */
#include "planted.h"

#include <dirent.h>
#include <unistd.h>

#define T0 PLANTED_TIME

static void add(struct buf *to, enum record_type type, const char *key, const char *value, uint64_t revision,
                int64_t ms)
{
    segment_record_write(
        to, &(struct record){
                .type = type, .key = str_of(key), .value = str_of(value), .revision = revision, .time_ms = T0 + ms });
}

/* One block with one change: revision `to`, at T0 + ms. */
static void append(struct change_log *l, const char *key, const char *value, uint64_t from, uint64_t to, int64_t ms)
{
    AUTO_BUF struct buf records = BUF_MAX(MIB);
    AUTO_ERROR struct error err = { 0 };

    if (key)
        add(&records, value ? RECORD_PUT : RECORD_DELETE, key, value ? value : "", to, ms);
    ASSERT_OK(change_log_append(l, buf_str(&records), from, to, T0 + ms, &err), &err);
}

static void open_log(struct change_log *l, const char *server, uint64_t *ret_to)
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(change_log_open(l, test_path("changes"), server, ret_to, &err), &err);
}

static void gather(struct change_set *s, uint64_t revision, int64_t ms, struct findings *f)
{
    const char *folders[] = { test_path("changes"), test_path("absent") };
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(changes_gather(folders, 2, PLANTED_REVISION, T0,
                             &(struct changes_target){ .revision = revision, .time_ms = ms ? T0 + ms : 0 }, s, f, &err),
              &err);
}

static const char *value_of(struct change_set *s, const char *key)
{
    const struct changed *c = map_get(&s->by_key, str_of(key));

    return !c ? "(none)" : c->gone ? "(gone)" : c->value.p;
}

static void usual_log(void)
{
    struct change_log l;
    uint64_t to;

    open_log(&l, "a", &to);
    append(&l, "/k/1", "one", 100, 101, 1000);
    append(&l, "/k/1", "two", 101, 105, 2000);
    append(&l, "/k/2", "new", 105, 106, 3000);
    append(&l, "/k/1", NULL, 106, 110, 4000);
    append(&l, NULL, NULL, 110, 110, 14000);
    change_log_done(&l);
}

TEST("the last change of every key is what counts")
{
    AUTO_CHANGE_SET struct change_set s = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };

    usual_log();
    gather(&s, 0, 0, &f);
    ASSERT(s.reached);
    ASSERT_INT(s.to, 110);
    ASSERT_INT(s.to_ms, T0 + 14000);
    ASSERT_STR(value_of(&s, "/k/1"), "(gone)");
    ASSERT_STR(value_of(&s, "/k/2"), "new");
    ASSERT_INT(f.count, 0);
}

TEST("a time takes what had happened by then, a revision what was up to it")
{
    AUTO_CHANGE_SET struct change_set s = { 0 }, by_revision = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };

    usual_log();
    gather(&s, 0, 2500, &f);
    ASSERT(s.reached);
    ASSERT_INT(s.to, 105);
    ASSERT_STR(value_of(&s, "/k/1"), "two");
    ASSERT_STR(value_of(&s, "/k/2"), "(none)");
    gather(&by_revision, 104, 0, &f);
    ASSERT(by_revision.reached);
    ASSERT_STR(value_of(&by_revision, "/k/1"), "one");
}

TEST("a time that the log does not reach is refused with where it ends")
{
    AUTO_CHANGE_SET struct change_set s = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };

    usual_log();
    gather(&s, 0, 15000, &f);
    ASSERT(!s.reached);
    ASSERT_CONTAINS(s.why, "the change log ends at revision 110 (2026-11-21T08:01:16Z)");
}

TEST("a gap is told, and what is before it can be had")
{
    AUTO_CHANGE_SET struct change_set s = { 0 }, before = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };
    struct change_log l;
    uint64_t to;

    open_log(&l, "a", &to);
    append(&l, "/k/1", "one", 100, 101, 1000);
    append(&l, "/k/1", "two", 104, 105, 2000);
    change_log_done(&l);
    gather(&s, 105, 0, &f);
    ASSERT(!s.reached);
    ASSERT_CONTAINS(s.why, "covers everything up to revision 101");
    ASSERT_CONTAINS(s.why, "goes on only after revision 104");
    gather(&before, 101, 0, &f);
    ASSERT(before.reached);
    ASSERT_STR(value_of(&before, "/k/1"), "one");
}

TEST("logs of several servers close each other's gaps, whoever led")
{
    AUTO_CHANGE_SET struct change_set s = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };
    struct change_log a, b;
    uint64_t to;

    open_log(&a, "a", &to);
    open_log(&b, "b", &to);
    append(&a, "/k/1", "one", 100, 103, 1000);
    append(&b, "/k/1", "one", 102, 103, 1010);
    append(&b, "/k/1", "two", 103, 107, 2000);
    append(&a, "/k/1", "three", 106, 109, 3000);
    change_log_done(&a);
    change_log_done(&b);
    gather(&s, 0, 0, &f);
    ASSERT_INT(s.to, 109);
    ASSERT_STR(value_of(&s, "/k/1"), "three");
}

TEST("a log that was cut off in the middle of a block holds what is before, and the next one goes on")
{
    AUTO_CHANGE_SET struct change_set s = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };
    struct change_log l;
    uint64_t to;

    usual_log();
    DIR *d = opendir(test_path("changes"));
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            AUTO_FREE char *path = xasprintf("%s/%s", test_path("changes"), e->d_name);
            FILE *file = fopen(path, "r+b");
            fseek(file, 0, SEEK_END);
            ASSERT_INT(truncate(path, ftell(file) - 1), 0);
            fclose(file);
        }
    closedir(d);
    open_log(&l, "a", &to);
    ASSERT_INT(to, 110); /* the block that was cut was the one without changes */
    append(&l, "/k/3", "three", to, 120, 20000);
    change_log_done(&l);
    gather(&s, 0, 0, &f);
    ASSERT_INT(f.count, 0);
    ASSERT_INT(s.to, 120);
}

TEST("a flipped bit in the log is told with its file, and nothing behind it is used")
{
    AUTO_CHANGE_SET struct change_set s = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };

    usual_log();
    DIR *d = opendir(test_path("changes"));
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            flip(test_path("changes"), e->d_name, 16 + 72 + 5); /* in the first block */
    closedir(d);
    gather(&s, 0, 0, &f);
    ASSERT_INT(f.count, 1);
    ASSERT_CONTAINS(f.text, ".seg': the digest of a block does not match");
    ASSERT_INT(s.to, PLANTED_REVISION);
    ASSERT_STR(value_of(&s, "/k/2"), "(none)");
}

TEST("old files go by age and by size, the newest stays")
{
    struct change_log l;
    uint64_t to;

    open_log(&l, "a", &to);
    for (int i = 0; i < 3; i++)
        append(&l, "/k", "v", 100 + (uint64_t)i, 101 + (uint64_t)i, i * CHANGES_FILE_MS);
    change_log_trim(&l, time_wall_ms(), HOUR_MS, 1 << 30);
    AUTO_CHANGE_SET struct change_set all = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };
    gather(&all, 0, 0, &f);
    ASSERT_INT(all.to, 103);
    change_log_trim(&l, time_wall_ms() + 2 * HOUR_MS, HOUR_MS, 1 << 30);
    change_log_done(&l);
    AUTO_CHANGE_SET struct change_set rest = { 0 };
    gather(&rest, 0, 0, &f);
    ASSERT_INT(rest.to, PLANTED_REVISION);
    ASSERT_CONTAINS(rest.why, "goes on only after revision 102");
}

/* --- backup and log, merged ---------------------------------------------------------------------------------------- */

static int gather_entry(void *arg, struct str key, struct str value, uint64_t revision, struct error *err)
{
    (void)err;
    buf_addf(arg, "%.*s=%.*s@%llu\n", STR_ARG(key), STR_ARG(value), (unsigned long long)revision);
    return 0;
}

TEST("a rebuilt state is the backup with the log's last word on every key")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    AUTO_CHANGE_SET struct change_set s = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    AUTO_ERROR struct error err = { 0 };
    const char *folder = planted_backup(3, &m);
    struct change_log l;
    uint64_t to, entries;

    open_log(&l, "a", &to);
    append(&l, "/registry/core/configmaps/default/a0", "other", 100, 101, 1000);
    append(&l, "/registry/core/configmaps/default/a1", NULL, 101, 102, 1000);
    append(&l, "/registry/core/configmaps/default/b", "new", 102, 103, 1000);
    change_log_done(&l);
    gather(&s, 0, 0, &f);
    ASSERT_OK(rebuild(&(struct rebuild_options){ .backup = folder, .manifest = &m, .changes = &s }, gather_entry, &text,
                      &entries, &err),
              &err);
    ASSERT_INT(entries, 3);
    ASSERT_STR(text, "/registry/core/configmaps/default/a2=v2@3\n"
                     "/registry/core/configmaps/default/a0=other@101\n"
                     "/registry/core/configmaps/default/b=new@103\n");
}

TEST("a bad backup is not restored: the sentence names the object")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    AUTO_ERROR struct error err = { 0 };
    const char *folder = planted_backup(3, &m);
    uint64_t entries;

    flip(folder, "objects-0000.seg", 60);
    ASSERT_FAILS(
        rebuild(&(struct rebuild_options){ .backup = folder, .manifest = &m }, gather_entry, &text, &entries, &err),
        &err, ERR_BAD_REQUEST, "file 'objects-0000.seg' has been changed");
}

TEST("revisions go on above everything that can have been handed out")
{
    ASSERT(rebuild_base(100, T0, T0) > 100 + 100000000);
    /* A day at ten thousand transactions a second on etcd. */
    ASSERT(rebuild_base(100, T0, T0 + 24 * HOUR_MS) > 100 + (uint64_t)24 * 3600 * 10000 * 1024);
    /* A clock that went back takes nothing away. */
    ASSERT(rebuild_base(100, T0, T0 - HOUR_MS) > 100 + 100000000);
    ASSERT(rebuild_base(100, 0, T0) < (uint64_t)1 << 62);
}
