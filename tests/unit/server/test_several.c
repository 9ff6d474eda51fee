/* What clients of several servers on one store are promised. */
#include "several.h"

#define MAPS "/api/v1/namespaces/default/configmaps"

static struct several c;

TEST("what was written on one server is read on another")
{
    several_start(&c, 2);
    struct world *a = &c.servers[0], *b = &c.servers[1];
    ASSERT_INT(make_object(a, MAPS, "x", "{}"), 201);
    ASSERT_INT(ask(b, "GET", MAPS "/x", NULL), 200);
    several_stop(&c);
}
