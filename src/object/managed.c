/* Field ownership of ordinary writes. Source: structured-merge-diff, merge/update.go; apimachinery, util/managedfields. */
#include "object/managed.h"
#include "base/time.h"
#include "object/managed_internal.h"
#include "object/schema_walk.h"

/* Identity and bookkeeping belong to the server. Upstream: stripmeta.go. */
static const char *const strip_paths[] = { "apiVersion",
                                           "kind",
                                           "metadata",
                                           "metadata.name",
                                           "metadata.namespace",
                                           "metadata.creationTimestamp",
                                           "metadata.selfLink",
                                           "metadata.uid",
                                           "metadata.clusterName",
                                           "metadata.generation",
                                           "metadata.managedFields",
                                           "metadata.resourceVersion",
                                           NULL };

struct str managed_default_manager(struct arena *a, struct str user_agent)
{
    struct str head;
    size_t n = 0;

    str_cut(&user_agent, '/', &head);
    char *name = arena_strdup(a, head);
    for (size_t i = 0; i < head.n && n < MANAGED_MANAGER_MAX; i++)
        if ((unsigned char)head.p[i] >= 0x20 && (unsigned char)head.p[i] < 0x7f)
            name[n++] = head.p[i];
    return (struct str){ name, n };
}

/*
 * What the strategies of upstream's registries reset: the object's own door never sets the status, the status door nothing
 * but it. (Two kinds reset a little metadata besides, which their strategies here put back anyway.)
 */
const char *const *managed_reset_fields(const struct schema *schema, struct str subresource)
{
    static const char *const none[] = { NULL }, *const status[] = { "status", NULL }, *const spec[] = { "spec", NULL };

    if (subresource.n == 0)
        return schema_field_str(schema, STR("status")) ? status : none;
    return str_is(subresource, "status") ? spec : none;
}

void managed_begin(struct arena *a, const struct managed_call *call, struct managed_work *ret)
{
    char text[TIME_TEXT_SIZE];
    const struct schema *s = call->schema;
    const char *const *reset = call->reset_fields ? call->reset_fields : managed_reset_fields(s, call->subresource);

    *ret = (struct managed_work){ .arena = a,
                                  .call = call,
                                  .now = arena_str(a, str_of(time_format(call->now_ms, text))),
                                  .strip = set_of_paths(a, strip_paths),
                                  .reset = set_of_paths(a, reset) };
    if (s->group && s->group[0])
        ret->api_version = arena_printf(a, "%s/%s", s->group, s->version);
    else
        ret->api_version = str_of(s->version);
}

struct value *managed_without(struct arena *a, const struct value *object)
{
    const struct value *metadata = value_get_str(object, STR("metadata"));
    struct value *copy, *inner;

    if (!value_get_str(metadata, STR("managedFields")))
        return (struct value *)object;
    copy = value_object(a);
    for (uint32_t i = 0; i < object->members_count; i++) {
        struct member m = object->members[i];
        if (m.value == metadata) {
            inner = value_object(a);
            for (uint32_t j = 0; j < metadata->members_count; j++)
                if (!str_is(metadata->members[j].name, "managedFields"))
                    value_add_member(a, inner, metadata->members[j].id, metadata->members[j].name,
                                     metadata->members[j].value);
            m.value = inner;
        }
        value_add_member(a, copy, m.id, m.name, m.value);
    }
    return copy;
}

struct managed_set managed_allowed(const struct managed_work *w, const struct managed_set *set)
{
    return set_difference(w->arena, set, &w->reset, true);
}

struct managed_diff managed_diff_for(const struct managed_work *w, const struct value *live, const struct value *object)
{
    struct managed_diff diff = managed_compare(w->arena, w->call->schema, live, object);

    diff.added = managed_allowed(w, &diff.added);
    diff.removed = managed_allowed(w, &diff.removed);
    diff.modified = managed_allowed(w, &diff.modified);
    return diff;
}

