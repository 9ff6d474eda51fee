/* The forms of names and values, with the sentences clients see. */
#include "test.h"

#include "object/validate.h"

static void check(validate_fn fn, const char *text, const char *expected)
{
    struct validate_messages messages = { 0 };
    AUTO_BUF struct buf got = BUF_MAX(8 * KIB);
    bool ok = fn(str_of(text), &messages);
    for (unsigned i = 0; i < messages.count; i++)
        buf_addf(&got, "%s%s", i ? " | " : "", messages.list[i]);
    AUTO_BUF struct buf what = BUF_MAX(8 * KIB), wanted = BUF_MAX(8 * KIB);
    buf_addf(&what, "%s: %.*s", text, STR_ARG(buf_str(&got)));
    buf_addf(&wanted, "%s: %s", text, expected);
    ASSERT_STR(what, wanted);
    ASSERT_INT(ok, messages.count == 0);
    ASSERT_INT(fn(str_of(text), NULL), ok);
}

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LABEL_MESSAGE                                                                                                  \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "    \
    "with "                                                                                                            \
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "                          \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define SUBDOMAIN_MESSAGE                                                                                              \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "   \
    "and "                                                                                                             \
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "                            \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define NAME_PART_MESSAGE                                                                                              \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric " \
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "                            \
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

TEST("labels of DNS")
{
    check(validate_dns1123_label, "a", "");
    check(validate_dns1123_label, "1-a", "");
    check(validate_dns1123_label, A63, "");
    check(validate_dns1123_label, A63 "a", "must be no more than 63 bytes");
    check(validate_dns1123_label, "a.b", "must not contain dots");
    check(validate_dns1123_label, "Not_Valid!", LABEL_MESSAGE);
    check(validate_dns1123_label, "", LABEL_MESSAGE);
    check(validate_dns1123_label, "-a", LABEL_MESSAGE);
    check(validate_dns1035_label, "a-1", "");
    check(validate_dns1035_label, "1-a",
          "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
          "character, and "
          "end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
          "'[a-z]([-a-z0-9]*[a-z0-9])?')");
}

TEST("subdomains")
{
    check(validate_dns1123_subdomain, "a.b-c.1", "");
    check(validate_dns1123_subdomain, "a..b", SUBDOMAIN_MESSAGE);
    check(validate_dns1123_subdomain, ".a", SUBDOMAIN_MESSAGE);
    check(validate_dns1123_subdomain, "a.", SUBDOMAIN_MESSAGE);
    check(validate_dns1123_subdomain, "a_b", SUBDOMAIN_MESSAGE);
    check(validate_dns1123_subdomain, A63 "." A63 "." A63 "." A63, "must be no more than 253 bytes");
    check(validate_wildcard_subdomain, "*.example.com", "");
    ASSERT(!validate_wildcard_subdomain(STR("example.com"), NULL));
    ASSERT(!validate_wildcard_subdomain(STR("*."), NULL));
    check(validate_fully_qualified_name, "a.b", "");
    check(validate_fully_qualified_name, "a", "should be a domain with at least two segments separated by dots");
}

