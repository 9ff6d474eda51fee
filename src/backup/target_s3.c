/*
 * Backups in an S3-compatible bucket, by libcurl, which signs (AWS Signature Version 4). Objects are PREFIX/NAME/FILE. Addressed by path
 * (https://ENDPOINT/BUCKET/KEY), as every compatible server understands.
 */
#include "backup/target.h"

#include "base/codec.h"
#include "base/file.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MAX (16 * MIB)
#define STALL_S    60L
#define ATTEMPTS   3 /* of a request that broke off or got a 5xx */
#define PAGES_MAX  1000

struct s3 {
    struct target base;
    CURL *curl;
    char *endpoint, *bucket, *prefix, *region;
    struct secret credentials; /* KEY:SECRET */
};

static struct s3 *s3_of(struct target *t)
{
    return container_of(t, struct s3, base);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* --- one request --------------------------------------------------------------------------------------------------- */

struct transfer {
    const char *method;
    struct str query; /* sorted and encoded already: what is signed is what is sent */
    FILE *upload, *download;
    uint64_t upload_bytes;
    const char *sha256; /* hex, of the upload */
    struct buf *answer;
};

static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;

    if (t->download)
        return fwrite(p, size, n, t->download);
    buf_add_bytes(t->answer, p, size * n);
    return t->answer->full ? 0 : size * n;
}

static size_t on_upload(char *p, size_t size, size_t n, void *arg)
{
    return fread(p, size, n, ((struct transfer *)arg)->upload);
}

