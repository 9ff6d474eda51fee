/* Names of images, and pulling from a real registry (docker-registry on loopback, images pushed by skopeo). */
#include "node/images.h"

#include "base/file.h"
#include "fixture.h"
#include "loop/process.h"
#include "tar.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

static struct str full_name(struct arena *a, const char *name)
{
    struct image_ref ref;
    AUTO_ERROR struct error err = { 0 };
    if (image_ref_parse(a, str_of(name), &ref, &err) < 0)
        return STR("(invalid)");
    return ref.full;
}

TEST("image names are completed")
{
    AUTO_ARENA struct arena a = { 0 };
#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const char *const cases[][2] = {
        { "nginx", "docker.io/library/nginx:latest" },
        { "team/web:v1", "docker.io/team/web:v1" },
        { "localhost:5000/web", "localhost:5000/web:latest" },
        { "ghcr.io/a/b/c:1.2-x", "ghcr.io/a/b/c:1.2-x" },
        { "index.docker.io/library/x", "docker.io/library/x:latest" },
        { "web@" D, "docker.io/library/web@" D },
        { "r.io/web:1@" D, "r.io/web:1@" D },
        { "Upper", "(invalid)" },
        { "a//b", "(invalid)" },
        { "a/../b", "(invalid)" },
        { "a:", "(invalid)" },
        { "a@sha256:12", "(invalid)" },
        { "", "(invalid)" },
        { "a:t@g", "(invalid)" },
        { "-bad/x", "(invalid)" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        ASSERT_STR(full_name(&a, cases[i][0]), cases[i][1]);
}

struct world {
    struct loop *loop;
    struct images *images;
    struct process *registry;
    int port;
    int done, gone;
    struct image *image;
    bool cached;
    char message[1024];
};

static void on_registry_exit(struct process *p, struct process_exit how, void *arg)
{
    (void)p, (void)how;
    ((struct world *)arg)->gone = 1;
}

static int free_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    return ntohs(at.sin_port);
}

static bool answers(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
}

static void world_init(struct world *w)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf config = BUF_MAX(4096);

    *w = (struct world){ .loop = loop_new_system(env_system()), .port = free_port() };
    buf_addf(
        &config,
        "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: '127.0.0.1:%d'}\n",
        test_path("registry"), w->port);
    ASSERT(file_write(test_path("registry.yml"), buf_str(&config), 0644, NULL) == 0);
    const char *argv[] = { "docker-registry", "serve", test_path("registry.yml"), NULL };
    w->registry = process_spawn(w->loop, &(struct process_options){ .argv = argv, .kill_on_parent_death = true },
                                on_registry_exit, w, &err);
    ASSERT_OK(w->registry, &err);
    WAIT_UNTIL(answers(w->port), 10000);
    struct images_config c = { .folder = test_path("images") };
    w->images = images_new(w->loop, &c, &err);
    ASSERT_OK(w->images, &err);
}

static bool registry_gone(void *arg)
{
    return ((struct world *)arg)->gone;
}

static void world_done(struct world *w)
{
    process_kill(w->registry, SIGKILL);
    fixture_run(w->loop, registry_gone, w, 5000);
    images_free(w->images);
    loop_free(w->loop);
}

static void push(struct world *w, const char *layout, const char *name)
{
    AUTO_BUF struct buf out = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf err_out = BUF_MAX(64 * KIB);
    AUTO_ERROR struct error err = { 0 };
    struct process_exit how;
    char from[600], to[200];

    snprintf(from, sizeof(from), "oci:%s:latest", layout);
    snprintf(to, sizeof(to), "docker://127.0.0.1:%d/%s", w->port, name);
    const char *argv[] = { "skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", from, to, NULL };
    ASSERT_OK(process_run(&(struct process_options){ .argv = argv }, STR_NONE, &out, &err_out, 30000, &how, &err),
              &err);
    if (how.code != 0)
        FAIL("skopeo: %.*s", STR_ARG(buf_str(&err_out)));
}

static void on_pulled(void *arg, const struct image_pulled *result, const struct error *err)
{
    struct world *w = arg;
    w->done++;
    w->image = result->image;
    w->cached = result->cached;
    snprintf(w->message, sizeof(w->message), "%s", err ? error_text(err) : "");
}

static bool one_done(void *arg)
{
    return ((struct world *)arg)->done >= 1;
}

static bool two_done(void *arg)
{
    return ((struct world *)arg)->done >= 2;
}

static struct str name_of(struct world *w, const char *name)
{
    static char text[200];
    snprintf(text, sizeof(text), "127.0.0.1:%d/%s", w->port, name);
    return str_of(text);
}

static void pull(struct world *w, const char *name)
{
    w->done = 0;
    images_pull(w->images, name_of(w, name), NULL, 0, on_pulled, w);
    fixture_run(w->loop, one_done, w, 20000);
}

static const char *two_layers(const char *text)
{
    const char *layers[2] = { test_path("base.tar"), test_path("top.tar") };
    tar_write(layers[0], "none", (const struct tar_entry[]){ { .type = 'f', .path = "etc/base", .content = "base" } },
              1);
    tar_write(layers[1], "none", (const struct tar_entry[]){ { .type = 'f', .path = "etc/top", .content = text } }, 1);
    return oci_layout(text, layers, 2, "{\"Entrypoint\":[\"/bin/tool\"],\"Env\":[\"A=b\"]}");
}

