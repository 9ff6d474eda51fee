/* What the error type promises. */
#include "base/error.h"
#include "test.h"

#include <errno.h>

TEST("failing is one statement that says what happened")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_INT(fail(&err, ERR_NOT_FOUND, "pod '%s' not found", "web-1"), -1);
    ASSERT_INT(err.code, ERR_NOT_FOUND);
    ASSERT_STR(err.message, "pod 'web-1' not found");
    ASSERT(fail_null(&err, ERR_CONFLICT, "changed") == NULL);
    ASSERT_STR(err.message, "changed");
}

TEST("each layer puts before the message what only it knows")
{
    AUTO_ERROR struct error err = { 0 };

    fail(&err, ERR_UNAVAILABLE, "connection refused");
    error_add_cause(&err, "FieldValueInvalid", STR("spec.image"), "bad");
    ASSERT_INT(error_context(&err, "pull image '%s'", "web"), -1);
    error_context(&err, "start container");
    ASSERT_STR(err.message, "start container: pull image 'web': connection refused");
    ASSERT_INT(err.code, ERR_UNAVAILABLE);
    ASSERT_INT(err.causes_count, 1);
}

TEST("a failed system call adds the system's own words")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_INT(fail_sys(&err, ENOSPC, "write '%s'", "/data"), -1);
    ASSERT_STR(err.message, "write '/data': No space left on device");
    ASSERT_INT(err.sys, ENOSPC);
    ASSERT_INT(err.code, ERR_INTERNAL);
}

TEST("a new failure replaces the old one, even when it is made from its text")
{
    AUTO_ERROR struct error err = { 0 };

    fail(&err, ERR_INVALID, "first");
    error_add_cause(&err, "FieldValueRequired", STR("spec"), "missing");
    error_set_details(&err, STR("apps"), STR("deployments"), STR("web"));
    fail(&err, ERR_INTERNAL, "second after %s", err.message);
    ASSERT_STR(err.message, "second after first");
    ASSERT_INT(err.causes_count, 0);
    ASSERT(err.details_name == NULL);
}

TEST("whoever does not want to know passes NULL")
{
    ASSERT_INT(fail(NULL, ERR_INVALID, "x"), -1);
    ASSERT_INT(fail_sys(NULL, EIO, "x"), -1);
    ASSERT_INT(error_context(NULL, "x"), -1);
    ASSERT(fail_null(NULL, ERR_INVALID, "x") == NULL);
    error_add_cause(NULL, "FieldValueRequired", STR("spec"), "x");
    error_set_details(NULL, STR("g"), STR("k"), STR("n"));
    error_done(NULL);
    ASSERT_STR(error_text(NULL), "unknown error");
}

TEST("failing leaves errno alone")
{
    AUTO_ERROR struct error err = { 0 };

    errno = EAGAIN;
    fail(&err, ERR_INTERNAL, "%s", "x");
    error_context(&err, "y");
    ASSERT_INT(errno, EAGAIN);
}

TEST("moving takes everything along and leaves nothing")
{
    struct error from = { 0 };
    AUTO_ERROR struct error to = { 0 };

    fail(&to, ERR_INTERNAL, "old");
    fail(&from, ERR_INVALID, "new");
    error_add_cause(&from, "FieldValueInvalid", STR("spec"), "bad value %d", 7);
    error_move(&to, &from);
    ASSERT_STR(to.message, "new");
    ASSERT_STR(to.causes[0].message, "bad value 7");
    ASSERT(from.message == NULL && from.causes == NULL);
    fail(&from, ERR_INVALID, "dropped");
    error_move(NULL, &from);
    ASSERT(from.message == NULL);
}

TEST("causes past the maximum are dropped")
{
    AUTO_ERROR struct error err = { 0 };

    fail(&err, ERR_INVALID, "many");
    for (int i = 0; i < ERROR_CAUSES_MAX + 10; i++)
        error_add_cause(&err, "FieldValueInvalid", STR("spec"), "%d", i);
    ASSERT_INT(err.causes_count, ERROR_CAUSES_MAX);
    ASSERT_STR(err.causes[ERROR_CAUSES_MAX - 1].message, "255");
}

TEST("details are set and taken back")
{
    AUTO_ERROR struct error err = { 0 };

    error_set_details(&err, STR("apps"), STR("deployments"), STR("web"));
    ASSERT_STR(err.details_group, "apps");
    ASSERT_STR(err.details_kind, "deployments");
    ASSERT_STR(err.details_name, "web");
    error_set_details(&err, STR(""), STR("pods"), STR("web-1"));
    ASSERT(err.details_group == NULL);
    ASSERT_STR(err.details_kind, "pods");
}

TEST("codes are the API's reasons and statuses, there and back")
{
    ASSERT_STR(error_reason(ERR_NOT_FOUND), "NotFound");
    ASSERT_INT(error_http_status(ERR_TOO_MANY_REQUESTS), 429);
    ASSERT_STR(error_reason(ERR_NONE), "");
    ASSERT_INT(error_http_status(ERR_NONE), 500);
    /* A reason stands for its first code: the others are klein's own, and look the same from outside. */
#define ERROR_CODE(name, reason, status)                                                                               \
    ASSERT_STR(error_reason(error_code_of_reason(STR(reason), status)), reason);                                       \
    ASSERT_INT(error_http_status(error_code_of_reason(STR(reason), status)), status);
#include "base/error_codes.def"
#undef ERROR_CODE
    ASSERT_INT(error_code_of_reason(STR("Conflict"), 409), ERR_CONFLICT);
    ASSERT_INT(error_code_of_reason(STR("AlreadyExists"), 409), ERR_ALREADY_EXISTS);
}

TEST("an answer without a known reason is judged by its status")
{
    ASSERT_INT(error_code_of_reason(STR(""), 409), ERR_CONFLICT);
    ASSERT_INT(error_code_of_reason(STR(""), 410), ERR_GONE);
    ASSERT_INT(error_code_of_reason(STR("Teapot"), 404), ERR_NOT_FOUND);
    ASSERT_INT(error_code_of_reason(STR("Teapot"), 418), ERR_INTERNAL);
    ASSERT_INT(error_code_of_reason(STR(""), 500), ERR_INTERNAL);
}
