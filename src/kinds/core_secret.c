/* Secret: what only some may read. Source: pkg/apis/core/validation, pkg/apis/core/v1/conversion.go (stringData). */
#include "base/codec.h"
#include "kinds/cells.h"
#include "kinds/keyed_data.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "object/object.h"

static const struct keyed_member members[] = { { F_SECRET_DATA, STR_INIT("data") } };

/* stringData is a convenience for writing: it goes into data and is never stored. */
static void default_(struct kind_context *c, struct value *secret)
{
    struct value *plain = value_get(secret, F_SECRET_STRING_DATA), *data;

    if (!value_empty(plain)) {
        data = value_make_object(c->arena, secret, F_SECRET_DATA);
        for (size_t i = 0; i < plain->members_count; i++) {
            AUTO_BUF struct buf text = BUF_MAX(2 * OBJECT_SIZE_MAX);

            base64_encode(&text, value_to_str(plain->members[i].value));
            value_put_str(c->arena, data, plain->members[i].name,
                          value_str(c->arena, arena_str(c->arena, buf_str(&text))));
        }
    }
    value_del(secret, F_SECRET_STRING_DATA);
    default_text(c->arena, secret, F_SECRET_TYPE, "Opaque");
}

/* What a type must hold. The two of basic-auth are alternatives. */
static const struct {
    const char *type;
    const char *keys[2];
    bool either, json, not_empty;
} types[] = {
    { "kubernetes.io/dockercfg", { ".dockercfg" }, .json = true },
    { "kubernetes.io/dockerconfigjson", { ".dockerconfigjson" }, .json = true },
    { "kubernetes.io/basic-auth", { "username", "password" }, .either = true },
    { "kubernetes.io/ssh-auth", { "ssh-privatekey" }, .not_empty = true },
    { "kubernetes.io/tls", { "tls.crt", "tls.key" } },
};

static void validate_json(struct check *k, const struct at *at, struct view base64)
{
    AUTO_BUF struct buf text = BUF_MAX(OBJECT_SIZE_MAX);
    AUTO_ERROR struct error err = { 0 };
    struct value *tree;

    base64_decode(&text, view_str(base64));
    tree = value_parse(k->arena, buf_str(&text), NULL, &err);
    if (!tree)
        check_invalid_str(k, at, STR("<secret contents redacted>"), arena_strdup(k->arena, str_of(error_text(&err))));
    else if (value_type(tree) != VALUE_OBJECT && value_type(tree) != VALUE_NULL)
        check_invalid_str(k, at, STR("<secret contents redacted>"),
                          "json: cannot unmarshal into Go value of type map[string]interface {}");
}

static void validate_type(struct check *k, struct view secret)
{
    struct str type = view_str_at(secret, F_SECRET_TYPE), account = STR("kubernetes.io/service-account.name");
    struct view annotations = view_path(secret, F_SECRET_METADATA, F_OBJECT_META_ANNOTATIONS);
    struct view data = view_get(secret, F_SECRET_DATA);
    const struct at *at = AT(AT_ROOT, "data");

    if (str_is(type, "kubernetes.io/service-account-token") && !view_str(view_get_str(annotations, account)).n)
        check_required(k, AT_KEY(AT(AT(AT_ROOT, "metadata"), "annotations"), account), "");
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        bool any = false;

        if (!str_is(type, types[i].type))
            continue;
        for (size_t j = 0; j < 2 && types[i].keys[j]; j++)
            any |= view_present(view_get_str(data, str_of(types[i].keys[j])));
        for (size_t j = 0; j < 2 && types[i].keys[j]; j++) {
            struct view value = view_get_str(data, str_of(types[i].keys[j]));
            bool missing = !view_present(value) || (types[i].not_empty && !view_str(value).n);

            if (missing && !(types[i].either && any))
                check_required(k, AT_KEY(at, str_of(types[i].keys[j])), "");
            else if (types[i].json)
                validate_json(k, AT_KEY(at, str_of(types[i].keys[j])), value);
        }
    }
}

static void validate(struct kind_context *c, struct view secret, struct view old, struct error *causes)
{
    struct check *k = CHECK(c, causes);

    if (!c->create) {
        check_immutable(k, AT(AT_ROOT, "type"), view_get(secret, F_SECRET_TYPE), view_get(old, F_SECRET_TYPE));
        check_immutable_data(k, secret, old, F_SECRET_IMMUTABLE, members, ARRAY_SIZE(members));
    }
    if (check_keyed_data(k, AT(AT_ROOT, "data"), view_get(secret, F_SECRET_DATA), true) > KEYED_DATA_BYTES_MAX)
        check_too_long(k, AT(AT_ROOT, "data"), KEYED_DATA_BYTES_MAX);
    validate_type(k, secret);
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Type", "string", "", "What it is for.", 0 },
    { "Data", "string", "", "Number of keys.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void row(struct arena *a, struct view secret, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, secret);
    cell_str(a, cells, view_str_at(secret, F_SECRET_TYPE));
    cell_int(a, cells, (int64_t)view_count(view_get(secret, F_SECRET_DATA)));
    cell_age(a, cells, secret, now_ms);
}

static struct str label_type(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_SECRET_TYPE);
}

static const struct kind_field_label field_labels[] = {
    { "type", label_type },
    { NULL },
};

const struct kind kind_secret = {
    .group = "",
    .version = "v1",
    .kind = "Secret",
    .list_kind = "SecretList",
    .plural = "secrets",
    .singular = "secret",
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_core_v1_secret,
    .columns = columns,
    .row = row,
    .field_labels = field_labels,
    .default_ = default_,
    .validate = validate,
};
