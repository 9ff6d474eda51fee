/* What files promise: limits, atomic writes, and paths that cannot leave their folder. */
#include "base/file.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_file(const char *path, const char *content)
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(file_write(path, str_of(content), 0600, &err), &err);
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    ASSERT(stat(path, &st) == 0);
    return st.st_mode & 07777;
}

TEST("what was written is read, with the mode that was asked for")
{
    AUTO_BUF struct buf b = BUF_MAX(64);
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(file_write(test_path("f"), STR("hello"), 0640, &err), &err);
    ASSERT_OK(file_read(test_path("f"), &b, &err), &err);
    ASSERT_STR(b, "hello");
    ASSERT_INT(mode_of(test_path("f")), 0640);
    ASSERT_OK(file_write(test_path("f"), STR(""), 0600, &err), &err);
    buf_clear(&b);
    ASSERT_OK(file_read(test_path("f"), &b, &err), &err);
    ASSERT_STR(b, "");
}

TEST("a file as large as the maximum is read, one byte more is not")
{
    AUTO_BUF struct buf b = BUF_MAX(5), small = BUF_MAX(4);
    AUTO_ERROR struct error err = { 0 };

    write_file(test_path("f"), "hello");
    ASSERT_OK(file_read(test_path("f"), &b, &err), &err);
    ASSERT_STR(b, "hello");
    ASSERT_FAILS(file_read(test_path("f"), &small, &err), &err, ERR_TOO_LARGE, "larger than 4 bytes");
}

TEST("a large file is read whole")
{
    AUTO_BUF struct buf content = BUF_MAX(1 * MIB), b = BUF_MAX(1 * MIB);
    AUTO_ERROR struct error err = { 0 };

    for (int i = 0; i < 50000; i++)
        buf_addf(&content, "%d,", i);
    ASSERT_OK(file_write(test_path("f"), buf_str(&content), 0600, &err), &err);
    ASSERT_OK(file_read(test_path("f"), &b, &err), &err);
    ASSERT(str_eq(buf_str(&content), buf_str(&b)));
}

TEST("an absent file and a folder fail with a code one can act on")
{
    AUTO_BUF struct buf b = BUF_MAX(5);
    AUTO_ERROR struct error err = { 0 };

    ASSERT_FAILS(file_read(test_path("absent"), &b, &err), &err, ERR_NOT_FOUND, "absent");
    ASSERT_FAILS(file_read(test_folder(), &b, &err), &err, ERR_INTERNAL, "Is a directory");
    ASSERT_FAILS(file_write(test_path("absent/f"), STR("x"), 0600, &err), &err, ERR_NOT_FOUND, "absent/f");
}

TEST("a write that fails leaves the old content and no temporary file")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(file_mkdirs(test_path("d/full"), 0700, &err), &err);
    ASSERT_FAILS(file_write(test_path("d"), STR("x"), 0600, &err), &err, ERR_INTERNAL, "Is a directory");
    ASSERT_INT(rmdir(test_path("d/full")), 0);
    ASSERT_INT(rmdir(test_path("d")), 0);
    ASSERT_INT(rmdir(test_folder()), 0); /* so nothing else is in it */
    ASSERT_INT(mkdir(test_folder(), 0700), 0);
}

TEST("folders are made with their parents, and made again without complaint")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(file_mkdirs(test_path("a//b/c/"), 0750, &err), &err);
    ASSERT_OK(file_mkdirs(test_path("a/b/c"), 0750, &err), &err);
    ASSERT_INT(mode_of(test_path("a/b/c")), 0750);
    ASSERT_OK(file_mkdirs("/", 0700, &err), &err);
    write_file(test_path("f"), "x");
    ASSERT_FAILS(file_mkdirs(test_path("f/g"), 0700, &err), &err, ERR_ALREADY_EXISTS, "/f'");
}

TEST("a tree is removed whole, and an absent one is no error")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(file_mkdirs(test_path("t/a/b"), 0700, &err), &err);
    write_file(test_path("t/f"), "x");
    write_file(test_path("t/a/b/f"), "x");
    ASSERT_OK(file_remove_tree(test_path("t/"), &err), &err);
    ASSERT(!file_exists(test_path("t")));
    ASSERT_OK(file_remove_tree(test_path("t"), &err), &err);
    ASSERT_OK(file_remove_tree(test_path("no/such/t"), &err), &err);
    write_file(test_path("f"), "x");
    ASSERT_OK(file_remove_tree(test_path("f"), &err), &err);
    ASSERT(!file_exists(test_path("f")));
}

TEST("links in a tree are removed, what they point to stays")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(file_mkdirs(test_path("t"), 0700, &err), &err);
    ASSERT_OK(file_mkdirs(test_path("outside"), 0700, &err), &err);
    write_file(test_path("outside/f"), "x");
    ASSERT_INT(symlink("../outside", test_path("t/link")), 0);
    ASSERT_INT(symlink("t", test_path("top")), 0);
    ASSERT_OK(file_remove_tree(test_path("top"), &err), &err);
    ASSERT(file_exists(test_path("t/link/f")));
    ASSERT_OK(file_remove_tree(test_path("t"), &err), &err);
    ASSERT(file_exists(test_path("outside/f")));
}

