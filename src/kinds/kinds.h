/*
 * The kinds klein serves: one declaration each, in kinds/GROUP_KIND.c, listed in kinds.def.
 *
 * A declaration names the generated schema and adds only what is special to the kind: how it is served, its rules, its
 * printed columns. Everything else (verbs, watch, patches, tables, discovery, OpenAPI) works from this table for every kind
 * alike. "Add a kind" in HACKING.md walks through one.
 *
 * The rules run in this order for create: decode and prune, default_, prepare, (admission), validate. For update
 * and patch: default_, prepare with the old object, (admission), validate with the old object. default_ and prepare change the tree;
 * validate reads the frozen object, which is what will be stored, and adds one cause per problem to err (all of them, up
 * to ERROR_CAUSES_MAX); the caller turns causes into the 422 "Kind.group \"name\" is invalid: ..." message.
 */
#ifndef KINDS_KINDS_H
#define KINDS_KINDS_H

#include "object/object.h"
#include "object/schema.h"
#include "object/value.h"

struct kind;

/* What a rule may ask about the call. */
struct kind_context {
    struct arena *arena;
    int64_t now_ms;          /* wall clock */
    const char *subresource; /* "" for the object itself, else "status", "scale", "binding", ... */
    bool create;             /* else update or patch */
};

struct kind_column {
    const char *name, *type, *format; /* as in meta/v1 TableColumnDefinition; format may be "" */
    const char *doc;
    int priority; /* 0 always shown, 1 with -o wide */
};

/* One row of `kubectl get`: append one value per column to cells. `now_ms` is for ages. */
typedef void kind_row_fn(struct arena *a, struct view object, int64_t now_ms, struct value *cells);

enum kind_verbs {
    VERB_GET = 1 << 0,
    VERB_LIST = 1 << 1,
    VERB_WATCH = 1 << 2,
    VERB_CREATE = 1 << 3,
    VERB_UPDATE = 1 << 4,
    VERB_PATCH = 1 << 5,
    VERB_DELETE = 1 << 6,
    VERB_DELETECOLLECTION = 1 << 7,
    VERBS_READ = VERB_GET | VERB_LIST | VERB_WATCH,
    VERBS_ALL = 0xff,
    VERBS_CREATE_ONLY = VERB_CREATE, /* reviews: nothing is stored */
};

/* A subresource. `status` and `scale` are done by the server from this row; streams and actions (log, exec, binding, eviction,
 * token) are handlers the server lists by (plural, subresource) in server/subresources.def. */
struct kind_subresource {
    const char *name; /* "status" */
    uint16_t verbs;   /* enum kind_verbs */
    const char *group, *version,
        *kind; /* kind it reads and writes when different: autoscaling/v1 Scale; NULL = the object itself */
};

/* A field selector the kind supports besides metadata.name and metadata.namespace. */
struct kind_field_label {
    const char *label; /* "spec.nodeName" */
    struct str (*get)(struct view object, struct arena *a);
};

struct kind {
    const char *group, *version, *kind, *list_kind; /* "" is the core group */
    const char *plural, *singular;
    const char *const *short_names; /* NULL-terminated or NULL */
    const char *const *categories;  /* NULL-terminated or NULL ("all") */
    bool namespaced;
    uint16_t verbs;
    bool has_generation; /* metadata.generation: 1 on create, +1 when anything but metadata and status changes */
    const struct schema *schema;                 /* of the whole object */
    const struct kind_subresource *subresources; /* ends with a row whose name is NULL; may be NULL */
    const struct kind_column *columns;           /* ends with name NULL; NULL gives Name and Age */
    kind_row_fn *row;
    const struct kind_field_label *field_labels; /* ends with label NULL; may be NULL */
    int64_t ttl_ms; /* objects expire this long after their last write (Event: 1 h); 0 = never */

    bool
        update_needs_revision; /* an update must say which resourceVersion it changes (AllowUnconditionalUpdate() is false) */
    bool delete_returns_object; /* a delete that is done at once answers with the object instead of a Status */
    /* Graceful deletion: how many seconds the object may stay; `asked_s` is the client's wish, -1 for none. NULL: it goes at once. */
    int64_t (*delete_grace)(struct view object, int64_t asked_s);
    /* What besides metadata.finalizers keeps a deleted object (spec.finalizers of a Namespace). NULL: nothing. */
    bool (*delete_held)(struct view object);
    /* The deletion of a held object begins: further fields that show it (status.phase). NULL: none. */
    void (*delete_begin)(struct arena *a, struct value *object);

    void (*default_)(struct kind_context *c, struct value *object);
    /* Strategy: on create clear what clients may not set (status ...), on update carry over what this door may not change
     * (spec for status, status for spec). `old` is absent on create. */
    void (*prepare)(struct kind_context *c, struct value *object, struct view old);
    void (*validate)(struct kind_context *c, struct view object, struct view old, struct error *causes);
    /* Sentences for the Warning header, appended as strings; may be NULL. */
    void (*warn)(struct kind_context *c, struct view object, struct view old, struct value *warnings);
    /* Who is called when names clash in validate messages etc.: the name rule of metadata.name, e.g. a DNS subdomain.
     * Returns NULL when fine, else upstream's sentence. NULL = DNS-1123 subdomain. */
    const char *(*name_check)(struct str name, bool generate_prefix);
};

extern const struct kind *const kinds[]; /* NULL-terminated, in kinds.def's order, which is the order of discovery */
extern const size_t kinds_count;

#define KIND(id) extern const struct kind kind_##id;
#include "kinds/kinds.def"
#undef KIND

void kinds_init(void); /* call once at start, before threads: sets the name table */
const struct kind *kind_find(struct str group, struct str version, struct str kind); /* NULL when not served */
const struct kind *kind_find_resource(struct str group, struct str version, struct str plural);
const struct kind *kind_find_group_kind(struct str group, struct str kind);             /* any version */
size_t kind_index(const struct kind *k);                                                /* position in kinds[] */
const struct kind_subresource *kind_subresource(const struct kind *k, struct str name); /* NULL when there is none */

/* Rules that every kind shares; called by the server around the kind's own. */
void kind_run_default(const struct kind *k, struct kind_context *c,
                      struct value *object); /* declarative defaults, then default_ */
void kind_run_prepare(const struct kind *k, struct kind_context *c, struct value *object, struct view old);
/* Metadata rules (ValidateObjectMeta[Update]) and the kind's own. Fails with ERR_INVALID, causes and details set, message as upstream. */
int kind_run_validate(const struct kind *k, struct kind_context *c, struct view object, struct view old,
                      struct error *err);

#endif
