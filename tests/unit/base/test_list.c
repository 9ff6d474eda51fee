/* What the list inside the elements promises. */
#include "base/list.h"
#include "test.h"

struct item {
    char name;
    struct list link;
};

static const char *names_of(struct list *head)
{
    static char text[32];
    size_t n = 0;

    list_each (head, struct item, link, it)
        text[n++] = it->name;
    text[n] = '\0';
    return text;
}

TEST("elements are added at both ends and removed anywhere")
{
    struct item a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };
    struct list head;

    list_init(&head);
    ASSERT(list_empty(&head));
    ASSERT(list_first(&head, struct item, link) == NULL);
    list_add_tail(&head, &b.link);
    list_add_tail(&head, &c.link);
    list_add_head(&head, &a.link);
    ASSERT_STR(names_of(&head), "abc");
    ASSERT(list_first(&head, struct item, link) == &a);
    list_del(&b.link);
    ASSERT_STR(names_of(&head), "ac");
    list_del(&c.link);
    list_del(&a.link);
    ASSERT(list_empty(&head));
}

TEST("removing twice, or what was never in a list, does nothing")
{
    struct item a = { .name = 'a' }, b = { .name = 'b' };
    struct list head;

    list_init(&head);
    list_add_tail(&head, &a.link);
    list_del(&b.link);
    list_del(&a.link);
    list_del(&a.link);
    ASSERT(list_empty(&head));
}

TEST("the current element may be removed inside the loop")
{
    struct item items[4] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' }, { .name = 'd' } };
    struct list head;

    list_init(&head);
    for (size_t i = 0; i < ARRAY_SIZE(items); i++)
        list_add_tail(&head, &items[i].link);
    list_each (&head, struct item, link, it)
        if (it->name != 'c')
            list_del(&it->link);
    ASSERT_STR(names_of(&head), "c");
}
