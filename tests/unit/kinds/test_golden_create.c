/* Recorded creates are replayed: the same request gives the object, or the complaints, that Kubernetes gave. */
#include "test.h"

#include "base/file.h"
#include "kinds/fields.h"
#include "kinds/kinds.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "object/schema_walk.h"

#define MEMBER(v, name) value_get_str((v), STR(name))
#define TEXT(v, name)   value_to_str(MEMBER(v, name))

/* Where 1.36 differs from the recorded 1.24 on purpose. A case is forgiven when its difference contains `part`. */
static const struct {
    const char *kind, *part, *why;
} newer[] = {
    { "", "must be less than or equal to memory limit of", "1.27 says what the limit is" },
    { "", "a valid environment variable name must consist of", "1.34 allows all printable ASCII but '='" },
    { "Deployment", "a valid percent string must be", "IntOrString values are shown as what they are" },
    { "Service", "failed to allocate IP", "addresses are given out by the server, not by the rules of the kind" },
    { "", "VolumeResourceRequirements", "claims have a type of resources of their own since 1.29" },
    { "PersistentVolumeClaim", "\"ReadWriteOncePod\"", "GA since 1.29" },
    { "", NULL, "" },
};

struct totals {
    const char *kind;
    int cases, passed, forgiven;
};

static struct totals totals[64];

static struct totals *totals_of(const struct kind *kind)
{
    size_t i = 0;

    while (totals[i].kind && strcmp(totals[i].kind, kind->plural) != 0)
        i++;
    totals[i].kind = kind->plural;
    return &totals[i];
}

/* --- what the server does around the rules of a kind ------------------------------------------------------------ */

static void emulate_names(struct arena *a, const struct kind *kind, struct value *object)
{
    struct value *metadata = MEMBER(object, "metadata");
    struct str prefix = TEXT(metadata, "generateName");

    value_del_str(metadata, STR("resourceVersion"));
    value_del_str(metadata, STR("creationTimestamp"));
    if (kind->namespaced && !TEXT(metadata, "namespace").n)
        value_put_str(a, metadata, STR("namespace"), value_text(a, "golden"));
    if (prefix.n && !TEXT(metadata, "name").n)
        value_put_str(a, metadata, STR("name"), value_strf(a, "%.*sabcde", STR_ARG(prefix)));
}

/* Admission gives out addresses and ports; here they are those of the recorded answer, or any of the right form. */
static void emulate_service(struct arena *a, struct value *object, const struct value *response)
{
    struct value *spec = MEMBER(object, "spec"), *answer = MEMBER(response, "spec"), *port, *ips;
    struct str type = TEXT(spec, "type"), ip = TEXT(answer, "clusterIP");

    if (!str_is(type, "ExternalName") && !TEXT(spec, "clusterIP").n) {
        ip = ip.n ? ip : STR("10.96.0.10");
        ips = value_array(a);
        value_append(a, ips, value_str(a, ip));
        value_put_str(a, spec, STR("clusterIP"), value_str(a, ip));
        value_put_str(a, spec, STR("clusterIPs"), ips);
    }
    for (size_t i = 0; (port = value_at(MEMBER(spec, "ports"), i)); i++)
        if ((str_is(type, "NodePort") || str_is(type, "LoadBalancer")) && value_empty(MEMBER(port, "nodePort"))) {
            int64_t number = value_to_int(MEMBER(value_at(MEMBER(answer, "ports"), i), "nodePort"), 30000 + (int64_t)i);

            value_put_str(a, port, STR("nodePort"), value_int(a, number));
        }
    if (str_is(type, "LoadBalancer") && str_is(TEXT(spec, "externalTrafficPolicy"), "Local"))
        value_put_str(a, spec, STR("healthCheckNodePort"),
                      value_int(a, value_to_int(MEMBER(answer, "healthCheckNodePort"), 30999)));
}

static bool is_token_volume(const struct value *v)
{
    return str_starts(TEXT(v, "name"), STR("kube-api-access-"));
}

