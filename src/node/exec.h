/*
 * Exec and attach: a program's streams, or a running container's, over one exchange with frames.
 *
 * A session owns its exchange from the start on and ends by itself: program ended and all output sent, or the client left (then the
 * program is killed; an attached container goes on).
 */
#ifndef NODE_EXEC_H
#define NODE_EXEC_H

#include "node/agent_state.h"
#include "transport/http_exchange.h"

#define EXEC_SESSIONS_MAX 256

struct exec_request {
    struct str container_id;
    const struct str *command;
    size_t command_count;
    bool stdin_open, stdout_open, stderr_open, terminal;
};

/* On failure x is still the caller's, to answer with the error. */
int exec_start(struct agent *a, struct http_exchange *x, const struct exec_request *r, struct error *err);
int attach_start(struct agent *a, struct http_exchange *x, const struct exec_request *r, struct error *err);

/* The result frame's payload: a Status for this exit code (exec), or an error. */
void exec_write_result(struct buf *to, int exit_code);
void exec_write_failure(struct buf *to, const struct error *err);

#endif
