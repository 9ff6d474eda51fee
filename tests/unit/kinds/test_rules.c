/* Kinds other than Pod: what their updates may change, and their rows. Creates are covered by the recorded answers. */
#include "kinds_test.h"

#include "kinds/schemas.h"

TEST("a namespace carries its name as a label and the finalizer that empties it")
{
    const char *created = given_create("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"}}");

    ASSERT_CONTAINS(created, "\"kubernetes.io/metadata.name\":\"a\"");
    ASSERT_STR(at(created, "spec.finalizers.0"), "kubernetes");
    ASSERT_STR(at(created, "status.phase"), "Active");
    given_done();
}

TEST("only the door finalize takes a namespace's finalizer away")
{
    static const char full[] = "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"},"
                               "\"spec\":{\"finalizers\":[\"kubernetes\"]},\"status\":{\"phase\":\"Active\"}}";
    static const char empty[] = "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"},"
                                "\"spec\":{},\"status\":{\"phase\":\"Active\"}}";

    ASSERT_STR(at(given_update(full, empty, ""), "spec.finalizers.0"), "kubernetes");
    ASSERT_STR(at(given_update(full, empty, "finalize"), "spec.finalizers.0"), "");
    given_done();
}

TEST("finalizers cannot be added to what is being deleted, nor its identity changed")
{
    static const char old[] =
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\","
        "\"uid\":\"u1\",\"deletionTimestamp\":\"2026-11-21T10:00:00Z\",\"finalizers\":[\"x.io/a\"]}}";
    static const char more[] =
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\","
        "\"uid\":\"u2\",\"deletionTimestamp\":\"2026-11-21T10:00:00Z\",\"finalizers\":[\"x.io/a\",\"x.io/b\"]}}";

    ASSERT_STR(
        given_update(old, more, ""),
        "invalid: ConfigMap \"a\" is invalid: [metadata.finalizers: Forbidden: no new finalizers can be added if the "
        "object is being deleted, found new finalizers []string{\"x.io/b\"}, metadata.uid: Invalid value: \"u2\": "
        "field is immutable]");
    given_done();
}

#define CONFIG(rest)                                                                                                   \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}," rest "}"

TEST("an immutable ConfigMap keeps its data and stays immutable")
{
    ASSERT_STR(
        given_update(CONFIG("\"immutable\":true,\"data\":{\"k\":\"1\"}"), CONFIG("\"data\":{\"k\":\"2\"}"), ""),
        "invalid: ConfigMap \"a\" is invalid: [immutable: Forbidden: field is immutable when `immutable` is set, "
        "data: Forbidden: field is immutable when `immutable` is set]");
    given_done();
}

#define SECRET(rest)                                                                                                   \
    "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}," rest "}"

TEST("stringData of a Secret becomes data, and its type does not change")
{
    const char *secret = given_create(SECRET("\"stringData\":{\"k\":\"hello\"}"));

    ASSERT_STR(at(secret, "data.k"), "aGVsbG8=");
    ASSERT_STR(at(secret, "stringData"), "");
    ASSERT_STR(at(secret, "type"), "Opaque");
    ASSERT_STR(
        given_update(secret, SECRET("\"type\":\"kubernetes.io/tls\",\"data\":{\"tls.crt\":\"\",\"tls.key\":\"\"}"), ""),
        "invalid: Secret \"a\" is invalid: type: Invalid value: \"kubernetes.io/tls\": field is immutable");
    given_done();
}

#define DEPLOYMENT(label)                                                                                              \
    "{\"apiVersion\":\"apps/"                                                                                          \
    "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"namespace\":\"n\"},\"spec\":{"                      \
    "\"selector\":{\"matchLabels\":{\"app\":\"" label "\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"" label  \
    "\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}"

TEST("the selector of a Deployment never changes")
{
    ASSERT_STR(given_update(DEPLOYMENT("a"), DEPLOYMENT("b"), ""),
               "invalid: Deployment.apps \"web\" is invalid: spec.selector: Invalid value: "
               "{\"matchLabels\":{\"app\":\"b\"}}: field is immutable");
    given_done();
}

#define SERVICE(spec)                                                                                                  \
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\",\"namespace\":\"n\","                    \
    "\"creationTimestamp\":\"2026-11-21T09:59:30Z\"},\"spec\":{" spec "}}"
