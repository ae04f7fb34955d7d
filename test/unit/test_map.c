#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "base/map.h"

struct item {
    struct map_node node;
    char key[16];
};

static struct sio_str item_key(struct item *item, int n)
{
    snprintf(item->key, sizeof(item->key), "key-%d", n);
    return sio_str_from(item->key);
}

static void finds_what_was_added_until_it_is_removed(void **state)
{
    enum { N = 1000 };
    static struct item items[N];
    struct map m;

    (void)state;
    map_init(&m);
    assert_null(map_find(&m, SIO_STR("key-0")));
    for (int i = 0; i < N; i++)
        assert_int_equal(map_add(&m, &items[i].node, item_key(&items[i], i)), SIO_OK);
    assert_int_equal(m.n_items, N);
    for (int i = 0; i < N; i++)
        assert_ptr_equal(map_find(&m, sio_str_from(items[i].key)), &items[i].node);
    for (int i = 0; i < N; i += 2)
        map_remove(&m, &items[i].node);
    for (int i = 0; i < N; i++)
        assert_ptr_equal(map_find(&m, sio_str_from(items[i].key)),
                         i % 2 ? &items[i].node : NULL);
    assert_int_equal(m.n_items, N / 2);
    map_fini(&m);
}

static void refuses_a_second_item_of_a_key(void **state)
{
    struct item a, b;
    struct map m;

    (void)state;
    map_init(&m);
    assert_int_equal(map_add(&m, &a.node, item_key(&a, 1)), SIO_OK);
    assert_int_equal(map_add(&m, &b.node, item_key(&b, 1)), SIO_ERR_EXISTS);
    assert_ptr_equal(map_find(&m, SIO_STR("key-1")), &a.node);
    map_fini(&m);
}

static void tells_keys_apart_that_differ_in_length_or_nul(void **state)
{
    static const struct sio_str keys[] = {
        SIO_STR_INIT(""),           SIO_STR_INIT("\0"),  SIO_STR_INIT("\0\0"),
        SIO_STR_INIT("a"),          SIO_STR_INIT("a\0"), SIO_STR_INIT("12345678"),
        SIO_STR_INIT("12345678\0"),
    };
    struct map_node nodes[N_ELEMENTS(keys)];
    struct map m;

    (void)state;
    map_init(&m);
    for (size_t i = 0; i < N_ELEMENTS(keys); i++)
        assert_int_equal(map_add(&m, &nodes[i], keys[i]), SIO_OK);
    for (size_t i = 0; i < N_ELEMENTS(keys); i++)
        assert_ptr_equal(map_find(&m, keys[i]), &nodes[i]);
    map_fini(&m);
}

static void walks_each_item_once_while_items_are_removed(void **state)
{
    enum { N = 100 };
    struct item items[N];
    struct map_node *n;
    struct map_pos pos;
    struct map m;
    int seen = 0;

    (void)state;
    map_init(&m);
    for (int i = 0; i < N; i++)
        assert_int_equal(map_add(&m, &items[i].node, item_key(&items[i], i)), SIO_OK);
    for (n = map_first(&m, &pos); n; n = map_next(&m, &pos)) {
        map_remove(&m, n);
        seen++;
    }
    assert_int_equal(seen, N);
    assert_int_equal(m.n_items, 0);
    assert_null(map_first(&m, &pos));
    map_fini(&m);
}

static void lives_on_when_it_cannot_grow(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct item items[20];
        struct map m;
        int added = 0;

        map_init(&m);
        for (int i = 0; i < 20; i++)
            added += map_add(&m, &items[i].node, item_key(&items[i], i)) == SIO_OK;
        assert_true(added == (n == 1 ? 19 : 20));
        for (int i = 20 - added; i < 20; i++)
            assert_ptr_equal(map_find(&m, sio_str_from(items[i].key)), &items[i].node);
        map_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_added_until_it_is_removed),
        cmocka_unit_test(refuses_a_second_item_of_a_key),
        cmocka_unit_test(tells_keys_apart_that_differ_in_length_or_nul),
        cmocka_unit_test(walks_each_item_once_while_items_are_removed),
        cmocka_unit_test(lives_on_when_it_cannot_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
