/* Pods: defaults, what an update may change, and what `kubectl get pods` shows. */
#include "kinds_test.h"

#include <stdio.h>

#define META      "\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":\"a\"}"
#define POD(spec) "{" META ",\"spec\":{" spec "}}"
#define ONE       "\"containers\":[{\"name\":\"c\",\"image\":\"nginx:1.25\"}]"

TEST("a pod gets the defaults that Kubernetes gives it")
{
    const char *pod = given_create(POD(ONE));

    ASSERT_STR(at(pod, "spec.restartPolicy"), "Always");
    ASSERT_STR(at(pod, "spec.dnsPolicy"), "ClusterFirst");
    ASSERT_STR(at(pod, "spec.terminationGracePeriodSeconds"), "30");
    ASSERT_STR(at(pod, "spec.enableServiceLinks"), "true");
    ASSERT_STR(at(pod, "spec.containers.0.imagePullPolicy"), "IfNotPresent");
    ASSERT_STR(at(pod, "spec.containers.0.terminationMessagePath"), "/dev/termination-log");
    ASSERT_STR(at(pod, "status.phase"), "Pending");
    ASSERT_STR(at(pod, "status.qosClass"), "BestEffort");
    given_done();
}

TEST("an image without a tag, or with the tag latest, is always pulled; one with a digest is not")
{
    static const struct {
        const char *image, *policy;
    } cases[] = {
        { "nginx", "Always" },
        { "nginx:latest", "Always" },
        { "registry.example:5000/team/nginx", "Always" },
        { "registry.example:5000/team/nginx:1", "IfNotPresent" },
        { "nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000", "IfNotPresent" },
        { "UPPER", "IfNotPresent" }, /* not an image's name at all */
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char json[512];

        snprintf(json, sizeof(json), "{" META ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]}}",
                 cases[i].image);
        ASSERT_STR(at(given_create(json), "spec.containers.0.imagePullPolicy"), cases[i].policy);
    }
    given_done();
}

TEST("limits without requests are requests too, and equal ones make a pod Guaranteed")
{
    const char *pod = given_create(POD("\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"limits\":"
                                       "{\"cpu\":\"1\",\"memory\":\"64Mi\"}}}]"));

    ASSERT_STR(at(pod, "spec.containers.0.resources.requests.memory"), "64Mi");
    ASSERT_STR(at(pod, "status.qosClass"), "Guaranteed");
    pod = given_create(
        POD("\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]"));
    ASSERT_STR(at(pod, "status.qosClass"), "Burstable");
    given_done();
}

TEST("the complaints about a pod name each field")
{
    ASSERT_STR(given_create(POD("\"containers\":[{\"name\":\"C\",\"image\":\"i\",\"volumeMounts\":"
                                "[{\"name\":\"v\",\"mountPath\":\"/v\"}]}],\"restartPolicy\":\"Sometimes\"")),
               "invalid: Pod \"web\" is invalid: [spec.containers[0].name: Invalid value: \"C\": a lowercase RFC 1123 "
               "label must consist of lower case alphanumeric characters or '-', and must start and end with an "
               "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
               "'[a-z0-9]([-a-z0-9]*[a-z0-9])?'), spec.containers[0].volumeMounts[0].name: Not found: \"v\", "
               "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", "
               "\"Never\"]");
    given_done();
}

TEST("an update of a pod may change images")
{
    const char *pod = given_update(POD(ONE), POD("\"containers\":[{\"name\":\"c\",\"image\":\"nginx:1.26\"}]"), "");

    ASSERT_STR(at(pod, "spec.containers.0.image"), "nginx:1.26");
    given_done();
}

TEST("an update of a pod may not change anything else")
{
    const char *result = given_update(POD(ONE), POD(ONE ",\"hostname\":\"h\""), "");

    ASSERT_CONTAINS(result,
                    "invalid: Pod \"web\" is invalid: spec: Forbidden: pod updates may not change fields other than "
                    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
                    "`spec.tolerations` (only additions to existing tolerations),");
    ASSERT_CONTAINS(result, "spec.hostname differs");
    ASSERT_CONTAINS(
        given_update(POD(ONE),
                     POD("\"containers\":[{\"name\":\"c\",\"image\":\"i:1\"},{\"name\":\"d\",\"image\":\"i:1\"}]"), ""),
        "spec.containers: Forbidden: pod updates may not add or remove containers");
    given_done();
}

