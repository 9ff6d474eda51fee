/* Label selectors out of API objects: LabelSelector, plain maps, and the terms of node selectors. */
#include "object/selector_internal.h"

#include <stdlib.h>

static const struct {
    const char *name;
    enum selector_relation relation;
    bool nodes_only;
} operators[] = {
    { "In", SELECTOR_IN, false },         { "NotIn", SELECTOR_NOT_IN, false },
    { "Exists", SELECTOR_EXISTS, false }, { "DoesNotExist", SELECTOR_NOT_EXISTS, false },
    { "Gt", SELECTOR_GREATER, true },     { "Lt", SELECTOR_LESS, true },
};

static int find_operator(struct str name, bool node, enum selector_relation *ret, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        if (str_is(name, operators[i].name) && (node || !operators[i].nodes_only)) {
            *ret = operators[i].relation;
            return 0;
        }
    }
    return fail(err, ERR_BAD_REQUEST, "\"%.*s\" is not a valid %s selector operator", STR_ARG(str_part(name, 0, 256)),
                node ? "node" : "label");
}

static int add_labels(struct selector_builder *b, struct view labels, struct error *err)
{
    struct view_iter it = { 0 };
    while (view_next(labels, &it)) {
        struct str value = view_str(it.value);
        if (selector_builder_add(b, it.key, SELECTOR_EQUALS, &value, 1, false, err) < 0)
            return -1;
    }
    return 0;
}

static int add_expression(struct selector_builder *b, struct view expression, bool node, bool fields, struct error *err)
{
    enum selector_relation relation = SELECTOR_EXISTS;
    struct view list = view_get_str(expression, STR("values"));
    if (find_operator(view_str(view_get_str(expression, STR("operator"))), node, &relation, err) < 0)
        return -1;
    uint32_t count = 0, capacity = (uint32_t)view_count(list);
    if (capacity > SELECTOR_VALUES_MAX)
        return fail(err, ERR_TOO_LARGE, "selector has more than %d values", SELECTOR_VALUES_MAX);
    AUTO_FREE struct str *values = xcalloc(MAX(capacity, 1), sizeof(*values));
    struct view_iter it = { 0 };
    while (view_next(list, &it))
        values[count++] = view_str(it.value);
    return selector_builder_add(b, view_str(view_get_str(expression, STR("key"))), relation, values, count, fields,
                                err);
}

static int add_expressions(struct selector_builder *b, struct view expressions, bool node, bool fields,
                           struct error *err)
{
    struct view_iter it = { 0 };
    while (view_next(expressions, &it))
        if (add_expression(b, it.value, node, fields, err) < 0)
            return -1;
    return 0;
}

static int finish(struct selector_builder *b, int result)
{
    if (result < 0)
        label_selector_done(b->selector);
    else
        selector_builder_finish(b);
    return result;
}

int label_selector_of_view(struct label_selector *ret, struct view selector, struct error *err)
{
    *ret = (struct label_selector){ .nothing = view_type(selector) != VALUE_OBJECT };
    struct selector_builder b = { .selector = ret };
    int result = add_labels(&b, view_get_str(selector, STR("matchLabels")), err);
    if (result == 0)
        result = add_expressions(&b, view_get_str(selector, STR("matchExpressions")), false, false, err);
    return finish(&b, result);
}

int label_selector_of_map(struct label_selector *ret, struct view labels, struct error *err)
{
    *ret = (struct label_selector){ 0 };
    struct selector_builder b = { .selector = ret };
    return finish(&b, add_labels(&b, labels, err));
}

/* By way of an object: trees are only asked while a request is decoded, once. */
int label_selector_of_value(struct label_selector *ret, const struct value *selector, struct error *err)
{
    *ret = (struct label_selector){ .nothing = true };
    if (value_type(selector) != VALUE_OBJECT)
        return 0;
    AUTO_OBJECT struct object *o = object_new(selector, err);
    return o ? label_selector_of_view(ret, object_root(o), err) : -1;
}

void node_selector_done(struct node_selector *s)
{
    for (size_t i = 0; i < s->count; i++) {
        label_selector_done(&s->terms[i].labels);
        label_selector_done(&s->terms[i].fields);
    }
    free(s->terms);
    *s = (struct node_selector){ 0 };
}

static int init_term(struct node_term *t, struct view term, struct error *err)
{
    struct view expressions = view_get_str(term, STR("matchExpressions")),
                fields = view_get_str(term, STR("matchFields"));
    struct selector_builder labels = { .selector = &t->labels }, field = { .selector = &t->fields };
    t->empty = view_count(expressions) == 0 && view_count(fields) == 0;
    if (finish(&labels, add_expressions(&labels, expressions, true, false, err)) < 0)
        return -1;
    return finish(&field, add_expressions(&field, fields, true, SELECTOR_FIELDS, err));
}

int node_selector_of_view(struct node_selector *ret, struct view selector, struct error *err)
{
    struct view terms = view_get_str(selector, STR("nodeSelectorTerms"));
    size_t count = view_count(terms);
    *ret = (struct node_selector){ 0 };
    if (count > SELECTOR_REQUIREMENTS_MAX)
        return fail(err, ERR_TOO_LARGE, "node selector has more than %d terms", SELECTOR_REQUIREMENTS_MAX);
    ret->terms = xcalloc(MAX(count, 1), sizeof(*ret->terms));
    struct view_iter it = { 0 };
    while (view_next(terms, &it)) {
        if (init_term(&ret->terms[ret->count++], it.value, err) < 0) {
            node_selector_done(ret);
            return -1;
        }
    }
    return 0;
}

int node_selector_of_term(struct node_selector *ret, struct view term, struct error *err)
{
    *ret = (struct node_selector){ .terms = xcalloc(1, sizeof(*ret->terms)), .count = 1 };
    if (init_term(ret->terms, term, err) == 0)
        return 0;
    node_selector_done(ret);
    return -1;
}

static bool fields_match(const struct label_selector *fields, struct view node)
{
    for (size_t i = 0; i < fields->count; i++) {
        struct str value = field_of_view(&node, fields->requirements[i].key);
        if (!requirement_matches(&fields->requirements[i], true, value))
            return false;
    }
    return true;
}

bool node_selector_matches(const struct node_selector *s, struct view node)
{
    struct view labels = view_get_str(view_get_str(node, STR("metadata")), STR("labels"));
    for (size_t i = 0; i < s->count; i++) {
        const struct node_term *t = &s->terms[i];
        if (!t->empty && label_selector_matches(&t->labels, labels) && fields_match(&t->fields, node))
            return true;
    }
    return false;
}
