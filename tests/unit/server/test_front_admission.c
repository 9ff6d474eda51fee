/* What admission adds to and demands of pods and Services. */
#include "front.h"

#include "kinds/fields.h"

static struct front f;

#define POD(name, spec)                                                                                                \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                                           \
    "\",\"namespace\":\"default\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]" spec "}}"
#define ACCOUNT(name, more)                                                                                            \
    "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"" name "\"}" more "}"

static void start(void)
{
    front_start(&f, NULL);
    ASSERT_OK(front_create(&f, f.admin, "default", ACCOUNT("default", "")), &f.err);
}

TEST("a pod gets the default account, its token, tolerations and a priority")
{
    start();
    ASSERT_OK(front_create(&f, f.admin, "default", POD("a", "")), &f.err);
    ASSERT_STR(front_result(&f, "spec.serviceAccountName"), "default");
    ASSERT_STR(front_result(&f, "spec.serviceAccount"), "default");
    ASSERT(str_starts(front_result(&f, "spec.volumes.0.name"), STR("kube-api-access-")));
    ASSERT_STR(front_result(&f, "spec.volumes.0.projected"),
               "{\"sources\":[{\"serviceAccountToken\":{\"expirationSeconds\":3607,\"path\":\"token\"}},"
               "{\"configMap\":{\"name\":\"kube-root-ca.crt\",\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}},"
               "{\"downwardAPI\":{\"items\":[{\"path\":\"namespace\",\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":"
               "\"metadata.namespace\"}}]}}],"
               "\"defaultMode\":420}");
    ASSERT_STR(front_result(&f, "spec.containers.0.volumeMounts.0.mountPath"),
               "/var/run/secrets/kubernetes.io/serviceaccount");
    ASSERT_STR(front_result(&f, "spec.containers.0.volumeMounts.0.readOnly"), "true");
    ASSERT_STR(front_result(&f, "spec.tolerations.0"),
               "{\"key\":\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\","
               "\"effect\":\"NoExecute\",\"tolerationSeconds\":300}");
    ASSERT_STR(front_result(&f, "spec.tolerations.1.key"), "node.kubernetes.io/unreachable");
    ASSERT_STR(front_result(&f, "spec.priority"), "0");
    ASSERT_STR(front_result(&f, "spec.preemptionPolicy"), "PreemptLowerPriority");
    front_stop(&f);
}

TEST("a pod's own toleration stays the only one for its key, and the flags set the others")
{
    front_start(&f,
                &(struct server_config){ .default_unreachable_toleration_s = 2, .default_not_ready_toleration_s = 2 });
    ASSERT_OK(front_create(&f, f.admin, "default", ACCOUNT("default", "")), &f.err);
    ASSERT_OK(
        front_create(&f, f.admin, "default",
                     POD("a", ",\"tolerations\":[{\"key\":\"node.kubernetes.io/unreachable\",\"operator\":\"Exists\","
                              "\"effect\":\"NoExecute\",\"tolerationSeconds\":60}]")),
        &f.err);
    ASSERT_STR(front_result(&f, "spec.tolerations.0.tolerationSeconds"), "60");
    ASSERT_STR(front_result(&f, "spec.tolerations.1"),
               "{\"key\":\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\","
               "\"effect\":\"NoExecute\",\"tolerationSeconds\":2}");
    ASSERT_STR(front_result(&f, "spec.tolerations.2"), "");
    front_stop(&f);
}

TEST("a pod without automount gets no token, and the account's pull secrets reach a pod that names none")
{
    start();
    ASSERT_OK(
        front_create(
            &f, f.admin, "default",
            ACCOUNT("plain", ",\"automountServiceAccountToken\":false,\"imagePullSecrets\":[{\"name\":\"pull\"}]")),
        &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default", POD("a", ",\"serviceAccountName\":\"plain\"")), &f.err);
    ASSERT_STR(front_result(&f, "spec.volumes"), "");
    ASSERT_STR(front_result(&f, "spec.imagePullSecrets.0.name"), "pull");
    ASSERT_OK(front_create(&f, f.admin, "default",
                           POD("b", ",\"serviceAccountName\":\"plain\",\"automountServiceAccountToken\":true,"
                                    "\"imagePullSecrets\":[{\"name\":\"own\"}]")),
              &f.err);
    ASSERT(str_starts(front_result(&f, "spec.volumes.0.name"), STR("kube-api-access-")));
    ASSERT_STR(front_result(&f, "spec.imagePullSecrets.0.name"), "own");
    ASSERT_STR(front_result(&f, "spec.imagePullSecrets.1"), "");
    front_stop(&f);
}

