/* Validation of values by their form, and sets of values seen. */
#include "kinds/check_format.h"

#include "base/map.h"
#include "object/validate.h"

#include <arpa/inet.h>

/* One complaint for each thing that is wrong with the form. */
static bool check_with(struct check *k, const struct at *at, struct str s, validate_fn form)
{
    struct validate_messages messages = { 0 };

    if (form(s, &messages))
        return true;
    for (unsigned i = 0; i < messages.count; i++)
        check_invalid_str(k, at, s, messages.list[i]);
    return false;
}

bool check_dns_label(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_dns1123_label);
}

bool check_dns_subdomain(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_dns1123_subdomain);
}

bool check_dns_search(struct check *k, const struct at *at, struct str s)
{
    char *plain = arena_strdup(k->arena, s);

    /* Underscores are fine anywhere but at the very ends, where a letter or digit must stand. */
    for (size_t i = 1; i + 1 < s.n; i++)
        if (plain[i] == '_')
            plain[i] = '0';
    if (validate_dns1123_subdomain((struct str){ plain, s.n }, NULL))
        return true;
    return check_with(k, at, s, validate_dns1123_subdomain);
}

bool check_qualified_name(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_qualified_name);
}

bool check_annotation_key(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_annotation_key);
}

bool check_label_value(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_label_value);
}

void check_labels(struct check *k, const struct at *at, struct view labels)
{
    struct view_iter it = { 0 };

    while (view_next(labels, &it) && !check_full(k)) {
        check_qualified_name(k, at, it.key);
        check_label_value(k, at, view_str(it.value));
    }
}

static void check_requirement(struct check *k, const struct at *at, struct view requirement)
{
    struct str operator= view_str_at(requirement, F_LABEL_SELECTOR_REQUIREMENT_OPERATOR);
    struct view values = view_get(requirement, F_LABEL_SELECTOR_REQUIREMENT_VALUES);
    struct view_iter it = { 0 };

    if (str_is(operator, "In") || str_is(operator, "NotIn")) {
        if (!view_count(values))
            check_required(k, AT(at, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (str_is(operator, "Exists") || str_is(operator, "DoesNotExist")) {
        if (view_count(values))
            check_forbidden(k, AT(at, "values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else {
        check_invalid_str(k, AT(at, "operator"), operator, "not a valid selector operator");
    }
    check_qualified_name(k, AT(at, "key"), view_str_at(requirement, F_LABEL_SELECTOR_REQUIREMENT_KEY));
    for (size_t i = 0; view_next(values, &it) && !check_full(k); i++)
        check_label_value(k, AT_INDEX(AT(at, "values"), i), view_str(it.value));
}

bool check_label_selector(struct check *k, const struct at *at, struct view selector)
{
    size_t before = k->causes->causes_count;
    struct view_iter it = { 0 };

    check_labels(k, AT(at, "matchLabels"), view_get(selector, F_LABEL_SELECTOR_MATCH_LABELS));
    for (size_t i = 0; view_next(view_get(selector, F_LABEL_SELECTOR_MATCH_EXPRESSIONS), &it) && !check_full(k); i++)
        check_requirement(k, AT_INDEX(AT(at, "matchExpressions"), i), it.value);
    return k->causes->causes_count == before;
}

bool check_env_name(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_env_name);
}

bool check_config_key(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_config_key);
}

bool check_port_name(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_port_name);
}

bool check_port_or_name(struct check *k, const struct at *at, struct view int_or_string)
{
    if (view_type(int_or_string) == VALUE_STRING)
        return check_port_name(k, at, view_str(int_or_string));
    return check_port(k, at, view_int(int_or_string, 0));
}

bool check_header_name(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_http_header_name);
}

bool check_user_id(struct check *k, const struct at *at, int64_t id)
{
    const char *problem = validate_id(id);

    if (problem)
        check_invalid_int(k, at, id, problem);
    return !problem;
}

bool check_ip(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_ip);
}

bool check_cidr(struct check *k, const struct at *at, struct str s)
{
    return check_with(k, at, s, validate_cidr);
}

bool str_is_ipv6(struct str s)
{
    return str_find(s, ':') >= 0;
}

static const char *special_ipv4(const unsigned char ip[4])
{
    if (ip[0] == 127)
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)";
    if (ip[0] == 169 && ip[1] == 254)
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
    if (ip[0] == 224 && ip[1] == 0 && ip[2] == 0)
        return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
    return NULL;
}

static const char *special_ipv6(const unsigned char ip[16])
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (memcmp(ip, mapped, sizeof(mapped)) == 0)
        return special_ipv4(ip + 12);
    if (memcmp(ip, &in6addr_loopback, 16) == 0)
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)";
    if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
    if (ip[0] == 0xff && (ip[1] & 0x0f) == 0x02)
        return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
    return NULL;
}

bool check_not_special_ip(struct check *k, const struct at *at, struct str s)
{
    static const unsigned char zero[16];
    unsigned char ip[16] = { 0 };
    bool v6 = str_is_ipv6(s);
    const char *problem;

    if (inet_pton(v6 ? AF_INET6 : AF_INET, arena_strdup(k->arena, s), ip) != 1) {
        check_invalid_str(k, at, s, "must be a valid IP address");
        return false;
    }
    problem = memcmp(ip, zero, sizeof(ip)) == 0 ? arena_printf(k->arena, "may not be unspecified (%.*s)", STR_ARG(s)).p
              : v6                              ? special_ipv6(ip)
                                                : special_ipv4(ip);
    if (problem)
        check_invalid_str(k, at, s, problem);
    return !problem;
}

void check_file_mode(struct check *k, const struct at *at, struct view mode)
{
    if (view_present(mode) && (view_int(mode, 0) < 0 || view_int(mode, 0) > 0777))
        check_invalid(k, at, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

void check_no_backsteps(struct check *k, const struct at *at, struct str path)
{
    struct str rest = path, part;

    while (str_next(&rest, '/', &part))
        if (str_is(part, "..")) {
            check_invalid_str(k, at, path, "must not contain '..'");
            return;
        }
}

void check_relative_path(struct check *k, const struct at *at, struct str path)
{
    if (str_starts(path, STR("/")))
        check_invalid_str(k, at, path, "must be a relative path");
    check_no_backsteps(k, at, path);
}

void check_volume_file(struct check *k, const struct at *at, struct str path)
{
    check_relative_path(k, at, path);
    if (str_starts(path, STR("..")) && !str_starts(path, STR("../")))
        check_invalid_str(k, at, path, "must not start with '..'");
}

static const char *name_problem(validate_fn form, struct str name, bool generate_prefix)
{
    struct validate_messages messages = { 0 };
    bool fine = generate_prefix ? validate_generate_name(form, name, &messages) : form(name, &messages);

    return fine ? NULL : messages.list[0];
}

const char *name_is_dns_label(struct str name, bool generate_prefix)
{
    return name_problem(validate_dns1123_label, name, generate_prefix);
}

const char *name_is_dns_subdomain(struct str name, bool generate_prefix)
{
    return name_problem(validate_dns1123_subdomain, name, generate_prefix);
}

const char *name_is_dns_1035_label(struct str name, bool generate_prefix)
{
    return name_problem(validate_dns1035_label, name, generate_prefix);
}

const char *name_is_path_segment(struct str name, bool generate_prefix)
{
    struct validate_messages messages = { 0 };
    bool fine = (generate_prefix ? validate_path_segment_prefix : validate_path_segment)(name, &messages);

    return fine ? NULL : messages.list[0];
}

bool seen_before(struct map *seen, struct str s)
{
    static char present;

    return map_put(seen, s, &present) != NULL;
}
