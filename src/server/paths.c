/* The table of paths.def: handlers of paths that are no resource. */
#include "server/seams.h"

struct path_row {
    struct str path;
    subresource_handler *handler;
};

static const struct path_row rows[] = {
#define PATH(path, handler) { STR_INIT(path), handler },
#include "server/paths.def"
#undef PATH
};

subresource_handler *path_find(struct str path)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (str_eq(rows[i].path, path) || (str_ends(rows[i].path, STR("/")) && str_starts(path, rows[i].path)))
            return rows[i].handler;
    return NULL;
}