TEST("a pod of an account that does not exist is refused; the default one is waited for")
{
    front_start(&f, NULL);
    ASSERT_FAILS(front_create(&f, f.admin, "default", POD("a", ",\"serviceAccountName\":\"nobody\"")), &f.err,
                 ERR_FORBIDDEN,
                 "pods \"a\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" "
                 "not found");
    int64_t before = f.sim.now_ms;
    ASSERT_FAILS(front_create(&f, f.admin, "default", POD("a", "")), &f.err, ERR_FORBIDDEN,
                 "serviceaccount \"default\" not found");
    ASSERT(f.sim.now_ms - before >= 2000);
    front_stop(&f);
}

TEST("a priority class gives its number, and a wrong or unknown one is refused")
{
    start();
    ASSERT_OK(front_create(&f, f.admin, "default", POD("a", ",\"priorityClassName\":\"system-node-critical\"")),
              &f.err);
    ASSERT_STR(front_result(&f, "spec.priority"), "2000001000");
    ASSERT_FAILS(front_create(&f, f.admin, "default", POD("b", ",\"priorityClassName\":\"none\"")), &f.err,
                 ERR_FORBIDDEN, "no PriorityClass with name none was found");
    ASSERT_FAILS(
        front_create(&f, f.admin, "default", POD("b", ",\"priority\":7")), &f.err, ERR_FORBIDDEN,
        "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0");
    ASSERT_OK(
        front_create(
            &f, f.admin, "",
            "{\"apiVersion\":\"scheduling.k8s.io/v1\",\"kind\":\"PriorityClass\",\"metadata\":{\"name\":\"usual\"},"
            "\"value\":50,\"globalDefault\":true}"),
        &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default", POD("c", "")), &f.err);
    ASSERT_STR(front_result(&f, "spec.priorityClassName"), "usual");
    ASSERT_STR(front_result(&f, "spec.priority"), "50");
    ASSERT_FAILS(
        front_create(
            &f, f.admin, "",
            "{\"apiVersion\":\"scheduling.k8s.io/v1\",\"kind\":\"PriorityClass\",\"metadata\":{\"name\":\"two\"},"
            "\"value\":51,\"globalDefault\":true}"),
        &f.err, ERR_FORBIDDEN, "already marked as default");
    front_stop(&f);
}

TEST("nothing is made in a namespace that is absent or ends, and the first namespaces stay")
{
    start();
    ASSERT_FAILS(front_create(&f, f.admin, "nowhere",
                              "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}"),
                 &f.err, ERR_NOT_FOUND, "namespaces \"nowhere\" not found");
    ASSERT_FAILS(front_delete(&f, f.admin, &kind_namespace, "", "kube-system"), &f.err, ERR_FORBIDDEN,
                 "namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
    ASSERT_OK(front_create(&f, f.admin, "",
                           "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"shop\"}}"),
              &f.err);
    ASSERT_OK(front_delete(&f, f.admin, &kind_namespace, "", "shop"), &f.err);
    ASSERT_INT(front_create(&f, f.admin, "shop",
                            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}"),
               -1);
    ASSERT_STR(
        f.err.message,
        "configmaps \"a\" is forbidden: unable to create new content in namespace shop because it is being terminated");
    ASSERT_STR(f.err.causes[0].reason, "NamespaceTerminating");
    front_stop(&f);
}

/* --- Services ------------------------------------------------------------------------------------------------------ */

#define SERVICE(name, spec)                                                                                            \
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"" name                                       \
    "\",\"namespace\":\"default\"},\"spec\":{\"selector\":{\"a\":\"b\"},\"ports\":[{\"name\":\"h\",\"port\":80}]" spec \
    "}}"

TEST("a Service gets an address of the range, one family, and nobody else the same")
{
    front_start(&f, &(struct server_config){ .service_cidr = "10.96.0.0/16" });
    ASSERT_OK(front_create(&f, f.admin, "default", SERVICE("a", "")), &f.err);
    AUTO_FREE char *ip = str_dup(front_result(&f, "spec.clusterIP"));
    ASSERT(str_starts(str_of(ip), STR("10.96.")));
    ASSERT_STR(front_result(&f, "spec.clusterIPs.0"), ip);
    ASSERT_STR(front_result(&f, "spec.ipFamilies"), "[\"IPv4\"]");
    ASSERT_STR(front_result(&f, "spec.ipFamilyPolicy"), "SingleStack");
    AUTO_FREE char *same = xasprintf(SERVICE("b", ",\"clusterIP\":\"%s\""), ip);
    ASSERT_FAILS(front_create(&f, f.admin, "default", same), &f.err, ERR_INVALID, "provided IP is already allocated");
    ASSERT_OK(front_delete(&f, f.admin, &kind_service, "default", "a"), &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default", same), &f.err);
    front_stop(&f);
}

TEST("an address outside the range is refused in upstream's words")
{
    front_start(&f, &(struct server_config){ .service_cidr = "10.96.0.0/16" });
    ASSERT_INT(front_create(&f, f.admin, "default", SERVICE("a", ",\"clusterIP\":\"10.0.0.12\"")), -1);
    ASSERT_STR(f.err.message,
               "Service \"a\" is invalid: spec.clusterIPs: Invalid value: []string{\"10.0.0.12\"}: failed to allocate "
               "IP 10.0.0.12: "
               "the provided IP (10.0.0.12) is not in the valid range. The range of valid IPs is 10.96.0.0/16");
    ASSERT_STR(f.err.causes[0].field, "spec.clusterIPs");
    front_stop(&f);
}

TEST("headless and external Services have no address")
{
    front_start(&f, NULL);
    ASSERT_OK(front_create(&f, f.admin, "default", SERVICE("a", ",\"clusterIP\":\"None\"")), &f.err);
    ASSERT_STR(front_result(&f, "spec.clusterIPs"), "[\"None\"]");
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"x\"},\"spec\":{"
                           "\"type\":\"ExternalName\","
                           "\"externalName\":\"example.org\"}}"),
              &f.err);
    ASSERT_STR(front_result(&f, "spec.clusterIP"), "");
    ASSERT_STR(front_result(&f, "spec.ipFamilies"), "");
    front_stop(&f);
}

TEST("node ports come from the range, are kept by updates, and two Services never share one")
{
    front_start(&f, &(struct server_config){ .node_port_range = "30000-30001" });
    ASSERT_OK(front_create(&f, f.admin, "default", SERVICE("a", ",\"type\":\"NodePort\"")), &f.err);
    AUTO_FREE char *first = str_dup(front_result(&f, "spec.ports.0.nodePort"));
    AUTO_FREE char *ip = str_dup(front_result(&f, "spec.clusterIP"));
    ASSERT_OK(front_create(&f, f.admin, "default", SERVICE("b", ",\"type\":\"NodePort\"")), &f.err);
    ASSERT(!str_is(front_result(&f, "spec.ports.0.nodePort"), first));
    ASSERT_FAILS(front_create(&f, f.admin, "default", SERVICE("c", ",\"type\":\"NodePort\"")), &f.err, ERR_INTERNAL,
                 "range is full");
    ASSERT_OK(front_get(&f, f.admin, &kind_service, "default", "a"), &f.err);
    AUTO_FREE char *update =
        xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"a\",\"namespace\":\"default\","
                  "\"resourceVersion\":\"%llu\"},\"spec\":{\"type\":\"NodePort\",\"selector\":{\"a\":\"c\"},"
                  "\"ports\":[{\"name\":\"h\",\"port\":81}]}}",
                  (unsigned long long)object_revision(f.result));
    ASSERT_OK(front_update(&f, f.admin, "", update), &f.err);
    ASSERT_STR(front_result(&f, "spec.ports.0.nodePort"), first);
    ASSERT_STR(front_result(&f, "spec.clusterIP"), ip);
    ASSERT_OK(front_patch(&f, f.admin, &kind_service, "default", "a", "", "{\"spec\":{\"type\":\"ClusterIP\"}}"),
              &f.err);
    ASSERT_STR(front_result(&f, "spec.ports.0.nodePort"), "");
    ASSERT_OK(front_create(&f, f.admin, "default", SERVICE("c", ",\"type\":\"NodePort\"")), &f.err);
    ASSERT_STR(front_result(&f, "spec.ports.0.nodePort"), first);
    front_stop(&f);
}

