/* What the agent writes and reads as text: names of a pod, environment, gRPC health bytes, frames, credentials, log lines. */
#include "base/codec.h"
#include "kinds/kinds.h"
#include "node/check_grpc.h"
#include "node/env_vars.h"
#include "node/etc_files.h"
#include "node/frames.h"
#include "node/logs.h"
#include "node/pull_secrets.h"
#include "node/record.h"

#include "test.h"

#include "base/file.h"

static struct object *parse(const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    kinds_init();
    struct object *o = object_parse(str_of(json), &err);
    ASSERT_OK(o, &err);
    return o;
}

/* --- /etc ------------------------------------------------------------------------------------------------------------ */

static struct etc_input input(const struct object *pod)
{
    return (struct etc_input){ .pod = object_root(pod),
                               .ip = STR("10.1.2.3"),
                               .cluster_domain = STR("cluster.local"),
                               .dns_address = STR("10.96.0.10"),
                               .node_name = STR("node-a"),
                               .node_hosts = STR("127.0.0.1 localhost\n"),
                               .node_resolv = STR("nameserver 1.1.1.1\nsearch corp.example\noptions timeout:2\n") };
}

TEST("a pod finds cluster names first, then the node's search domains")
{
    AUTO_OBJECT struct object *pod =
        parse("{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\"},\"spec\":{\"dnsPolicy\":\"ClusterFirst\"}}");
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(4096);
    struct etc_input in = input(pod);
    etc_write_resolv(&in, &a, &text);
    ASSERT_STR(text, "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver "
                     "10.96.0.10\noptions ndots:5\n");
}

TEST("dnsPolicy Default is the node's, None is only what dnsConfig says")
{
    AUTO_OBJECT struct object *node =
        parse("{\"metadata\":{\"name\":\"w\",\"namespace\":\"s\"},\"spec\":{\"dnsPolicy\":\"Default\"}}");
    AUTO_OBJECT struct object *none =
        parse("{\"metadata\":{\"name\":\"w\",\"namespace\":\"s\"},\"spec\":{\"dnsPolicy\":\"None\",\"dnsConfig\":"
              "{\"nameservers\":[\"9.9.9.9\"],\"searches\":[\"x.y\"],\"options\":[{\"name\":\"ndots\",\"value\":\"2\"},"
              "{\"name\":\"edns0\"}]}}}");
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(4096);
    struct etc_input in = input(node);
    etc_write_resolv(&in, &a, &text);
    ASSERT_STR(text, "search corp.example\nnameserver 1.1.1.1\noptions timeout:2\n");
    buf_clear(&text);
    in = input(none);
    etc_write_resolv(&in, &a, &text);
    ASSERT_STR(text, "search x.y\nnameserver 9.9.9.9\noptions ndots:2 edns0\n");
}

TEST("/etc/hosts has the pod's own name and its host aliases")
{
    AUTO_OBJECT struct object *pod = parse(
        "{\"metadata\":{\"name\":\"web-0\",\"namespace\":\"shop\"},\"spec\":{\"subdomain\":\"web\",\"hostAliases\":"
        "[{\"ip\":\"1.2.3.4\",\"hostnames\":[\"a\",\"b\"]}]}}");
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(4096);
    struct etc_input in = input(pod);
    etc_write_hosts(&in, &a, &text);
    ASSERT_CONTAINS(text, "10.1.2.3\tweb-0.web.shop.svc.cluster.local\tweb-0\n");
    ASSERT_CONTAINS(text, "1.2.3.4\ta\tb\n");
}

TEST("a host name is at most 63 characters and ends in none of - and .")
{
    AUTO_OBJECT struct object *pod = parse(
        "{\"metadata\":{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbb\"},\"spec\":{}}");
    AUTO_ARENA struct arena a = { 0 };
    struct etc_input in = input(pod);
    ASSERT_INT(etc_hostname(&in, &a).n, 62);
}

