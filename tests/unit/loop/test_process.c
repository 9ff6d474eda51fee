/* Children, and being told about signals, files, descriptors and foreign processes. */
#include "loop_test.h"
#include "loop/process.h"
#include "loop/udp.h"
#include "loop/watch.h"
#include "base/file.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

static struct loop *loop;
static bool done, flag;
static struct process_exit how;
static struct buf out = BUF_MAX(MIB), err_out = BUF_MAX(MIB);
static enum error_code code;

static void begin(void)
{
    loop = loop_new_system(env_system());
    done = flag = false;
    buf_clear(&out);
    buf_clear(&err_out);
}

static void end(void)
{
    loop_free(loop);
    buf_done(&out);
    buf_done(&err_out);
}

static void on_exit_seen(struct process *p, struct process_exit exit, void *arg)
{
    (void)p, (void)arg;
    how = exit;
    done = true;
}

static void on_captured(void *arg, const struct process_result *r, const struct error *err)
{
    (void)arg;
    how = r->exit;
    buf_add(&out, r->out);
    buf_add(&err_out, r->err_out);
    code = err ? err->code : ERR_NONE;
    flag = r->truncated;
    done = true;
}

#define SHELL(script)                                                                                                  \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        "/bin/sh", "-c", script, NULL                                                                                  \
    }

static void capture(struct process_options o, struct str input, size_t max, int64_t timeout_ms)
{
    process_capture(loop, &o, input, max, timeout_ms, on_captured, NULL);
    RUN_UNTIL(loop, done);
}

TEST("a child tells its exit code, or the signal that ended it")
{
    AUTO_ERROR struct error err = { 0 };
    struct process *p;

    begin();
    ASSERT_OK(process_spawn(loop, &(struct process_options){ .argv = SHELL("exit 7") }, on_exit_seen, NULL, &err),
              &err);
    RUN_UNTIL(loop, done);
    ASSERT_INT(how.code, 7);
    ASSERT_INT(how.signal, 0);
    done = false;
    p = process_spawn(loop, &(struct process_options){ .argv = SHELL("sleep 60") }, on_exit_seen, NULL, &err);
    ASSERT(process_pid(p) > 0);
    process_kill(p, SIGTERM);
    RUN_UNTIL(loop, done);
    ASSERT_INT(how.code, -1);
    ASSERT_INT(how.signal, SIGTERM);
    end();
}

TEST("a program that does not exist is told at once")
{
    AUTO_ERROR struct error err = { 0 };
    struct process_options absent = { .argv = (const char *const[]){ "/does/not/exist", NULL } };
    struct process_options unknown = { .argv = (const char *const[]){ "no-such-program", NULL } };
    struct process_options folder = { .argv = SHELL("true"), .cwd = "/does/not/exist" };

    begin();
    ASSERT_FAILS(process_spawn(loop, &absent, on_exit_seen, NULL, &err), &err, ERR_NOT_FOUND, "/does/not/exist");
    ASSERT_FAILS(process_spawn(loop, &unknown, on_exit_seen, NULL, &err), &err, ERR_NOT_FOUND, "no such program");
    ASSERT_FAILS(process_spawn(loop, &folder, on_exit_seen, NULL, &err), &err, ERR_NOT_FOUND, "folder");
    end();
}

TEST("capture feeds input and gathers both outputs")
{
    begin();
    capture((struct process_options){ .argv = SHELL("cat; echo problem >&2; exit 3") }, STR("fed"), MIB, 5000);
    ASSERT_STR(out, "fed");
    ASSERT_STR(err_out, "problem\n");
    ASSERT_INT(how.code, 3);
    ASSERT_INT(code, ERR_NONE);
    end();
}

TEST("capture keeps the maximum and drops the rest")
{
    begin();
    capture((struct process_options){ .argv = SHELL("head -c 1000000 /dev/zero") }, STR(""), 1000, 5000);
    ASSERT_INT(out.n, 1000);
    ASSERT(flag);
    ASSERT_INT(how.code, 0);
    end();
}

TEST("capture kills at the deadline, and does not wait for a grandchild that holds the pipe")
{
    begin();
    capture((struct process_options){ .argv = SHELL("sleep 60") }, STR(""), 1000, 50);
    ASSERT_INT(code, ERR_TIMEOUT);
    ASSERT_INT(how.signal, SIGKILL);
    done = false;
    capture((struct process_options){ .argv = SHELL("echo said; sleep 3 & exit 0") }, STR(""), 1000, 5000);
    ASSERT_INT(code, ERR_NONE);
    ASSERT_STR(out, "said\n");
    end();
}

TEST("a child has the descriptors it was given and no others")
{
    AUTO_FD int leak = open("/dev/null", O_RDONLY); /* deliberately without O_CLOEXEC */
    AUTO_FD int given = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct process_fd fds[] = { { 5, given } };

    begin();
    ASSERT(leak > 2);
    capture((struct process_options){ .argv = SHELL("exec ls /proc/self/fd"), .fds = fds, .fds_count = 1 }, STR(""),
            MIB, 5000);
    ASSERT_STR(out, "0\n1\n2\n3\n5\n"); /* 3 is the folder that ls reads */
    end();
}

