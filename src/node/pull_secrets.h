/* Registry credentials out of pull secrets: kubernetes.io/dockerconfigjson and the older kubernetes.io/dockercfg. */
#ifndef NODE_PULL_SECRETS_H
#define NODE_PULL_SECRETS_H

#include "node/registry.h"
#include "object/object.h"

#define PULL_CREDENTIALS_MAX 64

/* Appends what the secret holds; returns the new count. Malformed parts are skipped. */
size_t pull_secret_read(struct view secret, struct registry_credentials *to, size_t count, size_t max);
void pull_credentials_done(struct registry_credentials *c, size_t count);

#endif
