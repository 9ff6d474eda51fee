/* The sample service and the sample writer of `klein prove`: made, looked at, counted, removed. */
#include "cli/prove.h"

#include "base/file.h"
#include "base/time.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNTED_MAX    (4 * MIB) /* as in samples/web */
#define LINES_MAX      (64 * MIB)
#define START_LIMIT_MS (60 * SECOND_MS)
#define CALL_LIMIT_MS  5000

/* Six pods or two a zone, whatever is more. The folder is on this machine: nodes of a local cluster share it. */
static const char deployment[] =
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%d,"
    "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"strategy\":{\"rollingUpdate\":{\"maxSurge\":2,"
    "\"maxUnavailable\":0}},"
    "\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":"
    "\"%s\","
    "\"ports\":[{\"name\":\"http\",\"containerPort\":8080}],\"env\":["
    "{\"name\":\"POD_NAME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}},"
    "{\"name\":\"NODE_NAME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"spec.nodeName\"}}},"
    "{\"name\":\"COUNT_FOLDER\",\"value\":\"/counts\"}],"
    "\"volumeMounts\":[{\"name\":\"counts\",\"mountPath\":\"/counts\"}],"
    "\"readinessProbe\":{\"httpGet\":{\"path\":\"/healthz\",\"port\":\"http\"},\"periodSeconds\":1},"
    "\"resources\":{\"requests\":{\"cpu\":\"10m\",\"memory\":\"8Mi\"},\"limits\":{\"memory\":\"64Mi\"}}}],"
    "\"volumes\":[{\"name\":\"counts\",\"hostPath\":{\"path\":\"%s\",\"type\":\"Directory\"}}]}}}}";

static const char service[] = "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"%s\"},\"spec\":{"
                              "\"selector\":{\"app\":\"%s\"}%s,"
                              "\"ports\":[{\"name\":\"http\",\"port\":80,\"targetPort\":8080}]}}";

static const char ingress[] =
    "{\"apiVersion\":\"networking.k8s.io/"
    "v1\",\"kind\":\"Ingress\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"ingressClassName\":\"klein\","
    "\"rules\":[{\"host\":\"" PROVE_HOST
    "\",\"http\":{\"paths\":[{\"path\":\"/\",\"pathType\":\"Prefix\",\"backend\":{\"service\":{\"name\":"
    "\"web\",\"port\":{\"name\":\"http\"}}}}]}}]}}";

/* Where the load on the ClusterIP comes from nothing is broken, so the pod to be broken is elsewhere. */
static const char writer[] =
    "{\"apiVersion\":\"apps/"
    "v1\",\"kind\":\"StatefulSet\",\"metadata\":{\"name\":\"writer\"},\"spec\":{\"replicas\":1,\"serviceName\":"
    "\"writer\",\"selector\":{\"matchLabels\":{\"app\":\"writer\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":"
    "\"writer\"}},\"spec\":{"
    "\"terminationGracePeriodSeconds\":2,"
    "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[{"
    "\"matchExpressions\":[{"
    "\"key\":\"kubernetes.io/hostname\",\"operator\":\"NotIn\",\"values\":[\"%s\"]}]}]}}},"
    "\"containers\":[{\"name\":\"writer\",\"image\":\"%s\",\"env\":["
    "{\"name\":\"POD_NAME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}}],"
    "\"volumeMounts\":[{\"name\":\"data\",\"mountPath\":\"/data\"}]}],"
    "\"volumes\":[{\"name\":\"data\",\"hostPath\":{\"path\":\"%s\",\"type\":\"Directory\"}}]}}}}";

/* --- making and removing -------------------------------------------------------------------------------------------------------- */

static int make(struct prove *p, const char *path, char *body, struct error *err)
{
    AUTO_FREE char *owned = body;

    return remote_call(&p->remote, "POST", path, str_of(owned), CALL_LIMIT_MS, NULL, err);
}

/* What an earlier run that was killed left behind goes first. */
static int remove_space(struct prove *p, int64_t limit_ms, struct error *err)
{
    int64_t until_ms = time_monotonic_ms() + limit_ms;
    AUTO_ERROR struct error inner = { 0 };

    while (remote_call(&p->remote, "DELETE", "/api/v1/namespaces/" PROVE_SPACE, STR_NONE, CALL_LIMIT_MS, NULL,
                       &inner) == 0 ||
           inner.code != ERR_NOT_FOUND) {
        if (time_monotonic_ms() > until_ms)
            return fail(err, ERR_TIMEOUT, "the namespace " PROVE_SPACE " of an earlier run does not go away: %s",
                        inner.message ? inner.message : "it is being deleted");
        poll(NULL, 0, 100); /* also after Ctrl-C: it is what is left to do */
    }
    return 0;
}

static int make_folders(struct prove *p, struct error *err)
{
    AUTO_FREE char *data = xasprintf("%s/writer", p->counts_folder);

    if (file_remove_tree(p->counts_folder, err) < 0 || file_mkdirs(data, 0755, err) < 0)
        return -1;
    /* The samples run as nobody. */
    if (chmod(p->counts_folder, 0777) < 0 || chmod(data, 0777) < 0)
        return fail_sys(err, errno, "open '%s' to the samples", p->counts_folder);
    return 0;
}