/* libcurl goes back to the beginning when the server closes a connection that it wanted to use again. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    return fseeko(((struct transfer *)arg)->upload, offset, origin) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static char *url_of(const struct s3 *s, const char *key, struct str query)
{
    AUTO_BUF struct buf url = BUF_MAX(16 * KIB);
    struct str rest = str_of(key), part;
    bool first = true;

    buf_addf(&url, "%s/%s", s->endpoint, s->bucket);
    for (; str_next(&rest, '/', &part); first = false) {
        buf_add_char(&url, '/');
        percent_encode(&url, part);
    }
    if (first)
        buf_add_char(&url, '/');
    if (query.n) {
        buf_add_char(&url, '?');
        buf_add(&url, query);
    }
    return buf_take(&url, NULL);
}

static void prepare(struct s3 *s, struct transfer *t, const char *url, struct curl_slist *headers)
{
    AUTO_FREE char *provider = xasprintf("aws:amz:%s:s3", s->region);
    struct str credentials = secret_reveal(&s->credentials);
    AUTO_FREE char *user = str_dup(credentials);

    curl_easy_reset(s->curl);
    curl_easy_setopt(s->curl, CURLOPT_URL, url);
    curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(s->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(s->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(s->curl, CURLOPT_LOW_SPEED_TIME, STALL_S);
    curl_easy_setopt(s->curl, CURLOPT_USERAGENT, "klein/" KLEIN_VERSION);
    curl_easy_setopt(s->curl, CURLOPT_AWS_SIGV4, provider);
    curl_easy_setopt(s->curl, CURLOPT_USERPWD, user); /* libcurl copies it */
    curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, t);
    if (t->upload) {
        curl_easy_setopt(s->curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(s->curl, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(s->curl, CURLOPT_READDATA, t);
        curl_easy_setopt(s->curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(s->curl, CURLOPT_SEEKDATA, t);
        curl_easy_setopt(s->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->upload_bytes);
    } else {
        curl_easy_setopt(s->curl, CURLOPT_CUSTOMREQUEST, t->method);
    }
    explicit_bzero(user, credentials.n);
}

/* The sentence S3 gives: <Message>...</Message>, or nothing. */
static struct str message_of(struct str xml)
{
    for (size_t i = 0; i + 9 < xml.n; i++)
        if (str_starts(str_from(xml, i), STR("<Message>"))) {
            struct str rest = str_from(xml, i + 9), text;
            str_cut(&rest, '<', &text);
            return str_part(text, 0, 300);
        }
    return STR_NONE;
}

static int attempt(struct s3 *s, struct transfer *t, const char *key, bool *ret_again, struct error *err)
{
    AUTO_FREE char *url = url_of(s, key, t->query);
    AUTO_BUF struct buf own = BUF_MAX(ANSWER_MAX);
    char digest[SHA256_HEX_SIZE];
    AUTO_FREE char *payload =
        xasprintf("x-amz-content-sha256: %s", t->sha256 ? t->sha256 : sha256_hex(STR_NONE, digest));
    struct curl_slist *headers = curl_slist_append(NULL, payload);
    long status = 0;

    if (!t->answer)
        t->answer = &own;
    buf_clear(t->answer);
    prepare(s, t, url, headers);
    CURLcode code = curl_easy_perform(s->curl);
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    struct str message = message_of(buf_str(t->answer));
    int result = 0;
    *ret_again = code != CURLE_OK || status >= 500;
    if (code != CURLE_OK)
        result = fail(err, ERR_UNAVAILABLE, "%s: %s", s->endpoint, curl_easy_strerror(code));
    else if (status / 100 != 2)
        result = fail(err,
                      status == 404   ? ERR_NOT_FOUND
                      : status == 403 ? ERR_FORBIDDEN
                                      : ERR_UNAVAILABLE,
                      "%s answered %ld to %s '%s'%s%.*s", s->endpoint, status, t->method, key, message.n ? ": " : "",
                      STR_ARG(message));
    if (t->answer == &own)
        t->answer = NULL;
    return result;
}

static int request(struct s3 *s, struct transfer *t, const char *key, struct error *err)
{
    bool again = true;
    int result = -1;

    for (int i = 0; i < ATTEMPTS && result < 0 && again; i++) {
        if (t->upload)
            rewind(t->upload);
        if (t->download && (fflush(t->download) != 0 || ftruncate(fileno(t->download), 0) < 0))
            return fail_sys(err, errno, "write a download");
        if (t->download)
            rewind(t->download);
        result = attempt(s, t, key, &again, err);
    }
    return result;
}

/* --- listing: the few fields of ListObjectsV2 that are wanted --------------------------------------------------------- */

static bool next_tag(struct str *rest, struct str open, struct str *ret)
{
    for (; rest->n; *rest = str_from(*rest, 1))
        if (str_starts(*rest, open)) {
            *rest = str_from(*rest, open.n);
            return str_cut(rest, '<', ret);
        }
    return false;
}

typedef void key_fn(void *arg, struct str key, struct str size);

static int list_page(struct s3 *s, const char *prefix, const char *delimiter, struct str tag, struct buf *token,
                     key_fn *fn, void *arg, struct error *err)
{
    AUTO_BUF struct buf query = BUF_MAX(8 * KIB), answer = BUF_MAX(ANSWER_MAX);

    /* In the order of the alphabet: that is what is signed. */
    if (token->n) {
        buf_add_text(&query, "continuation-token=");
        percent_encode(&query, buf_str(token));
        buf_add_char(&query, '&');
    }
    if (*delimiter) {
        buf_add_text(&query, "delimiter=");
        percent_encode(&query, str_of(delimiter));
        buf_add_char(&query, '&');
    }
    buf_add_text(&query, "list-type=2&prefix=");
    percent_encode(&query, str_of(prefix));
    if (request(s, &(struct transfer){ .method = "GET", .query = buf_str(&query), .answer = &answer }, "", err) < 0)
        return -1;
    struct str rest = buf_str(&answer), key, size = STR_NONE, next;
    while (next_tag(&rest, tag, &key)) {
        struct str after = rest;
        if (!*delimiter && !next_tag(&after, STR("<Size>"), &size))
            break;
        fn(arg, key, size);
    }
    rest = buf_str(&answer);
    buf_clear(token);
    if (next_tag(&rest, STR("<NextContinuationToken>"), &next))
        buf_add(token, next);
    return 0;
}

static int list_all(struct s3 *s, const char *prefix, const char *delimiter, struct str tag, key_fn *fn, void *arg,
                    struct error *err)
{
    AUTO_BUF struct buf token = BUF_MAX(2 * KIB);
    int pages = 0;

    do {
        if (list_page(s, prefix, delimiter, tag, &token, fn, arg, err) < 0)
            return -1;
    } while (token.n && ++pages < PAGES_MAX);
    return 0;
}

struct files {
    struct target_names names, sizes;
};

static void take_file(void *arg, struct str key, struct str size)
{
    struct files *f = arg;
    struct str name = str_from(key, (size_t)(str_find_last(key, '/') + 1));

    if (!segment_name_is_valid(name))
        return;
    target_names_add(&f->names, name);
    target_names_add(&f->sizes, size);
}

static int list_files(struct s3 *s, const char *name, struct files *ret, struct error *err)
{
    AUTO_FREE char *prefix = xasprintf("%s%s/", s->prefix, name);

    return list_all(s, prefix, "", STR("<Key>"), take_file, ret, err);
}

static void files_done(struct files *f)
{
    target_names_done(&f->names);
    target_names_done(&f->sizes);
}

static void take_folder(void *arg, struct str key, struct str size)
{
    struct str path = str_part(key, 0, key.n - 1), name;

    (void)size;
    name = str_from(path, (size_t)(str_find_last(path, '/') + 1));
    if (str_ends(key, STR("/")) && segment_name_is_valid(name))
        target_names_add(arg, name);
}

static int s3_list(struct target *t, struct target_names *ret, struct error *err)
{
    struct s3 *s = s3_of(t);
    AUTO_FREE char *scope = xasprintf("%s", s->prefix);

    /* <CommonPrefixes><Prefix>...: the outer <Prefix> of the answer names no folder below ours. */
    return list_all(s, scope, "/", STR("<CommonPrefixes><Prefix>"), take_folder, ret, err);
}

/* --- the operations ------------------------------------------------------------------------------------------------ */

static int put_file(struct s3 *s, const char *folder, const char *file, const char *name, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, file);
    AUTO_FREE char *key = xasprintf("%s%s/%s", s->prefix, name, file);
    struct segment_file measured;

    if (segment_file_measure(folder, file, &measured, err) < 0)
        return -1;
    FILE *in = fopen(path, "rbe");
    if (!in)
        return fail_sys(err, errno, "read '%s'", path);
    int result = request(
        s,
        &(struct transfer){ .method = "PUT", .upload = in, .upload_bytes = measured.bytes, .sha256 = measured.sha256 },
        key, err);
    fclose(in);
    return result;
}

static bool is_there(const struct files *there, const char *folder, const char *file)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, file);
    struct stat st;
    uint64_t size;

    for (size_t i = 0; i < there->names.count; i++)
        if (!strcmp(there->names.names[i], file))
            return stat(path, &st) == 0 && str_to_u64(str_of(there->sizes.names[i]), &size) &&
                   size == (uint64_t)st.st_size;
    return false;
}