TEST("a node port outside the range is refused, and one for TCP and UDP of the same port is shared")
{
    front_start(&f, NULL);
    ASSERT_FAILS(
        front_create(
            &f, f.admin, "default",
            "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"type\":\"NodePort\","
            "\"ports\":[{\"port\":80,\"nodePort\":80}]}}"),
        &f.err, ERR_INVALID,
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports "
        "is 30000-32767");
    ASSERT_OK(
        front_create(
            &f, f.admin, "default",
            "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"dns\"},\"spec\":{\"type\":"
            "\"NodePort\",\"ports\":["
            "{\"name\":\"t\",\"port\":53,\"protocol\":\"TCP\"},{\"name\":\"u\",\"port\":53,\"protocol\":\"UDP\"}]}}"),
        &f.err);
    AUTO_FREE char *tcp = str_dup(front_result(&f, "spec.ports.0.nodePort"));
    ASSERT_STR(front_result(&f, "spec.ports.1.nodePort"), tcp);
    front_stop(&f);
}

/* --- Pod Security ---------------------------------------------------------------------------------------------------- */

#define SECURE                                                                                                         \
    "\"securityContext\":{\"allowPrivilegeEscalation\":false,\"runAsNonRoot\":true,\"capabilities\":{\"drop\":["       \
    "\"ALL\"]},"                                                                                                       \
    "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}"

