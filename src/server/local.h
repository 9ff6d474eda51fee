/* The API in this process: struct api over the phases, without HTTP. server_api() is its door. */
#ifndef SERVER_LOCAL_H
#define SERVER_LOCAL_H

#include "server/request.h"

struct local_call;

/* Phase encode of a local request: hands the result or the error to the caller. */
void local_answer(struct request *r);
/* What a local request holds; called when it ends. */
void local_release(struct request *r);
/* The body of a local request as a new tree, as it was given. */
struct value *local_body_tree(struct request *r);
/* One call as `identity`, which must outlive it; done comes in a later round. */
void local_call(struct server *s, const struct identity *identity, const struct api_call *call, api_done_fn *done,
                void *arg);
/* A watch as kinds/api.h promises it. */
struct api_watch *local_watch(struct server *s, const struct identity *identity,
                              const struct api_watch_request *request, const struct api_watch_callbacks *cb);
void local_watch_close(struct api_watch *w);

#endif
