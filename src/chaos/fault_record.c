/* Records of faults. */
#include "chaos/fault_record.h"

#include "base/file.h"
#include "base/time.h"
#include "object/value.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORD_MAX (256 * KIB)

static const char *const kinds[] = {
    [STEP_KILL] = "kill",           [STEP_STOP] = "stop", [STEP_POWER_OFF] = "power-off",
    [STEP_LINK_DOWN] = "link-down", [STEP_DROP] = "drop", [STEP_SLOW] = "slow",
    [STEP_RELAY] = "relay",         [STEP_FILL] = "fill", [STEP_EAT] = "eat",
};

/* The numbers and texts of a step, by name: written and read by the same table. */
enum field_type { FIELD_INT32, FIELD_INT64, FIELD_PORT, FIELD_BOOL, FIELD_WAY, FIELD_TEXT };
static const struct field {
    const char *name;
    enum field_type type;
    size_t at, size;
} fields[] = {
#define FIELD(json, type, member)                                                                                      \
    {                                                                                                                  \
        json, type, offsetof(struct step, member), sizeof(((struct step *)NULL)->member)                               \
    }
    FIELD("pid", FIELD_INT32, pid),
    FIELD("startTime", FIELD_INT64, start_time),
    FIELD("link", FIELD_TEXT, link),
    FIELD("bridge", FIELD_TEXT, bridge),
    FIELD("way", FIELD_WAY, way),
    FIELD("frames", FIELD_BOOL, frames),
    FIELD("port", FIELD_PORT, port),
    FIELD("path", FIELD_TEXT, path),
    FIELD("amount", FIELD_INT64, amount),
    FIELD("delayMs", FIELD_INT32, delay_ms),
    FIELD("jitterMs", FIELD_INT32, jitter_ms),
    FIELD("lossPermille", FIELD_INT32, loss_permille),
    FIELD("duplicatePermille", FIELD_INT32, duplicate_permille),
    FIELD("reorderPermille", FIELD_INT32, reorder_permille),
    FIELD("helper", FIELD_INT32, helper),
    FIELD("helperStartTime", FIELD_INT64, helper_start_time),
#undef FIELD
};

static struct value *field_value(struct arena *a, const struct field *field, const void *p)
{
    switch (field->type) {
    case FIELD_INT32:
        return *(const int32_t *)p ? value_int(a, *(const int32_t *)p) : NULL;
    case FIELD_INT64:
        return *(const int64_t *)p ? value_int(a, *(const int64_t *)p) : NULL;
    case FIELD_PORT:
        return *(const uint16_t *)p ? value_int(a, *(const uint16_t *)p) : NULL;
    case FIELD_BOOL:
        return *(const bool *)p ? value_bool(a, true) : NULL;
    case FIELD_WAY:
        return *(const enum drop_way *)p ? value_int(a, (int64_t) * (const enum drop_way *)p) : NULL;
    default:
        return *(const char *)p ? value_text(a, p) : NULL;
    }
}

static void field_take(const struct field *field, void *p, struct view v)
{
    switch (field->type) {
    case FIELD_INT32:
        *(int32_t *)p = (int32_t)view_int(v, 0);
        break;
    case FIELD_INT64:
        *(int64_t *)p = view_int(v, 0);
        break;
    case FIELD_PORT:
        *(uint16_t *)p = (uint16_t)view_int(v, 0);
        break;
    case FIELD_BOOL:
        *(bool *)p = view_bool(v, false);
        break;
    case FIELD_WAY:
        *(enum drop_way *)p = (enum drop_way)(view_int(v, 0) % 3);
        break;
    default:
        snprintf(p, field->size, "%.*s", STR_ARG(view_str(v)));
        break;
    }
}

void fault_record_write(struct buf *to, const struct fault *f)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *root = value_object(&a), *steps = value_array(&a);

    value_put_str(&a, root, STR("id"), value_text(&a, f->id));
    value_put_str(&a, root, STR("fault"), value_text(&a, f->text));
    value_put_str(&a, root, STR("owner"), value_int(&a, f->owner));
    value_put_str(&a, root, STR("ownerStartTime"), value_int(&a, (int64_t)f->owner_start_time));
    value_put_str(&a, root, STR("atMs"), value_int(&a, f->at_ms));
    for (int i = 0; i < f->steps_count; i++) {
        struct value *step = value_object(&a);
        value_put_str(&a, step, STR("kind"), value_text(&a, kinds[f->steps[i].kind]));
        for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
            value_put_str(&a, step, str_of(fields[k].name),
                          field_value(&a, &fields[k], (const char *)&f->steps[i] + fields[k].at));
        value_append(&a, steps, step);
    }
    value_put_str(&a, root, STR("steps"), steps);
    value_write_pretty(to, root, 1);
}

