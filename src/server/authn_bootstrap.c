/* Bootstrap tokens: secrets of kube-system that let a new node join.
 * Source: plugin/pkg/auth/authenticator/token/bootstrap, TokenAuthenticator. */
#include "server/authn.h"

#include "base/codec.h"
#include "base/time.h"
#include "kinds/fields.h"

#define TOKEN_ID_LENGTH     6
#define TOKEN_SECRET_LENGTH 16
#define EXTRA_GROUPS_MAX    16

static bool is_token_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9')))
            return false;
    return true;
}

bool authn_looks_like_bootstrap_token(struct str token)
{
    return token.n == TOKEN_ID_LENGTH + 1 + TOKEN_SECRET_LENGTH && token.p[TOKEN_ID_LENGTH] == '.' &&
           is_token_text(str_part(token, 0, TOKEN_ID_LENGTH)) && is_token_text(str_from(token, TOKEN_ID_LENGTH + 1));
}

/* data[key] of a secret, decoded into the arena; "" when absent. */
static struct str secret_value(struct arena *a, const struct object *secret, struct str key)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct view data = view_get(object_root(secret), F_SECRET_DATA);
    if (!base64_decode(&text, view_str(view_get_str(data, key))))
        return STR_NONE;
    return arena_str(a, buf_str(&text));
}

/* ^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$ */
static bool is_bootstrap_group(struct str group)
{
    struct str prefix = STR("system:bootstrappers:");
    struct str rest = str_from(group, prefix.n);
    if (!str_starts(group, prefix) || str_empty(rest) || rest.n > 256 || !is_token_text(str_from(rest, rest.n - 1)))
        return false;
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] != ':' && rest.p[i] != '-' && !is_token_text(str_part(rest, i, 1)))
            return false;
    return true;
}

static bool is_valid(struct arena *a, const struct object *secret, struct str id, int64_t now_ms)
{
    struct view root = object_root(secret);
    if (!str_is(view_str(view_get(root, F_SECRET_TYPE)), "bootstrap.kubernetes.io/token") ||
        view_present(view_path(root, F_SECRET_METADATA, F_OBJECT_META_DELETION_TIMESTAMP)) ||
        !str_eq(secret_value(a, secret, STR("token-id")), id) ||
        !str_is(secret_value(a, secret, STR("usage-bootstrap-authentication")), "true"))
        return false;
    struct str expiration = secret_value(a, secret, STR("expiration"));
    int64_t at_ms;
    /* An expiration nobody can read counts as passed. */
    return str_empty(expiration) || (time_parse(expiration, &at_ms) && now_ms < at_ms);
}

int authn_bootstrap_token(struct server *s, struct arena *a, struct str token, struct identity *ret, struct error *err)
{
    struct str id = str_part(token, 0, TOKEN_ID_LENGTH), given = str_from(token, TOKEN_ID_LENGTH + 1);
    struct str name = arena_printf(a, "bootstrap-token-%.*s", STR_ARG(id));
    const struct object *secret = state_get(server_state(s), &kind_secret, STR("kube-system"), name);
    /* An unknown id takes the same way as a wrong secret, up to the same comparison. */
    struct str expected = secret ? secret_value(a, secret, STR("token-secret")) : STR("");
    bool same = str_eq_constant_time(given, expected.n == TOKEN_SECRET_LENGTH ? expected : STR("----------------"));
    if (!same || !secret || !is_valid(a, secret, id, env_wall_ms(server_env(s))))
        return fail(err, ERR_UNAUTHORIZED, "the bootstrap token is not valid");

    struct authn_groups groups = { 0 };
    authn_groups_add(&groups, a, STR("system:bootstrappers"));
    struct str extra = secret_value(a, secret, STR("auth-extra-groups")), group;
    while (str_next(&extra, ',', &group) && groups.count < EXTRA_GROUPS_MAX)
        if (is_bootstrap_group(str_trim(group)))
            authn_groups_add(&groups, a, str_trim(group));
    authn_groups_add(&groups, a, STR("system:authenticated"));
    *ret = (struct identity){ .user = arena_printf(a, "system:bootstrap:%.*s", STR_ARG(id)),
                              .groups = groups.items,
                              .groups_count = groups.count };
    return 0;
}