static bool is_injected_toleration(const struct value *v)
{
    return str_is(TEXT(v, "key"), "node.kubernetes.io/not-ready") ||
           str_is(TEXT(v, "key"), "node.kubernetes.io/unreachable");
}

static void remove_where(struct value *object, const char *name, bool (*which)(const struct value *))
{
    struct value *list = value_get_str(object, str_of(name));

    for (size_t i = list ? list->items_count : 0; i > 0; i--)
        if (which(list->items[i - 1]))
            value_remove(list, i - 1);
    if (list && list->items_count == 0)
        value_del_str(object, str_of(name));
}

/* What admission adds to a pod (token volumes, tolerations, priority, the default account) is taken out of the answer. */
static void strip_pod_admission(struct value *answer, const struct value *object)
{
    static const char *const injected[] = { "priority", "preemptionPolicy", "serviceAccountName", "serviceAccount" };
    static const char *const lists[] = { "containers", "initContainers" };
    struct value *spec = MEMBER(answer, "spec"), *container;

    remove_where(spec, "volumes", is_token_volume);
    remove_where(spec, "tolerations", is_injected_toleration);
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
        for (size_t i = 0; (container = value_at(value_get_str(spec, str_of(lists[l])), i)); i++)
            remove_where(container, "volumeMounts", is_token_volume);
    for (size_t i = 0; i < ARRAY_SIZE(injected); i++)
        if (!value_get_str(MEMBER(object, "spec"), str_of(injected[i])))
            value_del_str(spec, str_of(injected[i]));
}

/* Since 1.34 a creationTimestamp that is not set is left out, also in templates. */
static void strip_null_times(struct value *v)
{
    if (value_type(v) == VALUE_OBJECT) {
        if (value_type(MEMBER(v, "creationTimestamp")) == VALUE_NULL)
            value_del_str(v, STR("creationTimestamp"));
        for (size_t i = 0; i < v->members_count; i++)
            strip_null_times(v->members[i].value);
    } else if (value_type(v) == VALUE_ARRAY) {
        for (size_t i = 0; i < v->items_count; i++)
            strip_null_times(v->items[i]);
    }
}

/* What came after the recordings, and the finalizers that admission adds. */
static void strip_storage(struct value *answer, struct value *got, struct str kind)
{
    if (str_is(kind, "StatefulSet"))
        value_del_str(MEMBER(got, "spec"), STR("persistentVolumeClaimRetentionPolicy")); /* a default since 1.27 */
    if (!str_starts(kind, STR("PersistentVolume")))
        return;
    value_del_str(MEMBER(answer, "metadata"), STR("finalizers"));
    value_del_str(MEMBER(got, "metadata"), STR("finalizers"));
    value_del_str(MEMBER(got, "status"), STR("lastPhaseTransitionTime")); /* since 1.28 */
}

/* --- replay ------------------------------------------------------------------------------------------------------ */

static int replay(struct arena *a, const struct kind *kind, struct value *request, const struct value *response,
                  struct error *err)
{
    struct schema_options options = { .style = SCHEMA_DECODE, .validation = FIELD_VALIDATION_IGNORE };
    struct kind_context context = { .arena = a, .now_ms = 1700000000000, .subresource = "", .create = true };
    struct object *object;
    int result;

    if (schema_normalize(a, kind->schema, request, &options, err) < 0)
        return -1;
    emulate_names(a, kind, request);
    kind_run_default(kind, &context, request);
    kind_run_prepare(kind, &context, request, VIEW_ABSENT);
    if (str_is(TEXT(request, "kind"), "Service"))
        emulate_service(a, request, response);
    object = object_new(request, err);
    if (!object)
        return -1;
    result = kind_run_validate(kind, &context, object_root(object), VIEW_ABSENT, err);
    object_unref(object);
    return result;
}

