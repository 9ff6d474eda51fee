/* Bytes that are wiped when they are freed. */
#include "base/secret.h"

#include <stdlib.h>

void secret_done(struct secret *s)
{
    if (!s)
        return;
    if (s->hidden)
        explicit_bzero(s->hidden, s->n);
    free(s->hidden);
    *s = (struct secret){ 0 };
}

void secret_set(struct secret *s, struct str bytes)
{
    struct secret copy = { str_dup(bytes), bytes.n };

    secret_done(s);
    *s = copy;
}

struct str secret_reveal(const struct secret *s)
{
    return (struct str){ s->hidden, s->n };
}
