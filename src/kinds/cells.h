/*
 * Cells of `kubectl get` tables: every row function appends one value per column.
 * Texts are those of upstream's printers (pkg/printers/internalversion), which people and scripts match on.
 */
#ifndef KINDS_CELLS_H
#define KINDS_CELLS_H

#include "kinds/fields.h"
#include "kinds/kinds.h"

#define CELL_NONE    "<none>"
#define CELL_UNKNOWN "<unknown>"
#define CELL_UNSET   "<unset>"

void cell_str(struct arena *a, struct value *cells, struct str s);
void cell_text(struct arena *a, struct value *cells, const char *literal);
void cell_textf(struct arena *a, struct value *cells, const char *format, ...) PRINTF(3, 4);
void cell_int(struct arena *a, struct value *cells, int64_t i);
/* The text, or `otherwise` when it is empty. */
void cell_or(struct arena *a, struct value *cells, struct str s, const char *otherwise);
void cell_name(struct arena *a, struct value *cells, struct view object); /* metadata.name */
void cell_age(struct arena *a, struct value *cells, struct view object,
              int64_t now_ms); /* since metadata.creationTimestamp */
void cell_since(struct arena *a, struct value *cells, struct view time, int64_t now_ms); /* "<unknown>" when unset */

/* "5m", "<unknown>"; the time is RFC 3339 text. */
struct str text_since(struct arena *a, struct view time, int64_t now_ms);
/* "app=web,tier in (a,b)" of a meta/v1 LabelSelector, "<none>" when empty; and of a plain map. */
struct str text_selector(struct arena *a, struct view selector);
struct str text_map(struct arena *a, struct view map);
/* The strings under `name` of every item, joined by commas: names or images of containers. */
struct str text_list(struct arena *a, struct view items, name_id name);
/* Containers and images columns of workloads: two cells. */
void cell_containers(struct arena *a, struct value *cells, struct view template_spec);

#define COLUMN_NAME                                                                                                    \
    {                                                                                                                  \
        "Name", "string", "name", "Name of the object, unique in its namespace.", 0                                    \
    }
#define COLUMN_AGE                                                                                                     \
    {                                                                                                                  \
        "Age", "string", "", "Time since the object was created.", 0                                                   \
    }
#define COLUMN_CREATED_AT                                                                                              \
    {                                                                                                                  \
        "Created At", "date", "", "Time the object was created.", 0                                                    \
    }
void cell_created_at(struct arena *a, struct value *cells,
                     struct view object); /* the time itself; kubectl shows it as it is */

#endif
