/*
 * `klein fence`: the process that stops pods that must be one when their node has lost contact. A program of its own, static and small,
 * that the agent carries inside (fence_blob) and starts from memory: it needs no file, no library and no agent that still works.
 *
 *     klein-fence SOCKET GROUPS
 *
 * SOCKET is where agents connect (a stream; one at a time, the newest wins); lines, times in milliseconds of CLOCK_MONOTONIC:
 *     agent:  c TIME           contact: something sent at TIME was answered
 *             l GENERATION     a server said what is still wanted here after this fence
 *             q                the node is taken away: end
 *     guard:  f FENCED GENERATION LIFTED     at the start and at each change; GENERATION counts the fences
 * GROUPS is a file, read when it is needed: a line "GRACE_MS FOLDER" for each pod, FOLDER its control group (v1 or v2).
 *
 * 3 s after the last contact every process in these groups gets SIGTERM, after min(grace, 3 s) SIGKILL, and whatever appears there later as well,
 * until there is contact again. One guard a folder: it holds a lock on SOCKET.lock.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONTACT_MS  3000 /* FENCE_CONTACT_MS of fence.h; a test compares them */
#define GRACE_MAX   3000
#define ROUND_MS    50
#define DEPTH_MAX   8
#define GROUPS_MAX  (256 * 1024)
#define PATH_BYTES  4096
#define EXIT_LOCKED 3

