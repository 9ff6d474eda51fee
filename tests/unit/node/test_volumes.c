/* Contents that change at once, and subpaths that cannot leave their volume. */
#include "node/volumes/volumes.h"

#include "base/file.h"
#include "fixture.h"

#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static struct str read_file(struct arena *a, const char *path)
{
    AUTO_BUF struct buf text = BUF_MAX(4096);
    file_read(path, &text, NULL);
    return arena_str(a, buf_str(&text));
}

static char *below(struct arena *a, const char *folder, const char *name)
{
    return arena_strdup(a, arena_printf(a, "%s/%s", folder, name));
}

TEST("a volume's content changes as a whole and keeps what did not change")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    const char *folder = test_path("content");
    struct volume_file first[] = { { STR("a"), STR("1"), 0644 }, { STR("sub/b"), STR("2"), 0600 } };
    struct volume_file second[] = { { STR("a"), STR("one"), 0644 }, { STR("c"), STR("3"), 0400 } };
    char before[64] = "", after[64] = "";
    struct stat st;

    ASSERT_OK(content_write(folder, first, 2, -1, -1, &err), &err);
    ASSERT_STR(read_file(&a, below(&a, folder, "a")), "1");
    ASSERT_STR(read_file(&a, below(&a, folder, "sub/b")), "2");
    ASSERT(readlink(below(&a, folder, "..data"), before, sizeof(before) - 1) > 0);
    ASSERT_OK(content_write(folder, first, 2, -1, -1, &err), &err);
    ASSERT(readlink(below(&a, folder, "..data"), after, sizeof(after) - 1) > 0);
    ASSERT_STR(after, before); /* nothing to do */
    ASSERT_OK(content_write(folder, second, 2, -1, -1, &err), &err);
    ASSERT_STR(read_file(&a, below(&a, folder, "a")), "one");
    ASSERT(lstat(below(&a, folder, "sub"), &st) < 0);
    ASSERT(lstat(below(&a, folder, before), &st) < 0);
    ASSERT(stat(below(&a, folder, "c"), &st) == 0);
    ASSERT_INT(st.st_mode & 0777, 0400);
}

TEST("files of a group are readable by it")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    struct volume_file files[] = { { STR("token"), STR("t"), 0600 } };
    struct stat st;
    NEED_ROOT();
    ASSERT_OK(content_write(test_path("c"), files, 1, -1, 2000, &err), &err);
    ASSERT(stat(below(&a, test_path("c"), "token"), &st) == 0);
    ASSERT_INT(st.st_gid, 2000);
    ASSERT_INT(st.st_mode & 0777, 0640);
}

TEST("a subpath is mounted by descriptor; missing folders are made")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    NEED_ROOT();
    mkdir(test_path("v"), 0755);
    ASSERT_OK(subpath_mount(str_of(test_path("v")), STR("x/y"), test_path("t"), &err), &err);
    ASSERT(file_write(below(&a, test_path("t"), "f"), STR("hi"), 0644, NULL) == 0);
    ASSERT_STR(read_file(&a, below(&a, test_path("v"), "x/y/f")), "hi");
    ASSERT(umount2(test_path("t"), MNT_DETACH) == 0);
}

TEST("a subpath that is a link out of the volume is refused")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    static const char *const targets[] = { "/etc", "../outside", "../../etc" };
    NEED_ROOT();
    mkdir(test_path("v"), 0755);
    mkdir(test_path("outside"), 0755);
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        unlink(below(&a, test_path("v"), "evil"));
        ASSERT(symlink(targets[i], below(&a, test_path("v"), "evil")) == 0);
        ASSERT(subpath_mount(str_of(test_path("v")), STR("evil"), test_path("t"), &err) < 0);
        ASSERT(subpath_mount(str_of(test_path("v")), STR("evil/deeper"), test_path("t"), &err) < 0);
        error_done(&err);
    }
    ASSERT_FAILS(subpath_mount(str_of(test_path("v")), STR("../outside"), test_path("t"), &err), &err, ERR_INVALID,
                 "..");
    ASSERT_FAILS(subpath_mount(str_of(test_path("v")), STR("/etc"), test_path("t"), &err), &err, ERR_INVALID,
                 "relative");
    ASSERT(!file_exists(below(&a, test_path("outside"), "deeper")));
}
