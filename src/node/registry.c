/* Fetching manifests and blobs with libcurl. */
#include "node/registry.h"

#include "base/codec.h"
#include "base/time.h"
#include "object/value.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#define REDIRECTS_MAX     3
#define TOKEN_MAX_BYTES   (64 * KIB)
#define CONNECT_TIMEOUT_S 10L
#define STALL_TIMEOUT_S   60L /* less than 1 byte a second for so long gives up */

static const char *const manifest_types =
    "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

struct registry {
    struct registry_options options;
    struct arena arena;
    struct image_ref ref;
    struct str base; /* "https://registry-1.docker.io" */
    bool mirrored;
    CURL *curl;
    struct secret token; /* bearer token of this repository */
    bool basic;          /* the registry asked for basic authentication */
};

/* Where the bytes of one answer go. */
struct sink {
    struct buf *to;     /* memory, limited by its maximum */
    int fd;             /* or a file */
    int64_t left_bytes; /* what may still come into the file */
    EVP_MD_CTX *digest;
    bool too_large;
    int write_errno;
    CURL *curl;
};

struct answer {
    long status;
    struct str location, www_authenticate, content_digest; /* the registry's arena */
};

struct header_sink {
    struct registry *registry;
    struct answer *answer;
};

static bool is_loopback_host(struct str host)
{
    struct str name = host;
    ptrdiff_t colon = str_find_last(host, ':');
    if (colon >= 0)
        name = str_part(host, 0, (size_t)colon);
    return str_is(name, "localhost") || str_starts(name, STR("127.")) || str_is(name, "[::1]");
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct registry *registry_open(const struct registry_options *o, const struct image_ref *ref, struct error *err)
{
    struct registry *r = xnew(struct registry);

    pthread_once(&curl_once, init_curl);
    r->options = *o;
    r->ref = *ref;
    for (size_t i = 0; i < o->mirrors_count && !r->mirrored; i++) {
        if (str_is(ref->host, o->mirrors[i].host)) {
            r->base = str_of(o->mirrors[i].url);
            while (str_ends(r->base, STR("/")))
                r->base.n--;
            r->mirrored = true;
        }
    }
    if (!r->mirrored && str_is(ref->host, "docker.io"))
        r->base = STR("https://registry-1.docker.io");
    else if (!r->mirrored)
        r->base =
            arena_printf(&r->arena, "%s://%.*s", is_loopback_host(ref->host) ? "http" : "https", STR_ARG(ref->host));
    r->curl = curl_easy_init();
    if (!r->curl) {
        registry_close(r);
        return fail_null(err, ERR_INTERNAL, "libcurl could not start");
    }
    return r;
}

void registry_close(struct registry *r)
{
    if (!r)
        return;
    if (r->curl)
        curl_easy_cleanup(r->curl);
    secret_done(&r->token);
    arena_done(&r->arena);
    free(r);
}

/* --- one request ---------------------------------------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct sink *s = arg;
    size_t n = size * count;
    long status = 0;

    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return n; /* an error's page is not what we asked for */
    if (s->digest)
        EVP_DigestUpdate(s->digest, bytes, n);
    if (s->to) {
        buf_add_bytes(s->to, bytes, n);
        s->too_large = s->to->full;
        return s->too_large ? 0 : n;
    }
    s->left_bytes -= (int64_t)n;
    s->too_large = s->left_bytes < 0;
    if (s->too_large)
        return 0;
    for (size_t done = 0; done < n;) {
        ssize_t w = write(s->fd, bytes + done, n - done);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            s->write_errno = errno;
            return 0;
        }
        done += (size_t)w;
    }
    return n;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct header_sink *h = arg;
    struct str value = { bytes, size * count }, name;

    if (str_cut(&value, ':', &name)) {
        value = str_trim(value);
        if (str_eq_nocase(name, STR("location")))
            h->answer->location = arena_str(&h->registry->arena, value);
        else if (str_eq_nocase(name, STR("www-authenticate")))
            h->answer->www_authenticate = arena_str(&h->registry->arena, value);
        else if (str_eq_nocase(name, STR("docker-content-digest")))
            h->answer->content_digest = arena_str(&h->registry->arena, value);
    }
    return size * count;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct registry *r = arg;
    (void)a, (void)b, (void)c, (void)d;
    return r->options.stop && *r->options.stop;
}