TEST("an image is pulled, unpacked by layers, found again by name and after a restart")
{
    struct world w;
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    NEED_ROOT();
    world_init(&w);
    push(&w, two_layers("one"), "team/web:v1");
    pull(&w, "team/web:v1");
    ASSERT_STR(w.message, "");
    ASSERT(!w.cached);
    ASSERT_INT(w.image->layers_count, 2);
    struct str lower = images_lower(w.images, &a, w.image), top;
    str_cut(&lower, ':', &top);
    ASSERT(file_exists(arena_printf(&a, "%.*s/etc/top", STR_ARG(top)).p));
    ASSERT(images_find(w.images, name_of(&w, "team/web:v1")) == w.image);
    ASSERT(!images_find(w.images, name_of(&w, "team/web:v2")));
    pull(&w, "team/web:v1");
    ASSERT(w.cached);
    images_free(w.images);
    w.images = images_new(w.loop, &(struct images_config){ .folder = test_path("images") }, &err);
    struct image *again = images_find(w.images, name_of(&w, "team/web:v1"));
    ASSERT(again != NULL);
    ASSERT_STR(
        view_str(view_item(view_get_str(view_get_str(object_root(again->config), STR("config")), STR("Env")), 0)),
        "A=b");
    world_done(&w);
}

TEST("two pulls of one name are one fetch, and images share layers")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    push(&w, two_layers("one"), "web:v1");
    push(&w, two_layers("two"), "web:v2");
    images_pull(w.images, name_of(&w, "web:v1"), NULL, 0, on_pulled, &w);
    images_pull(w.images, name_of(&w, "web:v1"), NULL, 0, on_pulled, &w);
    fixture_run(w.loop, two_done, &w, 20000);
    ASSERT_STR(w.message, "");
    ASSERT_INT(images_count(w.images), 1);
    uint32_t base = w.image->layers[0];
    pull(&w, "web:v2");
    ASSERT_STR(w.message, "");
    ASSERT_INT(w.image->layers[0], base);
    ASSERT(w.image->layers[1] != images_at(w.images, 0)->layers[1]);
    world_done(&w);
}

TEST("a mirror stands in for its host")
{
    struct world w;
    AUTO_ERROR struct error err = { 0 };
    char url[64];
    NEED_ROOT();
    world_init(&w);
    push(&w, two_layers("one"), "library/busy:1");
    images_free(w.images);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", w.port);
    struct registry_mirror mirror = { .host = (char[]){ "docker.io" }, .url = url };
    w.images = images_new(
        w.loop, &(struct images_config){ .folder = test_path("images"), .mirrors = &mirror, .mirrors_count = 1 }, &err);
    images_pull(w.images, STR("busy:1"), NULL, 0, on_pulled, &w);
    fixture_run(w.loop, one_done, &w, 20000);
    ASSERT_STR(w.message, "");
    ASSERT(images_find(w.images, STR("docker.io/library/busy:1")) != NULL);
    world_done(&w);
}

TEST("an image that does not exist, a bad name and a dead registry are told apart")
{
    struct world w;
    NEED_ROOT();
    world_init(&w);
    pull(&w, "none:v1");
    ASSERT_CONTAINS(w.message, "none:v1: not found");
    w.done = 0;
    images_pull(w.images, STR("Bad Name"), NULL, 0, on_pulled, &w);
    fixture_run(w.loop, one_done, &w, 1000);
    ASSERT_CONTAINS(w.message, "invalid reference format");
    w.done = 0;
    images_pull(w.images, STR("127.0.0.1:1/x:1"), NULL, 0, on_pulled, &w);
    fixture_run(w.loop, one_done, &w, 10000);
    ASSERT_CONTAINS(w.message, "127.0.0.1:1");
    world_done(&w);
}

static void on_walk(const char *path, char *ret, size_t n)
{
    AUTO_BUF struct buf out = BUF_MAX(4096);
    const char *argv[] = { "find", path, "-name", "data", "-size", "-3k", NULL };
    struct process_exit how;
    process_run(&(struct process_options){ .argv = argv }, STR_NONE, &out, NULL, 5000, &how, NULL);
    snprintf(ret, n, "%.*s", STR_ARG(buf_str(&out)));
}

TEST("a layer whose bytes do not match its digest is refused and leaves nothing")
{
    struct world w;
    char files[4096];
    NEED_ROOT();
    world_init(&w);
    push(&w, two_layers("one"), "web:v1");
    on_walk(test_path("registry/docker/registry/v2/blobs"), files, sizeof(files));
    struct str rest = str_of(files), file;
    while (str_next(&rest, '\n', &file)) { /* flip a byte of every blob that is an archive */
        AUTO_BUF struct buf content = BUF_MAX(MIB);
        AUTO_FREE char *path = str_dup(file);
        if (!path[0] || file_read(path, &content, NULL) < 0 || content.p[0] == '{')
            continue;
        content.p[content.n / 2] ^= 1;
        ASSERT(file_write(path, buf_str(&content), 0644, NULL) == 0);
    }
    pull(&w, "web:v1");
    ASSERT_CONTAINS(w.message, "does not match its digest");
    ASSERT_INT(images_count(w.images), 0);
    world_done(&w);
}
