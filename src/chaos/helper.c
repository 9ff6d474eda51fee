/* What runs in processes of its own: eating processor or memory, and relaying frames. They end by SIGKILL. */
#include "chaos/relay.h"
#include "chaos/step.h"

#include "base/time.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_MAX   (70 * 1024) /* header and the largest segment */
#define QUEUE_MAX   4096
#define QUEUE_BYTES (64 * MIB)
#define PAGE_BYTES  4096

/* --- eating -------------------------------------------------------------------------------------------------------------------- */

static void *spin(void *arg)
{
    volatile uint64_t *n = arg;

    for (;;)
        ++*n;
    return NULL;
}

/* Never more than a quarter of what the machine has: the node is to suffer, not its neighbours. */
static size_t affordable(int64_t asked)
{
    int64_t all = sysconf(_SC_PHYS_PAGES) * (int64_t)PAGE_BYTES;

    return (size_t)MIN(asked, all / 4);
}

void helper_eat(const struct step *s)
{
    static uint64_t counters[64][8]; /* a cache line each */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t bytes = affordable(s->amount);
    pthread_t thread;

    for (long i = 0; s->amount == 0 && i < processors && i < 64; i++)
        pthread_create(&thread, NULL, spin, counters[i]);
    char *p = bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    for (;;) {
        for (size_t at = 0; p != MAP_FAILED && at < bytes; at += PAGE_BYTES)
            p[at]++;
        poll(NULL, 0, 1000);
    }
}

/* --- relaying ------------------------------------------------------------------------------------------------------------------- */

static bool chosen(struct env *env, int32_t permille)
{
    return permille > 0 && (int32_t)env_random_below(env, 1000) < permille;
}

struct relay_fate relay_decide(const struct step *s, struct relay_way *way, struct env *env, int64_t now_us)
{
    struct relay_fate fate = { .copies = 1, .at_us = now_us };
    int64_t jitter_us = (int64_t)s->jitter_ms * 1000;

    if (chosen(env, s->loss_permille))
        return (struct relay_fate){ 0 };
    if (chosen(env, s->duplicate_permille))
        fate.copies = 2;
    if (chosen(env, s->reorder_permille))
        return fate;
    fate.at_us += (int64_t)s->delay_ms * 1000;
    if (jitter_us)
        fate.at_us += (int64_t)env_random_below(env, (uint64_t)(2 * jitter_us + 1)) - jitter_us;
    fate.at_us = MAX(fate.at_us, MAX(now_us, way->last_us));
    way->last_us = fate.at_us;
    return fate;
}

struct frame {
    int64_t at_us;
    uint64_t order;
    int to_fd;
    size_t n;
    char bytes[];
};

static struct frame *queue[QUEUE_MAX]; /* a heap: the next to leave first */
static size_t queue_count, queue_bytes;
static uint64_t queue_order;

static bool earlier(const struct frame *a, const struct frame *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void queue_swap(size_t a, size_t b)
{
    struct frame *f = queue[a];

    queue[a] = queue[b];
    queue[b] = f;
}

static void queue_add(int to_fd, const char *bytes, size_t n, int64_t at_us)
{
    struct frame *f;

    if (queue_count == QUEUE_MAX || queue_bytes + n > QUEUE_BYTES)
        return; /* as a full queue of a switch does */
    f = xmalloc(sizeof(*f) + n);
    *f = (struct frame){ .at_us = at_us, .order = queue_order++, .to_fd = to_fd, .n = n };
    memcpy(f->bytes, bytes, n);
    queue_bytes += n;
    queue[queue_count] = f;
    for (size_t i = queue_count++; i > 0 && earlier(queue[i], queue[(i - 1) / 2]); i = (i - 1) / 2)
        queue_swap(i, (i - 1) / 2);
}

static struct frame *queue_take(void)
{
    struct frame *f = queue[0];

    queue[0] = queue[--queue_count];
    queue_bytes -= f->n;
    for (size_t i = 0, least;; i = least) {
        least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < queue_count; child++)
            if (earlier(queue[child], queue[least]))
                least = child;
        if (least == i)
            return f;
        queue_swap(i, least);
    }
}

static void take_frames(const struct step *s, struct relay_way *way, int from_fd, int to_fd)
{
    static char bytes[FRAME_MAX];
    ssize_t n;

    for (int i = 0; i < 64 && (n = recv(from_fd, bytes, sizeof(bytes), 0)) > 0; i++) {
        struct relay_fate fate = relay_decide(s, way, env_system(), time_monotonic_us());
        for (int copy = 0; copy < fate.copies; copy++)
            queue_add(to_fd, bytes, (size_t)n, fate.at_us);
    }
}

static int send_due(void)
{
    while (queue_count && queue[0]->at_us <= time_monotonic_us()) {
        struct frame *f = queue_take();
        (void)!send(f->to_fd, f->bytes, f->n, 0); /* a frame that cannot be sent is a lost frame */
        free(f);
    }
    return queue_count ? (int)((queue[0]->at_us - time_monotonic_us() + 999) / 1000) : -1;
}

void helper_relay(const struct step *s, int a_fd, int b_fd)
{
    struct pollfd fds[2] = { { .fd = a_fd, .events = POLLIN }, { .fd = b_fd, .events = POLLIN } };
    struct relay_way ways[2] = { { 0 } };

    for (;;) {
        int wait_ms = send_due();
        poll(fds, 2, wait_ms < -1 ? 0 : wait_ms);
        /* A link that was destroyed with its machine is asked for ever; it costs a little and ends with the undo. */
        if ((fds[0].revents | fds[1].revents) & (POLLERR | POLLHUP))
            poll(NULL, 0, 10);
        take_frames(s, &ways[0], a_fd, b_fd);
        take_frames(s, &ways[1], b_fd, a_fd);
    }
}
