/* The queue of one controller: which keys it hands out, and when. */
#include "client/internal.h"
#include "fake.h"

static struct fake f;
static struct queue *q;
static int woken;

static void wake(void *arg)
{
    (void)arg;
    woken++;
}

static void begin(void)
{
    fake_init(&f);
    woken = 0;
    q = queue_new(f.loop, wake, NULL);
}

static void end(void)
{
    queue_free(q);
    fake_done(&f);
}

static void add(const char *name)
{
    queue_add(q, STR("ns"), str_of(name));
}

TEST("keys come out in the order they went in, with namespace and name")
{
    begin();
    add("a");
    add("b");
    ASSERT_INT(woken, 2);
    struct queue_key *a = queue_take(q), *b = queue_take(q);
    ASSERT_STR(a->name, "a");
    ASSERT_STR(a->namespace_, "ns");
    ASSERT_STR(b->name, "b");
    ASSERT(!queue_take(q));
    end();
}

TEST("a key added twice is handed out once")
{
    begin();
    add("a");
    add("a");
    ASSERT(queue_take(q));
    ASSERT(!queue_take(q));
    end();
}

TEST("a key that is out is not handed out again until it is done, and then once more if it was added meanwhile")
{
    begin();
    add("a");
    struct queue_key *k = queue_take(q);
    add("a");
    add("a");
    ASSERT(!queue_take(q));
    queue_done(q, k, false, -1);
    k = queue_take(q);
    ASSERT_STR(k->name, "a");
    queue_done(q, k, false, -1);
    ASSERT(!queue_take(q));
    end();
}

TEST("a key that failed comes back after 5 ms, then twice as long, at most a minute; success forgets")
{
    struct queue_key *k;

    begin();
    add("a");
    for (int64_t wait_ms = 5; wait_ms < 200000; wait_ms *= 2) {
        k = queue_take(q);
        ASSERT(k);
        queue_done(q, k, true, -1);
        fake_advance(&f, MIN(wait_ms, 60000) - 1);
        ASSERT(!queue_take(q));
        fake_advance(&f, 1);
    }
    k = queue_take(q);
    queue_done(q, k, false, -1);
    add("a");
    queue_done(q, queue_take(q), true, -1);
    fake_advance(&f, 5);
    ASSERT(queue_take(q));
    end();
}

TEST("a key that asked to be woken comes then, or as soon as it is added")
{
    begin();
    add("a");
    queue_done(q, queue_take(q), false, 1000);
    fake_advance(&f, 999);
    ASSERT(!queue_take(q));
    fake_advance(&f, 1);
    queue_done(q, queue_take(q), false, 1000);
    add("a");
    struct queue_key *k = queue_take(q);
    ASSERT(k);
    queue_done(q, k, false, -1);
    fake_advance(&f, 2000); /* the old alarm does not ring any more */
    ASSERT(!queue_take(q));
    end();
}

TEST("whatever happens, a key is with one taker at a time and no addition is lost")
{
    struct queue_key *out[8] = { 0 };
    bool wanted[8] = { 0 };
    struct env *env;

    begin();
    env = &f.env.env;
    for (int i = 0; i < 5000; i++) {
        size_t n = env_random_below(env, 8);
        char name[] = { (char)('0' + n), 0 };
        struct queue_key *k;
        switch (env_random_below(env, 4)) {
        case 0:
            add(name);
            wanted[n] = true;
            break;
        case 1:
            if ((k = queue_take(q))) {
                size_t which = (size_t)(k->name.p[0] - '0');
                ASSERT(!out[which]);
                out[which] = k;
                wanted[which] = false;
            }
            break;
        case 2:
            if (out[n])
                queue_done(q, out[n], env_random_below(env, 2), env_random_below(env, 3) ? -1 : 10);
            out[n] = NULL;
            break;
        default:
            fake_advance(&f, (int64_t)env_random_below(env, 50));
        }
    }
    for (size_t n = 0; n < 8; n++)
        if (out[n])
            queue_done(q, out[n], false, -1);
    fake_advance(&f, 120000);
    for (struct queue_key *k; (k = queue_take(q));) {
        wanted[k->name.p[0] - '0'] = false;
        queue_done(q, k, false, -1);
        fake_advance(&f, 60000);
    }
    for (size_t n = 0; n < 8; n++)
        ASSERT(!wanted[n]);
    end();
}