struct linux_dirent64 {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static const char *socket_path, *groups_path;
static int listener = -1, agent = -1;
static int64_t contact_ms, fenced_ms;
static bool fenced;
static unsigned long generation, lifted;
static char groups[GROUPS_MAX], line[256];
static size_t line_length;
static unsigned long signalled;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- text without a library's weight --------------------------------------------------------------------------------------- */

static void add_text(char **at, const char *text)
{
    while (*text)
        *(*at)++ = *text++;
}

static void add_number(char **at, unsigned long n)
{
    char digits[24];
    int count = 0;

    do
        digits[count++] = (char)('0' + n % 10);
    while ((n /= 10));
    while (count)
        *(*at)++ = digits[--count];
}

static unsigned long number(const char **at)
{
    unsigned long n = 0;

    while (**at >= '0' && **at <= '9')
        n = n * 10 + (unsigned long)(*(*at)++ - '0');
    return n;
}

static void say(const char *what, unsigned long n, bool with_number)
{
    char text[256], *at = text;

    add_text(&at, "klein fence: ");
    add_text(&at, what);
    if (with_number)
        add_number(&at, n);
    *at++ = '\n';
    if (write(STDERR_FILENO, text, (size_t)(at - text)) < 0)
        return;
}

/* --- signals ------------------------------------------------------------------------------------------------------------------- */

static void signal_members(int folder, int signal)
{
    char text[8192];
    ssize_t n;
    unsigned long pid = 0;
    bool digits = false;
    int fd = openat(folder, "cgroup.procs", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    while ((n = read(fd, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (unsigned long)(text[i] - '0');
                digits = true;
                continue;
            }
            if (digits && pid > 1 && signal && kill((pid_t)pid, signal) == 0)
                signalled++;
            pid = 0;
            digits = false;
        }
    close(fd);
}

static void kill_at_once(int folder)
{
    int fd = openat(folder, "cgroup.kill", O_WRONLY | O_CLOEXEC); /* v2, kernel 5.14 */

    if (fd < 0)
        return;
    if (write(fd, "1", 1) < 0)
        say("cgroup.kill failed, errno ", (unsigned long)errno, true);
    close(fd);
}

static void signal_group(int parent, const char *name, int signal, int depth)
{
    char entries[4096];
    long n;
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (folder < 0)
        return;
    if (signal == SIGKILL)
        kill_at_once(folder);
    signal_members(folder, signal);
    while (depth < DEPTH_MAX && (n = syscall(SYS_getdents64, folder, entries, sizeof(entries))) > 0)
        for (long at = 0; at < n;) {
            const struct linux_dirent64 *e = (const void *)(entries + at);
            at += e->length;
            if (e->type == DT_DIR && e->name[0] != '.')
                signal_group(folder, e->name, signal, depth + 1);
        }
    close(folder);
}

/* Which signal a pod of this grace gets now. 0: none. */
static int due_signal(unsigned long grace_ms, int64_t since_ms, bool first)
{
    if (grace_ms > GRACE_MAX)
        grace_ms = GRACE_MAX;
    if (since_ms >= (int64_t)grace_ms)
        return SIGKILL;
    return first ? SIGTERM : 0;
}

static void each_group(int64_t since_ms, bool first, bool rehearsal)
{
    int fd = open(groups_path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t n = 0;

    if (fd < 0)
        return;
    while (length < sizeof(groups) - 1 && (n = read(fd, groups + length, sizeof(groups) - 1 - length)) > 0)
        length += (size_t)n;
    close(fd);
    groups[length] = '\0';
    for (char *at = groups; *at;) {
        char *end = strchr(at, '\n');
        const char *number_at = at;
        if (!end)
            break; /* a line that is not whole yet */
        *end = '\0';
        unsigned long grace_ms = number(&number_at);
        int signal = rehearsal ? 0 : due_signal(grace_ms, since_ms, first);
        if (*number_at == ' ' && number_at[1] == '/' && (signal || rehearsal))
            signal_group(AT_FDCWD, number_at + 1, signal, 0);
        at = end + 1;
    }
}

/* --- the agent ------------------------------------------------------------------------------------------------------------------ */

static void tell(void)
{
    char text[96], *at = text;

    if (agent < 0)
        return;
    add_text(&at, fenced ? "f 1 " : "f 0 ");
    add_number(&at, generation);
    add_text(&at, " ");
    add_number(&at, lifted);
    add_text(&at, "\n");
    if (send(agent, text, (size_t)(at - text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
        close(agent);
        agent = -1;
    }
}

static void take_line(const char *text)
{
    const char *at = text + 2;

    if (text[0] == 'q' && !text[1])
        _exit(0);
    if (text[0] == '\0' || text[1] != ' ')
        return;
    unsigned long n = number(&at);
    if (text[0] == 'c' && (int64_t)n > contact_ms && (int64_t)n <= now_ms()) /* nobody has contact in the future */
        contact_ms = (int64_t)n;
    if (text[0] == 'l' && n <= generation && !fenced) {
        lifted = n;
        tell();
    }
}

static void read_agent(void)
{
    char bytes[512];
    ssize_t n = read(agent, bytes, sizeof(bytes));

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(agent);
        agent = -1;
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            if (line_length < sizeof(line) - 1)
                line[line_length++] = bytes[i];
            continue;
        }
        line[line_length] = '\0';
        line_length = 0;
        take_line(line);
    }
}

static void accept_agent(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (agent >= 0)
        close(agent);
    agent = fd;
    line_length = 0;
    tell();
}

/* --- life ------------------------------------------------------------------------------------------------------------------------- */

static int start(void)
{
    char lock[PATH_BYTES], *at = lock;
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(socket_path) >= sizeof(address.sun_path)) {
        say("the path of the socket is too long", 0, false);
        return 1;
    }
    add_text(&at, socket_path);
    add_text(&at, ".lock");
    *at = '\0';
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* kept open: the lock */
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return EXIT_LOCKED;
    memcpy(address.sun_path, socket_path, strlen(socket_path)); /* checked above; the rest is zero */
    unlink(socket_path);
    umask(077);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 4) < 0) {
        say("cannot listen, errno ", (unsigned long)errno, true);
        return 1;
    }
    each_group(0, false, true); /* every page that will be needed is in memory from here on */
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
        say("memory cannot be locked, so fencing is slow when the machine swaps; errno ", (unsigned long)errno, true);
    return 0;
}

static void look(void)
{
    int64_t now = now_ms();
    bool lost = now - contact_ms >= CONTACT_MS;

    if (lost && !fenced) {
        fenced = true;
        fenced_ms = now;
        generation++;
        signalled = 0;
        each_group(0, true, false);
        say("no contact for 3 s: pods that must be one are stopped; processes told: ", signalled, true);
        tell();
    } else if (!lost && fenced) {
        fenced = false;
        say("contact is back", 0, false);
        tell();
    } else if (fenced) {
        each_group(now - fenced_ms, false, false);
    }
}

int main(int argc, char **argv)
{
    int rc;

    if (argc != 3) {
        say("usage: klein fence SOCKET GROUPS", 0, false);
        return 2;
    }
    socket_path = argv[1];
    groups_path = argv[2];
    prctl(PR_SET_NAME, "klein-fence");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if ((rc = start()))
        return rc;
    contact_ms = now_ms(); /* an agent is about to come: it started us */
    for (;;) {
        struct pollfd fds[2] = { { .fd = listener, .events = POLLIN }, { .fd = agent, .events = POLLIN } };
        int64_t left = contact_ms + CONTACT_MS - now_ms();
        int wait = fenced ? ROUND_MS : left > 0 ? (int)left : 0;
        if (poll(fds, 2, wait) > 0) {
            if (fds[1].fd >= 0 && fds[1].revents)
                read_agent();
            if (fds[0].revents)
                accept_agent();
        }
        look();
    }
}
