/* What makes a backup good, and each way in which it is bad: the sentence names the object or file. */
#include "planted.h"

#include <unistd.h>

/* Everything a check without a sandbox finds. */
static void check(const char *folder, struct findings *f)
{
    AUTO_MANIFEST struct manifest m = { 0 };
    AUTO_KNOWN_OBJECTS struct known_objects known = { 0 };
    AUTO_ERROR struct error err = { 0 };

    if (manifest_read(folder, &m, &err) < 0) {
        finding(f, "%s", error_text(&err));
        return;
    }
    backup_check_files(folder, &m, f);
    known_objects_load(&known, folder, &m, f);
    backup_check_objects(folder, &m, &known, f);
}

#define ASSERT_BAD(folder, part)                                                                                       \
    do {                                                                                                               \
        AUTO_FINDINGS struct findings f_ = { 0 };                                                                      \
        check(folder, &f_);                                                                                            \
        ASSERT(f_.count > 0);                                                                                          \
        ASSERT_CONTAINS(f_.text, part);                                                                                \
    } while (0)

TEST("a backup that is as it was made is good")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    AUTO_FINDINGS struct findings f = { 0 };

    check(planted_backup(3, &m), &f);
    ASSERT_INT(f.count, 0);
}

TEST("a flipped bit in the objects is found and the file named")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    const char *folder = planted_backup(50, &m);

    flip(folder, "objects-0000.seg", -5);
    ASSERT_BAD(folder, "objects-0000.seg");
}

TEST("a flipped bit in the digests is found and the file named")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    const char *folder = planted_backup(50, &m);

    flip(folder, "digests-0000.seg", -5);
    ASSERT_BAD(folder, "digests-0000.seg");
}

TEST("a changed manifest is found, whichever byte it was")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(MANIFEST_BYTES_MAX);
    const char *folder = planted_backup(1, &m);
    AUTO_FREE char *path = xasprintf("%s/" MANIFEST_FILE, folder);

    ASSERT_INT(file_read(path, &text, NULL), 0);
    for (size_t i = 0; i < text.n; i++) {
        AUTO_MANIFEST struct manifest read = { 0 };
        text.p[i] ^= 1;
        ASSERT(manifest_parse(buf_str(&text), &read, NULL) < 0);
        text.p[i] ^= 1;
    }
    flip(folder, MANIFEST_FILE, 40);
    ASSERT_BAD(folder, "manifest.json");
}

TEST("a truncated file is found")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    const char *folder = planted_backup(50, &m);
    AUTO_FREE char *path = xasprintf("%s/objects-0000.seg", folder);

    ASSERT_INT(truncate(path, 100), 0);
    ASSERT_BAD(folder, "file 'objects-0000.seg' has 100 bytes");
}

TEST("a missing file is found")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    const char *folder = planted_backup(5, &m);
    AUTO_FREE char *path = xasprintf("%s/digests-0000.seg", folder);

    ASSERT_INT(unlink(path), 0);
    ASSERT_BAD(folder, "file 'digests-0000.seg' is missing");
}

TEST("a file too many is found")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    const char *folder = planted_backup(5, &m);
    AUTO_FREE char *path = xasprintf("%s/objects-0001.seg", folder);

    ASSERT_INT(file_write(path, STR("x"), 0600, NULL), 0);
    ASSERT_BAD(folder, "file 'objects-0001.seg' does not belong to this backup");
}

/* Somebody who makes all file digests and the manifest right again still cannot make up what the server said of its objects. */
static void replace_objects(const char *folder, struct manifest *m, const struct record *records, size_t count)
{
    AUTO_FREE char *path = xasprintf("%s/objects-0000.seg", folder);
    struct segment_file *files = NULL;
    size_t files_count = 0, capacity = 0;
    struct segment_writer w = { .folder = folder,
                                .prefix = "objects",
                                .fd = -1,
                                .files = &files,
                                .files_count = &files_count,
                                .files_capacity = &capacity };

    unlink(path);
    for (size_t i = 0; i < count; i++)
        ASSERT_INT(segment_writer_add(&w, &records[i], NULL), 0);
    ASSERT_INT(segment_writer_end(&w, NULL), 0);
    segment_writer_done(&w);
    for (size_t i = 0; i < m->files_count; i++)
        if (!strcmp(m->files[i].name, "objects-0000.seg"))
            m->files[i] = files[0];
    free(files);
    ASSERT_INT(manifest_write(folder, m, STR_NONE, NULL), 0);
}

#define KEY(n) STR("/registry/core/configmaps/default/a" n)

TEST("a missing object is found and named, even when all digests of files were made right again")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    const char *folder = planted_backup(2, &m);

    replace_objects(folder, &m, &(struct record){ RECORD_OBJECT, KEY("0"), STR("v0"), 1, 0 }, 1);
    ASSERT_BAD(folder, "object 'core/configmaps/default/a1' is missing");
}

