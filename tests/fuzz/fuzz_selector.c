/* Label and field selectors: what is read is written and read again as the same; matching never fails. */
#include "object/selector.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void check_labels(struct str text, struct view labels)
{
    AUTO_LABEL_SELECTOR struct label_selector s = { 0 }, again = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf written = BUF_MAX(1 * MIB), written_again = BUF_MAX(1 * MIB);
    if (label_selector_parse(&s, text, &err) < 0) {
        MUST(err.message);
        return;
    }
    label_selector_write(&written, &s);
    if (written.n > SELECTOR_TEXT_MAX)
        return;
    MUST(label_selector_parse(&again, buf_str(&written), NULL) == 0);
    label_selector_write(&written_again, &again);
    MUST(str_eq(buf_str(&written), buf_str(&written_again)));
    MUST(label_selector_matches(&s, labels) == label_selector_matches(&again, labels));
    label_selector_matches(&s, VIEW_ABSENT);
}

static void check_fields(struct str text, struct view root)
{
    AUTO_FIELD_SELECTOR struct field_selector s = { 0 }, again = { 0 };
    AUTO_BUF struct buf written = BUF_MAX(1 * MIB);
    if (field_selector_parse(&s, text, NULL) < 0)
        return;
    field_selector_write(&written, &s);
    if (written.n > SELECTOR_TEXT_MAX)
        return;
    MUST(field_selector_parse(&again, buf_str(&written), NULL) == 0);
    MUST(again.count == s.count);
    for (size_t i = 0; i < s.count; i++)
        MUST(str_eq(s.terms[i].value, again.terms[i].value) && s.terms[i].not_equal == again.terms[i].not_equal);
    MUST(field_selector_matches(&s, field_of_view, &root) == field_selector_matches(&again, field_of_view, &root));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = { (const char *)data, size };
    AUTO_OBJECT struct object *o =
        object_parse(STR("{\"a\":\"b\",\"n\":\"5\",\"x.y/z\":\"\",\"metadata\":{\"name\":\"a\"}}"), NULL);
    check_labels(text, object_root(o));
    check_fields(text, object_root(o));
    /* The same bytes as a LabelSelector object. */
    AUTO_OBJECT struct object *selector = object_parse(text, NULL);
    if (selector) {
        AUTO_LABEL_SELECTOR struct label_selector s = { 0 };
        AUTO_NODE_SELECTOR struct node_selector n = { 0 };
        if (label_selector_of_view(&s, object_root(selector), NULL) == 0)
            label_selector_matches(&s, object_root(o));
        if (node_selector_of_view(&n, object_root(selector), NULL) == 0)
            node_selector_matches(&n, object_root(o));
    }
    return 0;
}