static int make_pod(const char *name, const char *container, const char *spec)
{
    AUTO_FREE char *json =
        xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\"},\"spec\":{%s\"containers\":[{"
                  "\"name\":\"c\",\"image\":\"i\"%s}]}}",
                  name, spec, container);
    return front_create(&f, f.admin, "default", json);
}

TEST("a namespace with a Pod Security level refuses pods that break it, in upstream's words")
{
    start();
    ASSERT_OK(make_pod("free", ",\"securityContext\":{\"privileged\":true}", ""), &f.err);
    ASSERT_OK(front_patch(&f, f.admin, &kind_namespace, "", "default", "",
                          "{\"metadata\":{\"labels\":{\"pod-security.kubernetes.io/enforce\":\"baseline\"}}}"),
              &f.err);
    ASSERT_FAILS(make_pod("a", ",\"securityContext\":{\"privileged\":true}", "\"hostNetwork\":true,"), &f.err,
                 ERR_FORBIDDEN,
                 "pods \"a\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces "
                 "(hostNetwork=true), privileged "
                 "(container \"c\" must not set securityContext.privileged=true)");
    ASSERT_FAILS(make_pod("a", ",\"securityContext\":{\"capabilities\":{\"add\":[\"NET_ADMIN\"]}}", ""), &f.err,
                 ERR_FORBIDDEN, "capabilities");
    ASSERT_FAILS(make_pod("a", "", "\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/\"}}],"), &f.err,
                 ERR_FORBIDDEN, "hostPath volumes (volume \"v\")");
    ASSERT_OK(make_pod("a", "", ""), &f.err);
    ASSERT_OK(front_patch(&f, f.admin, &kind_namespace, "", "default", "",
                          "{\"metadata\":{\"labels\":{\"pod-security.kubernetes.io/enforce\":\"restricted\"}}}"),
              &f.err);
    ASSERT_FAILS(
        make_pod("b", "", ""), &f.err, ERR_FORBIDDEN,
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false)");
    ASSERT_OK(make_pod("b", "," SECURE, ""), &f.err);
    ASSERT_OK(front_patch(&f, f.admin, &kind_pod, "default", "free", "", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"),
              &f.err);
    ASSERT_FAILS(front_patch(&f, f.admin, &kind_pod, "default", "b", "ephemeralcontainers",
                             "{\"spec\":{\"ephemeralContainers\":[{\"name\":\"e\",\"image\":\"i\",\"securityContext\":{"
                             "\"privileged\":true}}]}}"),
                 &f.err, ERR_FORBIDDEN, "\"e\"");
    front_stop(&f);
}

TEST("endpoints may not point at loopback, link-local or no address at all")
{
    static const char *const addresses[] = { "127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1" };
    start();
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        AUTO_FREE char *slice = xasprintf(
            "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"x\"},"
            "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"%s\"]}]}",
            addresses[i]);
        AUTO_FREE char *endpoints =
            xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"x\"},\"subsets\":[{"
                      "\"addresses\":[{\"ip\":\"%s\"}],\"ports\":[{\"port\":80}]}]}",
                      addresses[i]);
        ASSERT_INT(front_create(&f, f.admin, "default", slice), -1);
        ASSERT_INT(f.err.code, ERR_INVALID);
        ASSERT_INT(front_create(&f, f.admin, "default", endpoints), -1);
        ASSERT_INT(f.err.code, ERR_INVALID);
    }
    front_stop(&f);
}

