/* Continue tokens. Source: apiserver/pkg/storage/continue.go (JSON in base64url, opaque to clients). */
#include "server/read.h"

#include "base/codec.h"

#define TOKEN_VERSION "meta.k8s.io/v1"
#define TOKEN_MAX     2048

struct str continue_encode(struct arena *a, const struct continue_token *t)
{
    AUTO_BUF struct buf json = BUF_MAX(TOKEN_MAX);
    AUTO_BUF struct buf text = BUF_MAX(2 * TOKEN_MAX);
    buf_addf(&json, "{\"v\":\"" TOKEN_VERSION "\",\"rv\":%llu,\"ns\":", (unsigned long long)t->revision);
    json_write_str(&json, t->namespace_);
    buf_add_text(&json, ",\"name\":");
    json_write_str(&json, t->name);
    buf_add_char(&json, '}');
    base64url_encode(&text, buf_str(&json));
    return arena_str(a, buf_str(&text));
}

int continue_decode(struct arena *a, struct str text, struct continue_token *ret, struct error *err)
{
    AUTO_BUF struct buf json = BUF_MAX(TOKEN_MAX);
    if (!base64url_decode(&json, text))
        return fail(err, ERR_BAD_REQUEST, "continue key is not valid: it cannot be decoded");
    struct value *v = value_parse(a, arena_str(a, buf_str(&json)), NULL, NULL);
    int64_t revision = value_to_int(value_get_str(v, STR("rv")), -1);
    if (!v || revision < 0 || !str_is(value_to_str(value_get_str(v, STR("v"))), TOKEN_VERSION))
        return fail(err, ERR_BAD_REQUEST, "continue key is not valid: it was not made by this server");
    ret->revision = (uint64_t)revision;
    ret->namespace_ = value_to_str(value_get_str(v, STR("ns")));
    ret->name = value_to_str(value_get_str(v, STR("name")));
    return 0;
}
