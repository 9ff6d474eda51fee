/* A tenant's certificate made harmless: taken apart and written anew, so that HAProxy loads it, and nothing else in the file. */
#ifndef GATEWAY_CERTIFICATE_H
#define GATEWAY_CERTIFICATE_H

#include "base/buf.h"

/*
 * Append the chain (at most 10 certificates, leaf first) and its private key as PEM. False when one of them does not parse, when they do
 * not belong together, or when OpenSSL's security level refuses them (weak keys): HAProxy would then refuse its whole configuration.
 */
bool certificate_clean(struct str chain_pem, struct str key_pem, struct buf *to);

#endif
