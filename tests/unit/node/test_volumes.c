/* Contents that change at once, and subpaths that cannot leave their volume. */
#include "node/volumes/folders.h"
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

TEST("a volume's folder is made beneath the folder of volumes alone, and removed with what it holds")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    static const char *const bad[] = { "..", ".", "a/b", "", ".hidden" };
    const char *volumes = test_path("pv");
    struct stat st;

    ASSERT_OK(volume_folder_make(volumes, "pvc-1", &err), &err);
    ASSERT_OK(volume_folder_make(volumes, "pvc-1", &err), &err);
    ASSERT(stat(below(&a, volumes, "pvc-1"), &st) == 0);
    ASSERT_INT(st.st_mode & 07777, 0777);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ASSERT_FAILS(volume_folder_make(volumes, bad[i], &err), &err, ERR_INVALID, "no name of a volume");
        error_done(&err);
        ASSERT_FAILS(volume_folder_remove(volumes, bad[i], &err), &err, ERR_INVALID, "no name of a volume");
        error_done(&err);
    }
    ASSERT(symlink("/etc", below(&a, volumes, "pvc-2")) == 0);
    ASSERT(volume_folder_make(volumes, "pvc-2", &err) < 0); /* a link is no folder of ours */
    ASSERT(file_write(below(&a, volumes, "pvc-1/f"), STR("x"), 0600, NULL) == 0);
    ASSERT_OK(volume_folder_remove(volumes, "pvc-1", &err), &err);
    ASSERT_OK(volume_folder_remove(volumes, "pvc-1", &err), &err);
    ASSERT(lstat(below(&a, volumes, "pvc-1"), &st) < 0);
}

TEST("a group gets all of a volume but what links lead to, and a root that is right can stand for the rest")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    const char *v = test_path("v");
    struct stat st;
    NEED_ROOT();
    mkdir(v, 0755);
    mkdir(below(&a, v, "sub"), 0700);
    ASSERT(file_write(below(&a, v, "sub/f"), STR("x"), 0600, NULL) == 0);
    ASSERT(file_write(test_path("outside"), STR("x"), 0600, NULL) == 0);
    ASSERT(symlink(test_path("outside"), below(&a, v, "link")) == 0);
    ASSERT_OK(volume_set_group(v, 2000, false, &err), &err);
    ASSERT(stat(below(&a, v, "sub/f"), &st) == 0);
    ASSERT_INT(st.st_gid, 2000);
    ASSERT_INT(st.st_mode & 07777, 0660);
    ASSERT(stat(below(&a, v, "sub"), &st) == 0);
    ASSERT_INT(st.st_mode & 07777, 02770);
    ASSERT(stat(test_path("outside"), &st) == 0);
    ASSERT_INT(st.st_gid, 0);
    ASSERT(chown(below(&a, v, "sub/f"), 0, 7) == 0);
    ASSERT_OK(volume_set_group(v, 2000, true, &err), &err);
    ASSERT(stat(below(&a, v, "sub/f"), &st) == 0);
    ASSERT_INT(st.st_gid, 7);
    ASSERT_OK(volume_set_group(v, 2000, false, &err), &err);
    ASSERT(stat(below(&a, v, "sub/f"), &st) == 0);
    ASSERT_INT(st.st_gid, 2000);
}

TEST("folders of contents belong to the group, too, and pass it on")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    struct volume_file files[] = { { STR("sub/f"), STR("t"), 0600 } };
    struct stat st;
    NEED_ROOT();
    ASSERT_OK(content_write(test_path("c"), files, 1, -1, 2000, &err), &err);
    ASSERT(stat(test_path("c"), &st) == 0);
    ASSERT_INT(st.st_gid, 2000);
    ASSERT_INT(st.st_mode & 07777, 02755);
    ASSERT(stat(below(&a, test_path("c"), "sub"), &st) == 0);
    ASSERT_INT(st.st_gid, 2000);
    ASSERT_INT(st.st_mode & 07777, 02755);
}