TEST("environment, folder, session and signal state are as asked")
{
    const char *env[] = { "A=b", NULL };

    begin();
    capture((struct process_options){ .argv = SHELL("echo $A $(pwd); grep -E 'SigBlk|SigIgn' /proc/self/status"),
                                      .env = env,
                                      .cwd = "/usr",
                                      .new_session = true },
            STR(""), MIB, 5000);
    ASSERT_CONTAINS(out, "b /usr\n");
    ASSERT_CONTAINS(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000");
    end();
}

TEST("a child enters the namespaces it is given")
{
    AUTO_FD int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    AUTO_FD int other = -1;
    char name[64];

    begin();
    if (unshare(CLONE_NEWNET) == 0) {
        other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        ASSERT_INT(readlink("/proc/self/ns/net", name, sizeof(name) - 1) > 0, 1);
        ASSERT_INT(setns(ours, 0), 0);
        capture((struct process_options){ .argv = SHELL("readlink /proc/self/ns/net"),
                                          .namespaces = &other,
                                          .namespaces_count = 1 },
                STR(""), MIB, 5000);
        ASSERT(out.n > 5 && strncmp(out.p, name, out.n - 1) == 0);
    }
    end();
}

TEST("the blocking form needs no loop")
{
    AUTO_ERROR struct error err = { 0 };
    struct process_options o = { .argv = (const char *const[]){ "cat", NULL } };

    begin();
    ASSERT_OK(process_run(&o, STR("text"), &out, NULL, 5000, &how, &err), &err);
    ASSERT_STR(out, "text");
    ASSERT_INT(how.code, 0);
    end();
}

static void on_signal(int signal, void *arg)
{
    (void)arg;
    done = signal == SIGUSR1;
}

TEST("a signal arrives on the loop")
{
    struct signal_watch *w;

    begin();
    w = signal_watch_new(loop, SIGUSR1, on_signal, NULL);
    kill(getpid(), SIGUSR1);
    RUN_UNTIL(loop, done);
    signal_watch_free(w);
    end();
}

static void on_file(struct file_watch *w, const struct file_change *change, void *arg)
{
    (void)w, (void)arg;
    if (change->created && str_is(change->name, "new"))
        done = true;
}

TEST("a new file in a watched folder is told by name")
{
    AUTO_ERROR struct error err = { 0 };
    struct file_watch *w, *second;

    begin();
    w = file_watch_new(loop, test_folder(), on_file, NULL, &err);
    ASSERT_OK(w, &err);
    second = file_watch_new(loop, test_folder(), on_file, NULL, &err);
    file_watch_free(second);
    ASSERT_OK(file_write(test_path("new"), STR("x"), 0600, &err), &err);
    RUN_UNTIL(loop, done);
    ASSERT_FAILS(file_watch_new(loop, "/does/not/exist", on_file, NULL, &err), &err, ERR_NOT_FOUND, "exist");
    file_watch_free(w);
    end();
}

static void on_pid_end(struct pid_watch *w, void *arg)
{
    (void)arg;
    pid_watch_free(w);
    flag = true;
}

TEST("the end of a process that is not our own child is seen")
{
    AUTO_ERROR struct error err = { 0 };
    struct process *p;
    struct pid_watch *w;

    begin();
    p = process_spawn(loop, &(struct process_options){ .argv = SHELL("sleep 60") }, on_exit_seen, NULL, &err);
    ASSERT(pid_start_time(process_pid(p)) > 0);
    w = pid_watch_new(loop, process_pid(p), on_pid_end, NULL, &err);
    ASSERT_OK(w, &err);
    ASSERT_OK(pid_watch_kill(w, SIGKILL, &err), &err);
    RUN_UNTIL(loop, flag);
    RUN_UNTIL(loop, done);
    ASSERT_FAILS(pid_watch_new(loop, 4194303, on_pid_end, NULL, &err), &err, ERR_NOT_FOUND, "4194303");
    end();
}

static void on_question(struct udp *u, const struct address *from, struct str bytes, void *arg)
{
    (void)arg;
    udp_send(u, from, bytes);
}

static int answers;

static void on_answer(struct udp *u, const struct address *from, struct str bytes, void *arg)
{
    (void)u, (void)from, (void)arg;
    if (str_is(bytes, "datagram"))
        done = ++answers == 100;
}

TEST("datagrams go out and come back, in both worlds")
{
    static const struct udp_callbacks question = { .on_datagram = on_question }, answer = { .on_datagram = on_answer };

    EACH_WORLD(world)
    {
        AUTO_ERROR struct error err = { 0 };
        struct address at, to;
        struct udp *a, *b;

        done = false;
        answers = 0;
        address_parse(STR("127.0.0.1:0"), &at, NULL);
        a = udp_open(world, &at, NULL, &question, NULL, &err);
        b = udp_open(world, &at, NULL, &answer, NULL, &err);
        ASSERT(a && b);
        to = udp_address(a);
        for (int i = 0; i < 100; i++)
            udp_send(b, &to, STR("datagram"));
        RUN_UNTIL(world, done);
        udp_close(a);
        udp_close(b);
    }
    buf_done(&out);
    buf_done(&err_out);
}
