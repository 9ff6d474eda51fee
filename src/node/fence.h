/*
 * The agent's end of the fence guard (fence_guard.c): a process apart that stops pods that must be one 3 s after the last contact, also when
 * this agent hangs or is dead. Section 5 of docs/design/high-availability.md.
 *
 * The guard outlives the agent; the next agent attaches to it through FOLDER/fence.sock. When it dies the agent starts another.
 *
 * Hold: after a fence, and after a start that found no guard (the machine was restarted), what must be one is not started before a server said that
 * it is still wanted here: fence_holds() until fence_lift().
 */
#ifndef NODE_FENCE_H
#define NODE_FENCE_H

#include "loop/loop.h"

#define FENCE_CONTACT_MS 3000

struct fence;

struct fence_config {
    struct loop *loop;
    const char *folder;           /* DATA/run: the socket and the file of groups are here */
    int oom_score_adj;            /* of the guard; 0: unchanged */
    void (*on_change)(void *arg); /* fence_is_guarded() or fence_holds() has changed */
    void *arg;
};

struct fence *fence_new(const struct fence_config *c);
void fence_free(struct fence *f); /* the guard goes on; NULL is fine */
bool fence_is_guarded(const struct fence *f);
bool fence_holds(const struct fence *f);
bool fence_is_fenced(const struct fence *f); /* the guard is stopping pods now */
/* A server confirmed what is still wanted here. Nothing happens while the guard is still at work. */
void fence_lift(struct fence *f);
/* What was sent at this loop time was answered. */
void fence_contact(struct fence *f, int64_t sent_ms);
/* "GRACE_MS FOLDER\n" for each pod that must be one; before its first container starts. Written when it differs from the last. */
void fence_set_groups(struct fence *f, struct str lines);

/* Blocking: end the guard of this folder, when the node is taken off the machine. */
void fence_quit(const char *folder);
/* Become the guard; returns only when that fails. */
int fence_exec(const char *const *argv, struct error *err);

#endif
