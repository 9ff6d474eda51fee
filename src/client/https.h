/*
 * The API over HTTPS: struct api (kinds/api.h) on transport/http_client.h. Used by agents, gateways and the command line.
 *
 * Calls answer with objects parsed from JSON. Watches list in pages of 500, watch with bookmarks, and reconnect by themselves
 * after 50 ms doubling to 1 s with jitter; after 410 they list again and report only differences. Nothing heard for
 * 45 s (the server sends bookmarks) counts as a lost connection.
 */
#ifndef CLIENT_HTTPS_H
#define CLIENT_HTTPS_H

#include "kinds/api.h"
#include "transport/http_client.h"

/* `client` is borrowed and must outlive the api. bearer (copied) may be NULL: then the TLS certificate identifies the caller. */
struct api *https_api_new(struct http_client *client, const struct secret *bearer);
void https_api_set_bearer(struct api *api, const struct secret *bearer); /* rotated tokens */

#endif
