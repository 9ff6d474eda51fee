/* JSON Patch (RFC 6902), with the rules and limits of upstream's library. */
#include "object/jsonpatch.h"
#include "object/path.h"

/*
 * Members looked at and items moved by all operations together. Real patches need thousands; without a limit ten thousand
 * operations on a list of hundreds of thousands would hold a loop for seconds.
 */
#define WORK_MAX (64 * 1000 * 1000)

struct patching {
    struct arena *arena;
    struct value *document;
    size_t copied_bytes, work;
    struct error *err;
};

/* Where an operation points: the container and the step in it. A pointer to the whole document has no container. */
struct target {
    struct value *container;
    struct str step;
    bool whole;
};

static int misfit(struct patching *p)
{
    return fail(p->err, ERR_INVALID, "the server rejected our request due to an error in our request");
}

static int spend(struct patching *p, const struct value *container)
{
    p->work += container->type == VALUE_ARRAY ? container->items_count : container->members_count;
    return p->work > WORK_MAX ? fail(p->err, ERR_TOO_LARGE, "The JSON patch needs more work than is allowed") : 0;
}

/* As strconv.Atoi, and negative numbers count from the end. `room`: 1 when one past the end is allowed. */
static bool array_index(const struct value *array, struct str step, uint32_t room, uint32_t *ret)
{
    int64_t index, count = (int64_t)array->items_count + room;
    if (!str_to_i64(step, &index))
        return false;
    if (index < 0)
        index += count;
    if (index < 0 || index >= count)
        return false;
    *ret = (uint32_t)index;
    return true;
}

static struct value *child(struct value *container, struct str step)
{
    uint32_t index;
    if (container->type == VALUE_ARRAY)
        return array_index(container, step, 0, &index) ? container->items[index] : NULL;
    return value_get_str(container, step);
}

static int find_target(struct patching *p, const struct value *operation, struct str member, struct target *ret)
{
    const struct value *path = value_get_str(operation, member);
    struct pointer pointer;
    if (value_type(path) != VALUE_STRING || pointer_parse(p->arena, path->string, &pointer, NULL) < 0)
        return misfit(p);
    *ret = (struct target){ .whole = pointer.count == 0 };
    if (ret->whole)
        return 0;
    struct value *v = p->document;
    for (size_t i = 0;; i++) {
        if (value_type(v) < VALUE_ARRAY)
            return misfit(p);
        if (spend(p, v) < 0)
            return -1;
        if (i + 1 == pointer.count)
            break;
        v = child(v, pointer.steps[i]);
    }
    ret->container = v;
    ret->step = pointer.steps[pointer.count - 1];
    return 0;
}

static struct value *get(struct patching *p, const struct target *t)
{
    return t->whole ? p->document : child(t->container, t->step);
}

static int add(struct patching *p, const struct target *t, struct value *v)
{
    uint32_t index;
    if (t->whole) {
        p->document = v;
        return 0;
    }
    if (t->container->type == VALUE_OBJECT) {
        value_put_str(p->arena, t->container, t->step, v);
        return 0;
    }
    if (str_is(t->step, "-"))
        index = t->container->items_count;
    else if (!array_index(t->container, t->step, 1, &index))
        return misfit(p);
    value_insert(p->arena, t->container, index, v);
    return 0;
}

static int take(struct patching *p, const struct target *t)
{
    uint32_t index;
    if (t->whole || !child(t->container, t->step))
        return misfit(p);
    if (t->container->type == VALUE_OBJECT)
        value_del_str(t->container, t->step);
    else if (array_index(t->container, t->step, 0, &index))
        value_remove(t->container, index);
    return 0;
}

static int replace(struct patching *p, const struct target *t, struct value *v)
{
    uint32_t index;
    /* Upstream's library does not miss the member of an object that is not there: recorded so. */
    if (t->whole || t->container->type == VALUE_OBJECT)
        return add(p, t, v);
    if (!child(t->container, t->step))
        return misfit(p);
    if (array_index(t->container, t->step, 0, &index))
        t->container->items[index] = v;
    return 0;
}

