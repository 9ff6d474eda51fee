/* Faults: from what is asked to steps; records that outlive their owner; undoing, also twice. */
#include "base/file.h"
#include "chaos/chaos.h"
#include "chaos/fault_record.h"
#include "chaos/relay.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct seen seen;

static void add_machine(enum machine_kind kind, const char *name, const char *zone, pid_t init)
{
    struct seen_machine *m = &seen.machines[seen.machines_count++];

    *m = (struct seen_machine){ .kind = kind, .init = init, .start_time = (uint64_t)init * 10 };
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->zone, sizeof(m->zone), "%s", zone);
    snprintf(m->link, sizeof(m->link), "%s", kind == MACHINE_EDGE ? "" : name);
    snprintf(m->data, sizeof(m->data), "/data/%s", name);
    m->leader = m->store_leader = kind == MACHINE_EDGE;
}

static void add_process(int machine, enum role role, pid_t pid, const char *pod)
{
    struct seen_process *p = &seen.processes[seen.processes_count++];

    *p = (struct seen_process){ .pid = pid, .start_time = (uint64_t)pid * 10, .role = role, .machine = machine };
    snprintf(p->pod_uid, sizeof(p->pod_uid), "%s", pod);
}

static void make_seen(void)
{
    seen = (struct seen){ .name = "test" };
    add_machine(MACHINE_EDGE, "edge", "", 100);
    add_machine(MACHINE_NODE, "node-a1", "a", 110);
    add_machine(MACHINE_NODE, "node-b1", "b", 120);
    add_process(0, ROLE_SERVER, 101, "");
    add_process(0, ROLE_HAPROXY, 102, "");
    add_process(0, ROLE_HAPROXY, 103, "");
    add_process(1, ROLE_AGENT, 111, "");
    add_process(2, ROLE_AGENT, 121, "");
    add_process(2, ROLE_CONMON, 122, "uid-1");
    add_process(2, ROLE_CONTAINER, 123, "uid-1");
    add_process(2, ROLE_CONTAINER, 124, "uid-2");
}

/* "kill 101,stop 100": kinds and whom. */
static const char *steps_of(const char *verb, const char *what, const char *target)
{
    static char text[1000];
    static const char *const kinds[] = { "kill", "stop", "power", "down", "drop", "slow", "relay", "fill", "eat" };
    AUTO_ERROR struct error err = { 0 };
    struct fault_request r = { .verb = verb, .what = what, .target = target };
    static struct fault f;
    size_t n = 0;

    make_seen();
    if (fault_plan(&seen, &r, &f, &err) < 0) {
        snprintf(text, sizeof(text), "%s", error_reason(err.code));
        return text;
    }
    for (int i = 0; i < f.steps_count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %d%s%s", i ? ", " : "", kinds[f.steps[i].kind],
                              (int)f.steps[i].pid, f.steps[i].link[0] || f.steps[i].path[0] ? " " : "",
                              f.steps[i].path[0] ? f.steps[i].path : f.steps[i].link);
    return text;
}

TEST("a process is found by its role, and by its machine or pod when one is named")
{
    ASSERT_STR(steps_of("kill", "server", NULL), "kill 101");
    ASSERT_STR(steps_of("kill", NULL, NULL), "kill 101");
    ASSERT_STR(steps_of("kill", "agent", NULL), "kill 111");
    ASSERT_STR(steps_of("kill", "agent", "node-b1"), "kill 121");
    ASSERT_STR(steps_of("pause", "leader", NULL), "stop 101");
    ASSERT_STR(steps_of("kill", "haproxy", NULL), "kill 102, kill 103");
    ASSERT_STR(steps_of("kill", "container", "uid-2"), "kill 124");
    ASSERT_STR(steps_of("kill", "pod", "uid-1"), "kill 122, kill 123");
}

TEST("a control plane that is stopped is not started again by its init")
{
    ASSERT_STR(steps_of("stop", "control-plane", NULL), "stop 100, kill 101");
}

TEST("zones and nodes lose power, are cut, slowed and disturbed at their own links")
{
    ASSERT_STR(steps_of("kill", "zone", "b"), "power 120");
    ASSERT_STR(steps_of("kill", "node", "node-a1"), "power 110");
    ASSERT_STR(steps_of("cut", "zone", "b"), "down 100 br-b");
    ASSERT_STR(steps_of("cut", "node", "node-b1"), "down 100 node-b1");
    ASSERT_STR(steps_of("slow", "node", "node-b1"), "slow 100 node-b1, slow 120 eth0");
    ASSERT_STR(steps_of("disturb", "zone", "a"), "relay 100 node-a1");
    ASSERT_STR(steps_of("fill", "node", "node-a1"), "fill 0 /data/node-a1/klein-chaos-fill");
    ASSERT_STR(steps_of("eat", "cpu", "node-b1"), "eat 120 klein/test/node-b1");
}

