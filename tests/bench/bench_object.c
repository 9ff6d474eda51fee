/* What the object layer costs for a typical pod: parse, freeze, read, write, copy. One line per figure. */
#include "base/file.h"
#include "base/map.h"
#include "base/time.h"
#include "object/selector.h"
#include "object/value.h"

#include <stdio.h>

#define MEASURE_MS 300

/* Every name of the document is interned, as the generated table does it for the whole API. */
static void intern_names(const struct value *v, struct map *names)
{
    for (uint32_t i = 0; v->type == VALUE_OBJECT && i < v->members_count; i++) {
        map_put(names, v->members[i].name, names);
        intern_names(v->members[i].value, names);
    }
    for (uint32_t i = 0; v->type == VALUE_ARRAY && i < v->items_count; i++)
        intern_names(v->items[i], names);
}

static void set_names(struct arena *a, const struct value *v)
{
    AUTO_MAP struct map map = { 0 };
    struct str key;
    void *unused;
    intern_names(v, &map);
    struct str *names = arena_alloc_array(a, map.count + 1, sizeof(*names));
    size_t count = 1;
    for (size_t i = 0; map_next(&map, &i, &key, &unused);)
        names[count++] = arena_str(a, key);
    name_table_set(names, count);
}

struct bench {
    struct str json;
    struct value *tree;
    struct object *object;
    struct arena arena;
    struct buf text;
    struct label_selector selector;
    uint64_t sink;
};

static void parse_block(struct bench *b)
{
    object_unref(object_parse(b->json, NULL));
}

static void parse_tree(struct bench *b)
{
    arena_reset(&b->arena);
    b->sink += value_parse(&b->arena, b->json, NULL, NULL) != NULL;
}

static void freeze(struct bench *b)
{
    object_unref(object_new(b->tree, NULL));
}

static void thaw(struct bench *b)
{
    arena_reset(&b->arena);
    b->sink += value_of_view(&b->arena, object_root(b->object)) != NULL;
}

static void write_tree(struct bench *b)
{
    buf_clear(&b->text);
    value_write(&b->text, b->tree);
}

static void with_revision(struct bench *b)
{
    object_unref(object_with_revision(b->object, ++b->sink));
}

static void read_field(struct bench *b)
{
    static name_id spec, node_name;
    if (!spec) {
        spec = name_find(STR("spec"));
        node_name = name_find(STR("nodeName"));
    }
    b->sink += view_str_at(object_root(b->object), spec, node_name).n;
}

static void match_labels(struct bench *b)
{
    static name_id metadata, labels;
    if (!metadata) {
        metadata = name_find(STR("metadata"));
        labels = name_find(STR("labels"));
    }
    b->sink += label_selector_matches(&b->selector, view_path(object_root(b->object), metadata, labels));
}

static void measure(struct bench *b, const char *name, void (*work)(struct bench *), size_t bytes)
{
    uint64_t runs = 0;
    int64_t start_us = time_monotonic_us(), now_us;
    do {
        for (int i = 0; i < 100; i++)
            work(b);
        runs += 100;
        now_us = time_monotonic_us();
    } while (now_us - start_us < MEASURE_MS * 1000);
    double ns = (double)(now_us - start_us) * 1000 / (double)runs;
    if (bytes)
        printf("object: %-44s %9.0f ns %8.0f MB/s\n", name, ns, (double)bytes / ns * 1000);
    else
        printf("object: %-44s %9.1f ns\n", name, ns);
}

static int run(const char *path)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(4 * MIB), compact = BUF_MAX(4 * MIB);
    AUTO_ARENA struct arena a = { 0 };
    struct bench b = { .text = BUF_MAX(4 * MIB) };
    if (file_read(path, &text, &err) < 0 || !(b.tree = value_parse(&a, buf_str(&text), NULL, &err)))
        goto failed;
    set_names(&a, b.tree);
    b.tree = value_parse(&a, buf_str(&text), NULL, &err);
    value_write(&compact, b.tree);
    b.json = buf_str(&compact);
    b.object = object_new(b.tree, &err);
    if (!b.object || label_selector_parse(&b.selector, STR("app=web,tier notin (a,b)"), &err) < 0)
        goto failed;

    printf("object: a pod of %zu bytes takes %zu (%.2f times its text)\n", b.json.n, object_block_bytes(b.object),
           (double)object_block_bytes(b.object) / (double)b.json.n);
    measure(&b, "text to block (object_parse)", parse_block, b.json.n);
    measure(&b, "text to tree (value_parse)", parse_tree, b.json.n);
    measure(&b, "tree to block (object_new)", freeze, b.json.n);
    measure(&b, "block to tree (value_of_view)", thaw, b.json.n);
    measure(&b, "tree to text (value_write)", write_tree, b.json.n);
    measure(&b, "copy with another revision", with_revision, b.json.n);
    measure(&b, "read spec.nodeName", read_field, 0);
    measure(&b, "match two labels", match_labels, 0);
    object_unref(b.object);
    label_selector_done(&b.selector);
    arena_done(&b.arena);
    buf_done(&b.text);
    return 0;
failed:
    fprintf(stderr, "bench_object: %s\n", error_text(&err));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: bench_object POD.json\n");
        return 2;
    }
    return run(argv[1]);
}
