/*
 * One error type from the disk to HTTP.
 *
 * A function that can fail returns int (0 or -1) or a pointer (NULL) and takes `struct error *err` last; err may be
 * NULL and is untouched on success. Failing is one statement:
 *
 *     return fail(err, ERR_NOT_FOUND, "pod '%s' not found", name);
 *
 * and each layer above adds what only it knows: `return error_context(err, "start container '%s'", name);`.
 * Code that handles an error logs it, once; code that returns it stays silent.
 * Ownership: the error owns its strings; AUTO_ERROR struct error err = {0}; frees them at the end of the scope.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/str.h"

enum error_code {
    ERR_NONE,
#define ERROR_CODE(name, reason, status) ERR_##name,
#include "base/error_codes.def"
#undef ERROR_CODE
};

/* One line of a Status' details.causes. Source: meta/v1 StatusCause; reasons as in field.ErrorType (FieldValueInvalid ...). */
struct error_cause {
    char *reason; /* "FieldValueRequired", "FieldValueInvalid", "FieldValueNotSupported", ... */
    char *field;  /* "spec.containers[0].image"; may be "" */
    char *message;
};

struct error {
    enum error_code code;
    int sys;       /* errno where one was the cause, else 0 */
    char *message; /* one sentence for people, without a final full stop */
    struct error_cause *causes;
    size_t causes_count, causes_capacity;
    char *details_name, *details_group, *details_kind, *details_uid; /* Status.details, NULL when unknown */
    int retry_after_s;                                               /* Status.details.retryAfterSeconds, 0 for none */
};

#define AUTO_ERROR       CLEANUP(error_done)
#define ERROR_CAUSES_MAX 256 /* further causes are dropped: a Status must stay readable and bounded */

void error_done(struct error *err);                    /* frees, leaves {0} */
void error_move(struct error *to, struct error *from); /* to may be NULL (then from is freed) */

/* Set the error (replacing an earlier one) and return -1. fail_null() returns NULL for functions that return pointers. */
int fail(struct error *err, enum error_code code, const char *format, ...) PRINTF(3, 4);
void *fail_null(struct error *err, enum error_code code, const char *format, ...) PRINTF(3, 4);
/* The same for a failed system call: appends ": " and strerror(sys) to the message. */
int fail_sys(struct error *err, int sys, const char *format, ...) PRINTF(3, 4);
/* Put "format: " before the message, keep everything else, return -1. */
int error_context(struct error *err, const char *format, ...) PRINTF(2, 3);
/* Add a cause; the code and message stay as they are. */
void error_add_cause(struct error *err, const char *reason, struct str field, const char *format, ...) PRINTF(4, 5);
void error_set_details(struct error *err, struct str group, struct str kind, struct str name);

const char *error_reason(enum error_code code);                           /* "NotFound"; "" for ERR_NONE */
int error_http_status(enum error_code code);                              /* 404; 500 for ERR_NONE */
enum error_code error_code_of_reason(struct str reason, int http_status); /* best match; ERR_INTERNAL for the unknown */
static inline const char *error_text(const struct error *err)
{
    return err && err->message ? err->message : "unknown error";
}

#endif