#define CLAIM(name, spec)                                                                                              \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"" name                         \
    "\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}" spec "}}"

TEST("a claim gets the default class unless it names one, and a finalizer; it grows only when its class can")
{
    start();
    ASSERT_OK(front_create(&f, f.admin, "default", CLAIM("a", "")), &f.err);
    ASSERT_STR(front_result(&f, "spec.storageClassName"), "klein-local");
    ASSERT_STR(front_result(&f, "metadata.finalizers.0"), "kubernetes.io/pvc-protection");
    ASSERT_FAILS(front_patch(&f, f.admin, &kind_persistentvolumeclaim, "default", "a", "",
                             "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}"),
                 &f.err, ERR_INVALID, "spec is immutable");
    ASSERT_OK(front_patch(&f, f.admin, &kind_persistentvolumeclaim, "default", "a", "status",
                          "{\"status\":{\"phase\":\"Bound\"}}"),
              &f.err);
    ASSERT_FAILS(front_patch(&f, f.admin, &kind_persistentvolumeclaim, "default", "a", "",
                             "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}"),
                 &f.err, ERR_FORBIDDEN, "only dynamically provisioned pvc can be resized");
    ASSERT_OK(front_create(&f, f.admin, "default", CLAIM("b", ",\"storageClassName\":\"\"")), &f.err);
    ASSERT_STR(front_result(&f, "spec.storageClassName"), "");
    front_stop(&f);
}

#define VOLUME(name, node)                                                                                             \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"" name                              \
    "\",\"labels\":{\"klein.dev/node\":\"" node "\"},\"annotations\":{\"pv.kubernetes.io/provisioned-by\":"            \
    "\"klein.dev/local-folder\"},\"finalizers\":[\"klein.dev/local-folder\"]},\"spec\":{\"capacity\":{\"storage\":"    \
    "\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],\"hostPath\":{\"path\":\"/x\"}}}"

TEST("a node sees the volumes that lie on it, and takes away nothing but its own finalizer")
{
    start();
    struct api *node = front_api(&f, "system:node:a", "system:nodes");

    ASSERT_OK(front_create(&f, f.admin, "", VOLUME("mine", "a")), &f.err);
    ASSERT_OK(front_create(&f, f.admin, "", VOLUME("other", "b")), &f.err);
    ASSERT_OK(front_get(&f, node, &kind_persistentvolume, "", "mine"), &f.err);
    ASSERT_FAILS(front_get(&f, node, &kind_persistentvolume, "", "other"), &f.err, ERR_FORBIDDEN, "no relationship");
    ASSERT_OK(front_call(&f, node,
                         (struct api_call){ .verb = API_LIST,
                                            .kind = &kind_persistentvolume,
                                            .field_selector = STR("klein.dev/node=a"),
                                            .grace_seconds = -1 }),
              &f.err);
    ASSERT_STR(front_result(&f, "items.0.metadata.name"), "mine");
    ASSERT_STR(front_result(&f, "items.1.metadata.name"), "");
    ASSERT(front_call(&f, node,
                      (struct api_call){ .verb = API_LIST, .kind = &kind_persistentvolume, .grace_seconds = -1 }) < 0);
    ASSERT_FAILS(front_patch(&f, node, &kind_persistentvolume, "", "mine", "", "{\"metadata\":{\"finalizers\":null}}"),
                 &f.err, ERR_FORBIDDEN, "can only take away the finalizer klein.dev/local-folder");
    ASSERT_FAILS(front_patch(&f, node, &kind_persistentvolume, "", "mine", "",
                             "{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Delete\"}}"),
                 &f.err, ERR_FORBIDDEN, "can only take away the finalizer");
    ASSERT_OK(front_patch(&f, node, &kind_persistentvolume, "", "mine", "",
                          "{\"metadata\":{\"finalizers\":[\"kubernetes.io/pv-protection\"]}}"),
              &f.err);
    node->ops->free(node);
    front_stop(&f);
}
