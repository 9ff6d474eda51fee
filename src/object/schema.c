/* Finding a field of a schema by its name: binary search over the numbers of names. */
#include "object/schema.h"

const struct schema_field *schema_field(const struct schema *object, name_id name)
{
    size_t low = 0, high = object->fields_count;

    if (name == NAME_UNKNOWN || object->type != SCHEMA_OBJECT)
        return NULL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct schema_field *field = &object->fields[object->fields_by_name[middle]];

        if (field->name == name)
            return field;
        if (field->name < name)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct schema_field *schema_field_str(const struct schema *object, struct str name)
{
    return schema_field(object, name_find(name));
}
