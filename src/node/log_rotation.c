/* Keeping logs within their size: rename, let the monitor open a new file. */
#include "node/logs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct log_rotation {
    struct loop_timer timer;
    char *path;
    void (*reopen)(void *arg);
    void *arg;
};

/* PATH.3 -> PATH.4, ... PATH -> PATH.1 */
static void rotate(struct log_rotation *r)
{
    for (int i = LOG_FILES - 2; i >= 0; i--) {
        AUTO_FREE char *from = i ? xasprintf("%s.%d", r->path, i) : xstrdup(r->path);
        AUTO_FREE char *to = xasprintf("%s.%d", r->path, i + 1);
        rename(from, to);
    }
    r->reopen(r->arg);
}

static void look(void *arg)
{
    struct log_rotation *r = arg;
    struct stat st;

    if (stat(r->path, &st) == 0 && (size_t)st.st_size > LOG_FILE_MAX)
        rotate(r);
    loop_timer_start(&r->timer, LOG_LOOK_MS);
}

struct log_rotation *log_rotation_new(struct loop *loop, const char *path, void (*reopen)(void *arg), void *arg)
{
    struct log_rotation *r = xnew(struct log_rotation);

    *r = (struct log_rotation){ .path = xstrdup(path), .reopen = reopen, .arg = arg };
    loop_timer_init(&r->timer, loop, look, r);
    loop_timer_start(&r->timer, LOG_LOOK_MS);
    return r;
}

void log_rotation_free(struct log_rotation *r)
{
    if (!r)
        return;
    loop_timer_stop(&r->timer);
    free(r->path);
    free(r);
}
