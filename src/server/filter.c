/* Filters of lists and watches. */
#include "server/filter.h"

#include "kinds/fields.h"
#include "server/alias.h"

static const struct kind_field_label *find_label(const struct kind *k, struct str name)
{
    for (const struct kind_field_label *f = k->field_labels; f && f->label; f++)
        if (str_is(name, f->label))
            return f;
    return NULL;
}

static int check_fields(const struct filter *f, struct str text, struct error *err)
{
    for (size_t i = 0; i < f->fields.count; i++) {
        struct str name = f->fields.terms[i].field;
        if (str_is(name, "metadata.name") || (str_is(name, "metadata.namespace") && f->kind->namespaced) ||
            find_label(f->kind, name))
            continue;
        return fail(err, ERR_BAD_REQUEST,
                    "Unable to find \"%s/%s, Resource=%s\" that match label selector \"\", field selector \"%.*s\": "
                    "field label not "
                    "supported: %.*s",
                    f->kind->group, f->kind->version, f->kind->plural, STR_ARG(text), STR_ARG(name));
    }
    return 0;
}

int filter_parse(struct filter *ret, const struct kind *k, struct str namespace_, struct str labels, struct str fields,
                 struct error *err)
{
    *ret = (struct filter){ .kind = k, .namespace_ = namespace_ };
    if (label_selector_parse(&ret->labels, labels, err) < 0 || field_selector_parse(&ret->fields, fields, err) < 0)
        return -1;
    return check_fields(ret, fields, err);
}

void filter_done(struct filter *f)
{
    label_selector_done(&f->labels);
    field_selector_done(&f->fields);
}

static bool term_matches(const struct filter *f, const struct field_term *t, const struct object *o, struct arena *a)
{
    struct str value;
    if (str_is(t->field, "metadata.name"))
        value = object_name(o);
    else if (str_is(t->field, "metadata.namespace"))
        value = object_namespace(o);
    else
        value = find_label(f->kind, t->field)->get(object_root(o), a);
    return str_eq(value, t->value) != t->not_equal;
}

static bool fields_match(const struct filter *f, const struct object *o)
{
    AUTO_ARENA struct arena a = { 0 };
    if (!alias_is(f->kind)) {
        for (size_t i = 0; i < f->fields.count; i++)
            if (!term_matches(f, &f->fields.terms[i], o, &a))
                return false;
        return true;
    }
    AUTO_OBJECT struct object *shown = alias_object(f->kind, o);
    for (size_t i = 0; i < f->fields.count; i++)
        if (!term_matches(f, &f->fields.terms[i], shown, &a))
            return false;
    return true;
}

bool filter_matches(const struct filter *f, const struct object *o)
{
    if (!str_empty(f->namespace_) && !str_eq(f->namespace_, object_namespace(o)))
        return false;
    if (!label_selector_is_everything(&f->labels) &&
        !label_selector_matches(&f->labels, view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_LABELS)))
        return false;
    return f->fields.count == 0 || fields_match(f, o);
}

bool filter_has_selectors(const struct filter *f)
{
    return f->fields.count > 0 || !label_selector_is_everything(&f->labels);
}

struct str filter_only_name(const struct filter *f)
{
    struct str name = STR_NONE;
    return field_selector_requires(&f->fields, STR("metadata.name"), &name) ? name : STR_NONE;
}
