/*
 * Forms of names and values that many kinds share, with Kubernetes' exact sentences.
 *
 * Every check says true when the text is fine. Otherwise it adds what is wrong to `ret` (may be NULL when only the answer
 * counts): one sentence for each entry that upstream would put into an "Invalid value" of its own, in upstream's order. The
 * sentences are constants; nothing is allocated. Checks look at bytes only, they take time linear in the length.
 *
 * Source: k8s.io/apimachinery pkg/util/validation, pkg/api/validation, pkg/api/validation/path (1.36).
 */
#ifndef OBJECT_VALIDATE_H
#define OBJECT_VALIDATE_H

#include "base/str.h"

#define VALIDATE_MESSAGES_MAX 6

struct validate_messages {
    const char *list[VALIDATE_MESSAGES_MAX];
    unsigned count;
};

typedef bool (*validate_fn)(struct str text, struct validate_messages *ret);

/* Names. */
bool validate_dns1123_label(struct str text, struct validate_messages *ret);      /* "web-1", at most 63 bytes */
bool validate_dns1123_subdomain(struct str text, struct validate_messages *ret);  /* "web.example", at most 253 bytes */
bool validate_dns1035_label(struct str text, struct validate_messages *ret);      /* "web-1", begins with a letter */
bool validate_wildcard_subdomain(struct str text, struct validate_messages *ret); /* "*.example.com" */
/* Names in URLs: not ".", not "..", without / and %. As a prefix (generateName) only without / and %. */
bool validate_path_segment(struct str text, struct validate_messages *ret);
bool validate_path_segment_prefix(struct str text, struct validate_messages *ret);
bool validate_fully_qualified_name(struct str text, struct validate_messages *ret); /* a.b: two segments or more */
bool validate_domain_prefixed_path(struct str text, struct validate_messages *ret); /* "example.com/some/path" */
/* metadata.generateName: a trailing dash is fine, whatever `check` says about it (upstream's maskTrailingDash). */
bool validate_generate_name(validate_fn check, struct str prefix, struct validate_messages *ret);

/* Labels and annotations. */
bool validate_qualified_name(struct str text, struct validate_messages *ret); /* "example.com/name": keys of labels */
/* The same, with upper case allowed in the prefix. */
bool validate_annotation_key(struct str text, struct validate_messages *ret);
bool validate_label_value(struct str text, struct validate_messages *ret); /* may be empty, at most 63 bytes */
#define VALIDATE_ANNOTATIONS_MAX_BYTES (256 * KIB) /* keys and values of all annotations of an object together */

/* Network. */
/* Strict, as StrictIPCIDRValidation has it: no leading zeros, no IPv4 mapped into IPv6, no bits beyond the prefix of a CIDR. */
bool validate_ip(struct str text, struct validate_messages *ret);
bool validate_ipv4(struct str text, struct validate_messages *ret);
bool validate_ipv6(struct str text, struct validate_messages *ret);
bool validate_cidr(struct str text, struct validate_messages *ret);      /* 10.0.0.0/8 */
bool validate_port_name(struct str text, struct validate_messages *ret); /* "http", at most 15 bytes, IANA_SVC_NAME */
bool validate_http_header_name(struct str text, struct validate_messages *ret);

/* Others. */
bool validate_env_name(struct str text, struct validate_messages *ret); /* printable ASCII without '=' (since 1.34) */
bool validate_env_name_strict(struct str text, struct validate_messages *ret); /* as before: letters, digits, _ - . */
bool validate_config_key(struct str text, struct validate_messages *ret);      /* keys of ConfigMap and Secret */
bool validate_c_identifier(struct str text, struct validate_messages *ret);
bool validate_percent(struct str text, struct validate_messages *ret); /* "25%" */
bool validate_uuid(struct str text, struct validate_messages *ret);
bool validate_absolute_path(struct str text, struct validate_messages *ret); /* begins with '/' */

/* Numbers: the sentence, or NULL when the number is fine. */
const char *validate_port_number(int64_t port);
const char *validate_not_negative(int64_t n);
const char *validate_positive(int64_t n);
const char *validate_id(int64_t id); /* of users and groups */

#endif
