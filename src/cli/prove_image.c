/* An image of one static program, pushed to the cluster's registry by its HTTP API (OCI distribution-spec v1). */
#include "cli/prove.h"

#include "base/codec.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM_MAX   (16 * MIB)
#define CALL_LIMIT_MS 10000
#define TAR_BLOCK     512

struct answer {
    struct loop *loop;
    int status;
    char location[1024];
    struct error err;
};

static void on_answer(void *arg, const struct http_response *head, UNUSED struct str body, const struct error *err)
{
    struct answer *a = arg;

    if (!head)
        fail(&a->err, err->code, "%s", error_text(err));
    for (size_t i = 0; head && i < head->headers_count; i++)
        if (str_eq_nocase(head->headers[i].name, STR("location")))
            snprintf(a->location, sizeof(a->location), "%.*s", STR_ARG(head->headers[i].value));
    a->status = head ? head->status : 0;
    loop_stop(a->loop);
}

/* One call to the registry; *ret_location (may be NULL) is the path of its Location header. */
static int call(const char *registry, const char *method, const char *target, const char *type, struct str body,
                char ret_location[1024], struct error *err)
{
    AUTO_FREE char *url = xasprintf("http://%s", registry);
    struct str server = str_of(url);
    struct http_header header = { STR("Content-Type"), str_of(type) };
    struct answer a = { .loop = loop_new_system(env_system()) };
    struct http_client *client = http_client_new(
        a.loop, &(struct http_client_options){ .servers = &server, .servers_count = 1, .http1_only = true }, err);

    if (client) {
        http_client_fetch(client,
                          &(struct http_call_request){ .method = str_of(method),
                                                       .target = str_of(target),
                                                       .headers = &header,
                                                       .headers_count = 1,
                                                       .body = body,
                                                       .timeout_ms = CALL_LIMIT_MS,
                                                       .total_timeout_ms = CALL_LIMIT_MS },
                          MIB, on_answer, &a);
        loop_run(a.loop);
        http_client_free(client);
    }
    loop_free(a.loop);
    if (!client)
        return -1;
    if (a.err.code) {
        error_move(err, &a.err);
        return -1;
    }
    if (a.status / 100 != 2)
        return fail(err, ERR_INTERNAL, "the registry answered %d to %s %s", a.status, method, target);
    if (ret_location) {
        const char *path = strstr(a.location, "/v2/");
        snprintf(ret_location, 1024, "%s", path ? path : "");
    }
    return 0;
}

static int push_blob(const char *registry, const char *name, struct str bytes, char ret_digest[80], struct error *err)
{
    AUTO_FREE char *start = xasprintf("/v2/%s/blobs/uploads/", name);
    char location[1024], hex[SHA256_HEX_SIZE];

    snprintf(ret_digest, 80, "sha256:%s", sha256_hex(bytes, hex));
    if (call(registry, "POST", start, "application/octet-stream", STR_NONE, location, err) < 0)
        return -1;
    AUTO_FREE char *put = xasprintf("%s%cdigest=%s", location, strchr(location, '?') ? '&' : '?', ret_digest);
    return call(registry, "PUT", put, "application/octet-stream", bytes, NULL, err);
}

/* One file as a tar archive. Source: POSIX.1-2001, pax, "ustar Interchange Format". */
static void add_tar(struct buf *to, const char *name, struct str content)
{
    char h[TAR_BLOCK] = "";
    unsigned sum = 0;

    snprintf(h, 100, "%s", name);
    memcpy(h + 100, "0000755", 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    snprintf(h + 124, 12, "%011zo", content.n);
    memcpy(h + 136, "00000000000", 12);
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof(h); i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    buf_add_bytes(to, h, sizeof(h));
    buf_add(to, content);
    buf_add_repeat(to, '\0', (TAR_BLOCK - content.n % TAR_BLOCK) % TAR_BLOCK + (size_t)2 * TAR_BLOCK);
}

/* Where the build leaves the samples, seen from the program: beside it, or in the build's folder. */
static int read_program(const struct prove *p, const char *name, struct buf *ret, struct error *err)
{
    static const char *const folders[] = { "", "../samples/", "release/samples/", "../lib/klein/" };

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        AUTO_FREE char *path = xasprintf("%s/%s%s", p->sample_folder, folders[i], name);
        if (file_read(path, ret, NULL) == 0)
            return 0;
        buf_clear(ret);
    }
    return fail(err, ERR_NOT_FOUND,
                "the sample program '%s' is not beside klein nor in its build folder: name its folder with --samples",
                name);
}

int prove_push(const struct prove *p, const char *name, char ret_image[128], struct error *err)
{
    AUTO_BUF struct buf program = BUF_MAX(PROGRAM_MAX);
    AUTO_BUF struct buf layer = BUF_MAX(PROGRAM_MAX + 4 * KIB);
    AUTO_BUF struct buf config = BUF_MAX(4 * KIB);
    AUTO_BUF struct buf manifest = BUF_MAX(4 * KIB);
    char registry[32], address[16], layer_digest[80], config_digest[80];

    cluster_edge_address(&p->cluster, address);
    snprintf(registry, sizeof(registry), "%s:%d", address, CLUSTER_REGISTRY_PORT);
    if (read_program(p, name, &program, err) < 0)
        return -1;
    add_tar(&layer, name, buf_str(&program));
    if (push_blob(registry, name, buf_str(&layer), layer_digest, err) < 0)
        return error_context(err, "push the sample '%s'", name);
    buf_addf(&config,
             "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Entrypoint\":[\"/%s\"],\"Env\":[\"PATH=/"
             "\"],\"User\":\"65534\"},"
             "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
             name, layer_digest);
    if (push_blob(registry, name, buf_str(&config), config_digest, err) < 0)
        return error_context(err, "push the sample '%s'", name);
    buf_addf(&manifest,
             "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
             "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},"
             "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}]}",
             config_digest, config.n, layer_digest, layer.n);
    AUTO_FREE char *target = xasprintf("/v2/%s/manifests/prove", name);
    if (call(registry, "PUT", target, "application/vnd.oci.image.manifest.v1+json", buf_str(&manifest), NULL, err) < 0)
        return error_context(err, "push the sample '%s'", name);
    snprintf(ret_image, 128, "%s/%s:prove", registry, name);
    return 0;
}