TEST("what is not understood and what is not there is said")
{
    ASSERT_STR(steps_of("kill", "everything", NULL), "BadRequest");
    ASSERT_STR(steps_of("burn", "zone", "a"), "BadRequest");
    ASSERT_STR(steps_of("cut", "server-room", "a"), "BadRequest");
    ASSERT_STR(steps_of("kill", "etcd", NULL), "NotFound");
    ASSERT_STR(steps_of("kill", "node", "node-z9"), "NotFound");
    ASSERT_STR(steps_of("cut", "zone", "z"), "NotFound");
}

TEST("a cut in one direction or of one port drops packets instead of taking the link down")
{
    struct fault_request r = { .verb = "cut", .what = "zone", .target = "b", .way = DROP_FROM, .port = 6443 };
    static struct fault f;
    AUTO_ERROR struct error err = { 0 };

    make_seen();
    ASSERT_OK(fault_plan(&seen, &r, &f, &err), &err);
    ASSERT_INT(f.steps_count, 1);
    ASSERT_INT(f.steps[0].kind, STEP_DROP);
    ASSERT_INT(f.steps[0].way, DROP_FROM);
    ASSERT_INT(f.steps[0].port, 6443);
    ASSERT(!f.steps[0].frames);
    ASSERT_STR(f.steps[0].link, "br-b");
    ASSERT_STR(f.text, "cut zone b (what it sends) (port 6443 only)");
    r.what = "node";
    r.target = "node-b1";
    ASSERT_OK(fault_plan(&seen, &r, &f, &err), &err);
    ASSERT(f.steps[0].frames);
}

TEST("roles are read from names and arguments, pods from control groups")
{
    char uid[64];

    ASSERT_INT(role_of_command(STR("klein"), STR("/bin/klein\0server\0--data")), ROLE_SERVER);
    ASSERT_INT(role_of_command(STR("klein"), STR("/bin/klein\0agent")), ROLE_AGENT);
    ASSERT_INT(role_of_command(STR("etcd"), STR("etcd\0--name")), ROLE_ETCD);
    ASSERT_INT(role_of_command(STR("docker-registry"), STR("docker-registry\0serve")), ROLE_REGISTRY);
    ASSERT_INT(role_of_command(STR("sh"), STR("")), ROLE_OTHER);
    ASSERT(pod_uid_of_cgroup(STR("4:memory:/klein/x/node-a1/burstable/pod8d2c1f0a-1b2c-4d5e-8f90-0123456789ab/c1\n"),
                             uid));
    ASSERT_STR(uid, "8d2c1f0a-1b2c-4d5e-8f90-0123456789ab");
    ASSERT(!pod_uid_of_cgroup(STR("4:memory:/user.slice/podman\n"), uid));
}

TEST("a record is read back as it was written")
{
    static struct fault f, back;
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    AUTO_ERROR struct error err = { 0 };

    f = (struct fault){
        .id = "7", .text = "cut \"it\"", .owner = 5, .owner_start_time = 6, .at_ms = 7, .steps_count = 2
    };
    f.steps[0] = (struct step){ .kind = STEP_RELAY,
                                .pid = 1,
                                .start_time = 2,
                                .link = "node-a1",
                                .bridge = "br-a",
                                .delay_ms = 3,
                                .jitter_ms = 4,
                                .loss_permille = 5,
                                .duplicate_permille = 6,
                                .reorder_permille = 7,
                                .helper = 8,
                                .helper_start_time = 9 };
    f.steps[1] = (struct step){
        .kind = STEP_DROP, .way = DROP_TO, .frames = true, .port = 6443, .path = "/p", .amount = 1LL << 40
    };
    fault_record_write(&text, &f);
    ASSERT_OK(fault_record_read(buf_str(&text), &back, &err), &err);
    ASSERT(memcmp(&f, &back, sizeof(f)) == 0);
    ASSERT_FAILS(fault_record_read(STR("{\"steps\":[{\"kind\":\"melt\"}]}"), &back, &err), &err, ERR_BAD_REQUEST,
                 "melt");
    ASSERT_FAILS(fault_record_read(STR("{"), &back, &err), &err, ERR_BAD_REQUEST, "");
}

static bool is_stopped(pid_t pid)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/stat", (int)pid);
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    return file_read(path, &text, NULL) == 0 && str_contains(buf_str(&text), STR(") T "));
}

static struct fault *pause_of(pid_t pid)
{
    static struct fault f;