/* --- environment -------------------------------------------------------------------------------------------------------- */

TEST("$(NAME) is replaced when NAME is known, $$ is a dollar sign, the rest stays")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_MAP struct map m = { 0 };
    struct str one = STR("1"), empty = STR("");
    map_put(&m, STR("A"), &one);
    map_put(&m, STR("E"), &empty);
    static const char *const cases[][2] = {
        { "x$(A)y", "x1y" }, { "$(B)", "$(B)" }, { "$$(A)", "$(A)" }, { "$(A", "$(A" },
        { "$", "$" },        { "$A", "$A" },     { "$(E)|", "|" },    { "$$$(A)", "$1" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        ASSERT_STR(env_expand(&a, str_of(cases[i][0]), &m), cases[i][1]);
}

TEST("fields of a pod are read by path, labels by key")
{
    AUTO_OBJECT struct object *pod =
        parse("{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"labels\":{\"b\":\"2\",\"a/"
              "x\":\"1\"}},\"spec\":{\"containers\":"
              "[{\"name\":\"c\",\"resources\":{\"limits\":{\"cpu\":\"1500m\",\"memory\":\"64Mi\"}}}]}}");
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct pod_fields f = { .pod = object_root(pod), .pod_ip = STR("10.0.0.9"), .node_milli_cpu = 4000 };
    struct str value;
    static const char *const cases[][2] = {
        { "metadata.name", "web" },
        { "status.podIP", "10.0.0.9" },
        { "metadata.labels['a/x']", "1" },
        { "metadata.labels", "a/x=\"1\"\nb=\"2\"" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ASSERT_OK(pod_field(&f, &a, str_of(cases[i][0]), &value, &err), &err);
        ASSERT_STR(value, cases[i][1]);
    }
    ASSERT_FAILS(pod_field(&f, &a, STR("spec.nope"), &value, &err), &err, ERR_INVALID, "unsupported fieldPath");
    AUTO_OBJECT struct object *cpu = parse("{\"resource\":\"limits.cpu\"}");
    AUTO_OBJECT struct object *memory = parse("{\"resource\":\"limits.memory\",\"divisor\":\"1Mi\"}");
    AUTO_OBJECT struct object *request = parse("{\"resource\":\"requests.cpu\"}");
    ASSERT_OK(pod_resource_field(&f, &a, object_root(cpu), STR("c"), &value, &err), &err);
    ASSERT_STR(value, "2"); /* rounded up */
    ASSERT_OK(pod_resource_field(&f, &a, object_root(memory), STR("c"), &value, &err), &err);
    ASSERT_STR(value, "64");
    ASSERT_OK(pod_resource_field(&f, &a, object_root(request), STR("c"), &value, &err), &err);
    ASSERT_STR(value, "0");
}

/* --- gRPC ---------------------------------------------------------------------------------------------------------------- */

static enum grpc_health answer(const char *bytes, size_t n)
{
    return grpc_health_answer((struct str){ bytes, n });
}

TEST("a gRPC health answer is decided by its message")
{
    static const char serving[] = "\0\0\0\4\0\0\0\0\0"
                                  "\0\0\7\0\0\0\0\0\1"
                                  "\0\0\0\0\2\x08\1";
    static const char not_serving[] = "\0\0\7\0\0\0\0\0\1"
                                      "\0\0\0\0\2\x08\2";
    static const char trailers_only[] = "\0\0\1\1\5\0\0\0\1"
                                        "\x88";
    static const char reset[] = "\0\0\4\3\0\0\0\0\1"
                                "\0\0\0\2";
    ASSERT_INT(answer(serving, sizeof(serving) - 1), GRPC_SERVING);
    for (size_t n = 0; n < sizeof(serving) - 1; n++)
        ASSERT_INT(answer(serving, n), GRPC_MORE);
    ASSERT_INT(answer(not_serving, sizeof(not_serving) - 1), GRPC_NOT_SERVING);
    ASSERT_INT(answer(trailers_only, sizeof(trailers_only) - 1), GRPC_NOT_SERVING);
    ASSERT_INT(answer(reset, sizeof(reset) - 1), GRPC_BROKEN);
    ASSERT_INT(answer("\xff\xff\xff\0\0\0\0\0\1", 9), GRPC_BROKEN);
}

/* --- frames --------------------------------------------------------------------------------------------------------------- */

static void collect(void *arg, enum frame_channel channel, struct str payload)
{
    buf_addf(arg, "%d:%.*s ", (int)channel, STR_ARG(payload));
}

TEST("frames arrive whole however their bytes are cut")
{
    AUTO_BUF struct buf bytes = BUF_MAX(MIB);
    AUTO_BUF struct buf seen = BUF_MAX(4096);
    struct frames f;
    frame_write(&bytes, FRAME_STDIN, STR("abc"));
    frame_write(&bytes, FRAME_SIZE, STR("{}"));
    frame_write(&bytes, FRAME_STDIN_END, STR(""));
    frames_init(&f);
    for (size_t i = 0; i < bytes.n; i++)
        ASSERT(frames_feed(&f, (struct str){ bytes.p + i, 1 }, collect, &seen, NULL) == 0);
    ASSERT_STR(seen, "0:abc 4:{} 255: ");
    frames_done(&f);
}

TEST("unknown channels and long frames break the stream")
{
    AUTO_ERROR struct error err = { 0 };
    struct frames f;
    frames_init(&f);
    ASSERT_FAILS(frames_feed(&f, (struct str){ "\7\0\0\0\0", 5 }, collect, NULL, &err), &err, ERR_BAD_REQUEST, "frame");
    frames_done(&f);
    frames_init(&f);
    ASSERT_FAILS(frames_feed(&f, (struct str){ "\0\xff\0\0\0", 5 }, collect, NULL, &err), &err, ERR_BAD_REQUEST,
                 "frame");
    frames_done(&f);
}

/* --- pull secrets ------------------------------------------------------------------------------------------------------------- */

TEST("credentials come out of a docker configuration by host")
{
    AUTO_BUF struct buf encoded = BUF_MAX(4096);
    AUTO_BUF struct buf json = BUF_MAX(8192);
    struct registry_credentials c[4] = { 0 };
    base64_encode(&encoded, STR("{\"auths\":{\"https://r.example:5000/v1/"
                                "\":{\"auth\":\"dXNlcjpwYTpzcw==\"},\"other.example\":{\"username\":\"u\",\"password\":"
                                "\"p\"},\"bad\":{}}}"));
    buf_addf(&json, "{\"data\":{\".dockerconfigjson\":\"%s\"}}", encoded.p);
    AUTO_OBJECT struct object *secret = parse(json.p);
    ASSERT_INT(pull_secret_read(object_root(secret), c, 0, 4), 2);
    ASSERT_STR(c[0].host, "r.example:5000");
    ASSERT_STR(secret_reveal(&c[0].username), "user");
    ASSERT_STR(secret_reveal(&c[0].password), "pa:ss");
    ASSERT_STR(c[1].host, "other.example");
    pull_credentials_done(c, 2);
}

/* --- logs ------------------------------------------------------------------------------------------------------------------------ */

struct reading {
    struct loop *loop;
    struct buf text;
    bool ended;
};

static bool on_bytes(void *arg, struct str bytes)
{
    buf_add(&((struct reading *)arg)->text, bytes);
    return true;
}

static void on_end(void *arg)
{
    struct reading *r = arg;
    r->ended = true;
    loop_stop(r->loop);
}

static struct str read_log(struct reading *r, const char *path, struct log_options o)
{
    struct log_reader_callbacks cb = { on_bytes, on_end, r };
    buf_clear(&r->text);
    struct log_reader *reader = log_reader_new(r->loop, path, &o, &cb);
    loop_run(r->loop);
    log_reader_free(reader);
    return buf_str(&r->text);
}

TEST("logs are read with every option, over rotated files, partial lines joined")
{
    struct reading r = { .loop = loop_new_system(env_system()), .text = BUF_MAX(MIB) };
    const char *path = test_path("0.log");
    ASSERT(file_write(test_path("0.log.1"), STR("2026-01-01T00:00:00.000000001+00:00 stdout F old\n"), 0644, NULL) ==
           0);
    ASSERT(file_write(path,
                      STR("2026-01-02T00:00:00.5+00:00 stdout P par\n2026-01-02T00:00:00.6+00:00 stdout F tial\n"
                          "2026-01-02T00:00:01+00:00 stderr F bad\n2026-01-03T00:00:00+00:00 stdout F last\n"),
                      0644, NULL) == 0);
    ASSERT_STR(read_log(&r, path, (struct log_options){ .tail_lines = -1, .limit_bytes = -1 }),
               "old\npartial\nbad\nlast\n");
    ASSERT_STR(read_log(&r, path, (struct log_options){ .tail_lines = 1, .limit_bytes = -1 }), "last\n");
    ASSERT_STR(read_log(&r, path, (struct log_options){ .tail_lines = 0, .limit_bytes = -1 }), "");
    ASSERT_STR(read_log(&r, path, (struct log_options){ .tail_lines = -1, .limit_bytes = 6 }), "old\npa");
    ASSERT_STR(read_log(&r, path, (struct log_options){ .tail_lines = -1, .limit_bytes = -1, .no_stdout = true }),
               "bad\n");
    ASSERT_STR(read_log(&r, path, (struct log_options){ .tail_lines = 1, .limit_bytes = -1, .timestamps = true }),
               "2026-01-03T00:00:00Z last\n");
    ASSERT_STR(
        read_log(&r, path,
                 (struct log_options){ .tail_lines = -1, .limit_bytes = -1, .since_wall_ns = 1767398400000000000 }),
        "last\n");
    buf_done(&r.text);
    loop_free(r.loop);
}

TEST("the end of a log has at most 80 lines")
{
    AUTO_BUF struct buf log = BUF_MAX(MIB);
    AUTO_BUF struct buf text = BUF_MAX(4096);
    for (int i = 0; i < 200; i++)
        buf_addf(&log, "2026-01-01T00:00:00Z stdout F %d\n", i);
    ASSERT(file_write(test_path("x.log"), buf_str(&log), 0644, NULL) == 0);
    log_read_tail(test_path("x.log"), &text);
    ASSERT(str_starts(buf_str(&text), STR("120\n")) && str_ends(buf_str(&text), STR("199\n")));
}

/* --- records ----------------------------------------------------------------------------------------------------------------------- */

TEST("a damaged record is told from a whole one")
{
    AUTO_BUF struct buf text = BUF_MAX(RECORD_MAX_BYTES);
    AUTO_BUF struct buf raw = BUF_MAX(RECORD_MAX_BYTES);
    AUTO_ERROR struct error err = { 0 };
    const char *path = test_path("state.json");
    ASSERT_OK(record_write(path, STR("{\"a\":1}"), &err), &err);
    ASSERT_OK(record_read(path, &text, &err), &err);
    ASSERT_STR(text, "{\"a\":1}");
    ASSERT(file_read(path, &raw, NULL) == 0);
    for (size_t i = 0; i < raw.n; i++) {
        raw.p[i] ^= 1;
        ASSERT(file_write(path, buf_str(&raw), 0600, NULL) == 0);
        ASSERT_FAILS(record_read(path, &text, &err), &err, ERR_INVALID, "damaged");
        raw.p[i] ^= 1;
        ASSERT(file_write(path, str_part(buf_str(&raw), 0, i), 0600, NULL) == 0);
        ASSERT_FAILS(record_read(path, &text, &err), &err, ERR_INVALID, "damaged");
    }
}
