/* What images.c keeps on disk: the index of images and layers. Blocking, on the loop: small files, only after a pull. */
#ifndef NODE_IMAGE_STORE_H
#define NODE_IMAGE_STORE_H

#include "node/images.h"

struct stored_layer {
    char *digest; /* of the blob */
    uint32_t number;
    int64_t bytes;
};

struct image_store {
    char *folder;
    struct image **images;
    size_t images_count, images_capacity;
    struct stored_layer *layers;
    size_t layers_count, layers_capacity;
    uint32_t next_number;
};

/* Read the index and remove what it does not know. A damaged index counts as empty. */
int image_store_open(struct image_store *s, const char *folder, struct error *err);
void image_store_done(struct image_store *s);
int image_store_save(const struct image_store *s, struct error *err);
const struct stored_layer *image_store_layer(const struct image_store *s, struct str digest);
void image_store_add_layer(struct image_store *s, struct str digest, uint32_t number, int64_t bytes);
/* Takes the image over; its names are taken from images that had them. */
void image_store_add(struct image_store *s, struct image *image);
/* Drop the image and the layers nobody else needs; their folders are removed. */
void image_store_remove(struct image_store *s, struct image *image);
void image_free(struct image *image);
bool image_has_name(const struct image *image, struct str name);

#endif