#define STORED                                                                                                         \
    "\"clusterIP\":\"10.96.0.5\",\"clusterIPs\":[\"10.96.0.5\"],\"ipFamilies\":[\"IPv4\"],\"ipFamilyPolicy\":"         \
    "\"SingleStack\","

TEST("an update of a Service that does not name its address keeps it")
{
    const char *service =
        given_update(SERVICE(STORED "\"ports\":[{\"port\":80}]"), SERVICE("\"ports\":[{\"port\":81}]"), "");

    ASSERT_STR(at(service, "spec.clusterIP"), "10.96.0.5");
    ASSERT_STR(at(service, "spec.clusterIPs.0"), "10.96.0.5");
    ASSERT_STR(at(service, "spec.ports.0.targetPort"), "81");
    given_done();
}

TEST("the address of a Service does not change")
{
    ASSERT_STR(given_update(SERVICE(STORED "\"ports\":[{\"port\":80}]"),
                            SERVICE("\"clusterIP\":\"10.96.0.6\",\"ports\":[{\"port\":80}]"), ""),
               "invalid: Service \"s\" is invalid: spec.clusterIPs[0]: Invalid value: [\"10.96.0.6\"]: may not change "
               "once set");
    given_done();
}

TEST("a Service that becomes an ExternalName gives its address back")
{
    const char *service =
        given_update(SERVICE(STORED "\"ports\":[{\"port\":80}]"),
                     SERVICE(STORED "\"type\":\"ExternalName\",\"externalName\":\"example.com\""), "");

    ASSERT_STR(at(service, "spec.clusterIP"), "");
    ASSERT_STR(at(service, "spec.clusterIPs"), "");
    given_done();
}

TEST("node ports are carried over by port and protocol")
{
    const char *service = given_update(
        SERVICE(STORED "\"type\":\"NodePort\",\"ports\":[{\"name\":\"a\",\"port\":80,\"nodePort\":30080}]"),
        SERVICE(STORED "\"type\":\"NodePort\",\"ports\":[{\"name\":\"b\",\"port\":81},{\"name\":\"a\",\"port\":80}]"),
        "");

    ASSERT_STR(at(service, "spec.ports.1.nodePort"), "30080");
    ASSERT_STR(at(service, "spec.ports.0.nodePort"), "");
    given_done();
}

TEST("kubectl shows the addresses and ports of a Service")
{
    ASSERT_STR(
        given_row(SERVICE(
            "\"type\":\"NodePort\",\"clusterIPs\":[\"10.96.0.5\"],\"selector\":{\"app\":\"web\"},"
            "\"ports\":[{\"port\":80,\"nodePort\":30080,\"protocol\":\"TCP\"},{\"port\":53,\"protocol\":\"UDP\"}]")),
        "s|NodePort|10.96.0.5|<none>|80:30080/TCP,53/UDP|30s|app=web");
    ASSERT_STR(given_row(SERVICE("\"type\":\"LoadBalancer\",\"clusterIPs\":[\"10.96.0.5\"]")),
               "s|LoadBalancer|10.96.0.5|<pending>|<none>|30s|<none>");
    given_done();
}

TEST("what a role binding grants cannot be exchanged")
{
    static const char admin[] =
        "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"RoleBinding\",\"metadata\":"
        "{\"name\":\"b\",\"namespace\":\"n\"},\"roleRef\":{\"kind\":\"Role\",\"name\":\"admin\"}}";
    static const char view[] =
        "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"RoleBinding\",\"metadata\":"
        "{\"name\":\"b\",\"namespace\":\"n\"},\"roleRef\":{\"kind\":\"Role\",\"name\":\"view\"}}";

    ASSERT_STR(
        given_update(admin, view, ""),
        "invalid: RoleBinding.rbac.authorization.k8s.io \"b\" is invalid: roleRef: Invalid value: "
        "{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"view\"}: cannot change roleRef");
    given_done();
}

#define SLICE(address)                                                                                                 \
    "{\"apiVersion\":\"discovery.k8s.io/"                                                                              \
    "v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"s\",\"namespace\":\"n\"},"                               \
    "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"" address "\"]}]}"

