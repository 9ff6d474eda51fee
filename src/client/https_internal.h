/* What the files of the HTTPS way to the API share. */
#ifndef CLIENT_HTTPS_INTERNAL_H
#define CLIENT_HTTPS_INTERNAL_H

#include "client/https.h"

struct https_api {
    struct api base;
    struct http_client *client;
    struct secret bearer;
};

void target_write_path(struct buf *to, const struct kind *kind, struct str namespace_, struct str name,
                       struct str subresource);
void target_write_call(struct buf *to, const struct api_call *call);
void target_write_list(struct buf *to, const struct api_watch_request *request, struct str continue_);
void target_write_watch(struct buf *to, const struct api_watch_request *request, uint64_t revision);

/* A Status body as an error; `http_status` decides when the body is something else. Always sets err. */
void status_to_error(struct str body, int http_status, struct error *err);

struct api_watch *https_watch_open(struct api *api, const struct api_watch_request *request,
                                   const struct api_watch_callbacks *cb);
void https_watch_close(struct api_watch *watch);

#endif
