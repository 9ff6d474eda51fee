/*
 * One pod on this node: its facts, what the actors need beside them, and the doors between plan and actors.
 *
 * Everything on the agent's loop. A pod lives from the first sight of its object (or of its record on disk) until its plan says
 * forget; jobs on workers and running checks are counted by the facts (PART_WORKING, STARTING, cleaning), so that it is never freed under them.
 */
#ifndef NODE_POD_H
#define NODE_POD_H

#include "base/secret.h"
#include "node/agent_state.h"
#include "node/check.h"
#include "node/pod_facts.h"
#include "node/pod_plan.h"
#include "node/volumes/volumes.h"

struct pod;

struct pod_container {
    struct pod *pod;
    size_t index;
    struct container_facts *facts;
    struct image *image; /* held while a container exists on it */
    bool pulling;
    struct check *probes[PROBE_KINDS];
    struct check *post_start, *pre_stop;
    struct log_rotation *rotation; /* see logs.h */
};

/* A service account token for one projected source. */
struct pod_token {
    struct list link;
    char *audience;
    int64_t expiration_s;
    struct secret token;
    int64_t refresh_wall_ms;
    bool asking;
    int64_t retry_ms;
};

struct pod {
    struct agent *agent;
    struct pod_facts facts;
    struct object *object;            /* the newest seen */
    struct arena arena;               /* names and other things parsed once */
    struct str uid, name, namespace_; /* the arena's */
    char *folder;                     /* DATA/pods/UID */
    char *run_folder;                 /* RUN/ns/UID: the sandbox */
    char *content_folder;             /* RUN/v/UID */
    char *cgroup;                     /* path of the pod's group */
    struct pod_container *containers;
    struct list tokens;
    struct map sources; /* objects held: key -> struct pod_source */
    bool volumes_stale; /* contents changed while being applied */

    struct loop_timer wake;
    struct loop_task task;
    struct loop_timer token_timer;

    struct object *status_sent; /* what the server was told last */
    bool status_sending, status_again;
    int status_failures;
    struct loop_timer status_retry;
    struct http_call *removal_call;
    bool muted;     /* it ended here once and its record is gone: nothing true can be said any more */
    bool recovered; /* from disk, the server has not confirmed it yet */
    bool dead;      /* forgotten: freed at the end of the round */
};

/* pod_parse.c: a new pod from its object; the object is referenced. NULL with err when the spec makes no sense. */
struct pod *pod_new(struct agent *agent, const struct object *object, struct error *err);
void pod_free(struct pod *p);
/* A newer object of the same pod: deletion, changed labels, readiness conditions. */
void pod_update(struct pod *p, const struct object *object);
void pod_begin_deletion(struct pod *p, int64_t grace_ms, bool gone);
struct view pod_spec(const struct pod *p);
/* The spec of the i-th container (init containers first). */
struct view pod_container_view(const struct pod *p, size_t i);
struct pod_fields pod_fields_of(const struct pod *p);
struct pod_container *pod_find_container(struct pod *p, struct str name);

/* pod_act.c: carry out the plan until nothing is left to do now. pod_touch() asks for it at the end of the round. */
void pod_touch(struct pod *p);

/* pod_record.c: the write-ahead record; save before and after anything that a restart must know. */
void pod_save(struct pod *p);
void pod_save_object(struct pod *p);
/* Rebuild the pod of a folder; NULL when record or object are damaged (the caller reclaims). */
struct pod *pod_load(struct agent *agent, struct str uid, struct error *err);
void pod_remove_files(struct pod *p);

/* pod_sandbox.c */
void pod_make_sandbox(struct pod *p);
void pod_make_volumes(struct pod *p);
void pod_clean(struct pod *p);
void pod_refresh_content(struct pod *p); /* a ConfigMap, Secret, token or label changed */

/* container_start.c */
void container_start(struct pod_container *c);
void container_exited(void *container, const struct runtime_exit *how);
/* The last attempt's runtime state, mount and upper folder are taken away; touches the pod when done. */
void container_cleanup(struct pod_container *c);
char *container_folder(const struct pod_container *c);
char *container_log_path(const struct pod_container *c, int attempt);

/* container_stop.c */
void container_begin_stop(struct pod_container *c, enum stop_reason reason, int64_t grace_ms);
void container_pre_stop(struct pod_container *c);
void container_post_start(struct pod_container *c);
void container_send_stop_signal(struct pod_container *c);
void container_kill(struct pod_container *c);
void container_ask_probe(struct pod_container *c, enum probe_kind kind);
/* Began to run (or was found running): first times of the probes. */
void container_reset_probes(struct pod_container *c, bool adopted);
void container_cancel_checks(struct pod_container *c);
/* `started` and `ready` follow from state, hooks and probes; called before every plan. */
void container_update_readiness(struct pod_container *c);

/* container_image.c */
void container_want_image(struct pod_container *c);

/* pod_token.c */
bool pod_token_get(void *pod, struct str audience, int64_t expiration_s, struct str *ret);

/* pod_status.c: pure: the status as JSON tree. pod_report.c: tell the server. */
struct value *pod_status_make(const struct pod *p, struct arena *a, int64_t now_wall_ms, int64_t now_ms);
void pod_report(struct pod *p);
void pod_delete_object(struct pod *p);
void pod_ask_removal(struct pod *p);

/* Events about a pod; container NULL: about the pod itself. */
void pod_event(struct pod *p, const struct pod_container *c, const char *type, const char *reason, const char *format,
               ...) PRINTF(5, 6);

#endif
