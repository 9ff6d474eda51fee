/* Two images of each file: docs in lazyfs_tree.h. */
#include "lazyfs_tree.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

static void page_drop(struct lazy_page *p)
{
    if (p && --p->users == 0)
        free(p);
}

static void image_cut(struct lazy_image *i, size_t count)
{
    while (i->count > count)
        page_drop(i->pages[--i->count]);
}

static void image_copy(struct lazy_image *to, const struct lazy_image *from)
{
    image_cut(to, 0);
    to->pages = xrealloc(to->pages, (from->count + 1) * sizeof(to->pages[0]));
    for (size_t k = 0; k < from->count; k++)
        if ((to->pages[k] = from->pages[k]))
            to->pages[k]->users++;
    to->count = from->count;
    to->size = from->size;
}

static void image_grow(struct lazy_image *i, size_t count)
{
    if (count <= i->count)
        return;
    i->pages = xrealloc(i->pages, count * sizeof(i->pages[0]));
    memset(i->pages + i->count, 0, (count - i->count) * sizeof(i->pages[0]));
    i->count = count;
}

/* A page of this image alone. */
static char *page_own(struct lazy_image *i, size_t k)
{
    struct lazy_page *p = i->pages[k], *own;

    if (p && p->users == 1)
        return p->bytes;
    own = xnew(struct lazy_page);
    if (p)
        memcpy(own->bytes, p->bytes, LAZY_PAGE);
    own->users = 1;
    page_drop(p);
    i->pages[k] = own;
    return own->bytes;
}

static void image_write(struct lazy_image *i, const char *from, size_t count, uint64_t at)
{
    image_grow(i, (size_t)((at + count + LAZY_PAGE - 1) / LAZY_PAGE));
    while (count) {
        size_t start = (size_t)(at % LAZY_PAGE), n = MIN(count, LAZY_PAGE - start);

        memcpy(page_own(i, (size_t)(at / LAZY_PAGE)) + start, from, n);
        from += n;
        at += n;
        count -= n;
    }
    i->size = MAX(i->size, at);
}

static void image_resize(struct lazy_image *i, uint64_t size)
{
    size_t pages = (size_t)((size + LAZY_PAGE - 1) / LAZY_PAGE);

    if (size < i->size) {
        image_cut(i, pages);
        if (size % LAZY_PAGE && i->pages[pages - 1])
            memset(page_own(i, pages - 1) + size % LAZY_PAGE, 0, LAZY_PAGE - size % LAZY_PAGE);
    }
    image_grow(i, pages);
    i->size = size;
}

static void note_time(struct lazy_node *n)
{
    int64_t ms = env_wall_ms(env_system());

    n->changed = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
}

struct lazy_node *lazy_node_new(struct lazy_tree *t, mode_t mode, struct lazy_node *top)
{
    struct lazy_node *n = xnew(struct lazy_node);

    GROW(t->nodes, t->count, t->capacity);
    t->nodes[t->count++] = n;
    n->number = t->count;
    n->mode = mode;
    n->top = top ? top : n;
    n->is_folder = S_ISDIR(mode);
    note_time(n);
    return n;
}

struct lazy_node *lazy_node_of(struct lazy_tree *t, uint64_t number)
{
    return number && number <= t->count ? t->nodes[number - 1] : NULL;
}

void lazy_write(struct lazy_node *n, const char *from, size_t count, uint64_t at)
{
    image_write(&n->seen, from, count, at);
    note_time(n);
}

size_t lazy_read(const struct lazy_node *n, char *to, size_t count, uint64_t at)
{
    const struct lazy_image *i = &n->seen;
    size_t done = 0;

    count = at >= i->size ? 0 : (size_t)MIN((uint64_t)count, i->size - at);
    while (done < count) {
        size_t start = (size_t)((at + done) % LAZY_PAGE), k = (size_t)((at + done) / LAZY_PAGE);
        size_t part = MIN(count - done, LAZY_PAGE - start);

        if (k < i->count && i->pages[k])
            memcpy(to + done, i->pages[k]->bytes + start, part);
        else
            memset(to + done, 0, part);
        done += part;
    }
    return count;
}

void lazy_resize(struct lazy_node *n, uint64_t size)
{
    image_resize(&n->seen, size);
    note_time(n);
}

static void map_copy(struct map *to, const struct map *from)
{
    struct str name;
    void *node;

    map_done(to);
    *to = (struct map){ 0 };
    for (size_t i = 0; map_next(from, &i, &name, &node);)
        map_put(to, name, node);
}

void lazy_sync(struct lazy_node *n)
{
    if (n->is_folder)
        map_copy(&n->synced_entries, &n->entries);
    else
        image_copy(&n->synced, &n->seen);
}

void lazy_sync_all(struct lazy_node *n)
{
    struct str name;
    void *child;

    lazy_sync(n);
    for (size_t i = 0; map_next(&n->entries, &i, &name, &child);)
        lazy_sync_all(child);
}

/* Of what was written since the sync, sectors that got to the disk by themselves; those beyond the synced size did not. */
static void keep_some(struct lazy_image *disk, const struct lazy_image *seen, unsigned kept_percent, struct env *random,
                      uint64_t *lost)
{
    static const char zeroes[LAZY_PAGE];
    size_t n = MIN(disk->count, seen->count);

    *lost += seen->count > n ? seen->count - n : 0;
    for (size_t k = 0; k < n; k++) {
        if (disk->pages[k] == seen->pages[k])
            continue;
        for (size_t at = 0; at < LAZY_PAGE; at += LAZY_SECTOR) {
            const char *now = (seen->pages[k] ? seen->pages[k]->bytes : zeroes) + at;
            const char *then = (disk->pages[k] ? disk->pages[k]->bytes : zeroes) + at;

            if (memcmp(now, then, LAZY_SECTOR) == 0)
                continue;
            if (env_random_below(random, 100) < kept_percent)
                memcpy(page_own(disk, k) + at, now, LAZY_SECTOR);
            else
                (*lost)++;
        }
    }
}

struct lazy_node *lazy_after_drop(struct lazy_tree *t, struct lazy_node *n, struct lazy_node *top,
                                  unsigned kept_percent, struct env *random, uint64_t *lost)
{
    struct lazy_node *after = lazy_node_new(t, n->mode, top);
    struct str name;
    void *child;

    if (!n->is_folder) {
        image_copy(&after->seen, &n->synced);
        keep_some(&after->seen, &n->seen, kept_percent, random, lost);
        lazy_sync(after);
        return after;
    }
    for (size_t i = 0; map_next(&n->synced_entries, &i, &name, &child);)
        map_put(&after->entries, name, lazy_after_drop(t, child, after->top, kept_percent, random, lost));
    for (size_t i = 0; map_next(&n->entries, &i, &name, &child);)
        *lost += map_get(&n->synced_entries, name) != child;
    lazy_sync(after);
    return after;
}
