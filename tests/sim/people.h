/*
 * Those who use the cluster: they roll out, scale and delete; and a writer of ConfigMaps whose writes and watches go into the history.
 */
#ifndef SIM_PEOPLE_H
#define SIM_PEOPLE_H

#include "cluster.h"

struct people;
struct people *people_new(struct cluster_sim *c);
void people_rest(struct people *p);
void people_conclude(struct people *p); /* once more: the last wish, by which convergence is judged */
bool people_have_concluded(const struct people *p);
int people_replicas_least(
    const struct people *p); /* asked for within the last while: what may be missing is counted from here */
int people_replicas(const struct people *p);
const char *people_image(const struct people *p);
/* A change of a ConfigMap as somebody's watch told it, for the history. */
void people_watched(struct sim *s, struct history_watch *w, const struct object *o, bool deleted, uint64_t revision);

#endif