/* The member "value"; an explicit null is a value, an absent one is too (upstream adds null). */
static struct value *operand(struct patching *p, const struct value *operation)
{
    const struct value *v = value_get_str(operation, STR("value"));
    return v ? value_copy(p->arena, v) : value_null(p->arena);
}

static int test(struct patching *p, const struct target *t, const struct value *expected)
{
    const struct value *actual = get(p, t);
    /* upstream: an absent member equals null. */
    if (!actual && !t->whole && t->container->type == VALUE_OBJECT && expected->type == VALUE_NULL)
        return 0;
    return value_equal(actual, expected) ? 0 : misfit(p);
}

static int move(struct patching *p, const struct value *operation)
{
    struct target from, to;
    if (find_target(p, operation, STR("from"), &from) < 0)
        return -1;
    struct value *v = get(p, &from);
    if (!v || take(p, &from) < 0)
        return misfit(p);
    /* Only now: the place may be in what was taken out, and then it is no more. */
    if (find_target(p, operation, STR("path"), &to) < 0)
        return -1;
    return add(p, &to, v);
}

static int copy(struct patching *p, const struct value *operation, const struct target *to)
{
    struct target from;
    if (find_target(p, operation, STR("from"), &from) < 0)
        return -1;
    const struct value *v = get(p, &from);
    if (!v && !from.whole && from.container->type == VALUE_OBJECT)
        v = value_null(p->arena); /* as in replace() */
    if (!v)
        return misfit(p);
    AUTO_BUF struct buf text = BUF_MAX(OBJECT_SIZE_MAX - p->copied_bytes);
    value_write(&text, v);
    if (text.full)
        return fail(p->err, ERR_TOO_LARGE,
                    "Unable to complete the copy, the accumulated size increase of copy is more than the limit %zu",
                    (size_t)OBJECT_SIZE_MAX);
    p->copied_bytes += text.n;
    return add(p, to, value_copy(p->arena, v));
}

static int perform(struct patching *p, const struct value *operation)
{
    struct str op = value_to_str(value_get_str(operation, STR("op")));
    struct target target;
    if (str_is(op, "move"))
        return move(p, operation);
    if (find_target(p, operation, STR("path"), &target) < 0)
        return -1;
    if (str_is(op, "add"))
        return add(p, &target, operand(p, operation));
    if (str_is(op, "remove"))
        return take(p, &target);
    if (str_is(op, "replace"))
        return replace(p, &target, operand(p, operation));
    if (str_is(op, "test"))
        return test(p, &target, operand(p, operation));
    if (str_is(op, "copy"))
        return copy(p, operation, &target);
    return misfit(p);
}

static const char *type_name(enum value_type type)
{
    switch (type) {
    case VALUE_BOOL:
        return "bool";
    case VALUE_INT:
    case VALUE_DOUBLE:
        return "number";
    case VALUE_STRING:
        return "string";
    case VALUE_ARRAY:
        return "array";
    default:
        return "object";
    }
}

static int check(const struct value *patch, struct error *err)
{
    if (value_type(patch) != VALUE_ARRAY)
        return fail(err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type jsonpatch.Patch",
                    type_name(value_type(patch)));
    for (uint32_t i = 0; i < patch->items_count; i++)
        if (value_type(patch->items[i]) != VALUE_OBJECT)
            return fail(err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type jsonpatch.Operation",
                        type_name(value_type(patch->items[i])));
    if (patch->items_count > JSON_PATCH_OPERATIONS_MAX)
        return fail(err, ERR_TOO_LARGE, "The allowed maximum operations in a JSON patch is %d, got %u",
                    JSON_PATCH_OPERATIONS_MAX, patch->items_count);
    return 0;
}

struct value *json_patch_apply(struct arena *a, const struct value *document, const struct value *patch,
                               struct error *err)
{
    if (check(patch, err) < 0)
        return NULL;
    struct patching p = { .arena = a, .document = value_copy(a, document), .err = err };
    for (uint32_t i = 0; i < patch->items_count; i++)
        if (perform(&p, patch->items[i]) < 0)
            return NULL;
    return p.document;
}