TEST("an object with another value, revision or name is found and named")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    const char *folder = planted_backup(1, &m);

    replace_objects(folder, &m, &(struct record){ RECORD_OBJECT, KEY("0"), STR("v1"), 1, 0 }, 1);
    ASSERT_BAD(folder, "'core/configmaps/default/a0' is not in the backup's files what it was");
    replace_objects(folder, &m, &(struct record){ RECORD_OBJECT, KEY("0"), STR("v0"), 7, 0 }, 1);
    ASSERT_BAD(folder, "'core/configmaps/default/a0' has revision 7");
    replace_objects(folder, &m, &(struct record){ RECORD_OBJECT, KEY("9"), STR("v0"), 1, 0 }, 1);
    ASSERT_BAD(folder, "'core/configmaps/default/a9' is in the backup's files, but was not in the cluster");
}

TEST("files of another backup are found")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    AUTO_MANIFEST struct manifest other = { 0 }, read = { 0 };
    AUTO_ERROR struct error err = { 0 };
    const char *folder = planted_backup(4, &m);
    AUTO_FREE char *old = xasprintf("%s-x", folder);

    ASSERT_INT(rename(folder, old), 0);
    planted_backup(3, &other);
    AUTO_FREE char *from = xasprintf("%s/digests-0000.seg", old);
    AUTO_FREE char *to = xasprintf("%s/digests-0000.seg", folder);
    ASSERT_INT(rename(from, to), 0);
    ASSERT_BAD(folder, "digests-0000.seg");
    /* The whole of an old backup under the name of a new one. */
    ASSERT_FAILS(manifest_read(old, &read, &err), &err, ERR_BAD_REQUEST,
                 "an old or foreign backup was put in its place");
}

TEST("a newer format is refused with a sentence that says so")
{
    AUTO_MANIFEST struct manifest m = { 0 }, read = { 0 };
    AUTO_ERROR struct error err = { 0 };
    const char *folder = planted_backup(1, &m);

    m.format = BACKUP_FORMAT + 1;
    ASSERT_OK(manifest_write(folder, &m, STR_NONE, &err), &err);
    ASSERT_FAILS(manifest_read(folder, &read, &err), &err, ERR_BAD_REQUEST, "use the newer klein that made it");
}

TEST("a dump that breaks off makes no backup")
{
    AUTO_BUF struct buf dump = BUF_MAX(MIB);
    AUTO_ERROR struct error err = { 0 };
    AUTO_MANIFEST struct manifest m = { 0 };
    struct backup_writer w;

    planted_dump(&dump, 3);
    backup_writer_init(&w, test_folder());
    ASSERT_OK(backup_writer_feed(&w, str_part(buf_str(&dump), 0, dump.n - 10), &err), &err);
    ASSERT_FAILS(backup_writer_end(&w, &m, &err), &err, ERR_UNAVAILABLE, "broke off after 3 objects");
    backup_writer_done(&w);
}

TEST("a seal belongs to its passphrase and to its text")
{
    AUTO_MANIFEST struct manifest m = { 0 };
    AUTO_ERROR struct error err = { 0 };
    const char *folder = planted_backup(1, &m);

    ASSERT_OK(manifest_write(folder, &m, STR("0123456789abcdef0123456789abcdef"), &err), &err);
    ASSERT_OK(manifest_check_seal(folder, STR("0123456789abcdef0123456789abcdef"), &err), &err);
    ASSERT_FAILS(manifest_check_seal(folder, STR("1123456789abcdef0123456789abcdef"), &err), &err, ERR_FORBIDDEN,
                 "another passphrase");
    ASSERT_OK(manifest_write(folder, &m, STR_NONE, &err), &err);
    ASSERT_FAILS(manifest_check_seal(folder, STR("0123456789abcdef0123456789abcdef"), &err), &err, ERR_FORBIDDEN,
                 "changed the manifest");
}

TEST("the id tells time and revision")
{
    char id[BACKUP_ID_SIZE];
    int64_t time;
    uint64_t revision;

    backup_id(PLANTED_TIME, 12345, id);
    ASSERT_STR(id, "20261121T080102Z-12345");
    ASSERT(backup_id_parse(str_of(id), &time, &revision));
    ASSERT_INT(time, PLANTED_TIME);
    ASSERT_INT(revision, 12345);
    ASSERT(!backup_id_parse(STR("changes"), &time, &revision));
    ASSERT(!backup_id_parse(STR("20261121T080102Z-"), &time, &revision));
    ASSERT(!backup_id_parse(STR("20261121T080102Z-../x"), &time, &revision));
}