TEST("keys and values of labels")
{
    check(validate_qualified_name, "app", "");
    check(validate_qualified_name, "app.kubernetes.io/name", "");
    check(validate_qualified_name, "A_b.C-1", "");
    check(validate_qualified_name, "", "name part must be non-empty | " NAME_PART_MESSAGE);
    check(validate_qualified_name, "a/", "name part must be non-empty | " NAME_PART_MESSAGE);
    check(validate_qualified_name, "/a", "prefix part must be non-empty");
    check(validate_qualified_name, "A/b", "prefix part " SUBDOMAIN_MESSAGE);
    check(validate_qualified_name, A63 "a", "name part must be no more than 63 bytes");
    check(validate_qualified_name, "nospecialchars^=@", NAME_PART_MESSAGE);
    ASSERT(!validate_qualified_name(STR("a/b/c"), NULL));
    check(validate_annotation_key, "A.example/B", "");
    check(validate_label_value, "", "");
    check(validate_label_value, "My_v.1", "");
    check(validate_label_value, "Not_Valid!",
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
          "start and end "
          "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
          "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
    check(validate_label_value, A63 "a", "must be no more than 63 bytes");
}

TEST("names in paths, and prefixes of generated names")
{
    check(validate_path_segment, "a:b", "");
    check(validate_path_segment, ".", "may not be '.'");
    check(validate_path_segment, "..", "may not be '..'");
    check(validate_path_segment, "a/b%", "may not contain '/' | may not contain '%'");
    check(validate_path_segment_prefix, ".", "");
    ASSERT(validate_generate_name(validate_dns1123_label, STR("web-"), NULL));
    ASSERT(validate_generate_name(validate_dns1123_label, STR("a-"), NULL));
    ASSERT(!validate_generate_name(validate_dns1123_label, STR("-"), NULL));
    ASSERT(!validate_generate_name(validate_dns1123_label, STR("Web-"), NULL));
    ASSERT(!validate_generate_name(validate_dns1123_label, STR(A63 "aaa-"), NULL));
}

TEST("addresses and prefixes")
{
    check(validate_ip, "10.9.8.7", "");
    check(validate_ip, "2001:db8::ffff", "");
    check(validate_ip, "10.9.8", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    check(validate_ip, "10.9.8.256", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    check(validate_ip, "1.2.3.4.", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    check(validate_ip, "", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    check(validate_ip, "::1%lo", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    check(validate_ip, "010.9.8.7", "must not have leading 0s");
    check(validate_ip, "::ffff:10.9.8.7", "must not be an IPv4-mapped IPv6 address");
    check(validate_ipv4, "::1", "must be a valid IPv4 address");
    check(validate_ipv6, "1.2.3.4", "must be a valid IPv6 address");
    check(validate_cidr, "10.0.0.0/8", "");
    check(validate_cidr, "::/0", "");
    check(validate_cidr, "fd00::1/128", "");
    check(validate_cidr, "10.0.0.1/8", "must not have bits set beyond the prefix length");
    check(validate_cidr, "10.0.0.0/08", "must not have leading 0s in IP or prefix length");
    check(validate_cidr, "10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    check(validate_cidr, "10.0.0.0", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
}

TEST("ports, variables, keys")
{
    check(validate_port_name, "http", "");
    check(validate_port_name, "",
          "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-) | must contain at least "
          "one letter (a-z)");
    check(validate_port_name, "80", "must contain at least one letter (a-z)");
    check(validate_port_name, "a--b", "must not contain consecutive hyphens");
    check(validate_port_name, "-a", "must not begin or end with a hyphen");
    check(validate_port_name, "aaaaaaaaaaaaaaaa", "must be no more than 15 bytes");
    ASSERT_STR(validate_port_number(0), "must be between 1 and 65535, inclusive");
    ASSERT(!validate_port_number(65535));
    check(validate_env_name, "A B", "");
    check(validate_env_name, "", "environment variable name must be non-empty");
    check(validate_env_name, "A=B",
          "a valid environment variable name must consist only of printable ASCII characters other than '='");
    check(validate_env_name_strict, "A.b-c_1", "");
    ASSERT(!validate_env_name_strict(STR("1A"), NULL));
    check(validate_config_key, "key.name", "");
    check(validate_config_key, "..data", "must not start with '..'");
    check(validate_config_key, "..", "must not be '..'");
    check(validate_config_key, "a/b",
          "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
          "'KEY_NAME',  or "
          "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')");
    check(validate_c_identifier, "a_1", "");
    ASSERT(!validate_c_identifier(STR("1a"), NULL));
    check(validate_percent, "25%", "");
    ASSERT(!validate_percent(STR("%"), NULL));
    ASSERT(!validate_percent(STR("2 %"), NULL));
    check(validate_uuid, "7c1f2a34-9a3e-4a27-8f0f-2b9f1c7d6e55", "");
    ASSERT(!validate_uuid(STR("7c1f2a34-9a3e-4a27-8f0f-2b9f1c7d6e5"), NULL));
    check(validate_absolute_path, "a", "must be an absolute path");
    check(validate_domain_prefixed_path, "acme.io/foo", "");
    check(validate_domain_prefixed_path, "foo", "must be a domain-prefixed path (such as \"acme.io/foo\")");
}
