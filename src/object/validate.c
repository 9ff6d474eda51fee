/* Names, labels, annotations and other plain texts: regular expressions of upstream, written as loops. */
#include "object/validate.h"
#include "object/validate_internal.h"

/* upstream's RegexError(): the odd spaces are what clients see. */
#define E1(a)                " (e.g. '" a "', "
#define E2(a, b)             " (e.g. '" a "',  or '" b "', "
#define E3(a, b, c)          " (e.g. '" a "',  or '" b "',  or '" c "', "
#define REGEX(e, expression) e "regex used for validation is '" expression "')"

#define LABEL     "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN LABEL "(\\." LABEL ")*"
#define QUALIFIED "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

#define LABEL_TEXT                                                                                                     \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "    \
    "with "                                                                                                            \
    "an alphanumeric character" REGEX(E2("my-name", "123-abc"), LABEL)
#define SUBDOMAIN_TEXT                                                                                                 \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "   \
    "and "                                                                                                             \
    "end with an alphanumeric character" REGEX(E1("example.com"), SUBDOMAIN)
#define QUALIFIED_TEXT                                                                                                 \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "           \
    "character" REGEX(E3("MyName", "my.name", "123-abc"), QUALIFIED)
#define TOO_LONG(bytes) "must be no more than " #bytes " bytes"
#define EMPTY           "must be non-empty"

