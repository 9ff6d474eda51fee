/*
 * Validation of values by their form: names, labels, selectors, ports, addresses. Each complains with upstream's sentence and
 * returns whether the value was fine. The forms themselves are in object/validate.h.
 */
#ifndef KINDS_CHECK_FORMAT_H
#define KINDS_CHECK_FORMAT_H

#include "kinds/check.h"

bool check_dns_label(struct check *k, const struct at *at, struct str s);      /* RFC 1123 label */
bool check_dns_subdomain(struct check *k, const struct at *at, struct str s);  /* RFC 1123 subdomain */
bool check_dns_search(struct check *k, const struct at *at, struct str s);     /* the same, underscores allowed */
bool check_qualified_name(struct check *k, const struct at *at, struct str s); /* also the key of a label */
bool check_annotation_key(struct check *k, const struct at *at, struct str s); /* the same, upper case allowed */
bool check_label_value(struct check *k, const struct at *at, struct str s);
void check_labels(struct check *k, const struct at *at, struct view labels); /* complains at the map, not at the key */
/* meta/v1 LabelSelector; absent is fine. */
bool check_label_selector(struct check *k, const struct at *at, struct view selector);
bool check_env_name(struct check *k, const struct at *at, struct str s);
bool check_config_key(struct check *k, const struct at *at, struct str s);
bool check_port_name(struct check *k, const struct at *at, struct str s);
bool check_port_or_name(struct check *k, const struct at *at, struct view int_or_string);
bool check_header_name(struct check *k, const struct at *at, struct str s);
bool check_user_id(struct check *k, const struct at *at, int64_t id); /* or a group's */
bool check_ip(struct check *k, const struct at *at, struct str s);
bool check_cidr(struct check *k, const struct at *at, struct str s);
/* Not unspecified, loopback, link-local: CVE-2021-25737. */
bool check_not_special_ip(struct check *k, const struct at *at, struct str s);
bool str_is_ipv6(struct str s);
void check_file_mode(struct check *k, const struct at *at, struct view mode);    /* 0 to 0777; absent is fine */
void check_relative_path(struct check *k, const struct at *at, struct str path); /* not absolute, no ".." */
void check_no_backsteps(struct check *k, const struct at *at, struct str path);
/* The same for files klein writes into a volume, where names that start with ".." are its own. */
void check_volume_file(struct check *k, const struct at *at, struct str path);

/* Name rules for struct kind: NULL when fine, else the sentence. */
const char *name_is_dns_label(struct str name, bool generate_prefix);
const char *name_is_dns_subdomain(struct str name, bool generate_prefix);
const char *name_is_dns_1035_label(struct str name, bool generate_prefix);
const char *name_is_path_segment(struct str name, bool generate_prefix); /* RBAC: anything that fits into a URL */

/* A set of the texts seen so far; true when it was there already. Bounded by the size of the object. */
struct map;
bool seen_before(struct map *seen, struct str s);

#endif