TEST("tolerations may be added to a running pod but not taken away")
{
    static const char one[] = "\"tolerations\":[{\"key\":\"a\",\"operator\":\"Exists\"}]";
    static const char two[] =
        "\"tolerations\":[{\"key\":\"a\",\"operator\":\"Exists\"},{\"key\":\"b\",\"operator\":\"Exists\"}]";
    char with_one[512], with_two[512];

    snprintf(with_one, sizeof(with_one), "{" META ",\"spec\":{" ONE ",%s}}", one);
    snprintf(with_two, sizeof(with_two), "{" META ",\"spec\":{" ONE ",%s}}", two);
    ASSERT_STR(at(given_update(with_one, with_two, ""), "spec.tolerations.1.key"), "b");
    ASSERT_CONTAINS(
        given_update(with_two, with_one, ""),
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds");
    given_done();
}

TEST("the status door changes the status only, the main door anything but the status")
{
    static const char changed[] = "{" META ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"nginx:1.26\"}]},"
                                  "\"status\":{\"phase\":\"Running\"}}";
    const char *pod = given_update(POD(ONE), changed, "status");

    ASSERT_STR(at(pod, "spec.containers.0.image"), "nginx:1.25");
    ASSERT_STR(at(pod, "status.phase"), "Running");
    pod = given_update(POD(ONE), changed, "");
    ASSERT_STR(at(pod, "spec.containers.0.image"), "nginx:1.26");
    ASSERT_STR(at(pod, "status.phase"), "");
    given_done();
}

#define AGED                                                                                                           \
    "\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"creationTimestamp\":\"2026-11-21T09:00:"  \
    "00Z\"%s}"

static const char *row(const char *deletion, const char *spec, const char *status)
{
    static char json[2048];

    snprintf(json, sizeof(json), "{" AGED ",\"spec\":{%s},\"status\":{%s}}", deletion, spec, status);
    return given_row(json);
}

TEST("kubectl shows a running pod, its restarts and when the last was")
{
    ASSERT_STR(row("", "\"containers\":[{\"name\":\"c\"}],\"nodeName\":\"n1\"",
                   "\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"10.0.0.1\"}],\"containerStatuses\":[{\"name\":\"c\","
                   "\"ready\":true,\"restartCount\":3,\"state\":{\"running\":{}},\"lastState\":{\"terminated\":"
                   "{\"finishedAt\":\"2026-11-21T09:55:00Z\"}}}]"),
               "web|1/1|Running|3 (5m ago)|60m|10.0.0.1|n1|<none>|<none>");
    given_done();
}

TEST("kubectl shows why a pod does not run")
{
    ASSERT_STR(row("", "\"containers\":[{\"name\":\"c\"}]",
                   "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"c\",\"restartCount\":2,\"state\":"
                   "{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}]"),
               "web|0/1|CrashLoopBackOff|2|60m|<none>|<none>|<none>|<none>");
    ASSERT_STR(row("", "\"containers\":[{\"name\":\"c\"}],\"initContainers\":[{\"name\":\"i\"},{\"name\":\"j\"}]",
                   "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"running\":{}}}]"),
               "web|0/1|Init:0/2|0|60m|<none>|<none>|<none>|<none>");
    ASSERT_STR(row("", "\"containers\":[{\"name\":\"c\"}],\"initContainers\":[{\"name\":\"i\"}]",
                   "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"terminated\":{"
                   "\"exitCode\":3}}}]"),
               "web|0/1|Init:ExitCode:3|0|60m|<none>|<none>|<none>|<none>");
    ASSERT_STR(row("", "\"containers\":[{\"name\":\"c\"}]",
                   "\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"terminated\":{"
                   "\"exitCode\":0,\"signal\":9}}}]"),
               "web|0/1|Signal:9|0|60m|<none>|<none>|<none>|<none>");
    given_done();
}

TEST("kubectl shows a pod that is being deleted as Terminating, a finished one as Completed")
{
    ASSERT_STR(
        row(",\"deletionTimestamp\":\"2026-11-21T10:00:10Z\"", "\"containers\":[{\"name\":\"c\"}]",
            "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"c\",\"ready\":true,\"state\":{\"running\":{}}}]"),
        "web|1/1|Terminating|0|60m|<none>|<none>|<none>|<none>");
    ASSERT_STR(row("", "\"containers\":[{\"name\":\"c\"}]",
                   "\"phase\":\"Succeeded\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"terminated\":{"
                   "\"reason\":\"Completed\"}}}]"),
               "web|0/1|Completed|0|60m|<none>|<none>|<none>|<none>");
    given_done();
}