static int s3_put(struct target *t, const char *local, const char *name, bool only_new, struct error *err)
{
    struct s3 *s = s3_of(t);
    AUTO_TARGET_NAMES struct target_names files = { 0 };
    struct files there = { 0 };
    int result = target_local_files(local, &files, err);

    if (result == 0 && only_new)
        result = list_files(s, name, &there, err);
    for (size_t i = 0; i < files.count && result == 0; i++)
        if (!is_there(&there, local, files.names[i]))
            result = put_file(s, local, files.names[i], name, err);
    files_done(&there);
    return result;
}

static int get_file(struct s3 *s, const char *name, const char *file, const char *local, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", local, file);
    AUTO_FREE char *key = xasprintf("%s%s/%s", s->prefix, name, file);
    FILE *out = fopen(path, "wbe");

    if (!out)
        return fail_sys(err, errno, "write '%s'", path);
    int result = request(s, &(struct transfer){ .method = "GET", .download = out }, key, err);
    if (fclose(out) != 0 && result == 0)
        result = fail_sys(err, errno, "write '%s'", path);
    return result;
}

static int s3_get(struct target *t, const char *name, const char *local, struct error *err)
{
    struct s3 *s = s3_of(t);
    struct files there = { 0 };
    int result = list_files(s, name, &there, err);

    if (result == 0 && !there.names.count)
        result = fail(err, ERR_NOT_FOUND, "there is no '%s' at %s", name, t->text);
    for (size_t i = 0; i < there.names.count && result == 0; i++)
        result = get_file(s, name, there.names.names[i], local, err);
    files_done(&there);
    return result;
}

static int s3_remove(struct target *t, const char *name, struct error *err)
{
    struct s3 *s = s3_of(t);
    struct files there = { 0 };
    int result = list_files(s, name, &there, err);

    /* The manifest first: what is half removed is no backup. */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < there.names.count && result == 0; i++) {
            if (!strcmp(there.names.names[i], MANIFEST_FILE) != (pass == 0))
                continue;
            AUTO_FREE char *key = xasprintf("%s%s/%s", s->prefix, name, there.names.names[i]);
            result = request(s, &(struct transfer){ .method = "DELETE" }, key, err);
        }
    files_done(&there);
    return result;
}

