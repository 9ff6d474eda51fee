/* The index of images and layers on disk. */
#include "node/image_store.h"

#include "base/file.h"
#include "node/json_out.h"
#define LOG_PART "node"
#include "base/log.h"

#include <dirent.h>
#include <stdlib.h>

#define INDEX_MAX_BYTES (16 * MIB)
#define INDEX_VERSION   1

void image_free(struct image *image)
{
    if (!image)
        return;
    for (size_t i = 0; i < image->names_count; i++)
        free(image->names[i]);
    free(image->names);
    free(image->id);
    free(image->digest);
    free(image->layers);
    object_unref(image->config);
    free(image);
}

bool image_has_name(const struct image *image, struct str name)
{
    for (size_t i = 0; i < image->names_count; i++) {
        if (str_is(name, image->names[i]))
            return true;
    }
    return false;
}

static struct image *read_image(struct view v)
{
    struct image *image = xnew(struct image);
    struct view names = view_get_str(v, STR("names")), layers = view_get_str(v, STR("layers"));
    struct view config = view_get_str(v, STR("config"));

    image->id = str_dup(view_str(view_get_str(v, STR("id"))));
    image->digest = str_dup(view_str(view_get_str(v, STR("digest"))));
    image->size_bytes = view_int(view_get_str(v, STR("bytes")), 0);
    image->used_wall_ms = view_int(view_get_str(v, STR("used")), 0);
    image->names = xcalloc(view_count(names) + 1, sizeof(char *));
    image->layers = xcalloc(view_count(layers) + 1, sizeof(uint32_t));
    for (struct view_iter it = { 0 }; view_next(names, &it);)
        image->names[image->names_count++] = str_dup(view_str(it.value));
    for (struct view_iter it = { 0 }; view_next(layers, &it);)
        image->layers[image->layers_count++] = (uint32_t)view_int(it.value, 0);
    image->config = object_parse(view_json(config), NULL);
    if (!image->config || !image->id[0]) {
        image_free(image);
        return NULL;
    }
    return image;
}

static void read_index(struct image_store *s, struct view root)
{
    s->next_number = (uint32_t)view_int(view_get_str(root, STR("next")), 1);
    for (struct view_iter it = { 0 }; view_next(view_get_str(root, STR("layers")), &it);)
        image_store_add_layer(s, view_str(view_get_str(it.value, STR("digest"))),
                              (uint32_t)view_int(view_get_str(it.value, STR("number")), 0),
                              view_int(view_get_str(it.value, STR("bytes")), 0));
    for (struct view_iter it = { 0 }; view_next(view_get_str(root, STR("images")), &it);) {
        struct image *image = read_image(it.value);
        if (!image)
            continue;
        GROW(s->images, s->images_count, s->images_capacity);
        s->images[s->images_count++] = image;
    }
}

static bool layer_is_known(const struct image_store *s, const char *name)
{
    uint64_t number;
    if (!str_to_u64(str_of(name), &number))
        return false;
    for (size_t i = 0; i < s->layers_count; i++) {
        if (s->layers[i].number == number)
            return true;
    }
    return false;
}

/* What a crash in the middle of a pull left. */
static void remove_unknown(const struct image_store *s)
{
    AUTO_FREE char *layers = xasprintf("%s/layers", s->folder);
    DIR *dir = opendir(layers);

    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, "empty") == 0 || layer_is_known(s, e->d_name))
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", layers, e->d_name);
        file_remove_tree(path, NULL);
    }
    closedir(dir);
}

int image_store_open(struct image_store *s, const char *folder, struct error *err)
{
    AUTO_FREE char *empty = xasprintf("%s/layers/empty", folder);
    AUTO_FREE char *path = xasprintf("%s/index.json", folder);
    AUTO_BUF struct buf text = BUF_MAX(INDEX_MAX_BYTES);
    AUTO_ERROR struct error why = { 0 };

    *s = (struct image_store){ .folder = xstrdup(folder), .next_number = 1 };
    if (file_mkdirs(empty, 0755, err) < 0)
        return -1;
    if (file_read(path, &text, &why) == 0) {
        AUTO_OBJECT struct object *index = object_parse(buf_str(&text), &why);
        if (index && view_int(view_get_str(object_root(index), STR("version")), 0) == INDEX_VERSION)
            read_index(s, object_root(index));
        else
            log_warn("the index of images is damaged; images will be pulled again", KV_ERR(&why));
    }
    remove_unknown(s);
    return 0;
}

