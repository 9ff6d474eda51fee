/* Cells of tables: times as ages, selectors and lists as one text. */
#include "kinds/cells.h"

#include "base/time.h"

void cell_str(struct arena *a, struct value *cells, struct str s)
{
    value_append(a, cells, value_str(a, s));
}

void cell_text(struct arena *a, struct value *cells, const char *literal)
{
    value_append(a, cells, value_text(a, literal));
}

void cell_textf(struct arena *a, struct value *cells, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    value_append(a, cells, value_str(a, arena_vprintf(a, format, args)));
    va_end(args);
}

void cell_int(struct arena *a, struct value *cells, int64_t i)
{
    value_append(a, cells, value_int(a, i));
}

void cell_or(struct arena *a, struct value *cells, struct str s, const char *otherwise)
{
    cell_str(a, cells, s.n ? s : str_of(otherwise));
}

void cell_name(struct arena *a, struct value *cells, struct view object)
{
    cell_str(a, cells, view_str_at(object, F_POD_METADATA, F_OBJECT_META_NAME));
}

struct str text_since(struct arena *a, struct view time, int64_t now_ms)
{
    char text[TIME_TEXT_SIZE];
    int64_t at;

    if (!time_parse(view_str(time), &at))
        return STR(CELL_UNKNOWN);
    return arena_str(a, str_of(time_format_age(now_ms - at, text)));
}

void cell_since(struct arena *a, struct value *cells, struct view time, int64_t now_ms)
{
    cell_str(a, cells, text_since(a, time, now_ms));
}

void cell_age(struct arena *a, struct value *cells, struct view object, int64_t now_ms)
{
    cell_since(a, cells, view_path(object, F_POD_METADATA, F_OBJECT_META_CREATION_TIMESTAMP), now_ms);
}

void cell_created_at(struct arena *a, struct value *cells, struct view object)
{
    cell_str(a, cells, view_str_at(object, F_POD_METADATA, F_OBJECT_META_CREATION_TIMESTAMP));
}

static void add_map(struct buf *text, struct view map)
{
    struct view_iter it = { 0 };

    while (view_next(map, &it)) {
        buf_add_text(text, text->n ? "," : "");
        buf_add(text, it.key);
        buf_add_char(text, '=');
        buf_add(text, view_str(it.value));
    }
}

static void add_requirement(struct buf *text, struct view requirement)
{
    struct str key = view_str_at(requirement, F_LABEL_SELECTOR_REQUIREMENT_KEY);
    struct str operator= view_str_at(requirement, F_LABEL_SELECTOR_REQUIREMENT_OPERATOR);
    struct view_iter it = { 0 };
    bool first = true;

    buf_add_text(text, text->n ? "," : "");
    if (str_is(operator, "DoesNotExist"))
        buf_add_char(text, '!');
    buf_add(text, key);
    if (!str_is(operator, "In") && !str_is(operator, "NotIn"))
        return;
    buf_add_text(text, str_is(operator, "In") ? " in (" : " notin (");
    for (; view_next(view_get(requirement, F_LABEL_SELECTOR_REQUIREMENT_VALUES), &it); first = false) {
        buf_add_text(text, first ? "" : ",");
        buf_add(text, view_str(it.value));
    }
    buf_add_char(text, ')');
}

struct str text_selector(struct arena *a, struct view selector)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct view_iter it = { 0 };

    add_map(&text, view_get(selector, F_LABEL_SELECTOR_MATCH_LABELS));
    while (view_next(view_get(selector, F_LABEL_SELECTOR_MATCH_EXPRESSIONS), &it))
        add_requirement(&text, it.value);
    return text.n ? arena_str(a, buf_str(&text)) : STR(CELL_NONE);
}

struct str text_map(struct arena *a, struct view map)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);

    add_map(&text, map);
    return text.n ? arena_str(a, buf_str(&text)) : STR(CELL_NONE);
}

struct str text_list(struct arena *a, struct view items, name_id name)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct view_iter it = { 0 };
    bool first = true;

    for (; view_next(items, &it); first = false) {
        buf_add_text(&text, first ? "" : ",");
        buf_add(&text, view_str_at(it.value, name));
    }
    return arena_str(a, buf_str(&text));
}

void cell_containers(struct arena *a, struct value *cells, struct view template_spec)
{
    struct view containers = view_get(template_spec, F_POD_SPEC_CONTAINERS);

    cell_str(a, cells, text_list(a, containers, F_CONTAINER_NAME));
    cell_str(a, cells, text_list(a, containers, F_CONTAINER_IMAGE));
}
