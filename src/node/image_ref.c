/* Taking image names apart. */
#include "node/image_ref.h"

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

bool image_digest_is_valid(struct str digest)
{
    if (!str_starts(digest, STR("sha256:")) || digest.n != 7 + 64)
        return false;
    for (size_t i = 7; i < digest.n; i++) {
        char c = digest.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

/* A first part with a dot, a colon or "localhost" is a host; otherwise the name is on docker.io. */
static bool is_host(struct str part)
{
    return str_find(part, '.') >= 0 || str_find(part, ':') >= 0 || str_is(part, "localhost");
}

static bool host_is_valid(struct str host)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (!is_word(c) && c != '.' && c != '-' && c != ':' && c != '[' && c != ']')
            return false;
    }
    return host.n > 0 && host.n <= 255 && host.p[0] != '-' && host.p[0] != '.';
}

static bool repository_is_valid(struct str repository)
{
    char before = '/';

    for (size_t i = 0; i < repository.n; i++) {
        char c = repository.p[i];
        bool separator = c == '.' || c == '_' || c == '-' || c == '/';
        if (!is_lower(c) && !separator)
            return false;
        if ((c == '/' || c == '.') && !is_lower(before))
            return false; /* no "..", "//", "./" */
        before = c;
    }
    return repository.n > 0 && is_lower(before) && is_lower(repository.p[0]);
}

static bool tag_is_valid(struct str tag)
{
    for (size_t i = 0; i < tag.n; i++) {
        if (!is_word(tag.p[i]) && (i == 0 || (tag.p[i] != '.' && tag.p[i] != '-')))
            return false;
    }
    return tag.n > 0 && tag.n <= 128;
}

int image_ref_parse(struct arena *a, struct str name, struct image_ref *ret, struct error *err)
{
    struct str rest = arena_str(a, name), head;
    struct image_ref r = { .host = STR("docker.io") };

    if (name.n == 0 || name.n > IMAGE_NAME_MAX)
        goto invalid;
    ptrdiff_t at = str_find(rest, '@');
    if (at >= 0) {
        r.digest = str_from(rest, (size_t)at + 1);
        rest = str_part(rest, 0, (size_t)at);
        if (!image_digest_is_valid(r.digest))
            goto invalid;
    }
    ptrdiff_t slash = str_find(rest, '/');
    if (slash >= 0 && is_host(str_part(rest, 0, (size_t)slash))) {
        r.host = str_part(rest, 0, (size_t)slash);
        rest = str_from(rest, (size_t)slash + 1);
    }
    if (str_is(r.host, "index.docker.io"))
        r.host = STR("docker.io");
    bool has_tag = str_find(rest, ':') >= 0;
    str_cut(&rest, ':', &head);
    r.repository = head;
    r.tag = rest;
    if (has_tag ? !tag_is_valid(r.tag) : false)
        goto invalid;
    if (!has_tag && !r.digest.n)
        r.tag = STR("latest");
    if (!host_is_valid(r.host) || !repository_is_valid(r.repository))
        goto invalid;
    if (str_is(r.host, "docker.io") && str_find(r.repository, '/') < 0)
        r.repository = arena_printf(a, "library/%.*s", STR_ARG(r.repository));
    r.full = arena_printf(a, "%.*s/%.*s%s%.*s%s%.*s", STR_ARG(r.host), STR_ARG(r.repository), r.tag.n ? ":" : "",
                          STR_ARG(r.tag), r.digest.n ? "@" : "", STR_ARG(r.digest));
    *ret = r;
    return 0;
invalid:
    return fail(err, ERR_INVALID, "couldn't parse image name \"%.*s\": invalid reference format", STR_ARG(name));
}