static int compare_texts(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* All causes as sorted lines, since upstream walks maps in no order. */
static void causes_text(struct buf *text, char **lines, size_t count)
{
    qsort(lines, count, sizeof(*lines), compare_texts);
    for (size_t i = 0; i < count; i++)
        buf_addf(text, "    %s\n", lines[i]);
}

/* Composite values are shown as JSON since 1.33 where 1.24 showed Go's syntax; the form is cut out of both. */
static struct str without_composite(struct arena *a, struct str message)
{
    ptrdiff_t colon = str_find(message, ':'), end = -1;
    struct str value = colon >= 0 ? str_from(message, (size_t)colon + 2) : STR_NONE;
    bool composite =
        value.n &&
        (value.p[0] == '{' || value.p[0] == '[' || str_starts(value, STR("null")) || str_starts(value, STR("map[")) ||
         str_starts(value, STR("v1.")) || str_starts(value, STR("apps.")) || str_starts(value, STR("core.")) ||
         str_starts(value, STR("intstr.")) || str_starts(value, STR("[]")) || str_starts(value, STR("networking.")));

    if (!composite && str_starts(message, STR("Invalid value: \"")))
        return message;
    if (!composite)
        return message;
    for (size_t i = 0; i + 1 < value.n; i++)
        if (strchr("})]l", value.p[i]) && value.p[i + 1] == ':')
            end = (ptrdiff_t)i + 1;
    return arena_printf(a, "%.*s VALUE%.*s", (int)colon + 1, message.p,
                        STR_ARG(end >= 0 ? str_from(value, (size_t)end) : STR_NONE));
}

/* "" when they are the same, else what differs. */
static void compare_causes(struct arena *a, struct buf *difference, const struct value *response,
                           const struct error *err)
{
    const struct value *expected = MEMBER(MEMBER(response, "details"), "causes"), *cause;
    char *wanted[512], *got[512];
    AUTO_BUF struct buf wanted_text = BUF_MAX(MIB);
    AUTO_BUF struct buf got_text = BUF_MAX(MIB);
    size_t wanted_count = 0, got_count = 0;

    for (size_t i = 0; i < 512 && (cause = value_at(expected, i)); i++)
        wanted[wanted_count++] = arena_strdup(a, arena_printf(a, "%.*s | %.*s | %.*s", STR_ARG(TEXT(cause, "field")),
                                                              STR_ARG(TEXT(cause, "reason")),
                                                              STR_ARG(without_composite(a, TEXT(cause, "message")))));
    for (size_t i = 0; i < err->causes_count; i++)
        got[got_count++] =
            arena_strdup(a, arena_printf(a, "%s | %s | %.*s", err->causes[i].field, err->causes[i].reason,
                                         STR_ARG(without_composite(a, str_of(err->causes[i].message)))));
    causes_text(&wanted_text, wanted, wanted_count);
    causes_text(&got_text, got, got_count);
    if (!str_eq(buf_str(&wanted_text), buf_str(&got_text)))
        buf_addf(difference, "  wanted causes:\n%s  got causes:\n%s", wanted_text.p ? wanted_text.p : "",
                 got_text.p ? got_text.p : "");
}

static void compare_objects(struct buf *difference, const char *path, const struct value *wanted,
                            const struct value *got)
{
    if (value_equal(wanted, got))
        return;
    if (value_type(wanted) == VALUE_OBJECT && value_type(got) == VALUE_OBJECT) {
        for (size_t i = 0; i < wanted->members_count; i++) {
            AUTO_FREE char *inner = xasprintf("%s.%.*s", path, STR_ARG(wanted->members[i].name));

            compare_objects(difference, inner, wanted->members[i].value, value_get_str(got, wanted->members[i].name));
        }
        for (size_t i = 0; i < got->members_count; i++)
            if (!value_get_str(wanted, got->members[i].name)) {
                AUTO_FREE char *inner = xasprintf("%s.%.*s", path, STR_ARG(got->members[i].name));

                compare_objects(difference, inner, NULL, got->members[i].value);
            }
        return;
    }
    if (value_type(wanted) == VALUE_ARRAY && value_type(got) == VALUE_ARRAY &&
        wanted->items_count == got->items_count) {
        for (size_t i = 0; i < wanted->items_count; i++) {
            AUTO_FREE char *inner = xasprintf("%s[%zu]", path, i);

            compare_objects(difference, inner, wanted->items[i], got->items[i]);
        }
        return;
    }
    buf_addf(difference, "  %s: wanted ", path);
    if (wanted)
        value_write(difference, wanted);
    buf_add_text(difference, " got ");
    if (got)
        value_write(difference, got);
    buf_add_text(difference, "\n");
}

static void compare(struct arena *a, struct buf *difference, const struct value *line, struct value *request,
                    struct value *response, int result, const struct error *err)
{
    int64_t code = value_to_int(MEMBER(line, "code"), 0);
    int64_t got = result == 0 ? 201 : error_http_status(err->code);

    if (code != got) {
        buf_addf(difference, "  wanted code %lld %.*s\n  got code %lld: %s\n", (long long)code,
                 STR_ARG(TEXT(response, "message")), (long long)got, result == 0 ? "" : error_text(err));
    } else if (code == 201) {
        strip_null_times(response);
        if (str_is(TEXT(request, "kind"), "Pod"))
            strip_pod_admission(response, request);
        strip_storage(response, request, TEXT(request, "kind"));
        value_del_str(MEMBER(response, "metadata"), STR("managedFields"));
        compare_objects(difference, "", response, request);
    } else if (code == 422) {
        compare_causes(a, difference, response, err);
    } else if (!str_eq(TEXT(response, "message"), str_of(error_text(err)))) {
        buf_addf(difference, "  wanted message %.*s\n  got message    %s\n", STR_ARG(TEXT(response, "message")),
                 error_text(err));
    }
}

static const char *forgiven(const struct kind *kind, struct str difference)
{
    for (size_t i = 0; newer[i].part; i++)
        if ((!newer[i].kind[0] || strcmp(newer[i].kind, kind->kind) == 0) &&
            str_contains(difference, str_of(newer[i].part)))
            return newer[i].why;
    return NULL;
}

static void replay_line(struct str text)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf difference = BUF_MAX(256 * KIB);
    struct value *line = value_parse(&a, text, NULL, &err);
    struct value *request = MEMBER(line, "request"), *response = MEMBER(line, "response");
    struct str version = TEXT(request, "apiVersion"), group = STR_NONE;
    const struct kind *kind;
    struct totals *total;
    int result;

    if (str_find(version, '/') >= 0)
        str_cut(&version, '/', &group);
    kind = kind_find(group, version, TEXT(request, "kind"));
    if (!kind)
        return;
    total = totals_of(kind);
    total->cases++;
    result = replay(&a, kind, request, response, &err);
    compare(&a, &difference, line, request, response, result, &err);
    if (!difference.n) {
        total->passed++;
    } else if (forgiven(kind, buf_str(&difference))) {
        total->forgiven++;
    } else {
        print_message("%s %.*s (%.*s)\n%s", kind->kind, STR_ARG(TEXT(line, "source")), STR_ARG(TEXT(line, "mutation")),
                      difference.p);
    }
}

TEST("every recorded create gives the recorded answer")
{
    AUTO_BUF struct buf text = BUF_MAX(16 * MIB);
    AUTO_ERROR struct error err = { 0 };
    struct str rest, line;
    int cases = 0, fine = 0;

    kinds_init();
    ASSERT_OK(file_read(GOLDEN_CREATE, &text, &err), &err);
    rest = buf_str(&text);
    while (str_next(&rest, '\n', &line))
        if (line.n)
            replay_line(line);
    for (size_t i = 0; totals[i].kind; i++) {
        print_message("%-24s %4d cases, %4d same, %3d newer on purpose\n", totals[i].kind, totals[i].cases,
                      totals[i].passed, totals[i].forgiven);
        cases += totals[i].cases;
        fine += totals[i].passed + totals[i].forgiven;
    }
    print_message("%d of %d\n", fine, cases);
    ASSERT_INT(fine, cases);
}
