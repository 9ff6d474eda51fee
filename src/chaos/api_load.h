/*
 * A steady load on the API from a process of its own: a writer, a reader and a watcher who check each other.
 *
 * The writer creates ConfigMaps one after the other; the reader asks for the last one that was acknowledged, which must be there;
 * the watcher must be told each acknowledged one exactly once, by growing revisions, over all lost connections. At the end a list must
 * hold every acknowledged one. All of it on a fixed schedule into a struct probe_log with the flows "write" and "read".
 */
#ifndef CHAOS_API_LOAD_H
#define CHAOS_API_LOAD_H

#include "base/error.h"
#include "chaos/probe.h"

#include <sys/types.h>

struct api_load_options {
    const struct str *servers; /* "https://..." */
    size_t servers_count;
    const char *pki_folder; /* ca.crt, admin.crt, admin.key */
    const char *space;      /* a namespace that exists */
    int rate;               /* writes a second, and as many reads */
};

enum { API_FLOW_WRITE, API_FLOW_READ };

struct api_load_findings { /* shared; final when the log is done */
    uint32_t acknowledged;
    uint32_t lost;        /* acknowledged and not in the list at the end */
    uint32_t unsure_kept; /* of the writes that failed, those that happened all the same: no error */
    uint32_t watch_events, watch_reconnects;
    uint32_t watch_gone;     /* 410: listed again */
    uint32_t watch_disorder; /* a revision that did not grow */
    uint32_t watch_repeated; /* told twice */
    uint32_t watch_missed;   /* acknowledged and never told */
    bool verified;           /* the list could be read */
    char error[200];
};

struct api_load_findings *api_load_findings_new(void); /* shared with children */
void api_load_findings_free(struct api_load_findings *f);
/* Ends when log->stop is set, after the last check. `o` must live as long. */
int api_load_start(struct probe_log *log, struct api_load_findings *findings, const struct api_load_options *o,
                   pid_t *ret_pid, struct error *err);

#endif
