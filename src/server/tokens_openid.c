/* How others check our service account tokens: OpenID discovery and the key set. Source: KEP-1393. */
#include "server/seams.h"
#include "server/tokens.h"

enum phase_result tokens_openid_configuration(struct request *r)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct str issuer = tokens_issuer(r->server);
    buf_add_text(&text, "{\"issuer\":");
    json_write_str(&text, issuer);
    buf_add_text(&text, ",\"jwks_uri\":");
    json_write_str(&text, arena_printf(&r->arena, "%.*s/openid/v1/jwks", STR_ARG(issuer)));
    buf_add_text(&text, ",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"],"
                        "\"id_token_signing_alg_values_supported\":[\"ES256\"]}");
    return request_answer(r, 200, STR("application/json"), buf_str(&text));
}

enum phase_result tokens_openid_keys(struct request *r)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    buf_add_text(&text, "{\"keys\":[");
    pki_key_jwk(ca_token_key(server_ca(r->server)), &text);
    buf_add_text(&text, "]}");
    return request_answer(r, 200, STR("application/jwk-set+json"), buf_str(&text));
}
