/* What secrets promise. */
#include "base/secret.h"
#include "test.h"

TEST("a secret is a copy that is revealed on demand")
{
    AUTO_SECRET struct secret s = { 0 };
    char token[] = "abc123";

    ASSERT_STR(secret_reveal(&s), "");
    secret_set(&s, str_of(token));
    memset(token, 'x', 6);
    ASSERT_STR(secret_reveal(&s), "abc123");
    secret_set(&s, str_from(secret_reveal(&s), 3)); /* from its own bytes */
    ASSERT_STR(secret_reveal(&s), "123");
}

TEST("a freed secret is gone, and freeing twice is harmless")
{
    struct secret s = { 0 };

    secret_set(&s, STR("abc"));
    secret_done(&s);
    ASSERT(s.hidden == NULL && s.n == 0);
    secret_done(&s);
    secret_done(NULL);
}
