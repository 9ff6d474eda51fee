/* Rules that all kinds with a pod template share. */
#include "kinds/workload.h"

#include "object/validate.h"

static bool requirement_matches(struct view requirement, struct view labels)
{
    struct str operator= view_str_at(requirement, F_LABEL_SELECTOR_REQUIREMENT_OPERATOR);
    struct view label = view_get_str(labels, view_str_at(requirement, F_LABEL_SELECTOR_REQUIREMENT_KEY));
    struct view_iter it = { 0 };
    bool in = false;

    if (str_is(operator, "Exists"))
        return view_present(label);
    if (str_is(operator, "DoesNotExist"))
        return !view_present(label);
    while (view_present(label) && view_next(view_get(requirement, F_LABEL_SELECTOR_REQUIREMENT_VALUES), &it))
        in |= str_eq(view_str(it.value), view_str(label));
    return str_is(operator, "In") ? in : !in;
}

bool selector_matches(struct view selector, struct view labels)
{
    struct view_iter it = { 0 };

    if (view_type(selector) != VALUE_OBJECT)
        return false;
    while (view_next(view_get(selector, F_LABEL_SELECTOR_MATCH_LABELS), &it)) {
        struct view label = view_get_str(labels, it.key);

        if (!view_present(label) || !str_eq(view_str(label), view_str(it.value)))
            return false;
    }
    it = (struct view_iter){ 0 };
    while (view_next(view_get(selector, F_LABEL_SELECTOR_MATCH_EXPRESSIONS), &it))
        if (!requirement_matches(it.value, labels))
            return false;
    return true;
}

static bool selector_is_empty(struct view selector)
{
    return !view_count(view_get(selector, F_LABEL_SELECTOR_MATCH_LABELS)) &&
           !view_count(view_get(selector, F_LABEL_SELECTOR_MATCH_EXPRESSIONS));
}

void workload_check_selector(struct check *k, const struct at *spec_at, struct view spec, const char *empty_message)
{
    struct view selector = view_get(spec, F_DEPLOYMENT_SPEC_SELECTOR);
    const struct at *at = AT(spec_at, "selector");

    if (view_type(selector) != VALUE_OBJECT) /* Go writes null for the selector that is not there */
        check_required(k, at, "");
    else if (!check_label_selector(k, at, selector))
        check_invalid(k, at, selector, "invalid label selector");
    else if (selector_is_empty(selector))
        check_invalid(k, at, selector, empty_message);
}

/* Whether the selector could be read at all; if not, its template is not looked at, as upstream does it. */
static bool selector_is_valid(struct check *k, struct view selector)
{
    AUTO_ERROR struct error ignored = { 0 };
    struct check trial = { k->context, k->arena, &ignored };

    return check_label_selector(&trial, AT_ROOT, selector);
}

void workload_check_template(struct check *k, const struct at *spec_at, struct view spec, const char *kind)
{
    static const char *const always[] = { "Always", NULL };
    struct view selector = view_get(spec, F_DEPLOYMENT_SPEC_SELECTOR);
    struct view template_ = view_get(spec, F_DEPLOYMENT_SPEC_TEMPLATE);
    struct view labels = view_path(template_, F_POD_TEMPLATE_SPEC_METADATA, F_OBJECT_META_LABELS);
    struct view pod = view_get(template_, F_POD_TEMPLATE_SPEC_SPEC);
    struct str policy = view_str_at(pod, F_POD_SPEC_RESTART_POLICY);
    const struct at *at = AT(spec_at, "template");

    if (!selector_is_valid(k, selector))
        return;
    if (!selector_matches(selector, labels))
        check_invalid(k, AT(AT(at, "metadata"), "labels"), labels, "`selector` does not match template `labels`");
    pod_template_validate(k, at, template_);
    if (!str_is(policy, "Always"))
        check_not_supported(k, AT(AT(at, "spec"), "restartPolicy"), policy, always);
    if (view_present(view_get(pod, F_POD_SPEC_ACTIVE_DEADLINE_SECONDS)))
        check_forbidden(k, AT(AT(at, "spec"), "activeDeadlineSeconds"),
                        arena_printf(k->arena, "activeDeadlineSeconds in %s is not Supported", kind).p);
}

bool check_int_or_percent(struct check *k, const struct at *at, struct view v)
{
    struct validate_messages messages = { 0 };

    if (view_type(v) != VALUE_STRING)
        return check_not_negative(k, at, view_int(v, 0));
    if (validate_percent(view_str(v), &messages))
        return true;
    check_invalid(k, at, v, messages.list[0]);
    return false;
}

/* -1 for what is not a percentage. */
static int64_t percent_of(struct view v)
{
    struct str text = view_str(v);
    int64_t n;

    return text.n && str_to_i64(str_part(text, 0, text.n - 1), &n) ? n : -1;
}

void check_at_most_100_percent(struct check *k, const struct at *at, struct view v)
{
    if (view_type(v) == VALUE_STRING && validate_percent(view_str(v), NULL) && percent_of(v) > 100)
        check_invalid(k, at, v, "must not be greater than 100%");
}

bool int_or_percent_is_zero(struct view v)
{
    return view_type(v) == VALUE_STRING ? percent_of(v) == 0 : view_int(v, 0) == 0;
}

struct str int_or_string_text(struct arena *a, struct view v)
{
    return view_type(v) == VALUE_STRING ? view_str(v) : arena_printf(a, "%lld", (long long)view_int(v, 0));
}

void check_status_numbers(struct check *k, struct view status, const struct status_number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_not_negative(k, AT_STR(AT(AT_ROOT, "status"), numbers[i].text), view_int_at(status, 0, numbers[i].name));
}

void check_status_at_most(struct check *k, struct view status, struct status_number number, name_id limit,
                          const char *detail)
{
    int64_t n = view_int_at(status, 0, number.name);

    if (n > view_int_at(status, 0, limit))
        check_invalid_int(k, AT_STR(AT(AT_ROOT, "status"), number.text), n, detail);
}
