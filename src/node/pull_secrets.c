/* Docker configuration files in Secrets. */
#include "node/pull_secrets.h"

#include "base/codec.h"
#include "kinds/fields.h"

#include <stdlib.h>

/* "https://index.docker.io/v1/" -> "index.docker.io" */
static struct str host_of(struct str key)
{
    struct str rest = key, host;

    if (str_starts(rest, STR("https://")))
        rest = str_from(rest, 8);
    else if (str_starts(rest, STR("http://")))
        rest = str_from(rest, 7);
    str_cut(&rest, '/', &host);
    return host;
}

static bool read_entry(struct view entry, struct registry_credentials *c)
{
    struct str user = view_str(view_get_str(entry, STR("username"))),
               password = view_str(view_get_str(entry, STR("password")));
    struct str auth = view_str(view_get_str(entry, STR("auth")));
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);

    if (auth.n && base64_decode(&text, auth)) {
        password = buf_str(&text);
        if (!str_cut(&password, ':', &user))
            return false;
    }
    if (!user.n)
        return false;
    secret_set(&c->username, user);
    secret_set(&c->password, password);
    if (text.p)
        explicit_bzero(text.p, text.n);
    return true;
}

size_t pull_secret_read(struct view secret, struct registry_credentials *to, size_t count, size_t max)
{
    struct view data = view_get(secret, F_SECRET_DATA);
    struct view json = view_get_str(data, STR(".dockerconfigjson")), old = view_get_str(data, STR(".dockercfg"));
    AUTO_BUF struct buf text = BUF_MAX(MIB);

    if (!base64_decode(&text, view_str(view_present(json) ? json : old)))
        return count;
    AUTO_OBJECT struct object *config = object_parse(buf_str(&text), NULL);
    explicit_bzero(text.p, text.n);
    if (!config)
        return count;
    struct view root = object_root(config);
    struct view auths = view_present(json) ? view_get_str(root, STR("auths")) : root;
    for (struct view_iter it = { 0 }; view_next(auths, &it) && count < max;) {
        struct registry_credentials *c = &to[count];
        *c = (struct registry_credentials){ 0 };
        if (!read_entry(it.value, c))
            continue;
        c->host = str_dup(host_of(it.key));
        count++;
    }
    return count;
}

void pull_credentials_done(struct registry_credentials *c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(c[i].host);
        secret_done(&c[i].username);
        secret_done(&c[i].password);
    }
}
