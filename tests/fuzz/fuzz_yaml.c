/* YAML: whatever is read is written as YAML that reads as the same. */
#include "object/yaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(OBJECT_SIZE_MAX);
    struct value *duplicates = value_array(&a);

    struct value *v = yaml_parse(&a, (struct str){ (const char *)data, size }, duplicates, &err);
    if (!v) {
        if (!err.message)
            abort();
        return 0;
    }
    yaml_write(&text, v);
    if (text.full)
        return 0;
    struct value *again = yaml_parse(&a, buf_str(&text), NULL, &err);
    if (!again || !value_equal(v, again))
        abort();
    return 0;
}
