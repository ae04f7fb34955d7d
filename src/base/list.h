/*
 * base/list.h - doubly linked lists whose links live in the items
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* A head, or the link in an item.  An item in no list links to itself. */
struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* True for an item that is in some list. */
static inline bool list_linked(const struct list *item)
{
    return item->next != item;
}

static inline void list_append(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

static inline void list_prepend(struct list *head, struct list *item)
{
    list_append(head->next, item);
}

/* Harmless for an item in no list. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* Moves all items of from to the end of to. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* Item is the loop's variable; the current one may be removed, no other. */
#define list_for_each(item, type, member, head)                                      \
    for (struct list *it_ = (head)->next, *nx_;                                      \
         (nx_ = it_->next, (item) = container_of(it_, type, member), it_ != (head)); \
         it_ = nx_)

#endif