/* CVE-2021-25737: traffic must not be sent to a node's own or link-local addresses. */
TEST("an endpoint may not be a loopback or link-local address")
{
    ASSERT_CONTAINS(given_create(SLICE("127.0.0.1")), "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    ASSERT_CONTAINS(given_create(SLICE("169.254.169.254")),
                    "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    ASSERT_STR(at(given_create(SLICE("10.1.2.3")), "endpoints.0.addresses.0"), "10.1.2.3");
    given_done();
}

TEST("kubectl shows a node's state and roles")
{
    ASSERT_STR(
        given_row(
            "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\",\"creationTimestamp\":"
            "\"2026-11-19T10:00:00Z\",\"labels\":{\"node-role.kubernetes.io/worker\":\"\","
            "\"node-role.kubernetes.io/edge\":\"\"}},\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":"
            "[{\"type\":\"Ready\",\"status\":\"True\"}],\"nodeInfo\":{\"kubeletVersion\":\"v1.36.0+klein\"},"
            "\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.0.0.1\"}]}}"),
        "n1|Ready,SchedulingDisabled|edge,worker|2d|v1.36.0+klein|10.0.0.1|<none>|<unknown>|<unknown>|<unknown>");
    given_done();
}

TEST("a node's pod range is set once")
{
    static const char with[] = "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"},\"spec\":{"
                               "\"podCIDR\":\"10.1.0.0/24\"}}";
    static const char other[] = "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"},\"spec\":{"
                                "\"podCIDR\":\"10.2.0.0/24\"}}";
    static const char none[] = "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"}}";

    ASSERT_STR(at(given_update(none, with, ""), "spec.podCIDRs.0"), "10.1.0.0/24");
    ASSERT_CONTAINS(given_update(with, other, ""), "node updates may not change podCIDR except from \"\" to valid");
    given_done();
}

TEST("kubectl shows an event's object, source and ages")
{
    ASSERT_STR(
        given_row("{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"e\"},\"involvedObject\":{"
                  "\"kind\":\"Pod\","
                  "\"name\":\"web\"},\"reason\":\"Started\",\"message\":\"Started container c \",\"type\":\"Normal\","
                  "\"source\":{\"component\":\"agent\",\"host\":\"n1\"},\"firstTimestamp\":\"2026-11-21T09:00:00Z\","
                  "\"lastTimestamp\":\"2026-11-21T09:59:00Z\",\"count\":4}"),
        "60s|Normal|Started|pod/web||agent, n1|Started container c|60m|4|e");
    given_done();
}

TEST("complaints are bounded, however many there are")
{
    AUTO_BUF struct buf json = BUF_MAX(MIB);

    buf_add_text(&json, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},"
                        "\"spec\":{\"containers\":[");
    for (int i = 0; i < 2000; i++)
        buf_addf(&json, "%s{\"name\":\"\"}", i ? "," : "");
    buf_add_text(&json, "]}}");
    ASSERT(strlen(given_create(json.p)) < 64 * KIB);
    given_done();
}

TEST("every kind has a row, or the columns of every kind, and finds itself by name and by resource")
{
    kinds_init();
    for (size_t i = 0; i < kinds_count; i++) {
        const struct kind *k = kinds[i];

        ASSERT(!k->columns == !k->row);
        ASSERT(k->schema && k->schema->kind);
        ASSERT_STR(k->schema->kind, k->kind);
        ASSERT_STR(k->schema->group, k->group);
        ASSERT(kind_find(str_of(k->group), str_of(k->version), str_of(k->kind)) == k);
        ASSERT(kind_find_resource(str_of(k->group), str_of(k->version), str_of(k->plural)) == k);
        ASSERT_INT(kind_index(k), i);
    }
    ASSERT(!kind_find(STR("apps"), STR("v2"), STR("Deployment")));
    ASSERT(!kind_find_resource(STR(""), STR("v1"), STR("deployments")));
}

TEST("generated schemas know order, numbers and merge keys")
{
    const struct schema_field *ports, *volume;

    kinds_init();
    ports = schema_field_str(&schema_core_v1_container, STR("ports"));
    ASSERT(ports && ports->flags & FIELD_PATCH_MERGE);
    ASSERT_STR(ports->patch_merge_key, "containerPort");
    ASSERT_STR(ports->schema->list_map_keys[0], "containerPort");
    ASSERT_STR(ports->schema->list_map_keys[1], "protocol");
    ASSERT_INT(ports->proto_number, 6);
    volume = schema_field_str(&schema_core_v1_volume, STR("emptyDir"));
    ASSERT_INT(volume->proto_inline[0], 2);
    ASSERT_INT(volume->proto_number, 2);
    ASSERT_STR(name_text(F_POD_SPEC_NODE_NAME), "nodeName");
    ASSERT_INT(name_find(STR("nodeName")), F_POD_SPEC_NODE_NAME);
    ASSERT(!schema_field_str(&schema_core_v1_pod_spec, STR("noSuchField")));
}

