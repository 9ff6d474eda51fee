/*
 * Unpacking one image layer into a folder, as an overlayfs lower directory: whiteouts become character devices 0/0, opaque
 * folders the xattr trusted.overlay.opaque.
 *
 * Nothing an archive says can reach outside the folder: every path is opened with openat2(RESOLVE_IN_ROOT), "..", device nodes
 * and over-long names are refused or skipped, links lead inside. Count and size have limits. Blocking: for workers.
 */
#ifndef NODE_LAYER_H
#define NODE_LAYER_H

#include "base/error.h"

struct layer_limits {
    int64_t bytes_max;   /* unpacked; 0: 64 GiB */
    int64_t entries_max; /* 0: 2,000,000 */
    const volatile bool *stop;
};

/* fd: the blob (tar, plain or gzip or zstd), read from its current position. ret_bytes: unpacked size. */
int layer_unpack(int fd, const char *folder, const struct layer_limits *limits, int64_t *ret_bytes, struct error *err);

#endif
