/* What tests that start real containers share: a loop to run, a root filesystem with one static program, root only. */
#ifndef TESTS_NODE_FIXTURE_H
#define TESTS_NODE_FIXTURE_H

#include "loop/loop.h"
#include "test.h"

/* Tests that need root skip themselves without it. */
#define NEED_ROOT()                                                                                                    \
    do {                                                                                                               \
        if (!fixture_is_root())                                                                                        \
            skip();                                                                                                    \
    } while (0)

bool fixture_is_root(void);
/* FOLDER/rootfs with /bin/tool (tests/unit/node/tool.c, static) and empty folders; returns its path. */
const char *fixture_rootfs(void);
/* Run the loop until done(arg), failing the test after the deadline. */
void fixture_run(struct loop *loop, bool (*done)(void *arg), void *arg, int64_t deadline_ms);
/* A name nothing else on this machine uses: for control groups. */
const char *fixture_name(void);

#endif
