/* What the map promises; the last test compares it with a plain list over random operations. */
#include "base/env.h"
#include "base/map.h"
#include "test.h"

#include <stdio.h>

static int values[1000];

/* The keys in the map's order, "a b c". */
static const char *keys_of(const struct map *m)
{
    static char text[4096];
    size_t n = 0;
    struct str key;

    text[0] = '\0';
    for (size_t i = 0; map_next(m, &i, &key, NULL);)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", n ? " " : "", STR_ARG(key));
    return text;
}

TEST("a value is found by its key, and only by it")
{
    AUTO_MAP struct map m = { 0 };

    ASSERT(map_get(&m, STR("a")) == NULL);
    ASSERT(map_put(&m, STR("a"), &values[1]) == NULL);
    ASSERT(map_put(&m, STR(""), &values[2]) == NULL);
    ASSERT(map_get(&m, STR("a")) == &values[1]);
    ASSERT(map_get(&m, STR_NONE) == &values[2]);
    ASSERT(map_get(&m, STR("A")) == NULL);
    ASSERT_INT(m.count, 2);
}

TEST("putting again replaces the value, returns the old one and keeps the place")
{
    AUTO_MAP struct map m = { 0 };

    map_put(&m, STR("a"), &values[1]);
    map_put(&m, STR("b"), &values[2]);
    ASSERT(map_put(&m, STR("a"), &values[3]) == &values[1]);
    ASSERT(map_get(&m, STR("a")) == &values[3]);
    ASSERT_STR(keys_of(&m), "a b");
}

TEST("a key may have a NULL value")
{
    AUTO_MAP struct map m = { 0 };

    map_put(&m, STR("a"), NULL);
    ASSERT(map_has(&m, STR("a")));
    ASSERT(map_get(&m, STR("a")) == NULL);
    ASSERT(!map_has(&m, STR("b")));
}

TEST("the map has its own copy of a key")
{
    AUTO_MAP struct map m = { 0 };
    char key[] = "abc";

    map_put(&m, str_of(key), &values[1]);
    key[0] = 'x';
    ASSERT(map_get(&m, STR("abc")) == &values[1]);
}

TEST("keys come in the order they were put, also after deletions and growth")
{
    AUTO_MAP struct map m = { 0 };
    char key[16];

    for (const char *c = "fbgace"; *c; c++)
        map_put(&m, (struct str){ c, 1 }, NULL);
    map_del(&m, STR("g"));
    map_del(&m, STR("f"));
    map_put(&m, STR("g"), NULL);
    ASSERT_STR(keys_of(&m), "b a c e g");
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "%d", i);
        map_put(&m, str_of(key), NULL);
    }
    ASSERT(str_starts(str_of(keys_of(&m)), STR("b a c e g 0 1 2 3 4 5 ")));
}

TEST("the current key may be deleted while walking")
{
    AUTO_MAP struct map m = { 0 };
    struct str key;
    int seen = 0;

    for (const char *c = "abcdef"; *c; c++)
        map_put(&m, (struct str){ c, 1 }, NULL);
    for (size_t i = 0; map_next(&m, &i, &key, NULL);) {
        seen++;
        if (key.p[0] % 2)
            map_del(&m, key);
    }
    ASSERT_INT(seen, 6);
    ASSERT_STR(keys_of(&m), "b d f");
}

TEST("a map that is used as a queue neither grows nor slows down")
{
    AUTO_MAP struct map m = { 0 };
    char key[16];
    struct str first;

    for (int i = 0; i < 100000; i++) {
        size_t at = 0;

        snprintf(key, sizeof(key), "%d", i);
        map_put(&m, str_of(key), NULL);
        if (i < 10)
            continue;
        ASSERT(map_next(&m, &at, &first, NULL));
        snprintf(key, sizeof(key), "%d", i - 10);
        ASSERT_STR(first, key);
        map_del(&m, first);
    }
    ASSERT_INT(m.count, 10);
    ASSERT(m.capacity <= 64);
}

TEST("the way to the first key does not grow with what was deleted before it")
{
    AUTO_MAP struct map m = { 0 };
    char key[16];

    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        map_put(&m, str_of(key), NULL);
    }
    for (int i = 0; i < 999; i++) {
        snprintf(key, sizeof(key), "%d", i);
        map_del(&m, str_of(key));
        ASSERT_INT(m.first, i + 1);
    }
    ASSERT_STR(keys_of(&m), "999");
}

TEST("a cleared map is empty and usable, a done one has no memory")
{
    struct map m = { 0 };

    map_put(&m, STR("a"), &values[1]);
    map_clear(&m);
    ASSERT_INT(m.count, 0);
    ASSERT(!map_has(&m, STR("a")));
    map_put(&m, STR("a"), &values[2]);
    ASSERT(map_get(&m, STR("a")) == &values[2]);
    map_done(&m);
    ASSERT(m.entries == NULL && m.slots == NULL);
    map_done(&m);
    map_done(NULL);
}

/* The model: keys in order of insertion, found by looking at all of them. */
struct model {
    int keys[200];
    void *values[200];
    size_t count;
};

static void *model_del(struct model *model, int key)
{
    for (size_t i = 0; i < model->count; i++) {
        if (model->keys[i] == key) {
            void *value = model->values[i];

            memmove(&model->keys[i], &model->keys[i + 1], (model->count - i - 1) * sizeof(model->keys[0]));
            memmove(&model->values[i], &model->values[i + 1], (model->count - i - 1) * sizeof(model->values[0]));
            model->count--;
            return value;
        }
    }
    return NULL;
}

static void *model_put(struct model *model, int key, void *value)
{
    for (size_t i = 0; i < model->count; i++) {
        if (model->keys[i] == key) {
            void *old = model->values[i];

            model->values[i] = value;
            return old;
        }
    }
    model->keys[model->count] = key;
    model->values[model->count++] = value;
    return NULL;
}

TEST("random operations agree with a plain list")
{
    AUTO_MAP struct map m = { 0 };
    struct model model = { .count = 0 };
    struct env_sim sim;

    env_sim_init(&sim, test_seed(), 0);
    for (int step = 0; step < 20000; step++) {
        /* Phases of growing and shrinking, so that rebuilds of all kinds happen. */
        bool put = env_random_below(&sim.env, 10) < (step / 2000 % 2 ? 3 : 7);
        int key = (int)env_random_below(&sim.env, 200);
        void *value = &values[env_random_below(&sim.env, 1000)];
        char text[16];

        snprintf(text, sizeof(text), "%d", key);
        if (put)
            ASSERT(map_put(&m, str_of(text), value) == model_put(&model, key, value));
        else
            ASSERT(map_del(&m, str_of(text)) == model_del(&model, key));
        ASSERT_INT(m.count, model.count);
        if (step % 100 == 0) {
            size_t at = 0, seen = 0;
            struct str found;
            void *got;

            for (; map_next(&m, &at, &found, &got); seen++) {
                snprintf(text, sizeof(text), "%d", model.keys[seen]);
                ASSERT_STR(found, text);
                ASSERT(got == model.values[seen]);
            }
            ASSERT_INT(seen, model.count);
        }
    }
}
