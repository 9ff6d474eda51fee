/* The audit log: one line per request, who did what and how it ended. */
#include "world.h"

#include "base/file.h"

TEST("a request leaves one line with user, object and status; the file is rotated at its size")
{
    struct world w;
    const char *path = test_path("audit.log"), *old = test_path("audit.log.1");
    world_start_with(&w, &(struct server_config){ .audit_file = path, .audit_max_bytes = 2000 });
    ask(&w, "GET", "/api/v1/namespaces/default/secrets/none", NULL);
    world_advance(&w, 1000);
    struct buf text = BUF_MAX(MIB);
    ASSERT(file_read(path, &text, NULL) == 0);
    ASSERT_CONTAINS(buf_str(&text),
                    "\"verb\":\"get\",\"user\":{\"username\":\"tester\",\"groups\":[\"system:masters\"");
    ASSERT_CONTAINS(buf_str(&text),
                    "\"objectRef\":{\"apiVersion\":\"v1\",\"resource\":\"secrets\",\"namespace\":\"default\","
                    "\"name\":\"none\"},\"responseStatus\":{\"code\":404}");
    buf_done(&text);
    for (int i = 0; i < 10; i++) {
        ask(&w, "GET", "/version", NULL);
        world_advance(&w, 1000);
    }
    ASSERT(file_exists(old));
    world_stop(&w);
}