#define CLAIM(spec, status)                                                                                            \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"c\",\"namespace\":\"n\"},"     \
    "\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"volumeMode\":\"Filesystem\"," spec "},\"status\":" status "}"
#define SIZE(n) "\"resources\":{\"requests\":{\"storage\":\"" n "\"}}"

TEST("a claim takes a volume's name once, and only a bound one asks for more")
{
    ASSERT_CONTAINS(str_of(given_update(CLAIM(SIZE("1Gi"), "{\"phase\":\"Pending\"}"),
                                        CLAIM(SIZE("1Gi") ",\"volumeName\":\"v\"", "{}"), "")),
                    "\"volumeName\":\"v\"");
    ASSERT_CONTAINS(str_of(given_update(CLAIM(SIZE("1Gi") ",\"volumeName\":\"v\"", "{\"phase\":\"Bound\"}"),
                                        CLAIM(SIZE("1Gi") ",\"volumeName\":\"w\"", "{}"), "")),
                    "spec: Forbidden: spec is immutable after creation except resources.requests and "
                    "volumeAttributesClassName for bound claims");
    ASSERT_CONTAINS(str_of(given_update(CLAIM(SIZE("1Gi"), "{\"phase\":\"Pending\"}"), CLAIM(SIZE("2Gi"), "{}"), "")),
                    "spec: Forbidden: spec is immutable");
    ASSERT_CONTAINS(str_of(given_update(CLAIM(SIZE("1Gi"), "{\"phase\":\"Bound\"}"), CLAIM(SIZE("2Gi"), "{}"), "")),
                    "\"storage\":\"2Gi\"");
    given_done();
}

#define VOLUME(spec)                                                                                                   \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"v\"},\"spec\":{\"capacity\":"       \
    "{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"]," spec "}}"

TEST("a local volume says where it is, and a volume's source never changes")
{
    ASSERT_STR(given_create(VOLUME("\"local\":{\"path\":\"/x\"}")),
               "invalid: PersistentVolume \"v\" is invalid: spec.nodeAffinity: Required value: Local volume requires "
               "node affinity");
    ASSERT_CONTAINS(
        str_of(given_update(VOLUME("\"hostPath\":{\"path\":\"/a\"}"), VOLUME("\"hostPath\":{\"path\":\"/b\"}"), "")),
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation");
    ASSERT_CONTAINS(str_of(given_create(VOLUME("\"hostPath\":{\"path\":\"/a\"},\"nfs\":{\"server\":\"s\",\"path\":"
                                               "\"/p\"}"))),
                    "spec.nfs: Forbidden: may not specify more than 1 volume type");
    given_done();
}

#define STATEFUL(spec)                                                                                                 \
    "{\"apiVersion\":\"apps/"                                                                                          \
    "v1\",\"kind\":\"StatefulSet\",\"metadata\":{\"name\":\"s\",\"namespace\":\"n\"},\"spec\":{"                       \
    "\"selector\":{\"matchLabels\":{\"app\":\"a\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"a\"}},\"spec\":" \
    "{"                                                                                                                \
    "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}" spec "}}"

TEST("of a StatefulSet only what says how many, which and how may change")
{
    ASSERT_CONTAINS(str_of(given_update(STATEFUL(""),
                                        STATEFUL(",\"replicas\":3,\"minReadySeconds\":1,\"ordinals\":"
                                                 "{\"start\":2},\"revisionHistoryLimit\":3"),
                                        "")),
                    "\"replicas\":3");
    ASSERT_CONTAINS(str_of(given_update(STATEFUL(""), STATEFUL(",\"serviceName\":\"db\""), "")),
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template'");
    ASSERT_CONTAINS(str_of(given_create(STATEFUL(",\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":"
                                                 "{\"maxUnavailable\":0,\"partition\":-1}}"))),
                    "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0");
    given_done();
}
