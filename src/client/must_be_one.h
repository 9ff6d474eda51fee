/*
 * Must there never be two of a pod: one ordinal of a StatefulSet, or a claim, which a second writer would harm. The node's fence guard watches such a pod,
 * and it is replaced only when its node cannot write any more. One answer for controllers and agents.
 */
#ifndef CLIENT_MUST_BE_ONE_H
#define CLIENT_MUST_BE_ONE_H

#include "object/object.h"

bool pod_must_be_one(const struct object *pod);

#endif
