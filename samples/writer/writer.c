/*
 * The sample of a pod that must be one: it writes down who wrote when, so that two writers at a time are found out.
 *
 *   DATA_FOLDER   where it appends to the file ORDINAL.log, ORDINAL being the number at the end of POD_NAME
 *   EVERY_MS      how often (20)
 *
 * A line is "ORDINAL WRITER SEQUENCE NANOSECONDS\n": WRITER is new with every start of the process, SEQUENCE counts its lines from 0,
 * and the time is the machine's monotonic clock, which all nodes of a local cluster share. Two writers of one ordinal whose times
 * overlap are what must never be. One line is one write(2) with O_APPEND, so lines are never mixed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && *value ? value : otherwise;
}

int main(void)
{
    const char *pod = setting("POD_NAME", setting("HOSTNAME", "writer-0")), *dash = strrchr(pod, '-');
    long ordinal = dash ? strtol(dash + 1, NULL, 10) : 0, every_ms = strtol(setting("EVERY_MS", "20"), NULL, 10);
    struct timespec now, pause = { every_ms / 1000, every_ms % 1000 * 1000000 };
    char path[512], line[128];
    long long writer;

    clock_gettime(CLOCK_REALTIME, &now);
    writer = (long long)now.tv_sec * 1000000000 + now.tv_nsec;
    snprintf(path, sizeof(path), "%s/%ld.log", setting("DATA_FOLDER", "/data"), ordinal);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        fprintf(stderr, "writer: open '%s': %s\n", path, strerror(errno));
        return 1;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    for (long long sequence = 0; !stopping; sequence++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int n = snprintf(line, sizeof(line), "%ld %lld %lld %lld\n", ordinal, writer, sequence,
                         (long long)now.tv_sec * 1000000000 + now.tv_nsec);
        if (write(fd, line, (size_t)n) != n) {
            fprintf(stderr, "writer: write '%s': %s\n", path, strerror(errno));
            return 1;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}
