/* Server-side tables and metadata-only objects. Source: pkg/printers, apiserver/pkg/endpoints/handlers/response.go. */
#include "server/table.h"

#include "base/time.h"
#include "kinds/fields.h"

static const struct kind_column default_columns[] = {
    { "Name", "string", "name", "Name of the object, unique in its namespace.", 0 },
    { "Created At", "date", "", "When the object was made.", 0 },
    { 0 },
};

void table_write_columns(struct buf *to, const struct kind *k)
{
    buf_add_text(to, "\"columnDefinitions\":[");
    const struct kind_column *c = k->columns ? k->columns : default_columns;
    for (bool first = true; c->name; c++, first = false) {
        buf_add_text(to, first ? "{\"name\":" : ",{\"name\":");
        json_write_str(to, str_of(c->name));
        buf_add_text(to, ",\"type\":");
        json_write_str(to, str_of(c->type));
        buf_add_text(to, ",\"format\":");
        json_write_str(to, str_of(c->format));
        buf_add_text(to, ",\"description\":");
        json_write_str(to, str_of(c->doc));
        buf_addf(to, ",\"priority\":%d}", c->priority);
    }
    buf_add_char(to, ']');
}

static void default_row(struct arena *a, struct view object, struct value *cells)
{
    value_append(a, cells, value_str(a, view_str_at(object, F_POD_METADATA, F_OBJECT_META_NAME)));
    value_append(a, cells, value_str(a, view_str_at(object, F_POD_METADATA, F_OBJECT_META_CREATION_TIMESTAMP)));
}

void partial_write(struct buf *to, const struct object *o)
{
    buf_add_text(to, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
    buf_add(to, view_json(view_get(object_root(o), F_POD_METADATA)));
    buf_add_char(to, '}');
}

void table_write_row(struct buf *to, const struct kind *k, const struct object *o, struct str include, int64_t now_ms)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *cells = value_array(&a);
    if (k->row)
        k->row(&a, object_root(o), now_ms, cells);
    else
        default_row(&a, object_root(o), cells);
    buf_add_text(to, "{\"cells\":");
    value_write(to, cells);
    if (str_is(include, "Object")) {
        buf_add_text(to, ",\"object\":");
        buf_add(to, object_json(o));
    } else if (!str_is(include, "None")) {
        buf_add_text(to, ",\"object\":");
        partial_write(to, o);
    }
    buf_add_char(to, '}');
}

void table_write_one(struct buf *to, const struct kind *k, const struct object *o, struct str include, int64_t now_ms,
                     bool columns)
{
    buf_add_text(to, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"");
    buf_add_u64(to, object_revision(o));
    buf_add_text(to, "\"},");
    if (columns)
        table_write_columns(to, k);
    else
        buf_add_text(to, "\"columnDefinitions\":null");
    buf_add_text(to, ",\"rows\":[");
    table_write_row(to, k, o, include, now_ms);
    buf_add_text(to, "]}");
}
