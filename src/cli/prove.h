/* What the files of `klein prove` share: one run. */
#ifndef CLI_PROVE_H
#define CLI_PROVE_H

#include "chaos/prober.h"
#include "chaos/report.h"
#include "cli/chaos.h"
#include "cli/remote.h"

#define PROVE_SPACE   "klein-prove" /* the namespace of everything it makes */
#define PROVE_HOST    "prove.klein"
#define PROVE_CALL_MS 400 /* a call while things are broken: short, asked again */
#define PROVE_STEP_MS 25
#define SECOND_US     ((int64_t)1000000)

struct prove {
    struct cluster_record cluster;
    struct remote remote;
    struct report report;
    const char *sample_folder; /* has web/web or web */
    char *chaos_folder, *counts_folder, *pki;
    char web_image[128], writer_image[128], service_ip[16];
    int pods_wanted;
    bool quick, has_writer;
    const struct machine
        *prober_node; /* whose namespace the load on the ClusterIP comes from: nothing is broken there */
    pid_t senders[LOADS];
    struct api_load_options api;
    struct api_load_findings *api_findings;
    char *urls[CLUSTER_SERVERS_MAX + 1];
    struct str servers[CLUSTER_SERVERS_MAX + 1];
};

bool prove_interrupted(void); /* Ctrl-C: stop, undo, report */
void prove_nap(int64_t ms);   /* shorter when interrupted */
void prove_say(const struct prove *p, const char *format, ...) PRINTF(2, 3);

/* --- prove_image.c: a static program becomes an image in the cluster's registry: "ADDRESS/NAME:1" --- */
int prove_push(const struct prove *p, const char *name, char ret_image[128], struct error *err);

/* --- prove_sample.c: the sample service and the sample writer --- */
int prove_sample_start(struct prove *p, struct error *err);
void prove_sample_stop(struct prove *p);
int prove_counts_read(const struct prove *p, uint8_t **ret, size_t *ret_count, struct error *err);
int prove_writers_read(const struct prove *p, struct writers_found *ret, struct error *err);

/* The sample's pods as the API tells them now. */
struct sample_pod {
    char name[64], uid[64], node[64], zone[16];
    bool ready, ending;
    int restarts;
};
struct sample_seen {
    struct sample_pod pods[256];
    int pods_count, ready;
    char endpoints[512][64]; /* nodes of ready endpoints */
    int endpoints_count;
    struct sample_pod writer; /* name "" when there is none */
};
int prove_look(struct prove *p, struct sample_seen *ret, struct error *err);

/* --- prove_upgrade.c: every machine of the cluster to another program, by `klein upgrade` --- */
/* *ret_before: the program the cluster runs; *ret_other: a copy of it that counts as another one. Both heap. */
int prove_other_program(const struct prove *p, char **ret_other, char **ret_before, struct error *err);
int prove_upgrade_to(const struct prove *p, const char *program, struct error *err);
void prove_program_forget(const char *other);

/* --- prove_fault.c --- */
void prove_fault(struct prove *p, const struct catalogue_row *row, struct fault_result *r);

#endif
