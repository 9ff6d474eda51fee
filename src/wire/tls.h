/*
 * TLS as a byte machine over OpenSSL 3: cipher text in and out, plain text in and out, no sockets.
 *
 * A context holds certificates and rules and is shared by connections (counted, any thread); a session is one
 * connection. Rules: TLS 1.2 at least, forward secret AEAD ciphers only, no renegotiation, no compression, resumption
 * by tickets, ALPN "h2" then "http/1.1".
 *
 * Client certificates: a server with `client_ca` asks for one and accepts the handshake whatever it gets; what
 * is wrong with it stands in tls_peer_error(), so that HTTP can answer 401 with words instead of a broken handshake.
 */
#ifndef WIRE_TLS_H
#define WIRE_TLS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"

struct tls_context;

struct tls_server_options {
    struct str certificate_pem; /* leaf first, then intermediates */
    const struct secret *key_pem;
    struct str client_ca_pem; /* several allowed; empty: no client certificates */
    bool http1_only;          /* no h2 in ALPN */
};
struct tls_client_options {
    struct str ca_pem;          /* several allowed; empty with ca_sha256: pinned */
    struct str ca_sha256;       /* 64 hex characters: accept a chain that holds a CA with this SHA-256
                                                       of its DER SubjectPublicKeyInfo (kubeadm's discovery hash) */
    struct str certificate_pem; /* empty: no client certificate */
    const struct secret *key_pem;
    bool http1_only;
    bool insecure; /* verify nothing; for tests and probes */
};
/* Errors: ERR_BAD_REQUEST when PEM does not parse or key and certificate do not belong together. */
struct tls_context *tls_context_new_server(const struct tls_server_options *o, struct error *err);
struct tls_context *tls_context_new_client(const struct tls_client_options *o, struct error *err);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c); /* NULL is fine */

struct tls;
/* host: server name or IP address to verify against (clients); ignored by servers. alpn_http1: offer only http/1.1. */
struct tls *tls_new(struct tls_context *c, struct str host, bool alpn_http1);
void tls_free(struct tls *t);

enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_CLOSED, TLS_FAILED };
enum tls_state tls_state(const struct tls *t);

/*
 * One step: hand in received cipher text (may be empty, for the first step of a client), then read plain text until
 * tls_read() returns 0, then send what is in tls_output() and call tls_output_sent().
 */
int tls_feed(struct tls *t, struct str cipher, struct error *err);
/* After the last tls_read() of a feed that was not read to 0 (a paused reader): copies what is left of it. */
void tls_keep(struct tls *t);
bool tls_has_kept(const struct tls *t); /* then tls_feed() with nothing goes on reading */
/* Up to n plain bytes; 0: nothing now (or closed, see tls_state()); -1: err. */
ptrdiff_t tls_read(struct tls *t, char *to, size_t n, struct error *err);
/* Encrypt all of it into the output; only in TLS_OPEN. */
int tls_write(struct tls *t, struct str plain, struct error *err);
void tls_shutdown(struct tls *t);      /* adds close_notify to the output */
struct buf *tls_output(struct tls *t); /* cipher text to send; the caller drops or takes what it sent */

/* --- what is known of the other side once TLS_OPEN --- */
struct tls_peer {
    bool certificate;
    const char *error;      /* NULL: verified. Else OpenSSL's words, e.g. "certificate has expired" */
    struct str common_name; /* the session's memory */
    struct str *organizations;
    size_t organizations_count;
    char sha256_hex[65]; /* of the certificate's DER */
};
const struct tls_peer *tls_peer(struct tls *t);
bool tls_is_http2(const struct tls *t); /* ALPN chose h2 */
bool tls_is_resumed(const struct tls *t);

#endif
