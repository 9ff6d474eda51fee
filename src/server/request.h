/*
 * One request on its way through the phases (phases.def).
 *
 * Everything a request allocates is in its arena; objects it keeps are counted and dropped when it is freed. A request
 * lives until its answer is written (or its watch, its upgraded connection ended) and is owned by the phases: whoever
 * returned PHASE_WAIT must call request_resume() exactly once, within a deadline.
 *
 * Authorization is decided once, on what `parse` found: no later phase reads the URL.
 */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include "object/schema_walk.h"
#include "server/request_core.h"
#include "server/server.h"

enum phase {
#define PHASE(name, fn) PHASE_OF_##name,
#include "server/phases.def"
#undef PHASE
    PHASE_COUNT
};

enum phase_result {
    PHASE_DONE,     /* on to the next phase */
    PHASE_FAILED,   /* r->err is set; on to encode */
    PHASE_WAIT,     /* request_resume() will follow; never from inside the phase function itself */
    PHASE_RESTART,  /* the object changed under a patch, update or delete: again from `default` */
    PHASE_ANSWERED, /* the exchange was answered, upgraded or taken over by the handler: straight to audit_complete */
};

enum request_source { REQUEST_HTTP, REQUEST_LOCAL };

/* What is asked for, as authorization names it. Source: apiserver/pkg/endpoints/request RequestInfo. */
struct request_info {
    bool is_resource; /* else only `path` and `verb` (lower case method) count */
    struct str path;  /* decoded once, canonical, starts with "/" */
    struct str verb;  /* get list watch create update patch delete deletecollection, or get/post/... */
    struct str group, version;
    struct str namespace_; /* empty for cluster scope and for all namespaces */
    struct str resource;   /* plural */
    struct str subresource;
    struct str name;
    struct str rest; /* behind .../proxy/: "path/below" without the leading slash */
};

enum patch_type { PATCH_NONE, PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };
enum media_type { MEDIA_JSON, MEDIA_YAML, MEDIA_PROTOBUF, MEDIA_OTHER };
enum media_as { AS_OBJECT, AS_TABLE, AS_PARTIAL }; /* ;as=Table, ;as=PartialObjectMetadata(List) */
enum revision_match { MATCH_UNSET, MATCH_EXACT, MATCH_NOT_OLDER_THAN };

/* Query parameters and headers, checked. Source: meta/v1 GetOptions, ListOptions, CreateOptions, PatchOptions, DeleteOptions. */
struct request_options {
    bool watch, allow_bookmarks, send_initial_events, send_initial_events_set;
    bool dry_run, force, force_set, pretty, pretty_set;
    struct str label_selector, field_selector, continue_, resource_version, field_manager;
    enum revision_match revision_match;
    int64_t limit;     /* 0: all */
    int64_t timeout_s; /* 0: none given */
    enum field_validation validation;
    struct str include_object; /* Table: "Metadata" (default), "None", "Object" */
};

struct delete_options {
    int64_t grace_s;                  /* -1: not given */
    struct str uid, resource_version; /* preconditions */
    struct str propagation;           /* "", "Orphan", "Background", "Foreground" */
    bool dry_run, orphan_dependents, orphan_dependents_set;
};

struct request {
    struct server *server;
    struct arena arena;
    enum phase phase;
    struct error err;
    enum request_source source;
    struct http_exchange *exchange; /* NULL for local calls and after it was answered */
    struct local_call *local;       /* REQUEST_LOCAL */
    int64_t started_ms, wall_ms;    /* monotonic and wall time at its start */
    char id[UUID_TEXT_SIZE];        /* Audit-ID */

    struct identity identity;     /* after authenticate and impersonate */
    struct identity impersonator; /* user empty when nobody is impersonated */
    void *authn;                  /* authn's own, in the arena */

    struct request_info info;
    struct request_options options;
    struct delete_options delete_options;
    enum media_type body_type, answer_type;
    enum media_as answer_as;
    struct str answer_as_version; /* "v1" of meta.k8s.io */
    enum patch_type patch_type;
    const struct kind *kind;            /* of info.resource; NULL for paths that are no resource */
    const struct kind_subresource *sub; /* NULL for the object itself */
    const struct schema *body_schema; /* of r->tree: the kind's, or the subresource's own (Binding, Eviction, Scale) */

    struct str body;        /* collected bytes */
    struct value *patch;    /* parsed patch */
    struct value *tree;     /* the object being made; later phases see the changes of earlier ones */
    struct object *old;     /* newest stored object, counted; NULL on create */
    struct object *object;  /* frozen tree as it will be stored, without resourceVersion; counted */
    struct value *warnings; /* array of strings for Warning headers */
    int attempts;           /* restarts so far */
    bool creating;          /* update or apply that creates, or create */
    bool system;            /* the server's own doing: no throttle, no NamespaceLifecycle for start-up objects */
    uint64_t epoch;         /* leader's term of a local caller; 0: none */