static void s3_free(struct target *t)
{
    struct s3 *s = s3_of(t);

    if (s->curl)
        curl_easy_cleanup(s->curl);
    secret_done(&s->credentials);
    free(s->endpoint);
    free(s->bucket);
    free(s->prefix);
    free(s->region);
    free(s);
}

static const struct target_ops s3_ops = {
    .put = s3_put, .get = s3_get, .list = s3_list, .remove = s3_remove, .free = s3_free
};

/* --- opening ------------------------------------------------------------------------------------------------------- */

static struct str ini_value(struct str text, const char *name)
{
    struct str line, key;

    while (str_next(&text, '\n', &line))
        if (str_cut(&line, '=', &key) && str_is(str_trim(key), name))
            return str_trim(line);
    return STR_NONE;
}

static int take_credentials(struct s3 *s, const char *file, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(8 * KIB), pair = BUF_MAX(8 * KIB);
    const char *key = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");

    if (file && file_read(file, &text, err) < 0)
        return error_context(err, "S3 credentials");
    if (file && !str_contains(buf_str(&text), STR("="))) {
        buf_add(&pair, str_trim(buf_str(&text)));
    } else if (file) {
        buf_add(&pair, ini_value(buf_str(&text), "aws_access_key_id"));
        buf_add_char(&pair, ':');
        buf_add(&pair, ini_value(buf_str(&text), "aws_secret_access_key"));
    } else {
        buf_addf(&pair, "%s:%s", key ? key : "", secret ? secret : "");
    }
    struct str rest = buf_str(&pair), first;
    if (!str_cut(&rest, ':', &first) || !first.n || !rest.n)
        return fail(err, ERR_BAD_REQUEST,
                    "S3 needs credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or "
                    "--credentials-file with KEY:SECRET");
    secret_set(&s->credentials, buf_str(&pair));
    explicit_bzero(pair.p, pair.n);
    if (text.n)
        explicit_bzero(text.p, text.n);
    return 0;
}

static int take_query(struct s3 *s, struct str query, struct error *err)
{
    struct str part, name;

    while (str_next(&query, '&', &part)) {
        if (!str_cut(&part, '=', &name) || !part.n)
            return fail(err, ERR_BAD_REQUEST, "an S3 URL may end in ?endpoint=URL&region=NAME");
        if (str_is(name, "endpoint") && !s->endpoint)
            s->endpoint = str_dup(str_ends(part, STR("/")) ? str_part(part, 0, part.n - 1) : part);
        else if (str_is(name, "region") && !s->region)
            s->region = str_dup(part);
        else
            return fail(err, ERR_BAD_REQUEST, "an S3 URL may end in ?endpoint=URL&region=NAME, not '%.*s'",
                        STR_ARG(name));
    }
    s->region = s->region ? s->region : xstrdup("us-east-1");
    s->endpoint = s->endpoint ? s->endpoint : xasprintf("https://s3.%s.amazonaws.com", s->region);
    if (!str_starts(str_of(s->endpoint), STR("https://")) && !str_starts(str_of(s->endpoint), STR("http://")))
        return fail(err, ERR_BAD_REQUEST, "endpoint must be a http or https URL, not '%s'", s->endpoint);
    return 0;
}

struct target *target_open_s3(const char *url, const struct target_options *o, struct error *err)
{
    struct s3 *s = xnew(struct s3);
    struct str rest = str_from(str_of(url), STR("s3://").n), path, bucket;

    pthread_once(&curl_once, init_curl);
    s->base.ops = &s3_ops;
    str_cut(&rest, '?', &path);
    s->base.text = xasprintf("s3://%.*s", STR_ARG(path));
    str_cut(&path, '/', &bucket);
    while (str_ends(path, STR("/")))
        path.n--;
    s->bucket = str_dup(bucket);
    s->prefix = path.n ? xasprintf("%.*s/", STR_ARG(path)) : xstrdup("");
    s->curl = curl_easy_init();
    int result = !segment_name_is_valid(bucket)
                     ? fail(err, ERR_BAD_REQUEST, "'%s': s3://BUCKET/PREFIX is expected", url)
                     : take_query(s, rest, err);
    if (result < 0 || take_credentials(s, o->credentials_file, err) < 0) {
        target_free(&s->base);
        return NULL;
    }
    return &s->base;
}