void managed_take_from_others(struct managed_work *w, struct managers *m, const struct manager *self,
                              const struct managed_diff *diff)
{
    struct managed_set changed = set_union(w->arena, &diff->modified, &diff->added);

    for (size_t i = 0; i < m->count; i++) {
        if (&m->items[i] == self)
            continue;
        m->items[i].set = set_difference(w->arena, &m->items[i].set, &changed, false);
        m->items[i].set = set_difference(w->arena, &m->items[i].set, &diff->removed, false);
    }
}

void managed_record_update(struct managed_work *w, struct managers *m, struct str manager, const struct value *live,
                           const struct value *object, bool cap)
{
    struct managed_diff diff = managed_diff_for(w, live, object);
    struct managed_set taken = set_union(w->arena, &diff.modified, &diff.added);
    struct manager *before = managers_find(m, manager, w->call->subresource, w->api_version, false);
    struct managed_set kept = before ? before->set : (struct managed_set){ 0 };

    managed_take_from_others(w, m, NULL, &diff);
    taken = set_difference(w->arena, &taken, &w->strip, false);
    if (!set_empty(&taken)) {
        if (!before)
            before = managers_add(m, &(struct manager){ .name = manager,
                                                        .subresource = w->call->subresource,
                                                        .api_version = w->api_version });
        kept = set_difference(w->arena, &kept, &diff.removed, false);
        before->set = set_union(w->arena, &taken, &kept);
        before->set = set_difference(w->arena, &before->set, &w->strip, false);
        before->time = w->now;
    }
    if (cap)
        managers_cap(m);
}

/* [] and [{}] ask to forget all managers. Upstream: fieldmanager.go, isResetManagedFields. */
static bool is_reset(const struct value *object)
{
    const struct value *entries = value_get_str(value_get_str(object, STR("metadata")), STR("managedFields"));

    if (value_type(entries) != VALUE_ARRAY || entries->items_count > 1)
        return false;
    return entries->items_count == 0 ||
           (value_type(entries->items[0]) == VALUE_OBJECT && entries->items[0]->members_count == 0);
}

void managed_update(struct arena *a, const struct managed_call *call, const struct value *live,
                    struct value *new_object)
{
    AUTO_ARENA struct arena scratch = { 0 };
    struct managed_work w;
    struct managers m, sent;
    bool create = !live || value_to_str(value_get_str(value_get_str(live, STR("metadata")), STR("uid"))).n == 0;
    bool reset = call->subresource.n == 0 && is_reset(new_object);

    managed_begin(&scratch, call, &w);
    if (value_type(live) != VALUE_OBJECT)
        live = schema_zero(&scratch, call->schema);
    if (reset || managers_decode(&scratch, live, &m, NULL) < 0)
        m = (struct managers){ .arena = &scratch };
    if (call->subresource.n == 0 && !reset && managers_decode(&scratch, new_object, &sent, NULL) == 0 && sent.count)
        m = sent;
    managed_strip(new_object);
    /* An object nobody owned anything of stays so: upstream's skipNonAppliedManager. */
    if (create || m.count)
        managed_record_update(&w, &m, call->manager, managed_without(&scratch, live), new_object, true);
    managers_encode(&m, a, new_object);
}

void managed_strip(struct value *object)
{
    struct value *metadata = value_get_str(object, STR("metadata"));

    if (metadata)
        value_del_str(metadata, STR("managedFields"));
}

bool managed_keep_times(struct arena *a, const struct value *live, struct value *new_object)
{
    struct value *metadata = value_get_str(new_object, STR("metadata"));
    struct value *entries = value_get_str(value_get_str(live, STR("metadata")), STR("managedFields"));
    AUTO_ARENA struct arena scratch = { 0 };
    struct managers old, new;

    /* The trees first: most writes change something, and finding that is cheap. */
    if (!metadata || !value_equal(managed_without(&scratch, live), managed_without(&scratch, new_object)) ||
        managers_decode(&scratch, live, &old, NULL) < 0 || managers_decode(&scratch, new_object, &new, NULL) < 0 ||
        !managers_equal(&old, &new))
        return false;
    value_put_str(a, metadata, STR("managedFields"), entries ? value_copy(a, entries) : NULL);
    return true;
}
