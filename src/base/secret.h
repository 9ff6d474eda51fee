/*
 * Bytes that must not be seen: keys, tokens, passwords. A type of its own, so that it cannot be passed to log or
 * printf by accident; wiped when freed. Read it only where it is used, through secret_reveal().
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/str.h"

struct secret {
    char *hidden;
    size_t n;
};

#define AUTO_SECRET CLEANUP(secret_done)

void secret_set(struct secret *s, struct str bytes); /* copies */
void secret_done(struct secret *s);                  /* wipes and frees, leaves {0} */
struct str secret_reveal(const struct secret *s);

#endif
