/* Paths as text, paths read back, JSON pointers. */
#include "object/path.h"

void path_write(struct buf *to, const struct path *path)
{
    if (!path)
        return;
    path_write(to, path->up);
    switch (path->step) {
    case PATH_FIELD:
        if (path->up)
            buf_add_char(to, '.');
        buf_add(to, path->name);
        break;
    case PATH_KEY:
        buf_addf(to, "[%.*s]", STR_ARG(path->name));
        break;
    case PATH_INDEX:
        buf_addf(to, "[%zu]", path->index);
        break;
    }
}

struct str path_text(struct arena *a, const struct path *path, const char *last)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct path child = path_child(path, last);
    path_write(&text, last ? &child : path);
    return arena_str(a, buf_str(&text));
}

/* "[0]", "['key']" or "[key]" at the front of *rest. */
static struct view find_subscript(struct view v, struct str *rest)
{
    struct str inside;
    *rest = str_from(*rest, 1);
    if (str_starts(*rest, STR("'"))) {
        *rest = str_from(*rest, 1);
        if (!str_cut(rest, '\'', &inside) || !str_starts(*rest, STR("]")))
            return VIEW_ABSENT;
        *rest = str_from(*rest, 1);
        return view_get_str(v, inside);
    }
    if (!str_cut(rest, ']', &inside))
        return VIEW_ABSENT;
    size_t index;
    if (view_type(v) == VALUE_ARRAY)
        return pointer_index(inside, &index) ? view_item(v, index) : VIEW_ABSENT;
    return view_get_str(v, inside);
}

struct view path_find_view(struct view v, struct str path)
{
    struct str rest = path;
    if (str_starts(rest, STR(".")))
        rest = str_from(rest, 1);
    while (rest.n && view_present(v)) {
        if (*rest.p == '[') {
            v = find_subscript(v, &rest);
        } else {
            size_t n = 0;
            while (n < rest.n && rest.p[n] != '.' && rest.p[n] != '[')
                n++;
            v = view_get_str(v, str_part(rest, 0, n));
            rest = str_from(rest, n);
        }
        if (str_starts(rest, STR(".")) && rest.n > 1)
            rest = str_from(rest, 1);
        else if (rest.n && *rest.p != '[')
            return VIEW_ABSENT;
    }
    return v;
}

/* ~1 is /, ~0 is ~; any other ~ stays, as upstream leaves it. */
static struct str unescape_step(struct arena *a, struct str step)
{
    if (str_find(step, '~') < 0)
        return step;
    char *to = arena_alloc(a, step.n);
    size_t n = 0;
    for (size_t i = 0; i < step.n; i++) {
        char c = step.p[i];
        if (c == '~' && i + 1 < step.n && (step.p[i + 1] == '0' || step.p[i + 1] == '1'))
            c = step.p[++i] == '1' ? '/' : '~';
        to[n++] = c;
    }
    return (struct str){ to, n };
}

int pointer_parse(struct arena *a, struct str text, struct pointer *ret, struct error *err)
{
    *ret = (struct pointer){ 0 };
    if (text.n == 0)
        return 0;
    if (*text.p != '/')
        return fail(err, ERR_BAD_REQUEST, "JSON pointer must be empty or begin with '/'");
    size_t count = 0;
    for (size_t i = 0; i < text.n; i++)
        count += text.p[i] == '/';
    if (count > POINTER_STEPS_MAX)
        return fail(err, ERR_BAD_REQUEST, "JSON pointer has more than %d steps", POINTER_STEPS_MAX);
    ret->steps = arena_alloc_array(a, count, sizeof(*ret->steps));
    for (size_t start = 1; ret->count < count;) {
        struct str rest = str_from(text, start);
        ptrdiff_t n = str_find(rest, '/');
        struct str step = n < 0 ? rest : str_part(rest, 0, (size_t)n);
        ret->steps[ret->count++] = unescape_step(a, step);
        start += step.n + 1;
    }
    return 0;
}

bool pointer_index(struct str step, size_t *ret)
{
    uint64_t n;
    if (step.n == 0 || step.n > 9 || (step.n > 1 && *step.p == '0'))
        return false;
    for (size_t i = 0; i < step.n; i++)
        if (step.p[i] < '0' || step.p[i] > '9')
            return false;
    if (!str_to_u64(step, &n))
        return false;
    *ret = n;
    return true;
}

struct value *pointer_find(const struct pointer *p, size_t steps, struct value *v)
{
    for (size_t i = 0; i < MIN(steps, p->count) && v; i++) {
        size_t index;
        if (v->type == VALUE_ARRAY)
            v = pointer_index(p->steps[i], &index) && index < v->items_count ? v->items[index] : NULL;
        else
            v = value_get_str(v, p->steps[i]);
    }
    return v;
}

void pointer_write_step(struct buf *to, struct str step)
{
    buf_add_char(to, '/');
    for (size_t i = 0; i < step.n; i++) {
        if (step.p[i] == '~')
            buf_add_text(to, "~0");
        else if (step.p[i] == '/')
            buf_add_text(to, "~1");
        else
            buf_add_char(to, step.p[i]);
    }
}
