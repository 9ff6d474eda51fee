/*
 * The Pod Security Standards: what a pod may not ask for at a level. One function a rule, in the order upstream names them.
 * Source: KEP-2579; k8s.io/pod-security-admission/policy.
 */
#ifndef SERVER_ADMISSION_POD_SECURITY_CHECKS_H
#define SERVER_ADMISSION_POD_SECURITY_CHECKS_H

#include "object/object.h"

enum pod_security_level { POD_SECURITY_PRIVILEGED, POD_SECURITY_BASELINE, POD_SECURITY_RESTRICTED };

/* Appends "rule (detail), rule (detail)" for every rule of the level that the spec breaks; nothing when it breaks none. */
void pod_security_check(struct buf *to, enum pod_security_level level, struct view metadata, struct view spec);

#endif
