#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/buf.h"
#include "base/str.h"
#include "store/store.h"

#define LIFETIME_S 300

struct fixture {
    struct net_loop *loop;
    struct store *store;
};

static int set_up(void **state)
{
    static struct fixture f;

    f.loop = net_loop_new(NULL, NULL);
    f.store = store_memory_new(f.loop, 10000);
    *state = &f;
    return f.loop && f.store ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_free(f->store);
    net_loop_free(f->loop);
    return 0;
}

static int put(struct fixture *f, const char *key, const char *value,
               uint32_t lifetime_s)
{
    struct sio_slice slice = {NULL, (const uint8_t *)value, strlen(value)};

    return store_put(f->store, sio_str_from(key), slice, lifetime_s);
}

/* What a get said: "" for not found. */
struct answer {
    int n;
    int status;
    char value[256];
    uint64_t version;
};

static void on_get(int status, const struct store_entry *entry, void *user)
{
    struct answer *a = user;

    a->n++;
    a->status = status;
    if (entry) {
        assert_true(entry->value.len < sizeof(a->value));
        memcpy(a->value, entry->value.ptr, entry->value.len);
        a->value[entry->value.len] = '\0';
        a->version = entry->version;
    }
}

static struct answer get(struct fixture *f, const char *key)
{
    struct answer a = {0};

    store_get(f->store, sio_str_from(key), on_get, &a);
    assert_int_equal(a.n, 1);
    return a;
}

static void gives_back_what_was_put(void **state)
{
    struct fixture *f = *state;
    struct answer first, second;

    assert_int_equal(get(f, "a").status, SIO_ERR_NOT_FOUND);
    assert_int_equal(put(f, "a", "one", LIFETIME_S), SIO_OK);
    first = get(f, "a");
    assert_string_equal(first.value, "one");
    assert_int_equal(put(f, "a", "two", LIFETIME_S), SIO_OK);
    second = get(f, "a");
    assert_string_equal(second.value, "two");
    assert_true(first.version != second.version);
}

static void forgets_what_has_lived_its_time(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, "a", "one", 0), SIO_OK);
    assert_int_equal(get(f, "a").status, SIO_ERR_NOT_FOUND);
}

struct listing {
    char keys[256];
    int n_ends;
};

static void on_list(int status, const struct store_entry *entry, void *user)
{
    struct listing *l = user;

    assert_int_equal(status, SIO_OK);
    if (!entry) {
        l->n_ends++;
        return;
    }
    assert_int_equal(l->n_ends, 0);
    snprintf(l->keys + strlen(l->keys), sizeof(l->keys) - strlen(l->keys), "%.*s ",
             STR_ARG(entry->key));
}

static void lists_names_of_a_prefix(void **state)
{
    struct fixture *f = *state;
    struct listing l = {"", 0};

    put(f, "snapshot:1", "x", LIFETIME_S);
    put(f, "estado:1", "x", LIFETIME_S);
    put(f, "snapshot:2", "x", LIFETIME_S);
    put(f, "snapshot:3", "x", 0);
    store_list(f->store, SIO_STR("snapshot:"), on_list, &l);
    assert_string_equal(l.keys, "snapshot:1 snapshot:2 ");
    assert_int_equal(l.n_ends, 1);
}

static void put_too_much(struct fixture *f, const char *key)
{
    struct sio_buf *b = sio_buf_new(20000);

    assert_int_equal(
        store_put(f->store, sio_str_from(key), sio_slice_of(b), LIFETIME_S),
        SIO_ERR_TOO_BIG);
    sio_buf_unref(b);
}

static void drops_the_oldest_for_want_of_room(void **state)
{
    struct fixture *f = *state;
    struct store_memory_stats stats;
    char value[3001];

    memset(value, 'x', 3000);
    value[3000] = '\0';
    for (int i = 0; i < 5; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%d", i);
        assert_int_equal(put(f, key, value, LIFETIME_S), SIO_OK);
        store_memory_stats(f->store, &stats);
        assert_true(stats.bytes <= 10000);
    }
    assert_int_equal(stats.n_entries, 3);
    assert_int_equal(stats.n_dropped, 2);
    put_too_much(f, "2"); /* which drops what was there */
    put_too_much(f, "3");
    put_too_much(f, "4");
    store_memory_stats(f->store, &stats);
    assert_int_equal(stats.bytes, 0);
}

static void refuses_what_never_fits(void **state)
{
    struct fixture *f = *state;

    put(f, "b", "kept", LIFETIME_S);
    put_too_much(f, "a");
    assert_string_equal(get(f, "b").value, "kept");
}

static void holds_a_picture_without_a_copy(void **state)
{
    struct fixture *f = *state;
    struct sio_buf *b = sio_buf_new(1000);

    memset(b->data, 'x', 1000);
    assert_int_equal(store_put(f->store, SIO_STR("a"),
                               (struct sio_slice){b, b->data, 900}, LIFETIME_S),
                     SIO_OK);
    assert_int_equal(b->refs, 2);
    /* A small part does not keep all of it alive. */
    assert_int_equal(store_put(f->store, SIO_STR("a"),
                               (struct sio_slice){b, b->data, 90}, LIFETIME_S),
                     SIO_OK);
    assert_int_equal(b->refs, 1);
    sio_buf_unref(b);
}

static void survives_the_want_of_memory(void **state)
{
    struct fixture *f = *state;

    alloc_fail_each(n)
    {
        int rv = put(f, "key", "value", LIFETIME_S);

        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        assert_int_equal(get(f, "key").status,
                         rv == SIO_OK ? SIO_OK : SIO_ERR_NOT_FOUND);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_back_what_was_put),     TEST(forgets_what_has_lived_its_time),
        TEST(lists_names_of_a_prefix),     TEST(drops_the_oldest_for_want_of_room),
        TEST(refuses_what_never_fits),     TEST(holds_a_picture_without_a_copy),
        TEST(survives_the_want_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
