/*
 * An API that a test plays: what watches show is what the test puts, calls wait until the test answers them.
 *
 *     struct fake f;
 *     fake_init(&f);
 *     fake_put(&f, &kind_pod, "{'metadata':{'name':'a'}}");        single quotes stand for double ones
 *     ASSERT_STR(fake_calls(&f), "create Pod default/a\n");        calls not answered yet
 *     fake_answer(&f, 0, NULL, ERR_CONFLICT);                      the first of them
 *     fake_done(&f);
 */
#ifndef TESTS_CLIENT_FAKE_H
#define TESTS_CLIENT_FAKE_H

#include "base/env.h"
#include "client/cache.h"
#include "loop/sim.h"
#include "test.h"

#define FAKE_MAX 2000

struct fake_call {
    enum api_verb verb;
    const struct kind *kind;
    char *namespace_, *name, *subresource, *text; /* text: body or patch */
    api_done_fn *done;
    void *arg;
};

struct fake {
    struct api api;
    struct env_sim env;
    struct loop *loop;
    struct api_watch *watches;
    const struct object *objects[FAKE_MAX];
    const struct kind *kinds[FAKE_MAX];
    size_t count;
    struct fake_call calls[FAKE_MAX];
    size_t calls_count;
    uint64_t revision;
    bool hold_lists; /* watches stay unsynced until fake_release_lists() */
    struct arena arena;
};

void fake_init(struct fake *f);
void fake_done(struct fake *f); /* what uses the api must be gone */
const struct object *fake_put(struct fake *f, const struct kind *kind, const char *json);
void fake_remove(struct fake *f, const struct kind *kind, const char *name);
void fake_release_lists(struct fake *f);
struct str fake_calls(struct fake *f);
/* Answer a call: with an object of this JSON (it gets the next revision), or with an error when code is not ERR_NONE. */
void fake_answer(struct fake *f, size_t i, const char *json, enum error_code code);
void fake_run(struct fake *f); /* everything due now */
void fake_advance(struct fake *f, int64_t ms);

#endif
