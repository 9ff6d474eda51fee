/* What the session and the context of TLS share. */
#ifndef WIRE_TLS_INTERNAL_H
#define WIRE_TLS_INTERNAL_H

#include "wire/tls.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

struct tls_context {
    atomic_int references;
    SSL_CTX *ctx;
    bool server, http1_only, insecure;
    char pin[65];         /* "" or the SHA-256 of a CA's public key */
    pthread_mutex_t lock; /* guards session */
    SSL_SESSION *session; /* clients: the newest ticket, for the next connection to session_host */
    char *session_host;
};

struct tls {
    struct tls_context *context;
    SSL *ssl;
    enum tls_state state;
    struct str in;   /* fed and not yet read; borrowed or `kept` */
    struct buf kept; /* what a paused reader left */
    struct buf out;
    int first_verify_error; /* servers: what is wrong with the client's certificate */
    bool peer_read;
    struct tls_peer peer;
    char *expected_host; /* clients: as verified */
};

void tls_context_prepare_client(struct tls *t, struct str host, bool alpn_http1);

#endif