bool validate_add(struct validate_messages *ret, const char *message)
{
    if (ret && ret->count < VALIDATE_MESSAGES_MAX)
        ret->list[ret->count++] = message;
    return false;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower_or_digit(char c)
{
    return is_lower(c) || is_digit(c);
}

static bool is_letter(char c)
{
    return is_lower((char)(c | 0x20));
}

static bool is_alphanumeric(char c)
{
    return is_letter(c) || is_digit(c);
}

static bool is_label(struct str s)
{
    if (s.n == 0 || !is_lower_or_digit(s.p[0]) || !is_lower_or_digit(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_lower_or_digit(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

static bool is_subdomain(struct str s)
{
    struct str part, rest = s;
    if (s.n == 0 || s.p[s.n - 1] == '.')
        return false;
    while (str_next(&rest, '.', &part))
        if (!is_label(part))
            return false;
    return true;
}

/* [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])? */
static bool is_qualified_part(struct str s)
{
    if (s.n == 0 || !is_alphanumeric(s.p[0]) || !is_alphanumeric(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alphanumeric(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
            return false;
    return true;
}

bool validate_dns1123_label(struct str s, struct validate_messages *ret)
{
    bool ok = s.n <= 63 || validate_add(ret, TOO_LONG(63));
    if (is_label(s))
        return ok;
    return validate_add(ret, is_subdomain(s) ? "must not contain dots" : LABEL_TEXT);
}

bool validate_dns1123_subdomain(struct str s, struct validate_messages *ret)
{
    bool ok = s.n <= 253 || validate_add(ret, TOO_LONG(253));
    return is_subdomain(s) ? ok : validate_add(ret, SUBDOMAIN_TEXT);
}

bool validate_dns1035_label(struct str s, struct validate_messages *ret)
{
    bool ok = s.n <= 63 || validate_add(ret, TOO_LONG(63));
    if (is_label(s) && is_lower(s.p[0]))
        return ok;
    return validate_add(ret,
                        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
                        "alphabetic character, and end with an alphanumeric character" REGEX(
                            E2("my-name", "abc-123"), "[a-z]([-a-z0-9]*[a-z0-9])?"));
}

bool validate_wildcard_subdomain(struct str s, struct validate_messages *ret)
{
    bool ok = s.n <= 253 || validate_add(ret, TOO_LONG(253));
    if (str_starts(s, STR("*.")) && is_subdomain(str_from(s, 2)))
        return ok;
    return validate_add(ret,
                        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which "
                        "must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric "
                        "character" REGEX(E1("*.example.com"), "\\*\\." SUBDOMAIN));
}

bool validate_path_segment_prefix(struct str s, struct validate_messages *ret)
{
    bool ok = str_find(s, '/') < 0 || validate_add(ret, "may not contain '/'");
    return str_find(s, '%') < 0 ? ok : validate_add(ret, "may not contain '%'");
}

bool validate_path_segment(struct str s, struct validate_messages *ret)
{
    if (str_is(s, "."))
        return validate_add(ret, "may not be '.'");
    if (str_is(s, ".."))
        return validate_add(ret, "may not be '..'");
    return validate_path_segment_prefix(s, ret);
}

bool validate_fully_qualified_name(struct str s, struct validate_messages *ret)
{
    if (!validate_dns1123_subdomain(s, ret))
        return false;
    return str_find(s, '.') >= 0 ||
           validate_add(ret, "should be a domain with at least two segments separated by dots");
}

bool validate_domain_prefixed_path(struct str s, struct validate_messages *ret)
{
    struct str path = s, host;
    if (!str_cut(&path, '/', &host) || host.n == 0 || path.n == 0)
        return validate_add(ret, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    bool ok = validate_dns1123_subdomain(host, ret);
    for (size_t i = 0; i < path.n; i++)
        if (!is_alphanumeric(path.p[i]) && !memchr("/-._~%!$&'()*+,;=:", path.p[i], 18))
            return validate_add(ret, "Invalid path" REGEX(" (", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"));
    return ok;
}

bool validate_generate_name(validate_fn check, struct str prefix, struct validate_messages *ret)
{
    char masked[512]; /* longer than any name's limit: more only has to stay too long */
    if (prefix.n <= 1 || prefix.p[prefix.n - 1] != '-')
        return check(prefix, ret);
    size_t n = MIN(prefix.n - 2, sizeof(masked) - 1);
    memcpy(masked, prefix.p, n);
    masked[n] = 'a';
    return check((struct str){ masked, n + 1 }, ret);
}

static bool check_name_part(struct str name, struct validate_messages *ret)
{
    bool ok = true;
    if (name.n == 0)
        ok = validate_add(ret, "name part " EMPTY);
    else if (name.n > 63)
        ok = validate_add(ret, "name part " TOO_LONG(63));
    return is_qualified_part(name) ? ok : validate_add(ret, "name part " QUALIFIED_TEXT);
}

static bool check_prefix_part(struct str prefix, struct validate_messages *ret)
{
    if (prefix.n == 0)
        return validate_add(ret, "prefix part " EMPTY);
    bool ok = prefix.n <= 253 || validate_add(ret, "prefix part " TOO_LONG(253));
    return is_subdomain(prefix) ? ok : validate_add(ret, "prefix part " SUBDOMAIN_TEXT);
}

bool validate_qualified_name(struct str s, struct validate_messages *ret)
{
    struct str name = s, prefix;
    if (!str_cut(&name, '/', &prefix))
        return check_name_part(s, ret);
    if (str_find(name, '/') >= 0)
        return validate_add(ret, "a qualified name " QUALIFIED_TEXT
                                 " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
    bool ok = check_prefix_part(prefix, ret);
    return check_name_part(name, ret) && ok;
}

bool validate_annotation_key(struct str s, struct validate_messages *ret)
{
    char lower[1024]; /* longer than both parts' limits together */
    size_t n = MIN(s.n, sizeof(lower));
    for (size_t i = 0; i < n; i++)
        lower[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
    return validate_qualified_name((struct str){ lower, n }, ret);
}

bool validate_label_value(struct str s, struct validate_messages *ret)
{
    bool ok = s.n <= 63 || validate_add(ret, TOO_LONG(63));
    if (s.n == 0 || is_qualified_part(s))
        return ok;
    return validate_add(ret,
                        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
                        "and must start and end with an alphanumeric character" REGEX(
                            E3("MyValue", "my_value", "12345"), "(" QUALIFIED ")?"));
}

bool validate_port_name(struct str s, struct validate_messages *ret)
{
    bool ok = s.n <= 15 || validate_add(ret, TOO_LONG(15)), charset = s.n > 0, letter = false;
    for (size_t i = 0; i < s.n; i++) {
        charset &= is_lower_or_digit(s.p[i]) || s.p[i] == '-';
        letter |= is_lower(s.p[i]);
    }
    if (!charset)
        ok = validate_add(ret, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    if (!letter)
        ok = validate_add(ret, "must contain at least one letter (a-z)");
    if (str_contains(s, STR("--")))
        ok = validate_add(ret, "must not contain consecutive hyphens");
    if (s.n > 0 && (s.p[0] == '-' || s.p[s.n - 1] == '-'))
        ok = validate_add(ret, "must not begin or end with a hyphen");
    return ok;
}

bool validate_http_header_name(struct str s, struct validate_messages *ret)
{
    bool ok = s.n > 0;
    for (size_t i = 0; i < s.n; i++)
        ok &= is_alphanumeric(s.p[i]) || s.p[i] == '-';
    return ok || validate_add(ret, "a valid HTTP header must consist of alphanumeric characters or '-'" REGEX(
                                       E1("X-Header-Name"), "[-A-Za-z0-9]+"));
}

bool validate_env_name(struct str s, struct validate_messages *ret)
{
    if (s.n == 0)
        return validate_add(ret, "environment variable name " EMPTY);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '=')
            return validate_add(ret,
                                "a valid environment variable name must consist only of printable ASCII characters "
                                "other than '='");
    return true;
}

static bool has_no_folder_prefix(struct str s, struct validate_messages *ret)
{
    if (str_is(s, "."))
        return validate_add(ret, "must not be '.'");
    if (str_is(s, ".."))
        return validate_add(ret, "must not be '..'");
    return !str_starts(s, STR("..")) || validate_add(ret, "must not start with '..'");
}

static bool is_key(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alphanumeric(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
            return false;
    return s.n > 0;
}

bool validate_env_name_strict(struct str s, struct validate_messages *ret)
{
    bool ok = (is_key(s) && !is_digit(s.p[0])) ||
              validate_add(
                  ret, "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or "
                       "'.', and must not start with a digit" REGEX(E3("my.env-name", "MY_ENV.NAME", "MyEnvName1"),
                                                                    "[-._a-zA-Z][-._a-zA-Z0-9]*"));
    return has_no_folder_prefix(s, ret) && ok;
}

bool validate_config_key(struct str s, struct validate_messages *ret)
{
    bool ok = s.n <= 253 || validate_add(ret, TOO_LONG(253));
    if (!is_key(s))
        ok = validate_add(ret, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'" REGEX(
                                   E3("key.name", "KEY_NAME", "key-name"), "[-._a-zA-Z0-9]+"));
    return has_no_folder_prefix(s, ret) && ok;
}

bool validate_c_identifier(struct str s, struct validate_messages *ret)
{
    bool ok = s.n > 0 && !is_digit(s.p[0]);
    for (size_t i = 0; i < s.n; i++)
        ok &= is_alphanumeric(s.p[i]) || s.p[i] == '_';
    return ok || validate_add(
                     ret, "a valid C identifier must start with alphabetic character or '_', followed by a string of "
                          "alphanumeric characters or '_'" REGEX(E3("my_name", "MY_NAME", "MyName"),
                                                                 "[A-Za-z_][A-Za-z0-9_]*"));
}

bool validate_percent(struct str s, struct validate_messages *ret)
{
    bool ok = s.n > 1 && s.p[s.n - 1] == '%';
    for (size_t i = 0; i + 1 < s.n; i++)
        ok &= is_digit(s.p[i]);
    return ok || validate_add(ret, "a valid percent string must be a numeric string followed by an ending '%'" REGEX(
                                       E2("1%", "93%"), "[0-9]+%"));
}

bool validate_uuid(struct str s, struct validate_messages *ret)
{
    bool ok = s.n == 36;
    for (size_t i = 0; i < s.n && ok; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        ok = dash ? s.p[i] == '-' : is_digit(s.p[i]) || (s.p[i] >= 'a' && s.p[i] <= 'f');
    }
    return ok || validate_add(ret, "must be a lowercase UUID in 8-4-4-4-12 format");
}

bool validate_absolute_path(struct str s, struct validate_messages *ret)
{
    return str_starts(s, STR("/")) || validate_add(ret, "must be an absolute path");
}

const char *validate_port_number(int64_t port)
{
    return port >= 1 && port <= 65535 ? NULL : "must be between 1 and 65535, inclusive";
}

const char *validate_not_negative(int64_t n)
{
    return n >= 0 ? NULL : "must be greater than or equal to 0";
}

const char *validate_positive(int64_t n)
{
    return n > 0 ? NULL : "must be greater than 0";
}

const char *validate_id(int64_t id)
{
    return id >= 0 && id <= INT32_MAX ? NULL : "must be between 0 and 2147483647, inclusive";
}