void image_store_done(struct image_store *s)
{
    for (size_t i = 0; i < s->images_count; i++)
        image_free(s->images[i]);
    for (size_t i = 0; i < s->layers_count; i++)
        free(s->layers[i].digest);
    free(s->images);
    free(s->layers);
    free(s->folder);
    *s = (struct image_store){ 0 };
}

static void write_image(struct json_out *j, const struct image *image)
{
    json_object(j, NULL);
    json_text(j, "id", image->id);
    json_text(j, "digest", image->digest);
    json_int(j, "bytes", image->size_bytes);
    json_int(j, "used", image->used_wall_ms);
    json_array(j, "names");
    for (size_t i = 0; i < image->names_count; i++)
        json_text(j, NULL, image->names[i]);
    json_array_end(j);
    json_array(j, "layers");
    for (size_t i = 0; i < image->layers_count; i++)
        json_int(j, NULL, image->layers[i]);
    json_array_end(j);
    json_raw(j, "config", object_json(image->config));
    json_object_end(j);
}

int image_store_save(const struct image_store *s, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(INDEX_MAX_BYTES);
    AUTO_FREE char *path = xasprintf("%s/index.json", s->folder);
    struct json_out j = { .to = &text };

    json_object(&j, NULL);
    json_int(&j, "version", INDEX_VERSION);
    json_int(&j, "next", s->next_number);
    json_array(&j, "layers");
    for (size_t i = 0; i < s->layers_count; i++) {
        json_object(&j, NULL);
        json_text(&j, "digest", s->layers[i].digest);
        json_int(&j, "number", s->layers[i].number);
        json_int(&j, "bytes", s->layers[i].bytes);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_array(&j, "images");
    for (size_t i = 0; i < s->images_count; i++)
        write_image(&j, s->images[i]);
    json_array_end(&j);
    json_object_end(&j);
    if (text.full)
        return fail(err, ERR_TOO_LARGE, "the index of images is larger than %zu bytes", text.max);
    return file_write(path, buf_str(&text), 0600, err);
}

const struct stored_layer *image_store_layer(const struct image_store *s, struct str digest)
{
    for (size_t i = 0; i < s->layers_count; i++) {
        if (str_is(digest, s->layers[i].digest))
            return &s->layers[i];
    }
    return NULL;
}

void image_store_add_layer(struct image_store *s, struct str digest, uint32_t number, int64_t bytes)
{
    GROW(s->layers, s->layers_count, s->layers_capacity);
    s->layers[s->layers_count++] = (struct stored_layer){ str_dup(digest), number, bytes };
}

static void take_name(struct image *image, struct str name)
{
    for (size_t i = 0; i < image->names_count; i++) {
        if (!str_is(name, image->names[i]))
            continue;
        free(image->names[i]);
        image->names[i] = image->names[--image->names_count];
        return;
    }
}

void image_store_add(struct image_store *s, struct image *image)
{
    for (size_t i = 0; i < s->images_count; i++) {
        for (size_t k = 0; k < image->names_count; k++)
            take_name(s->images[i], str_of(image->names[k]));
    }
    GROW(s->images, s->images_count, s->images_capacity);
    s->images[s->images_count++] = image;
}

static bool layer_is_used(const struct image_store *s, uint32_t number)
{
    for (size_t i = 0; i < s->images_count; i++) {
        for (size_t k = 0; k < s->images[i]->layers_count; k++) {
            if (s->images[i]->layers[k] == number)
                return true;
        }
    }
    return false;
}

void image_store_remove(struct image_store *s, struct image *image)
{
    for (size_t i = 0; i < s->images_count; i++) {
        if (s->images[i] != image)
            continue;
        memmove(&s->images[i], &s->images[i + 1], (s->images_count - i - 1) * sizeof(s->images[0]));
        s->images_count--;
        break;
    }
    image_free(image);
    for (size_t i = 0; i < s->layers_count;) {
        if (layer_is_used(s, s->layers[i].number)) {
            i++;
            continue;
        }
        AUTO_FREE char *path = xasprintf("%s/layers/%u", s->folder, s->layers[i].number);
        file_remove_tree(path, NULL);
        free(s->layers[i].digest);
        s->layers[i] = s->layers[--s->layers_count];
    }
}