/* Where redirects may not lead: this machine, its links, nowhere. The address is checked when it is dialled, not when it is looked up. */
static curl_socket_t open_checked(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg, (void)purpose;
    if (address->family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address->addr;
        uint32_t ip = ntohl(in->sin_addr.s_addr);
        if (ip >> 24 == 127 || ip >> 24 == 0 || ip >> 16 == 0xA9FE)
            return CURL_SOCKET_BAD;
    } else if (address->family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)&address->addr;
        if (IN6_IS_ADDR_LOOPBACK(&in->sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr) ||
            IN6_IS_ADDR_UNSPECIFIED(&in->sin6_addr) || IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
            return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static const struct registry_credentials *find_credentials(const struct registry *r)
{
    const struct registry_options *o = &r->options;

    if (r->mirrored)
        return NULL; /* credentials are for the registry, not for whoever stands in for it */
    for (size_t i = 0; i < o->credentials_count; i++) {
        struct str host = str_of(o->credentials[i].host);
        bool hub = str_is(r->ref.host, "docker.io") &&
                   (str_is(host, "index.docker.io") || str_is(host, "registry-1.docker.io"));
        if (hub || str_eq(host, r->ref.host))
            return &o->credentials[i];
    }
    return NULL;
}

static void set_basic(struct registry *r)
{
    const struct registry_credentials *c = find_credentials(r);
    if (!c)
        return;
    AUTO_FREE char *user = str_dup(secret_reveal(&c->username));
    AUTO_FREE char *password = str_dup(secret_reveal(&c->password));
    curl_easy_setopt(r->curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(r->curl, CURLOPT_USERNAME, user);
    curl_easy_setopt(r->curl, CURLOPT_PASSWORD, password);
    explicit_bzero(user, strlen(user));
    explicit_bzero(password, strlen(password));
}

enum identify { IDENTIFY_NOT, IDENTIFY_TOKEN, IDENTIFY_BASIC };

static void set_common(struct registry *r, const char *url, bool plain_allowed)
{
    curl_easy_reset(r->curl);
    curl_easy_setopt(r->curl, CURLOPT_URL, url);
    curl_easy_setopt(r->curl, CURLOPT_PROTOCOLS_STR, plain_allowed ? "https,http" : "https");
    curl_easy_setopt(r->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(r->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(r->curl, CURLOPT_LOW_SPEED_TIME, STALL_TIMEOUT_S);
    curl_easy_setopt(r->curl, CURLOPT_USERAGENT, "klein/" KLEIN_VERSION);
    curl_easy_setopt(r->curl, CURLOPT_PROXY, ""); /* the registry itself, not what an environment variable says */
    curl_easy_setopt(r->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(r->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(r->curl, CURLOPT_XFERINFODATA, r);
}

static int request(struct registry *r, const char *url, enum identify identify, bool redirected, const char *accept,
                   struct sink *sink, struct answer *ret, struct error *err)
{
    char message[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    struct header_sink h = { .registry = r, .answer = ret };

    *ret = (struct answer){ 0 };
    set_common(r, url, !redirected && str_starts(r->base, STR("http://")));
    if (redirected)
        curl_easy_setopt(r->curl, CURLOPT_OPENSOCKETFUNCTION, open_checked);
    if (identify == IDENTIFY_TOKEN && r->token.n) {
        struct str token = secret_reveal(&r->token);
        AUTO_FREE char *line = xasprintf("Authorization: Bearer %.*s", STR_ARG(token));
        headers = curl_slist_append(headers, line);
        explicit_bzero(line, strlen(line));
    } else if (identify == IDENTIFY_BASIC || (identify == IDENTIFY_TOKEN && r->basic)) {
        set_basic(r);
    }
    if (accept)
        headers = curl_slist_append(headers, accept);
    sink->curl = r->curl;
    curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, sink);
    curl_easy_setopt(r->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(r->curl, CURLOPT_HEADERDATA, &h);
    curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, message);
    CURLcode code = curl_easy_perform(r->curl);
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &ret->status);
    curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    if (sink->too_large)
        return fail(err, ERR_TOO_LARGE, "the answer is larger than expected");
    if (sink->write_errno)
        return fail_sys(err, sink->write_errno, "write the answer to disk");
    if (code != CURLE_OK)
        return fail(err, ERR_UNAVAILABLE, "Get \"%s\": %s", url, message[0] ? message : curl_easy_strerror(code));
    return 0;
}

/* --- who we are ----------------------------------------------------------------------------------------------------- */

/* key="value" out of a challenge; empty when absent. */
static struct str challenge_value(struct str challenge, const char *key)
{
    struct str rest = challenge, part, name;

    str_cut(&rest, ' ', &part);
    while (str_next(&rest, ',', &part)) {
        part = str_trim(part);
        if (str_cut(&part, '=', &name) && str_eq_nocase(str_trim(name), str_of(key))) {
            part = str_trim(part);
            if (part.n >= 2 && part.p[0] == '"' && part.p[part.n - 1] == '"')
                return str_part(part, 1, part.n - 2);
            return part;
        }
    }
    return STR_NONE;
}

static struct str url_host(struct str url)
{
    ptrdiff_t scheme = str_find(url, ':');
    struct str rest = scheme >= 0 ? str_from(url, (size_t)scheme + 3) : url, host;
    str_cut(&rest, '/', &host);
    return host;
}

/* The last two labels: "auth.docker.io" and "registry-1.docker.io" belong together. */
static struct str parent_domain(struct str host)
{
    ptrdiff_t last = str_find_last(host, '.');
    ptrdiff_t before = last > 0 ? str_find_last(str_part(host, 0, (size_t)last), '.') : -1;
    return before >= 0 ? str_from(host, (size_t)before + 1) : host;
}

static bool realm_may_have_credentials(const struct registry *r, struct str realm)
{
    struct str ours = url_host(r->base), theirs = url_host(realm);

    if (str_eq(ours, theirs))
        return str_starts(realm, STR("https://")) || str_starts(r->base, STR("http://"));
    return str_starts(realm, STR("https://")) && str_find(theirs, ':') < 0 &&
           str_eq(parent_domain(ours), parent_domain(theirs));
}

static int fetch_token(struct registry *r, struct str challenge, struct error *err)
{
    AUTO_BUF struct buf url = BUF_MAX(8 * KIB);
    AUTO_BUF struct buf text = BUF_MAX(TOKEN_MAX_BYTES);
    struct str realm = challenge_value(challenge, "realm"), service = challenge_value(challenge, "service");
    struct sink sink = { .to = &text, .fd = -1 };
    struct answer answer;

    bool plain = str_starts(realm, STR("http://")) && str_eq(url_host(realm), url_host(r->base));
    if (!str_starts(realm, STR("https://")) && !plain)
        return fail(err, ERR_UNAUTHORIZED, "the registry asks for a token from an unsafe address");
    buf_add(&url, realm);
    buf_addf(&url, "%cservice=", str_find(realm, '?') >= 0 ? '&' : '?');
    percent_encode(&url, service);
    buf_add(&url, STR("&scope="));
    percent_encode(&url, arena_printf(&r->arena, "repository:%.*s:pull", STR_ARG(r->ref.repository)));
    bool identify = realm_may_have_credentials(r, realm);
    if (request(r, url.p, identify ? IDENTIFY_BASIC : IDENTIFY_NOT, false, NULL, &sink, &answer, err) < 0)
        return error_context(err, "failed to fetch a token");
    struct value *v = answer.status == 200 ? value_parse(&r->arena, buf_str(&text), NULL, NULL) : NULL;
    struct str token = value_to_str(value_get_str(v, STR("token")));
    if (!token.n)
        token = value_to_str(value_get_str(v, STR("access_token")));
    if (!token.n)
        return fail(err, ERR_UNAUTHORIZED, "failed to authorize: failed to fetch a token: status %ld", answer.status);
    secret_set(&r->token, token);
    return 0;
}

static int identify(struct registry *r, const struct answer *answer, struct error *err)
{
    struct str challenge = answer->www_authenticate;
    struct str scheme = str_part(challenge, 0, 6);

    if (str_eq_nocase(scheme, STR("bearer")))
        return fetch_token(r, challenge, err);
    if (str_eq_nocase(str_part(challenge, 0, 5), STR("basic")) && find_credentials(r) && !r->basic) {
        r->basic = true;
        return 0;
    }
    return fail(err, ERR_UNAUTHORIZED,
                "pull access denied, repository does not exist or may require authorization: "
                "authorization failed");
}

/* GET with one round of identification, and for blobs a few checked redirects. */
static int get(struct registry *r, struct str path, const char *accept, bool blob, struct sink *sink,
               struct answer *ret, struct error *err)
{
    struct str url =
        arena_printf(&r->arena, "%.*s/v2/%.*s/%.*s", STR_ARG(r->base), STR_ARG(r->ref.repository), STR_ARG(path));
    bool identified = false, redirected = false;

    for (int redirects = 0;;) {
        if (request(r, url.p, redirected ? IDENTIFY_NOT : IDENTIFY_TOKEN, redirected, accept, sink, ret, err) < 0)
            return -1;
        if (ret->status == 200)
            return 0;
        if (ret->status == 401 && !identified && !redirected) {
            if (identify(r, ret, err) < 0)
                return -1;
            identified = true;
        } else if (ret->status >= 301 && ret->status <= 308 && blob && ret->location.n && redirects++ < REDIRECTS_MAX) {
            redirected = true;
            url = str_starts(ret->location, STR("/"))
                      ? arena_printf(&r->arena, "%.*s%.*s", STR_ARG(r->base), STR_ARG(ret->location))
                      : arena_printf(&r->arena, "%.*s", STR_ARG(ret->location));
        } else if (ret->status == 404) {
            return fail(err, ERR_NOT_FOUND, "%.*s: not found", STR_ARG(r->ref.full));
        } else if (ret->status == 401 || ret->status == 403) {
            return fail(err, ERR_UNAUTHORIZED,
                        "pull access denied, repository does not exist or may require authorization: "
                        "authorization failed");
        } else {
            return fail(err, ERR_UNAVAILABLE, "unexpected status from GET request to %s: %ld", url.p, ret->status);
        }
    }
}

static void digest_text(const unsigned char hash[32], char ret[72])
{
    AUTO_BUF struct buf hex = BUF_MAX(65);
    hex_encode(&hex, (struct str){ (const char *)hash, 32 });
    memcpy(ret, "sha256:", 7);
    memcpy(ret + 7, hex.p, 65);
}

int registry_blob(struct registry *r, struct str digest, struct buf *ret, struct error *err)
{
    struct sink sink = { .to = ret, .fd = -1 };
    struct answer answer;
    unsigned char hash[32];
    char text[72];

    if (!image_digest_is_valid(digest))
        return fail(err, ERR_INVALID, "unsupported digest");
    if (get(r, arena_printf(&r->arena, "blobs/%.*s", STR_ARG(digest)), NULL, true, &sink, &answer, err) < 0)
        return -1;
    sha256(buf_str(ret), hash);
    digest_text(hash, text);
    return str_is(digest, text)
               ? 0
               : fail(err, ERR_INVALID, "the content of blob %.*s does not match its digest", STR_ARG(digest));
}

int registry_blob_to_file(struct registry *r, struct str digest, int64_t size_bytes, int fd, struct error *err)
{
    struct answer answer;
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char text[72];

    if (!image_digest_is_valid(digest))
        return fail(err, ERR_INVALID, "unsupported digest");
    struct sink sink = { .fd = fd, .left_bytes = size_bytes, .digest = EVP_MD_CTX_new() };
    EVP_DigestInit_ex(sink.digest, EVP_sha256(), NULL);
    int result = get(r, arena_printf(&r->arena, "blobs/%.*s", STR_ARG(digest)), NULL, true, &sink, &answer, err);
    EVP_DigestFinal_ex(sink.digest, hash, &n);
    EVP_MD_CTX_free(sink.digest);
    if (result < 0)
        return -1;
    digest_text(hash, text);
    if (!str_is(digest, text))
        return fail(err, ERR_INVALID, "the content of blob %.*s does not match its digest", STR_ARG(digest));
    return 0;
}

/* --- manifests --------------------------------------------------------------------------------------------------------- */

static const char *machine_architecture(void)
{
#if defined(__aarch64__)
    return "arm64";
#else
    return "amd64";
#endif
}

/* The digest of this machine's manifest in an index; empty when there is none. */
static struct str choose_platform(const struct value *index)
{
    const struct value *list = value_get_str(index, STR("manifests"));

    for (uint32_t i = 0; value_type(list) == VALUE_ARRAY && i < list->items_count; i++) {
        const struct value *platform = value_get_str(list->items[i], STR("platform"));
        if (str_is(value_to_str(value_get_str(platform, STR("os"))), "linux") &&
            str_is(value_to_str(value_get_str(platform, STR("architecture"))), machine_architecture()))
            return value_to_str(value_get_str(list->items[i], STR("digest")));
    }
    return STR_NONE;
}

static int fetch_manifest(struct registry *r, struct str name, struct buf *ret, char ret_digest[72], struct error *err)
{
    struct sink sink = { .to = ret, .fd = -1 };
    struct answer answer;
    unsigned char hash[32];

    if (get(r, arena_printf(&r->arena, "manifests/%.*s", STR_ARG(name)), manifest_types, false, &sink, &answer, err) <
        0)
        return -1;
    sha256(buf_str(ret), hash);
    digest_text(hash, ret_digest);
    if (str_starts(name, STR("sha256:")) && !str_is(name, ret_digest))
        return fail(err, ERR_INVALID, "the manifest does not match its digest %.*s", STR_ARG(name));
    return 0;
}

int registry_manifest(struct registry *r, struct str tag_or_digest, struct buf *ret, char ret_digest[72],
                      struct error *err)
{
    char inner[72];

    if (fetch_manifest(r, tag_or_digest, ret, ret_digest, err) < 0)
        return -1;
    struct value *v = value_parse(&r->arena, arena_str(&r->arena, buf_str(ret)), NULL, err);
    if (!v)
        return error_context(err, "manifest of %.*s", STR_ARG(r->ref.full));
    if (value_type(value_get_str(v, STR("manifests"))) != VALUE_ARRAY)
        return 0;
    struct str digest = choose_platform(v);
    if (!image_digest_is_valid(digest))
        return fail(err, ERR_NOT_FOUND, "no match for platform in manifest of %.*s: not found", STR_ARG(r->ref.full));
    buf_clear(ret);
    return fetch_manifest(r, digest, ret, inner, err);
}
