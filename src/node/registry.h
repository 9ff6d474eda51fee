/*
 * The client side of the OCI distribution protocol: manifests and blobs over HTTPS, for worker threads (it blocks).
 *
 * What it refuses: answers larger than their limit, digests that do not match, redirects of anything but blobs, redirects to plain
 * HTTP or to addresses of this machine and its links, and sending credentials to anybody but the registry they are for.
 * Plain HTTP is spoken only to loopback hosts and to mirrors that were configured so.
 * Sources: OCI distribution specification 1.1; CVE-2020-15157 and CVE-2018-1002102 as what not to do.
 */
#ifndef NODE_REGISTRY_H
#define NODE_REGISTRY_H

#include "base/buf.h"
#include "base/secret.h"
#include "node/image_ref.h"

struct registry_mirror {
    char *host; /* "docker.io" */
    char *url;  /* "http://10.0.0.1:5000" */
};

struct registry_credentials {
    char *host; /* as written in the pull secret, without scheme and path */
    struct secret username, password;
};

struct registry_options {
    const struct registry_mirror *mirrors;
    size_t mirrors_count;
    const struct registry_credentials *credentials;
    size_t credentials_count;
    const volatile bool *stop; /* true: give up soon */
};

struct registry;

/* A connection to the registry of one image; one thread uses it. */
struct registry *registry_open(const struct registry_options *o, const struct image_ref *ref, struct error *err);
void registry_close(struct registry *r);

#define MANIFEST_MAX_BYTES (4 * MIB) /* as the specification recommends */
#define CONFIG_MAX_BYTES   (8 * MIB)

/* The manifest for this machine: an index is followed once. ret_digest gets the digest of what the name stands for. */
int registry_manifest(struct registry *r, struct str tag_or_digest, struct buf *ret, char ret_digest[72],
                      struct error *err);
/* A small blob into memory, verified. */
int registry_blob(struct registry *r, struct str digest, struct buf *ret, struct error *err);
/* A blob into a file, verified while it streams; `size_bytes` is what the manifest says. */
int registry_blob_to_file(struct registry *r, struct str digest, int64_t size_bytes, int fd, struct error *err);

#endif
