/* Root filesystem and loop running for tests of real containers. */
#include "fixture.h"

#include "base/file.h"
#include "base/time.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool fixture_is_root(void)
{
    return geteuid() == 0;
}

const char *fixture_name(void)
{
    static char name[32];
    snprintf(name, sizeof(name), "test%d", (int)getpid());
    return name;
}

const char *fixture_rootfs(void)
{
    static const char *const folders[] = { "bin", "proc", "sys", "dev", "etc", "tmp", "data", "run" };
    const char *root = test_path("rootfs");
    AUTO_BUF struct buf program = BUF_MAX(32 * MIB);
    AUTO_ERROR struct error err = { 0 };

    mkdir(root, 0755);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        mkdir(path, 0755);
    }
    ASSERT_OK(file_read(TOOL_PATH, &program, &err), &err);
    char path[512];
    snprintf(path, sizeof(path), "%s/bin/tool", root);
    ASSERT_OK(file_write(path, buf_str(&program), 0755, &err), &err);
    return root;
}

struct watch {
    struct loop *loop;
    bool (*done)(void *arg);
    void *arg;
    int64_t until_ms;
    struct loop_timer timer;
    bool late;
};

static void look(void *arg)
{
    struct watch *w = arg;
    w->late = time_monotonic_ms() > w->until_ms;
    if (w->done(w->arg) || w->late)
        loop_stop(w->loop);
    else
        loop_timer_start(&w->timer, 1);
}

void fixture_run(struct loop *loop, bool (*done)(void *arg), void *arg, int64_t deadline_ms)
{
    struct watch w = { .loop = loop, .done = done, .arg = arg, .until_ms = time_monotonic_ms() + deadline_ms };

    loop_timer_init(&w.timer, loop, look, &w);
    loop_timer_start(&w.timer, 0);
    loop_run(loop);
    loop_timer_stop(&w.timer);
    if (w.late)
        FAIL("not done within %lld ms", (long long)deadline_ms);
}
