/* The inside of the state: shared by state.c (reading, changes), state_load.c and state_write.c. */
#ifndef SERVER_STATE_INTERNAL_H
#define SERVER_STATE_INTERNAL_H

#include "base/map.h"
#include "server/state_store.h"

#define KEY_ROOT  STR("/registry/")
#define EPOCH_KEY STR("/klein/epoch")

struct index {
    const char *label;
    const struct kind_field_label *field;
    struct map sets; /* value -> struct object_set * */
};

struct kind_state {
    const struct kind *kind;
    struct object_set set;
    struct change_ring ring;
    struct index *indexes;
    size_t indexes_count;
    uint64_t revision;
    struct list listeners;
};

struct state_listener {
    struct list link;
    state_change_fn *fn;
    void *arg;
};

struct key_line {
    char *key;
    struct list waiting; /* of struct key_lock */
    bool held;
    size_t on_the_way;     /* passed, not settled */
    struct object *newest; /* what the last of those will leave; NULL: nobody may build on it */
};

struct early { /* one of the two */
    struct change *change;
    struct store_change raw; /* with copies of its own */
};

struct state {
    struct loop *loop;
    struct env *env;
    struct store *store;
    const char *refusal;      /* why objects may not be put at the moment; NULL: they may */
    struct kind_state *kinds; /* by kind_index(); unused for aliases and kinds not stored */
    struct map by_prefix;     /* "core/pods" -> struct kind_state * */
    struct map lines;         /* key -> struct key_line * */
    struct list listeners;    /* of all kinds */
    uint64_t revision;
    bool loaded;
    struct error load_error;
    state_done_fn *ready;
    void *ready_arg;
    struct map raw; /* keys under /klein/ (raw_keys.c) */
    struct list raw_listeners;
    struct early *early; /* changes that came while loading */
    size_t early_count, early_capacity;
};

struct kind_state *state_of_kind(struct state *s, const struct kind *k);
struct kind_state *state_of_key(struct state *s, struct str key);     /* NULL: not a key of a kind known */
void state_put_object(struct kind_state *ks, const struct object *o); /* into the set and the indexes */
void state_apply(struct state *s, struct change *c);                  /* a change: set, ring, listeners */
/* A stored value with its revision; a new reference. */
struct object *state_parse(struct str key, struct str value, uint64_t revision, struct error *err);
/* state_write.c: the change this process asked for, without parsing anything; NULL when it must be parsed after all. */
struct change *state_own_change(struct state *s, const struct store_change *c);

/* raw_keys.c */
void raw_put(struct state *s, struct str key, struct str value, uint64_t revision);
void raw_change(struct state *s, const struct store_change *c);
void raw_done(struct state *s);

#endif
