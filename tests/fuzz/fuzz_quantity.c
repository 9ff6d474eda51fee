/* Quantities: the canonical text reads as an equal quantity and is its own canonical text; arithmetic stays within limits. */
#include "object/quantity.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void check_text(struct quantity q)
{
    char text[QUANTITY_TEXT_SIZE], again_text[QUANTITY_TEXT_SIZE];
    struct quantity again;
    size_t n = quantity_text(q, text);
    MUST(n < QUANTITY_TEXT_SIZE && strlen(text) == n);
    MUST(quantity_parse((struct str){ text, n }, &again, NULL) == 0);
    MUST(quantity_cmp(q, again) == 0);
    quantity_text(again, again_text);
    MUST(strcmp(text, again_text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Two quantities with a comma between. */
    struct str rest = { (const char *)data, size }, first;
    struct quantity a, b;
    str_cut(&rest, ',', &first);
    if (quantity_parse(first, &a, NULL) < 0)
        return 0;
    check_text(a);
    check_text(quantity_neg(a));
    MUST(quantity_sign(quantity_neg(a)) == -quantity_sign(a));
    quantity_value(a);
    quantity_milli(a);
    if (quantity_parse(rest, &b, NULL) < 0)
        return 0;
    struct quantity sum = quantity_add(a, b);
    MUST(quantity_cmp(sum, quantity_add(b, a)) == 0);
    MUST(quantity_cmp(a, b) == -quantity_cmp(b, a));
    MUST(quantity_sign(quantity_sub(a, b)) == quantity_cmp(a, b));
    quantity_milli(sum);
    return 0;
}
