/*
 * Recording Events: what happened to an object, for people. Equal ones are counted instead of repeated, floods are cut.
 *
 * Source: client-go tools/record. Equal = same object, type, reason and message: the first is created, later ones raise
 * count and lastTimestamp by a patch. An object gets at most 25 at once and one every 5 minutes after that. At most 1,000
 * writes wait; more are dropped. An Event that cannot be written is given up with one log line.
 */
#ifndef CLIENT_EVENTS_H
#define CLIENT_EVENTS_H

#include "kinds/api.h"
#include "loop/loop.h"

struct event_recorder;

/* component: "replicaset-controller", "kubelet"; host may be NULL. Strings are copied. */
struct event_recorder *event_recorder_new(struct loop *loop, struct api *api, const char *component, const char *host);
void event_recorder_free(struct event_recorder *r);

/* field_path: "spec.containers{web}" or NULL. `kind` is that of `about`. */
void event_record(struct event_recorder *r, const struct kind *kind, const struct object *about, const char *field_path,
                  const char *type, const char *reason, struct str message);

#endif
