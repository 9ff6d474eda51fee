/*
 * IntOrString: a number or a text such as "25%", as in maxSurge, maxUnavailable, minAvailable and targetPort.
 * Source: k8s.io/apimachinery/pkg/util/intstr.
 */
#ifndef OBJECT_INTSTR_H
#define OBJECT_INTSTR_H

#include "object/value.h"

struct intstr {
    bool is_string;
    int32_t number;
    struct str text; /* borrowed */
};

struct intstr intstr_of_view(struct view v, struct intstr otherwise); /* `otherwise` when absent */
struct intstr intstr_of_value(const struct value *v, struct intstr otherwise);
#define INTSTR_INT(n)      ((struct intstr){ .number = (n) })
#define INTSTR_TEXT(text_) ((struct intstr){ .is_string = true, .text = STR(text_) })

bool intstr_is_percent(struct intstr i);
/*
 * The number, or the percentage of `total`, rounded up or down. ERR_INVALID "invalid value for IntOrString: invalid type: string is
 * not a percentage" for any other text. Cut to int32.
 */
int intstr_scale(struct intstr i, int64_t total, bool round_up, int64_t *ret, struct error *err);

#endif
