/* What a pod asks for and a node has, as numbers. Source: k8s.io/component-helpers/resource PodRequests. */
#include "scheduler/resources.h"

#include "kinds/fields.h"
#include "object/quantity.h"

#include <stdio.h>

static int64_t *extended_slot(struct resources *r, struct str name)
{
    for (int i = 0; i < r->extended_count; i++)
        if (str_is(name, r->extended[i].name))
            return &r->extended[i].amount;
    if (r->extended_count == EXTENDED_MAX || name.n >= sizeof(r->extended[0].name))
        return NULL;
    snprintf(r->extended[r->extended_count].name, sizeof(r->extended[0].name), "%.*s", STR_ARG(name));
    return &r->extended[r->extended_count++].amount;
}

int64_t resources_extended(const struct resources *r, const char *name)
{
    for (int i = 0; i < r->extended_count; i++)
        if (str_is(str_of(name), r->extended[i].name))
            return r->extended[i].amount;
    return 0;
}

static void combine(struct resources *to, const struct resources *what, int sign)
{
    to->milli_cpu += sign * what->milli_cpu;
    to->memory_bytes += sign * what->memory_bytes;
    to->ephemeral_bytes += sign * what->ephemeral_bytes;
    to->pods += sign * what->pods;
    for (int i = 0; i < what->extended_count; i++) {
        int64_t *slot = extended_slot(to, str_of(what->extended[i].name));
        if (slot)
            *slot += sign * what->extended[i].amount;
    }
}

void resources_add(struct resources *to, const struct resources *what)
{
    combine(to, what, 1);
}

void resources_sub(struct resources *from, const struct resources *what)
{
    combine(from, what, -1);
}

static void take_max(struct resources *to, const struct resources *what)
{
    to->milli_cpu = MAX(to->milli_cpu, what->milli_cpu);
    to->memory_bytes = MAX(to->memory_bytes, what->memory_bytes);
    to->ephemeral_bytes = MAX(to->ephemeral_bytes, what->ephemeral_bytes);
    for (int i = 0; i < what->extended_count; i++) {
        int64_t *slot = extended_slot(to, str_of(what->extended[i].name));
        if (slot)
            *slot = MAX(*slot, what->extended[i].amount);
    }
}

/* A ResourceList: {"cpu": "500m", "memory": "1Gi", ...}. */
struct resources resources_of_list(struct view list)
{
    struct resources r = { 0 };
    struct view_iter it = { 0 };

    while (view_next(list, &it)) {
        struct quantity q;
        int64_t *slot;
        if (quantity_parse(view_type(it.value) == VALUE_STRING ? view_str(it.value) : view_json(it.value), &q, NULL) <
            0)
            continue;
        if (str_is(it.key, "cpu"))
            r.milli_cpu = quantity_milli(q);
        else if (str_is(it.key, "memory"))
            r.memory_bytes = quantity_value(q);
        else if (str_is(it.key, "ephemeral-storage"))
            r.ephemeral_bytes = quantity_value(q);
        else if (str_is(it.key, "pods"))
            r.pods = quantity_value(q);
        else if ((slot = extended_slot(&r, it.key)))
            *slot = quantity_value(q);
    }
    return r;
}

static struct resources of_container(struct view container)
{
    return resources_of_list(view_path(container, F_CONTAINER_RESOURCES, F_RESOURCE_REQUIREMENTS_REQUESTS));
}

/* Containers and sidecars run together; ordinary init containers one at a time, beside the sidecars started before them. */
struct resources resources_of_pod(struct view spec)
{
    struct resources running = { 0 }, sidecars = { 0 }, starting = { 0 }, overhead;
    struct view_iter it = { 0 };

    while (view_next(view_get(spec, F_POD_SPEC_CONTAINERS), &it)) {
        struct resources r = of_container(it.value);
        resources_add(&running, &r);
    }
    it = (struct view_iter){ 0 };
    while (view_next(view_get(spec, F_POD_SPEC_INIT_CONTAINERS), &it)) {
        struct resources r = of_container(it.value), at_this_point;
        if (str_is(view_str_at(it.value, F_CONTAINER_RESTART_POLICY), "Always")) {
            resources_add(&sidecars, &r);
            resources_add(&running, &r);
            at_this_point = sidecars;
        } else {
            at_this_point = sidecars;
            resources_add(&at_this_point, &r);
        }
        take_max(&starting, &at_this_point);
    }
    take_max(&running, &starting);
    overhead = resources_of_list(view_get(spec, F_POD_SPEC_OVERHEAD));
    resources_add(&running, &overhead);
    running.pods = 1;
    return running;
}
