/* conmon and crun against a real kernel: start, output, exit codes, signals, adoption, a killed monitor. */
#include "fixture.h"

#include "base/codec.h"
#include "base/file.h"
#include "node/cgroup.h"
#include "node/runtime.h"
#include "node/sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    struct loop *loop;
    struct runtime *runtime;
    struct cgroups *cgroups;
    struct arena arena;
    char id[CONTAINER_ID_SIZE];
    const char *log;
    struct runtime_ids ids;
    int started, exited, deleted;
    bool start_failed;
    char message[512];
    struct runtime_exit how;
};

static void on_started(void *arg, const struct runtime_ids *ids, const struct error *err)
{
    struct world *w = arg;
    w->started++;
    w->ids = *ids;
    w->start_failed = err != NULL;
    snprintf(w->message, sizeof(w->message), "%s", err ? error_text(err) : "");
}

static void on_exited(void *arg, const struct runtime_exit *how)
{
    struct world *w = arg;
    w->exited++;
    w->how = *how;
}

static void on_deleted(void *arg)
{
    ((struct world *)arg)->deleted++;
}

static bool has_started(void *arg)
{
    return ((struct world *)arg)->started > 0;
}

static bool has_exited(void *arg)
{
    return ((struct world *)arg)->exited > 0;
}

static bool has_deleted(void *arg)
{
    return ((struct world *)arg)->deleted > 0;
}

static void world_init(struct world *w)
{
    AUTO_ERROR struct error err = { 0 };
    unsigned char random[16];
    AUTO_BUF struct buf hex = BUF_MAX(64);

    *w = (struct world){ .loop = loop_new_system(env_system()) };
    env_system()->random(env_system(), random, sizeof(random));
    hex_encode(&hex, (struct str){ (const char *)random, sizeof(random) });
    memcpy(w->id, hex.p, 32);
    w->cgroups = cgroups_new(fixture_name(), "node", &err);
    ASSERT_OK(w->cgroups, &err);
    w->runtime = runtime_new(w->loop, test_path("run"), &err);
    ASSERT_OK(w->runtime, &err);
    w->log = test_path("log");
}

static void world_done(struct world *w)
{
    runtime_delete(w->runtime, str_of(w->id), on_deleted, w);
    fixture_run(w->loop, has_deleted, w, 10000);
    runtime_free(w->runtime);
    cgroups_remove_all(w->cgroups);
    cgroups_free(w->cgroups);
    loop_free(w->loop);
    arena_done(&w->arena);
}

#define RUN(w, ...)                                                                                                    \
    run((w), (const struct str[]){ STR_INIT("/bin/tool"), __VA_ARGS__ },                                               \
        sizeof((const struct str[]){ STR_INIT("/bin/tool"), __VA_ARGS__ }) / sizeof(struct str))

static void run(struct world *w, const struct str *args, size_t count)
{
    AUTO_BUF struct buf config = BUF_MAX(256 * KIB);
    AUTO_ERROR struct error err = { 0 };
    struct container_spec s = {
        .id = str_of(w->id),
        .rootfs = str_of(fixture_rootfs()),
        .cgroup_path =
            arena_printf(&w->arena, "%s/%s", cgroup_pod_path(w->cgroups, &w->arena, QOS_BURSTABLE, STR("u1")).p, w->id),
        .args = args,
        .args_count = count,
        .no_new_privileges = true,
        .seccomp = SPEC_SECCOMP_DEFAULT,
        .limits = { .memory_bytes = 64 * MIB, .cpu_shares = 100, .pids = 100 },
    };

    container_spec_default_capabilities(&s);
    ASSERT_OK(container_spec_write(&s, &config, &err), &err);
    runtime_container_start(
        w->runtime,
        &(struct runtime_start){ .id = str_of(w->id), .config = buf_str(&config), .log_path = str_of(w->log) },
        on_started, on_exited, w);
    fixture_run(w->loop, has_started, w, 10000);
}

static struct str read_log(struct world *w)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    file_read(w->log, &text, NULL);
    return arena_str(&w->arena, buf_str(&text));
}

TEST("a container starts, writes its log in the CRI format and tells its exit code")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    RUN(&w, STR("say"), STR("hello"), STR("complain"), STR("oh"), STR("exit"), STR("7"));
    ASSERT_STR(w.message, "");
    fixture_run(w.loop, has_exited, &w, 10000);
    ASSERT(w.how.known);
    ASSERT_INT(w.how.code, 7);
    ASSERT(!w.how.oom_killed);
    ASSERT_CONTAINS(read_log(&w), " stdout F hello\n");
    ASSERT_CONTAINS(read_log(&w), " stderr F oh\n");
    world_done(&w);
}

TEST("a program that does not exist is told by name")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    run(&w, (const struct str[]){ STR("/bin/absent") }, 1);
    ASSERT(w.start_failed);
    ASSERT_CONTAINS(w.message, "/bin/absent");
    world_done(&w);
}

TEST("SIGKILL ends a container with 137")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    RUN(&w, STR("wait"));
    ASSERT_STR(w.message, "");
    ASSERT(runtime_signal(w.runtime, str_of(w.id), SIGKILL));
    fixture_run(w.loop, has_exited, &w, 10000);
    ASSERT_INT(w.how.code, 137);
    world_done(&w);
}

TEST("a container over its memory limit is reported as killed for it")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    RUN(&w, STR("sleep"), STR("50"), STR("eat"), STR("200"), STR("wait"));
    fixture_run(w.loop, has_exited, &w, 20000);
    ASSERT_INT(w.how.code, 137);
    ASSERT(w.how.oom_killed);
    world_done(&w);
}

TEST("a running container is adopted after a restart and still tells its exit code")
{
    struct world w;
    AUTO_ERROR struct error err = { 0 };
    NEED_ROOT();
    world_init(&w);
    RUN(&w, STR("trap"), STR("1"), STR("wait"));
    runtime_free(w.runtime);
    w.runtime = runtime_new(w.loop, test_path("run"), &err);
    ASSERT(runtime_adopt(w.runtime, str_of(w.id), &w.ids, on_exited, &w));
    ASSERT(runtime_signal(w.runtime, str_of(w.id), SIGKILL));
    fixture_run(w.loop, has_exited, &w, 10000);
    ASSERT(w.how.known);
    ASSERT_INT(w.how.code, 137);
    world_done(&w);
}

TEST("a container whose monitor is killed ends with an unknown exit code")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    RUN(&w, STR("wait"));
    pid_t pid = w.ids.pid;
    ASSERT(pid > 0 && kill(w.ids.monitor_pid, SIGKILL) == 0);
    fixture_run(w.loop, has_exited, &w, 10000);
    ASSERT(!w.how.known);
    world_done(&w);
    WAIT_UNTIL(kill(pid, 0) < 0, 5000);
}

TEST("a sandbox keeps namespaces without a process and leaves nothing when removed")
{
    AUTO_ERROR struct error err = { 0 };
    const char *folder = test_path("sandbox");
    struct stat mine, its;
    char path[512];
    NEED_ROOT();
    ASSERT_OK(sandbox_create(&(struct sandbox_options){ .folder = folder, .hostname = "web-1" }, &err), &err);
    snprintf(path, sizeof(path), "%s/net", folder);
    ASSERT(stat(path, &its) == 0 && stat("/proc/self/ns/net", &mine) == 0);
    ASSERT(its.st_ino != mine.st_ino);
    sandbox_remove(folder);
    ASSERT(!file_exists(folder));
}
