/* Places for backups: which URLs are taken, and the folder. S3 and rsync meet real servers in tests/e2e/test_backup.py. */
#include "test.h"

#include "backup/target.h"
#include "base/file.h"

#include <stdlib.h>

TEST("what is no place for backups is refused with the form that is expected")
{
    static const struct {
        const char *url, *part;
    } rows[] = {
        { "", "is no place for backups" },
        { "ftp://x/y", "is no place for backups" },
        { "rsync://host", "rsync://USER@HOST[:PORT]/PATH" },
        { "rsync://-oProxyCommand=x/y", "is expected" },
        { "rsync://user@host/a b", "is expected" },
        { "rsync://user@host/a;b", "is expected" },
        { "rsync://user@host:99999/a", "is expected" },
        { "s3://", "s3://BUCKET/PREFIX is expected" },
        { "s3://bucket/p?endpoint=ftp://x", "endpoint must be a http or https URL" },
        { "s3://bucket/p?secret=1", "not 'secret'" },
        { "s3://bucket/p?endpoint", "endpoint=URL&region=NAME" },
    };

    setenv("AWS_ACCESS_KEY_ID", "id", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO_ERROR struct error err = { 0 };
        ASSERT_FAILS(target_open(rows[i].url, &(struct target_options){ 0 }, &err), &err, ERR_BAD_REQUEST,
                     rows[i].part);
    }
}

TEST("S3 without credentials is refused, and the name of a place shows none")
{
    AUTO_ERROR struct error err = { 0 };

    unsetenv("AWS_ACCESS_KEY_ID");
    ASSERT_FAILS(target_open("s3://b/p", &(struct target_options){ 0 }, &err), &err, ERR_BAD_REQUEST,
                 "AWS_ACCESS_KEY_ID");
    ASSERT_INT(file_write(test_path("c"), STR("[default]\naws_access_key_id = id\naws_secret_access_key = hidden\n"),
                          0600, NULL),
               0);
    struct target *t = target_open("s3://b/p/?endpoint=http://127.0.0.1:1",
                                   &(struct target_options){ .credentials_file = test_path("c") }, &err);
    ASSERT_OK(t, &err);
    ASSERT_STR(t->text, "s3://b/p/");
    target_free(t);
}

TEST("a folder keeps backups, tells them oldest first, gives them back and removes them")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_TARGET_NAMES struct target_names ids = { 0 }, left = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(KIB);
    struct target *t = target_open(test_path("place"), &(struct target_options){ 0 }, &err);

    ASSERT_INT(file_mkdirs(test_path("local"), 0700, NULL), 0);
    ASSERT_INT(file_mkdirs(test_path("back"), 0700, NULL), 0);
    ASSERT_INT(file_write(test_path("local/manifest.json"), STR("m"), 0600, NULL), 0);
    ASSERT_INT(file_write(test_path("local/objects-0000.seg"), STR("o"), 0600, NULL), 0);
    ASSERT_OK(target_backups(t, &ids, &err), &err);
    ASSERT_INT(ids.count, 0);
    ASSERT_OK(t->ops->put(t, test_path("local"), "20261121T090000Z-9", false, &err), &err);
    ASSERT_OK(t->ops->put(t, test_path("local"), "20261121T080000Z-10", false, &err), &err);
    ASSERT_OK(t->ops->put(t, test_path("local"), "changes-20261121", true, &err), &err);
    ASSERT_OK(target_backups(t, &ids, &err), &err);
    ASSERT_INT(ids.count, 2);
    ASSERT_STR(ids.names[0], "20261121T080000Z-10");
    ASSERT_OK(t->ops->get(t, ids.names[0], test_path("back"), &err), &err);
    ASSERT_OK(file_read(test_path("back/objects-0000.seg"), &text, &err), &err);
    ASSERT_STR(text, "o");
    ASSERT_OK(t->ops->remove(t, ids.names[0], &err), &err);
    ASSERT_OK(target_backups(t, &left, &err), &err);
    ASSERT_INT(left.count, 1);
    ASSERT_FAILS(t->ops->get(t, "20261121T080000Z-10", test_path("back"), &err), &err, ERR_NOT_FOUND, "there is no");
    target_free(t);
}