static int make_objects(struct prove *p, struct error *err)
{
    AUTO_FREE char *data = xasprintf("%s/writer", p->counts_folder);
    AUTO_ERROR struct error inner = { 0 };

    if (make(p, "/api/v1/namespaces",
             xstrdup("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"" PROVE_SPACE "\"}}"),
             err) < 0 ||
        make(p, "/apis/apps/v1/namespaces/" PROVE_SPACE "/deployments",
             xasprintf(deployment, p->pods_wanted, p->web_image, p->counts_folder), err) < 0 ||
        make(p, "/api/v1/namespaces/" PROVE_SPACE "/services", xasprintf(service, "web", "web", ""), err) < 0 ||
        make(p, "/apis/networking.k8s.io/v1/namespaces/" PROVE_SPACE "/ingresses", xstrdup(ingress), err) < 0)
        return -1;
    if (p->cluster.nodes_count < 2)
        return 0;
    p->has_writer = make(p, "/api/v1/namespaces/" PROVE_SPACE "/services",
                         xasprintf(service, "writer", "writer", ",\"clusterIP\":\"None\""), NULL) == 0 &&
                    make(p, "/apis/apps/v1/namespaces/" PROVE_SPACE "/statefulsets",
                         xasprintf(writer, p->prober_node->name, p->writer_image, data), &inner) == 0;
    return 0;
}

static int read_service_ip(struct prove *p, struct error *err)
{
    AUTO_OBJECT struct object *o = NULL;

    if (remote_call(&p->remote, "GET", "/api/v1/namespaces/" PROVE_SPACE "/services/web", STR_NONE, CALL_LIMIT_MS, &o,
                    err) < 0)
        return -1;
    snprintf(p->service_ip, sizeof(p->service_ip), "%.*s",
             STR_ARG(view_str(view_get_str(view_get_str(object_root(o), STR("spec")), STR("clusterIP")))));
    return 0;
}

static int wait_ready(struct prove *p, struct error *err)
{
    int64_t until_ms = time_monotonic_ms() + START_LIMIT_MS;
    struct sample_seen *seen = xnew(struct sample_seen);
    AUTO_ERROR struct error inner = { 0 };
    int ready = 0;

    while (ready < p->pods_wanted && time_monotonic_ms() < until_ms && !prove_interrupted()) {
        if (prove_look(p, seen, &inner) == 0)
            ready = MIN(seen->ready, seen->endpoints_count);
        prove_nap(50);
    }
    /* A writer whose controller does not exist is no writer. */
    for (int i = 0; p->has_writer && !seen->writer.ready && i < 100 && !prove_interrupted(); i++) {
        prove_nap(100);
        if (seen->pods_count && !seen->writer.name[0] && i == 50)
            break;
        prove_look(p, seen, NULL);
    }
    p->has_writer &= seen->writer.ready;
    free(seen);
    if (prove_interrupted())
        return fail(err, ERR_UNAVAILABLE, "interrupted");
    if (ready < p->pods_wanted)
        return fail(err, ERR_TIMEOUT, "%d of %d pods of the sample service became Ready within %lld s%s%s", ready,
                    p->pods_wanted, (long long)(START_LIMIT_MS / SECOND_MS), inner.message ? ": " : "",
                    inner.message ? inner.message : "");
    return 0;
}

int prove_sample_start(struct prove *p, struct error *err)
{
    p->pods_wanted = MAX(6, 2 * p->cluster.zones);
    if (prove_push(p, "web", p->web_image, err) < 0 || prove_push(p, "writer", p->writer_image, err) < 0 ||
        remove_space(p, START_LIMIT_MS, err) < 0 || make_folders(p, err) < 0 || make_objects(p, err) < 0)
        return -1;
    return wait_ready(p, err) < 0 ? -1 : read_service_ip(p, err);
}

void prove_sample_stop(struct prove *p)
{
    AUTO_ERROR struct error err = { 0 };

    if (remove_space(p, 30 * SECOND_MS, &err) < 0)
        prove_say(p, "%s", error_text(&err));
    file_remove_tree(p->counts_folder, NULL);
}

/* --- looking ----------------------------------------------------------------------------------------------------------------------- */

static struct view at(struct view v, const char *name)
{
    return view_get_str(v, str_of(name));
}

static void take_text(struct view v, char *to, size_t size)
{
    snprintf(to, size, "%.*s", STR_ARG(view_str(v)));
}

