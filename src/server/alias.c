/* Storage shared by two kinds: finding the storage, converting objects both ways. */
#include "server/alias.h"

#define LOG_PART "server"
#include "base/log.h"
#include "object/schema_walk.h"

struct storage_alias {
    const struct kind *kind, *storage;
    void (*to_storage)(struct arena *a, struct value *tree);
    void (*from_storage)(struct arena *a, struct value *tree);
};

static const struct storage_alias aliases[] = {
#define STORAGE_ALIAS(id, storage_id, to, from) { &kind_##id, &kind_##storage_id, to, from },
#include "server/aliases.def"
#undef STORAGE_ALIAS
};

static const struct storage_alias *alias_find(const struct kind *k)
{
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
        if (aliases[i].kind == k)
            return &aliases[i];
    return NULL;
}

bool alias_is(const struct kind *k)
{
    return alias_find(k) != NULL;
}

const struct kind *state_storage_kind(const struct kind *k)
{
    const struct storage_alias *alias = alias_find(k);
    return alias ? alias->storage : k;
}

int alias_to_storage(struct arena *a, const struct kind *k, struct value *tree, struct error *err)
{
    const struct storage_alias *alias = alias_find(k);
    if (!alias)
        return 0;
    alias->to_storage(a, tree);
    return schema_normalize(a, alias->storage->schema, tree, NULL, err);
}

int alias_from_storage(struct arena *a, const struct kind *k, struct value *tree, struct error *err)
{
    const struct storage_alias *alias = alias_find(k);
    if (!alias)
        return 0;
    alias->from_storage(a, tree);
    return schema_normalize(a, alias->kind->schema, tree, NULL, err);
}

struct object *alias_object(const struct kind *k, const struct object *stored)
{
    if (!alias_find(k))
        return object_ref(stored);
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct value *tree = value_of_view(&a, object_root(stored));
    struct object *o = alias_from_storage(&a, k, tree, &err) < 0 ? NULL : object_new(tree, &err);
    if (o)
        return o;
    /* Stored objects passed the same schema on their way in, and conversion only renames. */
    log_error("a stored object cannot be converted", KV("kind", "%s", k->kind), KV_STR("name", object_name(stored)),
              KV_ERR(&err));
    return object_ref(stored);
}
