/* The fence guard with real processes and control groups: contact, none, back again; agents that die and come back. As root. */
#include "base/file.h"
#include "base/time.h"
#include "loop/loop.h"
#include "node/cgroup.h"
#include "node/fence.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLACK_MS 9000 /* three times the deadline: the machine may be busy */

static struct loop *loop;
static struct fence *fence;
static char *folder, *group;
static int changes;
static struct cgroups *cgroups;

static void on_change(void *arg)
{
    (void)arg;
    changes++;
}

static void agent_start(void)
{
    struct fence_config c = { .loop = loop, .folder = folder, .on_change = on_change };
    fence = fence_new(&c);
}

static void end_round(void *arg)
{
    loop_stop(arg);
}

/* The agent's loop runs for a moment. */
static void pass(int64_t ms)
{
    struct loop_timer timer;

    loop_timer_init(&timer, loop, end_round, loop);
    loop_timer_start(&timer, ms);
    loop_run(loop);
}

static bool round_of(bool done)
{
    if (!done)
        pass(10);
    return done;
}
#define LOOP_UNTIL(condition) WAIT_UNTIL(round_of(condition), SLACK_MS)

/* A folder for the guard, a control group for its victims. */
static void start(void)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };

    loop = loop_new_system(env_system());
    folder = str_dup(str_of(test_folder()));
    ASSERT_OK(cgroups = cgroups_new("fence-test", "n", &err), &err);
    group = str_dup(cgroup_pod_folder(cgroups, &a, cgroup_pod_path(cgroups, &a, QOS_BEST_EFFORT, STR("uid"))));
    ASSERT_OK(file_mkdirs(group, 0755, &err), &err);
    changes = 0;
    agent_start();
    LOOP_UNTIL(fence_is_guarded(fence));
}

static void stop(void)
{
    fence_free(fence);
    fence_quit(folder);
    cgroups_remove_all(cgroups);
    cgroups_free(cgroups);
    free(group);
    free(folder);
    loop_free(loop);
}

/* A process in the control group; deaf: it does not end by SIGTERM. */
static pid_t victim(bool deaf)
{
    AUTO_FREE char *procs = xasprintf("%s/c/cgroup.procs", group);
    AUTO_FREE char *inner = xasprintf("%s/c", group);
    AUTO_BUF struct buf pid_text = BUF_MAX(32);

    file_mkdirs(inner, 0755, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGTERM, deaf ? SIG_IGN : SIG_DFL);
        for (;;)
            pause();
    }
    AUTO_FD int fd = open(procs, O_WRONLY | O_CLOEXEC);
    buf_addf(&pid_text, "%d", (int)pid);
    ASSERT(write(fd, pid_text.p, pid_text.n) == (ssize_t)pid_text.n);
    return pid;
}

/* How it ended; 0: it runs. */
static int ended_by(pid_t pid)
{
    static int status;
    pid_t got = waitpid(pid, &status, WNOHANG);
    return got == pid ? WTERMSIG(status) : got < 0 && errno == ECHILD ? -1 : 0;
}

static void say_groups(int grace_ms)
{
    AUTO_FREE char *lines = xasprintf("%d %s\n", grace_ms, group);
    fence_set_groups(fence, str_of(lines));
}

static void contact_now(void)
{
    fence_contact(fence, loop_now_ms(loop));
}

static int64_t age_when_ended(pid_t pid, int64_t since_ms, int *ret_signal)
{
    *ret_signal = 0;
    WAIT_UNTIL(round_of((*ret_signal = ended_by(pid)) != 0), SLACK_MS);
    return time_monotonic_ms() - since_ms;
}

TEST("3 s after the last contact the pods that must be one are stopped, not earlier; SIGTERM first, SIGKILL after the "
     "grace")
{
    int how;

    start();
    say_groups(700);
    pid_t soft = victim(false), deaf = victim(true);
    int64_t since_ms = time_monotonic_ms();
    while (time_monotonic_ms() - since_ms < 1000) {
        contact_now();
        pass(50);
    }
    contact_now();
    pass(20);
    since_ms = time_monotonic_ms();
    int64_t soft_ms = age_when_ended(soft, since_ms, &how);
    ASSERT_INT(how, SIGTERM);
    ASSERT(soft_ms >= FENCE_CONTACT_MS - 150 && soft_ms < SLACK_MS);
    int64_t deaf_ms = age_when_ended(deaf, since_ms, &how);
    ASSERT_INT(how, SIGKILL);
    ASSERT(deaf_ms >= FENCE_CONTACT_MS + 700 - 150);
    LOOP_UNTIL(fence_is_fenced(fence) && fence_holds(fence));

    pid_t late = victim(true); /* whatever appears there meanwhile is killed, too */
    age_when_ended(late, since_ms, &how);
    ASSERT_INT(how, SIGKILL);

    contact_now(); /* contact is back: nothing is killed any more, and nothing may start before a server said so */
    LOOP_UNTIL(!fence_is_fenced(fence));
    ASSERT(fence_holds(fence));
    fence_lift(fence);
    ASSERT(!fence_holds(fence));
    pid_t again = victim(false);
    for (int i = 0; i < 20; i++) {
        contact_now();
        pass(20);
    }
    ASSERT_INT(ended_by(again), 0);
    kill(again, SIGKILL);
    waitpid(again, NULL, 0);
    stop();
}

TEST("an agent that died: its pods live on for less than 3 s without a successor, and the guard for ever")
{
    int how;

    start();
    say_groups(0);
    contact_now();
    pass(20);
    pid_t pid = victim(false);
    fence_free(fence); /* as when killed: the socket closes */
    poll(NULL, 0, 500);
    agent_start();
    LOOP_UNTIL(fence_is_guarded(fence));
    ASSERT(!fence_holds(fence)); /* the guard never lost sight of the pods */
    contact_now();
    LOOP_UNTIL(ended_by(pid) == 0);
    fence_free(fence);
    age_when_ended(pid, time_monotonic_ms(), &how);
    ASSERT(how == SIGKILL || how == SIGTERM);
    agent_start(); /* and the next one is told that it was fenced */
    LOOP_UNTIL(fence_is_guarded(fence));
    ASSERT(fence_holds(fence));
    contact_now();
    LOOP_UNTIL(!fence_is_fenced(fence));
    ASSERT(fence_holds(fence));
    stop();
}

TEST("the first start finds no guard: what must be one waits for a server's word")
{
    start();
    ASSERT(fence_holds(fence));
    contact_now();
    fence_lift(fence);
    ASSERT(!fence_holds(fence));
    stop();
}

TEST("a contact in the future, or an older one, does not help")
{
    int how;

    start();
    say_groups(0);
    pid_t pid = victim(false);
    fence_contact(fence, loop_now_ms(loop) + 60000);
    int64_t ms = age_when_ended(pid, time_monotonic_ms(), &how);
    ASSERT(ms < SLACK_MS);
    stop();
}