static void take_pod(const struct prove *p, struct view v, struct sample_pod *to)
{
    struct view_iter it = { 0 };
    struct view metadata = at(v, "metadata"), status = at(v, "status");

    *to = (struct sample_pod){ .ending = view_present(at(metadata, "deletionTimestamp")) };
    take_text(at(metadata, "name"), to->name, sizeof(to->name));
    take_text(at(metadata, "uid"), to->uid, sizeof(to->uid));
    take_text(at(at(v, "spec"), "nodeName"), to->node, sizeof(to->node));
    while (view_next(at(status, "conditions"), &it))
        if (str_is(view_str(at(it.value, "type")), "Ready"))
            to->ready = str_is(view_str(at(it.value, "status")), "True") && !to->ending;
    it = (struct view_iter){ 0 };
    while (view_next(at(status, "containerStatuses"), &it))
        to->restarts += (int)view_int(at(it.value, "restartCount"), 0);
    for (int i = 0; i < p->cluster.nodes_count; i++)
        if (str_is(str_of(to->node), p->cluster.nodes[i].name))
            snprintf(to->zone, sizeof(to->zone), "%s", p->cluster.nodes[i].zone);
}

static void take_endpoints(struct view slice, struct sample_seen *s)
{
    struct view_iter it = { 0 };

    if (!str_is(view_str(at(at(at(slice, "metadata"), "labels"), "kubernetes.io/service-name")), "web"))
        return;
    while (view_next(at(slice, "endpoints"), &it) && s->endpoints_count < (int)ARRAY_SIZE(s->endpoints))
        if (view_bool(at(at(it.value, "conditions"), "ready"), true))
            take_text(at(it.value, "nodeName"), s->endpoints[s->endpoints_count++], sizeof(s->endpoints[0]));
}

int prove_look(struct prove *p, struct sample_seen *s, struct error *err)
{
    AUTO_OBJECT struct object *pods = NULL;
    AUTO_OBJECT struct object *slices = NULL;
    int64_t began_ms = time_monotonic_ms();
    struct view_iter it = { 0 };
    int result = 0;

    if (remote_call(&p->remote, "GET", "/api/v1/namespaces/" PROVE_SPACE "/pods", STR_NONE, PROVE_CALL_MS, &pods, err) <
            0 ||
        remote_call(&p->remote, "GET", "/apis/discovery.k8s.io/v1/namespaces/" PROVE_SPACE "/endpointslices", STR_NONE,
                    PROVE_CALL_MS, &slices, err) < 0)
        result = -1;
    if (result < 0 || time_monotonic_ms() - began_ms > PROVE_CALL_MS / 4)
        remote_turn(&p->remote); /* a server that is gone must not keep us from seeing what the others know */
    if (result < 0)
        return -1;
    *s = (struct sample_seen){ 0 };
    while (view_next(at(object_root(pods), "items"), &it) && s->pods_count < (int)ARRAY_SIZE(s->pods)) {
        struct sample_pod pod;
        take_pod(p, it.value, &pod);
        if (str_is(view_str(at(at(at(it.value, "metadata"), "labels"), "app")), "writer")) {
            s->writer = pod;
            continue;
        }
        s->ready += pod.ready;
        s->pods[s->pods_count++] = pod;
    }
    it = (struct view_iter){ 0 };
    while (view_next(at(object_root(slices), "items"), &it))
        take_endpoints(it.value, s);
    return 0;
}

/* --- counting ------------------------------------------------------------------------------------------------------------------------ */

static int add_counts(const char *path, uint8_t *counts, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(COUNTED_MAX + 1);

    if (file_read(path, &text, err) < 0)
        return -1;
    for (size_t i = 0; i < MIN(text.n, COUNTED_MAX); i++)
        counts[i] = (uint8_t)MIN(255, counts[i] + (unsigned char)text.p[i]);
    return 0;
}

static int each_file(const char *folder, int (*fn)(const char *path, void *arg, struct error *err), void *arg,
                     struct error *err)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    int result = 0;

    if (!d)
        return fail_sys(err, errno, "open '%s'", folder);
    while (result == 0 && (entry = readdir(d))) {
        AUTO_FREE char *path = xasprintf("%s/%s", folder, entry->d_name);
        if (entry->d_type == DT_REG)
            result = fn(path, arg, err);
    }
    closedir(d);
    return result;
}

static int count_file(const char *path, void *arg, struct error *err)
{
    return add_counts(path, arg, err);
}

int prove_counts_read(const struct prove *p, uint8_t **ret, size_t *ret_count, struct error *err)
{
    uint8_t *counts = xcalloc(COUNTED_MAX, 1);

    if (each_file(p->counts_folder, count_file, counts, err) < 0) {
        free(counts);
        return -1;
    }
    *ret = counts;
    *ret_count = COUNTED_MAX;
    return 0;
}

static int add_lines(const char *path, void *arg, struct error *err)
{
    return file_read(path, arg, err);
}

int prove_writers_read(const struct prove *p, struct writers_found *ret, struct error *err)
{
    AUTO_FREE char *data = xasprintf("%s/writer", p->counts_folder);
    AUTO_BUF struct buf lines = BUF_MAX(LINES_MAX);

    if (each_file(data, add_lines, &lines, err) < 0)
        return -1;
    writers_check(buf_str(&lines), ret);
    return 0;
}
