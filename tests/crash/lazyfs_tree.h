/* The files of lazyfs: as they are seen, and as they were synced. No FUSE in here. */
#ifndef CRASH_LAZYFS_TREE_H
#define CRASH_LAZYFS_TREE_H

#include "base/env.h"
#include "base/map.h"

#include <sys/stat.h>

#define LAZY_PAGE   4096
#define LAZY_SECTOR 512

struct lazy_page { /* shared by the two images until one is written */
    unsigned users;
    char bytes[LAZY_PAGE];
};

struct lazy_image {           /* of a file */
    struct lazy_page **pages; /* NULL: zeroes */
    size_t count;
    uint64_t size;
};

struct lazy_node {
    uint64_t number;
    mode_t mode;
    bool is_folder;
    struct lazy_node *top;              /* the node at the top that it lies in; itself when it lies there */
    bool cut;                           /* a top: without power */
    struct lazy_image seen, synced;     /* file */
    struct map entries, synced_entries; /* folder: name -> struct lazy_node */
    struct timespec changed;
};

struct lazy_tree {
    struct lazy_node **nodes; /* [number - 1]; never freed before the tree: a name that is gone may still be durable */
    size_t count, capacity;
};

/* The first is the root, number 1. top NULL: itself. */
struct lazy_node *lazy_node_new(struct lazy_tree *t, mode_t mode, struct lazy_node *top);
struct lazy_node *lazy_node_of(struct lazy_tree *t, uint64_t number);
void lazy_write(struct lazy_node *n, const char *from, size_t count, uint64_t at);
size_t lazy_read(const struct lazy_node *n, char *to, size_t count, uint64_t at);
void lazy_resize(struct lazy_node *n, uint64_t size);
void lazy_sync(struct lazy_node *n); /* a file's content, or a folder's entries */
void lazy_sync_all(struct lazy_node *n);
/* A new node with what was synced of this one and, at each sector's chance, of what was not; counts what was lost. */
struct lazy_node *lazy_after_drop(struct lazy_tree *t, struct lazy_node *n, struct lazy_node *top,
                                  unsigned kept_percent, struct env *random, uint64_t *lost);

#endif
