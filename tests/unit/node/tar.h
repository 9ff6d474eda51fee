/* Layers for tests: tar archives with exactly the entries asked for, good and evil. */
#ifndef TESTS_NODE_TAR_H
#define TESTS_NODE_TAR_H

#include "test.h"

struct tar_entry {
    char type; /* 'f' file, 'd' folder, 'l' symbolic link, 'h' hard link, 'c' character device */
    const char *path;
    const char *content; /* or the link's target */
    unsigned mode;       /* 0: 0644, folders 0755 */
    unsigned uid, gid;
    const char *from_file; /* content from here */
};

/* compression: "none", "gzip", "zstd". */
void tar_write(const char *to, const char *compression, const struct tar_entry *entries, size_t count);

/*
 * An OCI layout with one image: layers (files made by tar_write, uncompressed or gzip), and its configuration's "config" object
 * as JSON. Returns the path for "oci:PATH:latest".
 */
const char *oci_layout(const char *name, const char *const *layers, size_t count, const char *config_json);

#endif