TEST("a tree far deeper than there are descriptors is removed")
{
    AUTO_ERROR struct error err = { 0 };
    struct rlimit saved, few = { 64, 64 };
    int fd, next;

    ASSERT_OK(file_mkdirs(test_path("t"), 0700, &err), &err);
    fd = open(test_path("t"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        ASSERT(mkdirat(fd, "deeper", 0700) == 0);
        next = openat(fd, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    close(fd);
    ASSERT_INT(getrlimit(RLIMIT_NOFILE, &saved), 0);
    few.rlim_max = saved.rlim_max;
    setrlimit(RLIMIT_NOFILE, &few);
    ASSERT_OK(file_remove_tree(test_path("t"), &err), &err);
    setrlimit(RLIMIT_NOFILE, &saved);
    ASSERT(!file_exists(test_path("t")));
}

TEST("a path that does not name one tree is refused")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_FAILS(file_remove_tree("", &err), &err, ERR_BAD_REQUEST, "does not name");
    ASSERT_FAILS(file_remove_tree("/", &err), &err, ERR_BAD_REQUEST, "does not name");
    ASSERT_FAILS(file_remove_tree("a/..", &err), &err, ERR_BAD_REQUEST, "does not name");
    ASSERT_FAILS(file_remove_tree("a/.", &err), &err, ERR_BAD_REQUEST, "does not name");
}

/* In a mount namespace of its own, so that nothing of it is ever seen outside. Exit code 0: as expected. */
static int remove_with_mount(const char *tree, const char *mounted, const char *kept)
{
    AUTO_ERROR struct error err = { 0 };

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return errno == EPERM ? 77 : 1;
    if (mount(kept, mounted, NULL, MS_BIND, NULL) < 0)
        return 2;
    if (file_remove_tree(tree, &err) == 0 || err.code != ERR_CONFLICT)
        return 3;
    return 0;
}

TEST("what is mounted inside a tree is not emptied, even when it is a bind mount of the same disk")
{
    AUTO_ERROR struct error err = { 0 };
    int status;
    pid_t pid;

    ASSERT_OK(file_mkdirs(test_path("t/mounted"), 0700, &err), &err);
    ASSERT_OK(file_mkdirs(test_path("kept"), 0700, &err), &err);
    write_file(test_path("kept/f"), "x");
    test_path("t/f");
    pid = fork();
    if (pid == 0)
        _exit(remove_with_mount(test_path("t"), test_path("t/mounted"), test_path("kept")));
    ASSERT(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* not root */
    ASSERT_INT(status, 0);
    ASSERT(file_exists(test_path("kept/f")));
}

/* Opens `path` below the folder "in" of the test; returns what stands in the file, or its error. */
static void open_beneath(const char *path, bool links, enum error_code expected)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FD int dir = open(test_path("in"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int fd = file_open_beneath(dir, str_of(path), O_RDONLY, 0, links, &err);

    if ((fd >= 0) != (expected == ERR_NONE) || err.code != expected)
        FAIL("'%s' with%s links: expected '%s', came '%s' %s", path, links ? "" : "out", error_reason(expected),
             error_reason(err.code), fd < 0 ? error_text(&err) : "");
}

TEST("no path leaves its folder, whatever its components are")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *absolute = xstrdup(test_path("in/f"));

    ASSERT_OK(file_mkdirs(test_path("in/sub"), 0700, &err), &err);
    write_file(test_path("in/f"), "x");
    write_file(test_path("out"), "x");
    ASSERT_INT(symlink("../out", test_path("in/escape")), 0);
    ASSERT_INT(symlink("/", test_path("in/root")), 0);
    ASSERT_INT(symlink("f", test_path("in/friend")), 0);
    ASSERT_INT(symlink("loop", test_path("in/loop")), 0);

    open_beneath("f", false, ERR_NONE);
    open_beneath("sub/../f", false, ERR_NONE);
    open_beneath("friend", true, ERR_NONE);
    open_beneath("friend", false, ERR_FORBIDDEN);
    open_beneath("../out", true, ERR_FORBIDDEN);
    open_beneath("sub/../../out", true, ERR_FORBIDDEN);
    open_beneath("escape", true, ERR_FORBIDDEN);
    open_beneath("root/etc/hostname", true, ERR_FORBIDDEN);
    open_beneath(absolute, true, ERR_FORBIDDEN);
    open_beneath("loop", true, ERR_FORBIDDEN);
    open_beneath("absent", true, ERR_NOT_FOUND);
    open_beneath("f/x", true, ERR_NOT_FOUND);
    open_beneath("", true, ERR_BAD_REQUEST);
}

TEST("a path with a zero byte or without end is refused")
{
    static char long_path[5000];
    AUTO_ERROR struct error err = { 0 };
    AUTO_FD int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    memset(long_path, 'a', sizeof(long_path));
    ASSERT_FAILS(file_open_beneath(dir, STR("etc\0x"), O_RDONLY, 0, true, &err), &err, ERR_BAD_REQUEST, "zero byte");
    ASSERT_FAILS(file_open_beneath(dir, (struct str){ long_path, sizeof(long_path) }, O_RDONLY, 0, true, &err), &err,
                 ERR_BAD_REQUEST, "4095");
}

TEST("a file is created beneath with its mode")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FD int dir = open(test_folder(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int fd = file_open_beneath(dir, STR("new"), O_WRONLY | O_CREAT | O_EXCL, 0640, false, &err);

    ASSERT_OK(fd, &err);
    ASSERT_INT(mode_of(test_path("new")), 0640);
    ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}
