/* A thread that runs a loop of its own. */
#include "loop/internal.h"

#include <stdlib.h>

struct loop_thread {
    struct loop *loop;
    pthread_t thread;
    bool shared; /* a simulation: the parent's loop, no thread */
};

static void *run(void *arg)
{
    loop_run(arg);
    return NULL;
}

struct loop_thread *loop_thread_new(struct loop *parent, const char *name, struct error *err)
{
    struct loop_thread *t = xnew(struct loop_thread);
    char short_name[16] = "";
    int r;

    if (loop_is_sim(parent)) {
        *t = (struct loop_thread){ .loop = parent, .shared = true };
        return t;
    }
    t->loop = loop_new_system(parent->env);
    r = pthread_create(&t->thread, NULL, run, t->loop);
    if (r) {
        loop_free(t->loop);
        free(t);
        fail_sys(err, r, "start thread '%s'", name);
        return NULL;
    }
    strncpy(short_name, name, sizeof(short_name) - 1);
    pthread_setname_np(t->thread, short_name);
    return t;
}

struct loop *loop_thread_loop(struct loop_thread *t)
{
    return t->loop;
}

void loop_thread_free(struct loop_thread *t)
{
    if (!t)
        return;
    if (!t->shared) {
        loop_stop(t->loop);
        pthread_join(t->thread, NULL);
        loop_free(t->loop);
    }
    free(t);
}
