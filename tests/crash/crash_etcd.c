/*
 * Members of a real etcd are killed at random moments below a file system that then forgets what they had not synced (lazyfs.h),
 * while clients write through two engines; what clients and watches saw is judged by lib/history.h.
 *
 *     KLEIN_CRASH_RUNS=50 crash_etcd        so many deaths; KLEIN_SEED=N for the same ones
 */
#include "etcd_load.h"
#include "base/file.h"
#include "lazyfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER     "/mnt" /* in a mount namespace of our own */
#define RUNS       8
#define BACK_MS    30000
#define LYING_RUNS 6

static struct load l;
static struct lazyfs *fs;
static struct env_sim chance;
static bool lying;
static uint64_t lost; /* sectors and entries */

static uint64_t runs_wanted(void)
{
    const char *text = getenv("KLEIN_CRASH_RUNS");
    uint64_t n;

    return text && str_to_u64(str_of(text), &n) ? n : RUNS;
}

static void begin(int members)
{
    AUTO_ERROR struct error err = { 0 };

    etcd_cluster_stop(&l.cluster); /* of a test that failed */
    lazyfs_unmount(TAKE(fs));
    fs = lazyfs_mount(FOLDER, &err);
    if (!fs)
        test_skip("no file system that forgets: %s", error_text(&err));
    env_sim_init(&chance, test_seed(), 0);
    lost = 0;
    load_start_in(&l, members, FOLDER);
    lazyfs_sync(fs); /* etcd syncs no folder when a member is new; operators do not serve from one that young */
    load_run_until_written(&l, 20, BACK_MS);
}

static void end(void)
{
    load_finish(&l);
    lazyfs_unmount(TAKE(fs));
}

static uint64_t below(uint64_t n)
{
    return env_random_below(&chance.env, n);
}

/* At least one; of three, every second time all. */
static unsigned choose_victims(int members)
{
    unsigned all = (1u << members) - 1;

    return below(2) ? all : 1 + (unsigned)below(all);
}

static void power_cut(unsigned victims)
{
    unsigned kept_percent = lying || below(2) ? 0 : (unsigned)below(100); /* lost in order, so that etcd starts again */

    for (int i = 0; i < l.cluster.count; i++)
        if (victims & (1u << i))
            lazyfs_cut(fs, l.cluster.members[i].name);
    for (int i = 0; i < l.cluster.count; i++)
        if (victims & (1u << i))
            etcd_member_kill(&l.cluster, i);
    for (int i = 0; i < l.cluster.count; i++)
        if (victims & (1u << i))
            lost += lazyfs_drop(fs, l.cluster.members[i].name, kept_percent, below(1u << 30));
}

static void power_back(unsigned victims)
{
    for (int i = 0; i < l.cluster.count; i++)
        if (victims & (1u << i))
            etcd_member_start(&l.cluster, i);
}

static void fail_if_lost(void)
{
    for (int i = 0; i < LOAD_ENGINES; i++)
        if (l.engines[i].lost)
            FAIL("%s lost the order of changes: error %d", l.engines[i].name, (int)l.engines[i].lost_code);
}

static void one_run(void)
{
    unsigned victims = choose_victims(l.cluster.count);

    load_run(&l, (int64_t)below(150));
    power_cut(victims);
    if (below(4) == 0) { /* once more, while it comes back */
        power_back(victims);
        load_run(&l, (int64_t)below(300));
        power_cut(victims);
    }
    if (below(2))
        load_run(&l, (int64_t)below(200));
    power_back(victims);
    size_t wanted = l.acknowledged + 10 + below(60);
    for (int64_t until = test_now_ms() + BACK_MS; l.acknowledged < wanted; load_run(&l, 10)) {
        fail_if_lost();
        if (test_now_ms() > until)
            FAIL("%zu writes are missing %d ms after the power came back", wanted - l.acknowledged, BACK_MS);
    }
    if (below(4) == 0)
        load_list(&l);
}

static void lead(int members, uint64_t runs)
{
    size_t acknowledged;

    begin(members);
    if (lying)
        lazyfs_lie(fs);
    for (uint64_t i = 0; i < runs; i++)
        one_run();
    etcd_cluster_wait(&l.cluster);
    acknowledged = l.acknowledged;
    end();
    printf("%d members: %llu deaths, %zu acknowledged writes, %llu unsynced sectors and entries dropped\n", members,
           (unsigned long long)runs, acknowledged, (unsigned long long)lost);
    ASSERT(runs < 3 || lost); /* else nothing was tried */
}

/* --- workers: most of the time is waiting, so several clusters die beside each other --------------------------------------------- */

#define WORKERS 7
#define ROLE    "KLEIN_CRASH_ROLE"

static bool is_role(const char *role)
{
    const char *mine = getenv(ROLE);

    return mine && strcmp(mine, role) == 0;
}

static void check_machine(void)
{
    AUTO_ERROR struct error err = { 0 };

    if (!(fs = lazyfs_mount(FOLDER, &err)))
        test_skip("no file system that forgets: %s", error_text(&err));
    lazyfs_unmount(TAKE(fs));
}

static pid_t worker_start(const char *role, const char *path, uint64_t seed, uint64_t runs)
{
    char number[32], count[32];
    pid_t parent = getpid();

    snprintf(number, sizeof(number), "%llu", (unsigned long long)seed);
    snprintf(count, sizeof(count), "%llu", (unsigned long long)runs);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(126);
        dup2(fd, 1);
        dup2(fd, 2);
        setenv(ROLE, role, 1);
        setenv("KLEIN_SEED", number, 1);
        setenv("KLEIN_CRASH_RUNS", count, 1);
        execl("/proc/self/exe", "crash_etcd", "members die", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static bool worker_good(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* All that a worker said when it failed, else its figures. */
static void show(const char *path, bool good)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    struct str rest, line;

    if (file_read(path, &text, NULL) < 0)
        return;
    rest = buf_str(&text);
    while (str_cut(&rest, '\n', &line))
        if (good ? str_contains(line, STR("acknowledged writes")) : !str_starts(line, STR("test result")))
            printf("%.*s\n", STR_ARG(line));
}

static void work(void)
{
    lying = is_role("lying");
    lead(is_role("three") ? 3 : 1, runs_wanted());
}

TEST("members die at any moment with all they had not synced: what was acknowledged is there, the watches are in order")
{
    pid_t pids[WORKERS];
    const char *paths[WORKERS];
    uint64_t runs = runs_wanted();
    int bad = 0;

    if (getenv(ROLE)) {
        work();
        return;
    }
    check_machine();
    for (int i = 0; i < WORKERS; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%d.log", i);
        paths[i] = test_path(name);
        pids[i] = worker_start(i % 2 ? "three" : "one", paths[i], test_seed() + (uint64_t)i,
                               (runs + (uint64_t)(WORKERS - 1 - i)) / WORKERS);
        ASSERT(pids[i] > 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        bool good = worker_good(pids[i]);

        bad += !good;
        show(paths[i], good);
    }
    ASSERT_INT(bad, 0);
}

TEST("a disk that tells of syncs it has not done is found out")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    const char *path = test_path("lying.log");

    if (getenv(ROLE))
        return;
    check_machine();
    ASSERT(!worker_good(worker_start("lying", path, test_seed(), LYING_RUNS)));
    ASSERT_OK(file_read(path, &text, &err), &err);
    ASSERT_CONTAINS(buf_str(&text), "lost the order of changes"); /* by the engine: etcd itself notices nothing */
}
