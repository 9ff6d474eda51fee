/* Decisions a second on 5,000 nodes in 3 zones with 50,000 pods: plain, of a set that is spread, and with affinity. */
#include "base/time.h"
#include "kinds/kinds.h"
#include "scheduler/framework.h"

#include <stdio.h>
#include <stdlib.h>

#define NODES     5000
#define PODS      50000
#define DECISIONS 100

static struct object *parse(const char *text)
{
    struct error err = { 0 };
    struct object *o = object_parse(str_of(text), &err);

    if (!o) {
        fprintf(stderr, "%s in %s\n", error_text(&err), text);
        exit(EXIT_FAILURE);
    }
    return o;
}

static void fill(struct scheduler_view *view)
{
    for (int i = 0; i < NODES; i++) {
        AUTO_FREE char *text = xasprintf(
            "{\"metadata\":{\"name\":\"node-%d\",\"labels\":{\"kubernetes.io/hostname\":\"node-%d\","
            "\"topology.kubernetes.io/zone\":\"%c\"}},\"status\":{\"allocatable\":{\"cpu\":\"32\",\"memory\":\"128Gi\","
            "\"pods\":\"110\"}}}",
            i, i, 'a' + i % 3);
        struct object *o = parse(text);
        scheduler_view_set_node(view, o);
        object_unref(o);
    }
    for (int i = 0; i < PODS; i++) {
        AUTO_FREE char *node = xasprintf("node-%d", i % NODES);
        AUTO_FREE char *text = xasprintf(
            "{\"metadata\":{\"name\":\"p%d\",\"namespace\":\"default\",\"uid\":\"u%d\",\"labels\":{\"app\":\"a%d\"},"
            "\"ownerReferences\":[{\"uid\":\"set-%d\",\"controller\":true}]},\"spec\":{\"containers\":[{\"name\":\"c\","
            "\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"128Mi\"}}}]}}",
            i, i, i % 100, i % 100);
        struct object *o = parse(text);
        scheduler_view_set_pod(view, o, str_of(node));
        object_unref(o);
    }
}

static void measure(const struct scheduler_view *view, const char *what, const char *metadata, const char *spec)
{
    AUTO_FREE char *text =
        xasprintf("{\"metadata\":{\"name\":\"p\",\"namespace\":\"default\",\"labels\":{\"app\":\"a1\"}%s},"
                  "\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":"
                  "\"100m\",\"memory\":\"128Mi\"}}}]%s}}",
                  metadata, spec);
    struct object *o = parse(text);
    struct pod_info *pod = pod_info_new(o);
    struct arena arena = { 0 };
    int64_t start_us = time_monotonic_us();

    for (int i = 0; i < DECISIONS; i++) {
        if (!schedule(view, pod, (uint64_t)i, &arena).node)
            exit(EXIT_FAILURE);
        arena_reset(&arena);
    }
    double us = (double)(time_monotonic_us() - start_us) / DECISIONS;
    printf("%-28s %8.0f us a decision %8.0f a second\n", what, us, 1e6 / us);
    arena_done(&arena);
    pod_info_free(pod);
    object_unref(o);
}

int main(void)
{
    struct scheduler_view view = { 0 };

    kinds_init();
    fill(&view);
    printf("%d nodes, %d pods\n", NODES, PODS);
    measure(&view, "plain", "", "");
    measure(&view, "spread with its set", ",\"ownerReferences\":[{\"uid\":\"set-1\",\"controller\":true}]", "");
    measure(&view, "hard spread over zones", "",
            ",\"topologySpreadConstraints\":[{\"maxSkew\":5000,\"topologyKey\":\"topology.kubernetes.io/zone\","
            "\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{\"app\":\"a1\"}}}]");
    measure(&view, "away from its own, by node", "",
            ",\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":"
            "\"kubernetes.io/hostname\",\"labelSelector\":{\"matchLabels\":{\"app\":\"a1\"}}}]}}");
    scheduler_view_done(&view);
    return 0;
}
