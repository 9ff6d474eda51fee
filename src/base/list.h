/* Doubly linked list inside the elements: struct list is both the head and the link. Not thread-safe. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/macro.h"

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *head)
{
    head->prev = head->next = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head || head->next == NULL;
}

static inline void list_add_tail(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_add_head(struct list *head, struct list *link)
{
    list_add_tail(head->next, link);
}

/* Removing twice, or an element whose link is {0}, does nothing. */
static inline void list_del(struct list *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

#define list_first(head, type, member) (list_empty(head) ? NULL : container_of((head)->next, type, member))

/* The current element may be removed inside the loop. */
#define list_each(head, type, member, it)                                                                              \
    for (type *it = container_of((head)->next, type, member), *it##_next;                                              \
         &it->member != (head) && (it##_next = container_of(it->member.next, type, member), true); it = it##_next)

#endif