    f = (struct fault){ .text = "pause it", .steps_count = 1 };
    f.steps[0] = (struct step){ .kind = STEP_STOP, .pid = pid, .start_time = seen_start_time(pid) };
    return &f;
}

static pid_t child(void)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

TEST("a fault is on record while it lasts, and undone by its owner or by whoever comes after it, once or twice")
{
    AUTO_ERROR struct error err = { 0 };
    pid_t pid = child();
    struct fault *f = pause_of(pid), *all;
    bool needs_up = false;
    int count;

    ASSERT_OK(chaos_inject(test_path("faults"), f, &err), &err);
    WAIT_UNTIL(is_stopped(pid), 3000);
    ASSERT_OK(fault_record_load(test_path("faults"), &all, &count, &err), &err);
    ASSERT_INT(count, 1);
    ASSERT(fault_record_owner_is_alive(&all[0]));
    free(all);
    ASSERT_OK(chaos_undo_all(test_path("faults"), true, &count, &needs_up, &err), &err);
    ASSERT_INT(count, 0); /* its owner lives: us */
    ASSERT(is_stopped(pid));
    ASSERT_OK(chaos_undo_all(test_path("faults"), false, &count, &needs_up, &err), &err);
    ASSERT_INT(count, 1);
    WAIT_UNTIL(!is_stopped(pid), 3000);
    ASSERT_OK(chaos_undo(test_path("faults"), f, &needs_up, &err), &err);
    ASSERT_OK(chaos_undo_all(test_path("faults"), false, &count, &needs_up, &err), &err);
    ASSERT_INT(count, 0);
    ASSERT(!needs_up);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

TEST("the faults of an owner that was killed are undone by the next one")
{
    AUTO_ERROR struct error err = { 0 };
    pid_t pid = child(), owner;
    struct fault *f = pause_of(pid);
    bool needs_up;
    int count;

    const char *folder = test_path("faults");
    owner = fork();
    if (owner == 0) {
        chaos_inject(folder, f, NULL);
        _exit(0);
    }
    waitpid(owner, NULL, 0);
    WAIT_UNTIL(is_stopped(pid), 3000);
    ASSERT_OK(chaos_undo_all(test_path("faults"), true, &count, &needs_up, &err), &err);
    ASSERT_INT(count, 1);
    WAIT_UNTIL(!is_stopped(pid), 3000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

TEST("a pid that was given to another process is left alone, and a power cut asks for `klein up`")
{
    AUTO_ERROR struct error err = { 0 };
    pid_t pid = child();
    struct fault *f = pause_of(pid);
    bool needs_up = false;

    f->steps[0].start_time++;
    f->steps[1] = (struct step){ .kind = STEP_POWER_OFF, .pid = pid, .start_time = f->steps[0].start_time };
    f->steps_count = 2;
    ASSERT_OK(chaos_inject(test_path("faults"), f, &err), &err);
    ASSERT(seen_start_time(pid) && !is_stopped(pid));
    ASSERT_OK(chaos_undo(test_path("faults"), f, &needs_up, &err), &err);
    ASSERT(needs_up);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

TEST("the machine's own disk is never filled")
{
    AUTO_ERROR struct error err = { 0 };
    static struct fault f;

    f = (struct fault){ .text = "fill it", .steps_count = 1 };
    f.steps[0] = (struct step){ .kind = STEP_FILL, .path = "/var/klein-chaos-fill" };
    ASSERT_FAILS(chaos_inject(test_path("faults"), &f, &err), &err, ERR_UNAVAILABLE, "--disk-size");
    ASSERT(!file_exists("/var/klein-chaos-fill"));
}

TEST("a relay loses, doubles and delays as many frames as it was told, and keeps the order of the others")
{
    struct step s = {
        .delay_ms = 20, .jitter_ms = 5, .loss_permille = 100, .duplicate_permille = 50, .reorder_permille = 10
    };
    struct relay_way way = { 0 };
    struct env_sim sim;
    int lost = 0, doubled = 0, at_once = 0;
    int64_t last_us = 0;

    env_sim_init(&sim, test_seed(), 0);
    for (int i = 0; i < 10000; i++) {
        int64_t now_us = 1000000 + i * 100;
        struct relay_fate fate = relay_decide(&s, &way, &sim.env, now_us);
        lost += fate.copies == 0;
        doubled += fate.copies == 2;
        if (!fate.copies)
            continue;
        if (fate.at_us == now_us) {
            at_once++;
            continue;
        }
        ASSERT(fate.at_us >= now_us + 15000 && fate.at_us >= last_us);
        last_us = fate.at_us;
    }
    ASSERT(lost > 800 && lost < 1200);
    ASSERT(doubled > 300 && doubled < 600);
    ASSERT(at_once > 40 && at_once < 180);
}