static int read_step(struct view v, struct step *ret, struct error *err)
{
    struct str kind = view_str(view_get_str(v, STR("kind")));

    *ret = (struct step){ 0 };
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        field_take(&fields[i], (char *)ret + fields[i].at, view_get_str(v, str_of(fields[i].name)));
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_is(kind, kinds[i])) {
            ret->kind = (enum step_kind)i;
            return 0;
        }
    return fail(err, ERR_BAD_REQUEST, "a step of unknown kind '%.*s'", (int)MIN(kind.n, (size_t)40), kind.p);
}

int fault_record_read(struct str text, struct fault *ret, struct error *err)
{
    AUTO_OBJECT struct object *o = object_parse(text, err);
    struct view root = object_root(o);
    struct view_iter it = { 0 };

    *ret = (struct fault){ 0 };
    if (!o)
        return -1;
    snprintf(ret->id, sizeof(ret->id), "%.*s", STR_ARG(view_str(view_get_str(root, STR("id")))));
    snprintf(ret->text, sizeof(ret->text), "%.*s", STR_ARG(view_str(view_get_str(root, STR("fault")))));
    ret->owner = (pid_t)view_int(view_get_str(root, STR("owner")), 0);
    ret->owner_start_time = (uint64_t)view_int(view_get_str(root, STR("ownerStartTime")), 0);
    ret->at_ms = view_int(view_get_str(root, STR("atMs")), 0);
    while (view_next(view_get_str(root, STR("steps")), &it)) {
        if (ret->steps_count == FAULT_STEPS_MAX)
            return fail(err, ERR_TOO_LARGE, "more than %d steps", FAULT_STEPS_MAX);
        if (read_step(it.value, &ret->steps[ret->steps_count++], err) < 0)
            return -1;
    }
    return 0;
}

static char *fault_record_path(const char *folder, const struct fault *f)
{
    return xasprintf("%s/%s.json", folder, f->id);
}

int fault_record_save(const char *folder, const struct fault *f, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(RECORD_MAX);
    AUTO_FREE char *path = fault_record_path(folder, f);

    fault_record_write(&text, f);
    if (text.full)
        return fail(err, ERR_TOO_LARGE, "the record of '%s' is too long", f->text);
    return file_write(path, buf_str(&text), 0600, err);
}

int fault_record_add(const char *folder, struct fault *f, struct error *err)
{
    static int number; /* two faults of one process within a millisecond */

    if (file_mkdirs(folder, 0700, err) < 0)
        return -1;
    f->owner = getpid();
    f->owner_start_time = seen_start_time(f->owner);
    f->at_ms = time_wall_ms();
    snprintf(f->id, sizeof(f->id), "%013lld-%d-%d", (long long)f->at_ms, (int)f->owner, number++);
    return fault_record_save(folder, f, err);
}

int fault_record_remove(const char *folder, const struct fault *f, struct error *err)
{
    AUTO_FREE char *path = fault_record_path(folder, f);

    return unlink(path) < 0 && errno != ENOENT ? fail_sys(err, errno, "remove '%s'", path) : 0;
}

bool fault_record_owner_is_alive(const struct fault *f)
{
    return f->owner_start_time && seen_start_time(f->owner) == f->owner_start_time;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct fault *)a)->id, ((const struct fault *)b)->id);
}

static int load_one(const char *folder, const char *file, struct fault *ret, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, file);
    AUTO_BUF struct buf text = BUF_MAX(RECORD_MAX);

    if (file_read(path, &text, err) < 0)
        return -1;
    if (fault_record_read(buf_str(&text), ret, err) < 0)
        return error_context(err, "read '%s'", path);
    /* The name of the file is what is removed in the end, whatever the text says. */
    snprintf(ret->id, sizeof(ret->id), "%.*s", (int)(strlen(file) - 5), file);
    return 0;
}

int fault_record_load(const char *folder, struct fault **ret, int *ret_count, struct error *err)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    struct fault *all = NULL;
    int count = 0, capacity = 0, result = 0;

    while (d && result == 0 && (entry = readdir(d))) {
        AUTO_ERROR struct error one = { 0 };
        if (!str_ends(str_of(entry->d_name), STR(".json")) || strlen(entry->d_name) >= sizeof(all->id) + 5)
            continue;
        GROW(all, count, capacity);
        if (load_one(folder, entry->d_name, &all[count], &one) == 0)
            count++;
        else if (one.code != ERR_NOT_FOUND) { /* undone by somebody meanwhile */
            error_move(err, &one);
            result = -1;
        }
    }
    if (d)
        closedir(d);
    if (result < 0) {
        free(all);
        return -1;
    }
    if (count)
        qsort(all, (size_t)count, sizeof(*all), compare);
    *ret = all;
    *ret_count = count;
    return 0;
}
