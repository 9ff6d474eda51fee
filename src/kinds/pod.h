/*
 * Rules of pods and of the pod templates inside workloads, split by topic:
 *
 *     pod_default.c            what is filled in
 *     pod_validate.c           the spec as a whole; pod_validate_{container,env,probe,volume,security,resources,affinity}.c its parts
 *     pod_update.c             what an update may change
 *     pod_print.c              STATUS, READY and RESTARTS of kubectl get
 *     core_pod.c               the kind itself
 *
 * Source: pkg/apis/core/v1/defaults.go and pkg/apis/core/validation/validation.go.
 */
#ifndef KINDS_POD_H
#define KINDS_POD_H

#include "base/map.h"
#include "kinds/check_format.h"
#include "kinds/tree.h"

/* Defaults of a spec, wherever it stands, and those that only a pod itself gets. */
void pod_spec_default(struct arena *a, struct value *spec);
void pod_default(struct kind_context *c, struct value *pod);
void pod_template_default(struct arena *a, struct value *template_);
/* "IfNotPresent", or "Always" for a tag :latest, said or implied. */
const char *image_pull_policy_default(struct str image);

/* What the parts of a spec need to know of the whole. */
struct pod_check {
    struct check *k;
    struct view spec, metadata; /* metadata is absent for a template */
    bool is_pod;                /* else a template: some rules wait for the pod itself */
    struct map volumes;         /* name -> non-NULL, for the volumes that are fine */
    struct map claim_volumes;   /* those of them that are claims and may be used as block devices */
    struct map claims;          /* names of spec.resourceClaims */
};

/* Rules of a whole spec at `at`; `metadata` only for real pods. */
void pod_spec_validate(struct check *k, const struct at *at, struct view spec, struct view metadata, bool is_pod);
/* Labels, annotations and spec of a template; also that it is not a pod with things that a template may not have. */
void pod_template_validate(struct check *k, const struct at *at, struct view template_);
void pod_check_annotations(struct check *k, const struct at *at, struct view annotations, struct view spec);

void pod_check_volumes(struct pod_check *p, const struct at *at, struct view volumes);
/* Of a PersistentVolume: the sources in `names` (NULL-terminated), one of them. Returns whether there is one. */
bool volume_check_sources(struct check *k, const struct at *at, struct view spec, const char *const *names);
void pod_check_containers(struct pod_check *p, const struct at *at);
void pod_check_init_containers(struct pod_check *p, const struct at *at);
void pod_check_ephemeral_containers(struct pod_check *p, const struct at *at);
void pod_check_env(struct check *k, const struct at *at, struct view env);
void pod_check_env_from(struct check *k, const struct at *at, struct view env_from);
void pod_check_field_ref(struct check *k, const struct at *at, struct view field_ref, const char *const *fields);
void pod_check_resource_field_ref(struct check *k, const struct at *at, struct view ref, bool in_volume);
void pod_check_lifecycle(struct pod_check *p, const struct at *at, struct view lifecycle);
enum probe_role { PROBE_LIVENESS, PROBE_READINESS, PROBE_STARTUP };
void pod_check_probe(struct pod_check *p, const struct at *at, struct view probe, enum probe_role role);
void pod_check_security(struct pod_check *p, const struct at *spec_at); /* the pod's own security context */
void pod_check_container_security(struct pod_check *p, const struct at *at, struct view context);
void pod_check_tolerations(struct check *k, const struct at *at, struct view tolerations);
void pod_check_affinity(struct check *k, const struct at *at, struct view affinity);
void pod_check_topology_spread(struct check *k, const struct at *at, struct view constraints);
void pod_check_node_selector(struct check *k, const struct at *at, struct view node_selector, bool any_value);
bool check_taint_effect(struct check *k, const struct at *at, struct str effect, bool may_be_empty);

/* Requests and limits of a container or, with `of_pod`, of a whole pod; `claims` may be NULL. */
void check_resources(struct check *k, const struct at *at, struct view resources, struct map *claims, bool of_pod);
/* A quantity that is not negative, and whole where the resource counts things. */
void check_resource_quantity(struct check *k, const struct at *at, struct str resource, struct view quantity);
bool resource_is_standard(struct str resource);
void check_resource_name(struct check *k, const struct at *at, struct str resource);
const char *pod_qos_class(const struct value *spec); /* "Guaranteed", "Burstable", "BestEffort" */

void pod_validate_update(struct check *k, struct view pod, struct view old);
void pod_validate_status_update(struct check *k, struct view pod, struct view old);
void pod_validate_ephemeral_update(struct check *k, struct view pod, struct view old);
void pod_validate_resize(struct check *k, struct view pod, struct view old);

void pod_row(struct arena *a, struct view pod, int64_t now_ms, struct value *cells);
extern const struct kind_column pod_columns[];

#endif
