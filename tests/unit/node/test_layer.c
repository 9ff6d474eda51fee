/* Unpacking layers: what good archives become, and what evil ones may not do. */
#include "node/layer.h"

#include "base/file.h"
#include "fixture.h"
#include "tar.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static int unpack(const char *compression, const struct tar_entry *entries, size_t count,
                  const struct layer_limits *limits, struct error *err)
{
    const char *tar = test_path("layer.tar");
    int64_t bytes;

    tar_write(tar, compression, entries, count);
    mkdir(test_path("root"), 0755);
    AUTO_FD int fd = open(tar, O_RDONLY | O_CLOEXEC);
    return layer_unpack(fd, test_path("root"), limits, &bytes, err);
}

#define UNPACK(err, ...)                                                                                               \
    unpack("none", (const struct tar_entry[]){ __VA_ARGS__ },                                                          \
           sizeof((const struct tar_entry[]){ __VA_ARGS__ }) / sizeof(struct tar_entry), &(struct layer_limits){ 0 },  \
           err)

static struct stat look(const char *name)
{
    char path[512];
    struct stat st = { 0 };
    snprintf(path, sizeof(path), "%s/%s", test_path("root"), name);
    lstat(path, &st);
    return st;
}

TEST("files, folders, links, owners and modes arrive, whatever the compression")
{
    static const struct tar_entry entries[] = {
        { .type = 'd', .path = "./etc/" },
        { .type = 'f', .path = "etc/passwd", .content = "root", .mode = 04755, .uid = 7, .gid = 8 },
        { .type = 'h', .path = "etc/same", .content = "etc/passwd" },
        { .type = 'l', .path = "bin", .content = "usr/bin" },
        { .type = 'f', .path = "deep/er/file", .content = "x" },
    };
    static const char *const compressions[] = { "none", "gzip", "zstd" };
    NEED_ROOT();
    for (size_t i = 0; i < ARRAY_SIZE(compressions); i++) {
        AUTO_ERROR struct error err = { 0 };
        ASSERT_OK(unpack(compressions[i], entries, ARRAY_SIZE(entries), &(struct layer_limits){ 0 }, &err), &err);
        struct stat st = look("etc/passwd");
        ASSERT_INT(st.st_mode, S_IFREG | 04755);
        ASSERT_INT(st.st_uid, 7);
        ASSERT_INT(st.st_gid, 8);
        ASSERT_INT(st.st_nlink, 2);
        ASSERT_INT(st.st_mtime, 1000000000);
        ASSERT(S_ISLNK(look("bin").st_mode));
        ASSERT_INT(look("deep/er/file").st_size, 1);
    }
}

TEST("whiteouts become overlayfs' own marks")
{
    AUTO_ERROR struct error err = { 0 };
    char value[8] = "", path[512];
    NEED_ROOT();
    ASSERT_OK(UNPACK(&err, { .type = 'f', .path = "a/.wh.gone" }, { .type = 'f', .path = "b/.wh..wh..opq" }), &err);
    struct stat st = look("a/gone");
    ASSERT(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
    snprintf(path, sizeof(path), "%s/b", test_path("root"));
    ASSERT_INT(getxattr(path, "trusted.overlay.opaque", value, sizeof(value)), 1);
    ASSERT(value[0] == 'y');
}

TEST("paths with .. are refused")
{
    AUTO_ERROR struct error err = { 0 };
    NEED_ROOT();
    ASSERT_FAILS(UNPACK(&err, { .type = 'f', .path = "../escaped", .content = "x" }), &err, ERR_INVALID, "not allowed");
    ASSERT_FAILS(UNPACK(&err, { .type = 'h', .path = "x", .content = "../../etc/passwd" }), &err, ERR_INVALID,
                 "not allowed");
    ASSERT(!file_exists(test_path("escaped")));
}

TEST("a link to the outside leads nowhere")
{
    AUTO_ERROR struct error err = { 0 };
    char target[512];
    NEED_ROOT();
    mkdir(test_path("outside"), 0755);
    snprintf(target, sizeof(target), "%s", test_path("outside"));
    /* The link is kept as it is; what goes through it stays inside the layer. */
    UNPACK(&err, { .type = 'l', .path = "evil", .content = target },
           { .type = 'f', .path = "evil/file", .content = "x" });
    char path[600];
    snprintf(path, sizeof(path), "%s/file", test_path("outside"));
    ASSERT(!file_exists(path));
    error_done(&err);
    UNPACK(&err, { .type = 'l', .path = "up", .content = "../outside" },
           { .type = 'f', .path = "up/file", .content = "x" });
    ASSERT(!file_exists(path));
}

TEST("a hard link cannot reach a file outside through a symbolic link")
{
    AUTO_ERROR struct error err = { 0 };
    NEED_ROOT();
    mkdir(test_path("outside"), 0755);
    char secret[512];
    snprintf(secret, sizeof(secret), "%s/secret", test_path("outside"));
    ASSERT(file_write(secret, STR("s"), 0600, NULL) == 0);
    ASSERT(UNPACK(&err, { .type = 'l', .path = "out", .content = "../outside" },
                  { .type = 'h', .path = "leak", .content = "out/secret" }) < 0);
    ASSERT_INT(look("leak").st_mode, 0);
}

TEST("device nodes are left out")
{
    AUTO_ERROR struct error err = { 0 };
    NEED_ROOT();
    ASSERT_OK(UNPACK(&err, { .type = 'c', .path = "dev/mem" }), &err);
    ASSERT_INT(look("dev/mem").st_mode, 0);
}

static void *unpack_deep(void *arg)
{
    char path[600];
    AUTO_ERROR struct error err = { 0 };

    for (size_t i = 0; i < 255; i++)
        memcpy(path + 2 * i, "d/", 2);
    memcpy(path + 510, "f", 2);
    *(int *)arg = UNPACK(&err, { .type = 'f', .path = path, .content = "x" });
    return NULL;
}

TEST("a deep folder that no entry made takes no more stack than a shallow one")
{
    pthread_attr_t attr;
    pthread_t thread;
    int result = -1;
    NEED_ROOT();
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512 * KIB); /* what the threads that pull images have */
    ASSERT_INT(pthread_create(&thread, &attr, unpack_deep, &result), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    ASSERT_INT(result, 0);
}

TEST("a layer over its limits is refused")
{
    AUTO_ERROR struct error err = { 0 };
    static const struct tar_entry entries[] = { { .type = 'f', .path = "a", .content = "0123456789" },
                                                { .type = 'f', .path = "b" } };
    NEED_ROOT();
    ASSERT_FAILS(unpack("gzip", entries, 2, &(struct layer_limits){ .bytes_max = 5 }, &err), &err, ERR_TOO_LARGE,
                 "more than 5 bytes");
    ASSERT_FAILS(unpack("gzip", entries, 2, &(struct layer_limits){ .entries_max = 1 }, &err), &err, ERR_TOO_LARGE,
                 "more than 1 entries");
}

TEST("what is no archive is told")
{
    AUTO_ERROR struct error err = { 0 };
    int64_t bytes;
    NEED_ROOT();
    mkdir(test_path("root"), 0755);
    ASSERT(file_write(test_path("junk"), STR("this is not a tar archive at all, is it"), 0644, NULL) == 0);
    AUTO_FD int fd = open(test_path("junk"), O_RDONLY | O_CLOEXEC);
    ASSERT_FAILS(layer_unpack(fd, test_path("root"), &(struct layer_limits){ 0 }, &bytes, &err), &err, ERR_INVALID,
                 "layer");
}
