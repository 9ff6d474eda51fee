/* Content negotiation: Accept and Content-Type. */
#include "server/negotiate.h"

#define PROTOBUF_TYPE "application/vnd.kubernetes.protobuf"

static int parse_quality(struct str s)
{
    int thousandths = 0, scale = 1000;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.')
            continue;
        if (s.p[i] < '0' || s.p[i] > '9' || scale == 0)
            return 0;
        thousandths += (s.p[i] - '0') * scale;
        scale /= 10;
    }
    return MIN(thousandths, 1000);
}

static bool parse_range(struct str clause, struct media_range *ret)
{
    *ret = (struct media_range){ .quality = 1000 };
    struct str part, key;
    if (!str_next(&clause, ';', &part))
        return false;
    ret->type = str_trim(part);
    if (str_find(ret->type, '/') < 0)
        return false;
    while (str_next(&clause, ';', &part)) {
        part = str_trim(part);
        if (!str_cut(&part, '=', &key))
            continue;
        if (str_eq_nocase(key, STR("q")))
            ret->quality = parse_quality(part);
        else if (str_is(key, "as"))
            ret->as = part;
        else if (str_is(key, "v"))
            ret->version = part;
        else if (str_is(key, "g"))
            ret->group = part;
        else if (str_is(key, "stream"))
            ret->watch_stream = str_is(part, "watch");
    }
    return true;
}

size_t media_ranges(struct str accept, struct media_range ret[MEDIA_RANGES_MAX])
{
    size_t count = 0;
    struct str clause;
    struct media_range range;
    while (count < MEDIA_RANGES_MAX && str_next(&accept, ',', &clause)) {
        if (!parse_range(clause, &range) || range.quality == 0)
            continue;
        size_t at = count++;
        while (at > 0 && ret[at - 1].quality < range.quality) {
            ret[at] = ret[at - 1];
            at--;
        }
        ret[at] = range;
    }
    return count;
}

static bool type_of(struct str type, enum media_type *ret)
{
    if (str_eq_nocase(type, STR("application/json")) || str_is(type, "*/*") || str_is(type, "application/*"))
        *ret = MEDIA_JSON;
    else if (str_eq_nocase(type, STR("application/yaml")))
        *ret = MEDIA_YAML;
    else if (str_eq_nocase(type, STR(PROTOBUF_TYPE)))
        *ret = MEDIA_PROTOBUF;
    else
        return false;
    return true;
}

static bool as_of(const struct media_range *range, enum media_as *ret)
{
    *ret = AS_OBJECT;
    if (str_empty(range->as))
        return true;
    if (!str_is(range->group, "meta.k8s.io") || !str_is(range->version, "v1"))
        return false;
    if (str_is(range->as, "Table"))
        *ret = AS_TABLE;
    else if (str_is(range->as, "PartialObjectMetadata") || str_is(range->as, "PartialObjectMetadataList"))
        *ret = AS_PARTIAL;
    else
        return false;
    return true;
}

int negotiate_answer(struct request *r, struct error *err)
{
    struct str accept = request_header(r, "accept");
    if (str_empty(str_trim(accept)))
        return 0;
    struct media_range ranges[MEDIA_RANGES_MAX];
    size_t count = media_ranges(accept, ranges);
    for (size_t i = 0; i < count; i++) {
        enum media_type type;
        enum media_as as;
        if (!type_of(ranges[i].type, &type) || !as_of(&ranges[i], &as))
            continue;
        if (as == AS_TABLE && type == MEDIA_PROTOBUF)
            continue; /* cells are any JSON: a Table has no protobuf form */
        r->answer_type = type;
        r->answer_as = as;
        return 0;
    }
    return fail(err, ERR_NOT_ACCEPTABLE,
                "only the following media types are accepted: application/json, application/yaml, " PROTOBUF_TYPE);
}

static int negotiate_patch(struct request *r, struct str type, struct error *err)
{
    static const struct {
        struct str type;
        enum patch_type patch;
        enum media_type body;
    } rows[] = {
        { STR_INIT("application/json-patch+json"), PATCH_JSON, MEDIA_JSON },
        { STR_INIT("application/merge-patch+json"), PATCH_MERGE, MEDIA_JSON },
        { STR_INIT("application/strategic-merge-patch+json"), PATCH_STRATEGIC, MEDIA_JSON },
        { STR_INIT("application/apply-patch+yaml"), PATCH_APPLY, MEDIA_YAML },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!str_eq_nocase(type, rows[i].type))
            continue;
        r->patch_type = rows[i].patch;
        r->body_type = rows[i].body;
        return 0;
    }
    return fail(
        err, ERR_UNSUPPORTED_MEDIA_TYPE,
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
        "application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml");
}

int negotiate_body(struct request *r, struct error *err)
{
    struct str type = request_header(r, "content-type"), head;
    str_cut(&type, ';', &head);
    type = str_trim(head);
    if (str_is(r->info.verb, "patch") && r->info.is_resource)
        return negotiate_patch(r, type, err);
    if (str_empty(type) || type_of(type, &r->body_type))
        return 0;
    return fail(err, ERR_UNSUPPORTED_MEDIA_TYPE,
                "the body of the request was in an unknown format - accepted media types include: application/json, "
                "application/yaml, " PROTOBUF_TYPE);
}

struct str media_type_text(enum media_type t)
{
    switch (t) {
    case MEDIA_YAML:
        return STR("application/yaml");
    case MEDIA_PROTOBUF:
        return STR(PROTOBUF_TYPE);
    default:
        return STR("application/json");
    }
}

bool negotiate_wants_gzip(const struct request *r)
{
    return http_value_has_token(request_header(r, "accept-encoding"), STR("gzip"));
}
