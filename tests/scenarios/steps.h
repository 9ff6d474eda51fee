/*
 * The words of scenarios: what is given, what happens, what must hold. Each is a line of text; the tables in given.c, steps.c and
 * expect.c list them all. Text between capital words is literal.
 */
#ifndef SCENARIOS_STEPS_H
#define SCENARIOS_STEPS_H

#include "object/value.h"
#include "world.h"

/* The words of a line, cut at blanks; a line has at most 24. */
struct words {
    struct str line;
    struct str items[24];
    size_t count;
};
struct words words_of(struct str line);
/*
 * Do the words fit the pattern? Capital words of the pattern (NAME, N, TEXT) take one word each, in order, into `ret`; a final
 * "REST" takes what is left of the line.
 */
#define WORDS_MAX 8
bool words_fit(const struct words *w, const char *pattern, struct str ret[WORDS_MAX]);
int64_t words_number(struct str word);        /* fails the test when it is none */
int64_t words_duration_ms(struct str number); /* "500ms", "2s" */

void given(struct world *w, struct value *item);                  /* a line, or an object as a user would write it */
void step(struct world *w, struct str line);                      /* fails the test when there is no such step */
bool holds(struct world *w, struct str line, struct buf *actual); /* is it so? `actual` gets what is there instead */
void expect(struct world *w, struct str line);

/* "Deployment/web", "shop/Deployment/web" in another namespace than default. Fails the test for an unknown kind. */
struct thing {
    const struct kind *kind;
    struct str namespace_, name;
};
struct thing thing_of(struct str word);
const struct object *thing_get(struct world *w, struct str word); /* NULL: it is not there */

/* Pods that carry the label app=NAME, ordered by age, then name; terminating ones only when asked for. */
struct pods {
    const struct object *items[2000];
    size_t count;
};
void pods_of(struct world *w, struct str app, bool terminating, struct pods *ret);
bool pod_is_up(const struct object *pod); /* Ready */

#endif
