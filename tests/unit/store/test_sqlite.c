/* The contract of the store on SQLite, and what only a disk can show: locks, versions, corruption, kill -9, group commit. */
#define ENGINE_KEEPS 1
#include "contract.h"

#include "base/file.h"

#include <sqlite3.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct store *open_engine(struct fixture *f, struct error *err)
{
    if (!f->folder[0]) {
        snprintf(f->folder, sizeof(f->folder), "store-XXXXXX");
        ASSERT(mkdtemp(f->folder));
    }
    return store_open_sqlite(f->loop, env_system(), f->folder, on_change, f, err);
}

static void fixture_cleanup(struct fixture *f)
{
    ASSERT_INT(file_remove_tree(f->folder, NULL), 0);
}

TEST("a second process is refused")
{
    AUTO_ERROR struct error err = { 0 };

    fixture_init(&fix);
    ASSERT(!store_open_sqlite(fix.loop, env_system(), fix.folder, NULL, NULL, &err));
    ASSERT_INT(err.code, ERR_UNAVAILABLE);
    fixture_done(&fix);
}

static void execute(struct fixture *f, const char *sql)
{
    AUTO_FREE char *path = xasprintf("%s/klein.db", f->folder);
    sqlite3 *db;

    ASSERT_INT(sqlite3_open(path, &db), SQLITE_OK);
    ASSERT_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

TEST("a newer format is refused with a sentence that says so")
{
    AUTO_ERROR struct error err = { 0 };

    fixture_init(&fix);
    fixture_close_store(&fix);
    execute(&fix, "UPDATE meta SET number = 2 WHERE name = 'format'");
    ASSERT(!store_open_sqlite(fix.loop, env_system(), fix.folder, NULL, NULL, &err));
    ASSERT(str_contains(str_of(err.message), STR("has format 2")));
    fixture_done(&fix);
}

/* Run fn in a child; returns how it ended. */
static int in_child(void (*fn)(struct fixture *f), struct fixture *f)
{
    int status;
    pid_t pid = fork();

    ASSERT(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, 2);
        fn(f);
        _exit(0);
    }
    ASSERT_INT(waitpid(pid, &status, 0), pid);
    return status;
}

static void read_all(struct fixture *f)
{
    f->loop = loop_new_system(env_system());
    loop_timer_init(&f->deadline, f->loop, on_deadline, f);
    fixture_open_store(f);
    list(f, "/");
}

TEST("a flipped bit ends the process instead of being served")
{
    fixture_init(&fix);
    put(&fix, "/a", "12345");
    fixture_close_store(&fix);
    execute(&fix, "UPDATE changes SET value = substr(value, 1, 5) || CAST('12346' AS BLOB)");
    int status = in_child(read_all, &fix);
    ASSERT(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    fixture_done(&fix);
}

TEST("writers that wait together share an fsync")
{
    enum { WRITERS = 2000 };
    static struct answer answers[WRITERS];
    struct store_stats before, after;

    fixture_init(&fix);
    memset(answers, 0, sizeof(answers));
    store_stats(fix.store, &before);
    for (int i = 0; i < WRITERS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/k/%d", i);
        struct store_write w = {
            .type = STORE_PUT, .key = str_of(key), .value = STR("value"), .expect = STORE_EXPECT_ABSENT
        };
        answers[i].f = &fix;
        store_write(fix.store, &w, on_done, &answers[i]);
    }
    for (int i = 0; i < WRITERS; i++)
        wait_for(&answers[i]);
    store_stats(fix.store, &after);
    ASSERT_INT(after.writes - before.writes, WRITERS);
    ASSERT(after.commits - before.commits < WRITERS / 20);
    ASSERT(after.fsyncs > before.fsyncs);
    fixture_done(&fix);
}

/* The child writes /k/N for ever and tells each acknowledged N through the pipe. */
static int acknowledged_fd;

static void write_forever(struct fixture *f)
{
    f->loop = loop_new_system(env_system());
    loop_timer_init(&f->deadline, f->loop, on_deadline, f);
    fixture_open_store(f);
    for (uint32_t i = 0;; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/k/%08u", i);
        put(f, key, "v");
        f->seen_count = 0;
        if (write(acknowledged_fd, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
}

static size_t count_spaces(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == ' ';
    return n;
}

TEST("after kill -9 the content is a prefix that contains every acknowledged write")
{
    for (int round = 0; round < 8; round++) {
        int fds[2];
        uint32_t last = 0, n;
        memset(&fix, 0, sizeof(fix));
        snprintf(fix.folder, sizeof(fix.folder), "store-XXXXXX");
        ASSERT(mkdtemp(fix.folder));
        ASSERT_INT(pipe2(fds, O_CLOEXEC), 0);
        acknowledged_fd = fds[1];
        pid_t pid = fork();
        ASSERT(pid >= 0);
        if (pid == 0) {
            write_forever(&fix);
            _exit(0);
        }
        close(fds[1]);
        size_t wanted = 20 + (size_t)((test_seed() >> round) % 150);
        for (size_t i = 0; i < wanted; i++)
            ASSERT_INT(read(fds[0], &last, sizeof(last)), sizeof(last));
        kill(pid, SIGKILL);
        ASSERT_INT(waitpid(pid, NULL, 0), pid);
        while (read(fds[0], &n, sizeof(n)) == sizeof(n))
            last = n;
        close(fds[0]);
        fix.loop = loop_new_system(env_system());
        loop_timer_init(&fix.deadline, fix.loop, on_deadline, &fix);
        fixture_open_store(&fix);
        struct dump d = list(&fix, "/k/");
        size_t found = count_spaces(buf_str(&d.text));
        ASSERT(found >= (size_t)last + 1);
        ASSERT(found <= (size_t)last + 2);
        buf_done(&d.text);
        fixture_done(&fix);
    }
}
