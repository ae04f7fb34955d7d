/*
 * Where keys are in a cluster of Redis: slots, and what nodes say of them.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "redis/slots.h"

/* As `CLUSTER KEYSLOT` of Redis 7 says. */
static void keys_have_slots(void **state)
{
    static const struct {
        const char *key;
        uint16_t slot;
    } cases[] = {
        {"123456789", 12739}, /* the check value of CRC-16/XMODEM, 31c3 */
        {"", 0},
        {"foo", 12182},
        {"{foo}", 12182},
        {"a{foo}b{bar}", 12182},
        {"{}foo", 9500},
        {"foo{}{bar}", 8363},
        {"foo{{bar}}zap", 4015},
        {"foo{bar", 15278},
        {"}foo{bar}", 5061},
        {"socket.io#/#", 13868},
        {"snapshot:192.0.2.1", 2503},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        assert_int_equal(redis_slot_of(sio_str_from(cases[i].key)), cases[i].slot);
}

static void redirects_are_read(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t slot, port;
        bool ask;
    } cases[] = {
        {"MOVED 3999 192.0.2.1:6381", "192.0.2.1", 3999, 6381, false},
        {"ASK 0 redis-1.example.test:1", "redis-1.example.test", 0, 1, true},
        {"MOVED 16383 2001:db8::1:65535", "2001:db8::1", 16383, 65535, false},
        {"MOVED 1 :6379", "", 1, 6379, false},
    };
    struct redis_redirect r;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        assert_true(redis_redirect_read(sio_str_from(cases[i].text), &r));
        assert_true(str_eq_cstr(r.to.host, cases[i].host));
        assert_int_equal(r.to.port, cases[i].port);
        assert_int_equal(r.slot, cases[i].slot);
        assert_int_equal(r.ask, cases[i].ask);
    }
}

static void strange_redirects_are_none(void **state)
{
    static const char *const texts[] = {
        "",
        "MOVED",
        "MOVED ",
        "MOVED 1",
        "MOVED 1 ",
        "MOVED 1 h",
        "MOVED 1 h:",
        "MOVED 1 h:0",
        "MOVED 1 h:65536",
        "MOVED 1 h:-1",
        "MOVED 16384 h:1",
        "MOVED -1 h:1",
        "MOVED x h:1",
        "MOVED 1 ?:1",
        "MOVED 1 a b:1",
        "MOVED 1 a/b:1",
        "moved 1 h:1",
        "ERR 1 h:1",
        "CLUSTERDOWN The cluster is down",
    };
    char longest[300] = "MOVED 1 ";
    struct redis_redirect r;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(texts); i++)
        assert_false(redis_redirect_read(sio_str_from(texts[i]), &r));
    assert_false(redis_redirect_read((struct sio_str){"MOVED 1 a\0b:1", 13}, &r));
    memset(longest + 8, 'h', 254);
    memcpy(longest + 8 + 254, ":1", 3);
    assert_false(redis_redirect_read(sio_str_from(longest), &r));
    assert_true(redis_redirect_read(
        (struct sio_str){memcpy(longest + 1, "MOVED 1 ", 8), strlen(longest + 1)}, &r));
    assert_int_equal(r.to.host.len, 253);
}

static void errors_that_pass_are_known(void **state)
{
    (void)state;
    assert_true(redis_error_passes(SIO_STR("CLUSTERDOWN The cluster is down")));
    assert_true(redis_error_passes(SIO_STR("TRYAGAIN Multiple keys")));
    assert_true(redis_error_passes(SIO_STR("MOVED 1 h:1")));
    assert_false(redis_error_passes(SIO_STR("NOPERM no")));
    assert_false(redis_error_passes(SIO_STR("")));
}

/* The reply to CLUSTER SLOTS, as it comes. */
static const struct redis_reply *read_reply(struct redis_reader **reader,
                                            const char *text)
{
    const struct redis_reply *reply;

    *reader = redis_reader_new(100000);
    assert_int_equal(redis_reader_feed(*reader, text, strlen(text)), SIO_OK);
    assert_int_equal(redis_reader_next(*reader, &reply), 1);
    return reply;
}

static void ranges_are_read(void **state)
{
    struct redis_reader *reader;
    const struct redis_reply *reply =
        read_reply(&reader, "*1\r\n*4\r\n:0\r\n:5460\r\n"
                            "*4\r\n$9\r\n192.0.2.1\r\n:30001\r\n$4\r\n09db\r\n*0\r\n"
                            "*4\r\n$-1\r\n:30004\r\n$4\r\n821d\r\n"
                            "*2\r\n$8\r\nhostname\r\n$1\r\nx\r\n");
    struct redis_place place;
    struct redis_range r;

    (void)state;
    assert_true(redis_range_read(redis_reply_at(reply, 0), &r));
    assert_int_equal(r.first, 0);
    assert_int_equal(r.last, 5460);
    assert_int_equal(redis_range_count(&r), 2);
    assert_true(redis_range_node(&r, 0, &place));
    assert_true(str_eq_cstr(place.host, "192.0.2.1"));
    assert_int_equal(place.port, 30001);
    assert_true(redis_range_node(&r, 1, &place));
    assert_int_equal(place.host.len, 0);
    assert_int_equal(place.port, 30004);
    redis_reader_free(reader);
}

static void strange_ranges_are_none(void **state)
{
    static const char *const texts[] = {
        "*1\r\n:1\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:5\r\n:4\r\n*0\r\n",
        "*1\r\n*3\r\n:-1\r\n:4\r\n*0\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*0\r\n",
        "*1\r\n*3\r\n$1\r\n0\r\n:1\r\n*0\r\n",
    };
    static const char *const nodes[] = {
        "*1\r\n*3\r\n:0\r\n:1\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\nh\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n$1\r\n1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:-1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:65536\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\n?\r\n:1\r\n",
    };
    struct redis_reader *reader;
    struct redis_place place;
    struct redis_range r;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        const struct redis_reply *reply = read_reply(&reader, texts[i]);

        assert_false(redis_range_read(redis_reply_at(reply, 0), &r));
        redis_reader_free(reader);
    }
    for (size_t i = 0; i < N_ELEMENTS(nodes); i++) {
        const struct redis_reply *reply = read_reply(&reader, nodes[i]);

        assert_true(redis_range_read(redis_reply_at(reply, 0), &r));
        assert_false(redis_range_node(&r, 0, &place));
        redis_reader_free(reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_slots),
        cmocka_unit_test(redirects_are_read),
        cmocka_unit_test(strange_redirects_are_none),
        cmocka_unit_test(errors_that_pass_are_known),
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(strange_ranges_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