    struct object *result;             /* what is answered; counted */
    int status;                        /* HTTP status of success; 0: 200 */
    bool created;                      /* 201 */
    bool result_is_status;             /* the answer is a Success Status (delete) */
    void *perform;                     /* the verb's or handler's own, in the arena */
    void (*cancel)(struct request *r); /* the client left while waiting: may be NULL; still resume exactly once */
    bool gone;                         /* the client left */
    struct request_core core;          /* request.c's and the generic verbs' own (request_core.h) */
};

/* The namespace objects are kept under: empty for cluster-scoped kinds, also for namespaces themselves. */
struct str request_namespace(const struct request *r);
/* The kind's rules get this. */
struct kind_context request_kind_context(struct request *r);
bool request_is_long_running(const struct request *r); /* watches, logs, exec ...: not counted by the throttle */

/* Go on after PHASE_WAIT, as if the phase (or admission step, or handler) had returned `result` now. Loop's thread. */
void request_resume(struct request *r, enum phase_result result);
/* `return request_fail(r, ERR_FORBIDDEN, "...")` in a phase. */
enum phase_result request_fail(struct request *r, enum error_code code, const char *format, ...) PRINTF(3, 4);
/* A sentence for a Warning header: 299 - "..."; bounded, duplicates dropped. */
void request_warn(struct request *r, const char *format, ...) PRINTF(2, 3);
struct str request_header(const struct request *r, const char *lower_case_name); /* "" for local calls */
/* "pods.apps" style name of the resource, as messages say it: plural, or plural.group. */
struct str request_resource_text(struct request *r);
/* An answer made by a handler that is not an object: text, JSON of reviews; the bytes are copied. Returns PHASE_ANSWERED. */
enum phase_result request_answer(struct request *r, int status, struct str content_type, struct str body);
/* An answer that is a tree (a review, a Scale): frozen and encoded as the client asked. Returns PHASE_DONE or FAILED. */
enum phase_result request_answer_tree(struct request *r, int status, const struct value *tree);

/*
 * Read, change, write, for handlers such as binding: `change` gets a tree of the newest object; when it returns 0 the
 * object passes prepare and validation with r->sub's name as subresource and is written with its revision as condition; a lost race starts again with
 * the newer object. The result object goes to r->result. Call from a handler as its last act: `return request_change(...)`.
 * Absent object: ERR_NOT_FOUND. dryRun is honoured.
 */
typedef int request_change_fn(struct request *r, struct value *tree, struct view old, struct error *err);
enum phase_result request_change(struct request *r, const struct kind *kind, struct str namespace_, struct str name,
                                 request_change_fn *change);

/* --- seams: written beside the core ---------------------------------------------------------------------------- */
enum phase_result authn_phase(struct request *r);       /* authn.c */
enum phase_result impersonate_phase(struct request *r); /* authn_impersonate.c */
enum phase_result authz_phase(struct request *r);       /* authz.c */

/*
 * An admission step. mutate may change `tree` (create, update, patch, apply; not delete); validate sees the object that
 * will be stored and the one it replaces (view absent when there is none; on delete `object` is absent and `old` is what goes).
 * They are called for creates of subresources too (binding, eviction, token): r->sub tells. Either may be NULL. PHASE_DONE, FAILED or WAIT.
 * `applies` is asked first; NULL means always.
 */
struct admission_step {
    const char *name;
    bool (*applies)(const struct request *r);
    enum phase_result (*mutate)(struct request *r, struct value *tree);
    enum phase_result (*validate)(struct request *r, struct view object, struct view old);
};
#define ADMISSION_STEP(name) extern const struct admission_step admission_##name;
#include "server/admission.def"
#undef ADMISSION_STEP

typedef enum phase_result subresource_handler(struct request *r);
#define SUBRESOURCE(group, plural, sub, handler) enum phase_result handler(struct request *r);
#include "server/subresources.def"
#undef SUBRESOURCE
/* The kind a subresource reads and writes: its own (Scale, Binding, PodExecOptions) or the object's. */
struct group_version_kind {
    const char *group, *version, *kind;
};
struct group_version_kind subresource_kind(const struct kind *k, const struct kind_subresource *s);
const struct schema *schema_of_kind(struct group_version_kind id); /* NULL when there is none */
subresource_handler *subresource_find(struct str group, struct str plural, struct str sub); /* NULL: generic or none */

#define PHASE(name, fn) enum phase_result fn(struct request *r);
#include "server/phases.def"
#undef PHASE

#endif
