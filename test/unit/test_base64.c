#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sioc/error.h>

#include "base/base64.h"
#include "base/list.h"
#include "base/mem.h"

static void encodes_the_vectors_of_the_rfc(void **state)
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(vectors); i++) {
        const char *plain = vectors[i][0];
        char out[16] = "";
        uint8_t back[16];
        size_t len;

        base64_encode((const uint8_t *)plain, strlen(plain), out);
        assert_string_equal(out, vectors[i][1]);
        assert_int_equal(base64_decode(out, strlen(out), back, &len), SIO_OK);
        assert_int_equal(len, strlen(plain));
        assert_memory_equal(back, plain, len);
    }
}

static void encodes_for_urls_without_padding(void **state)
{
    static const uint8_t bytes[] = {0xfb, 0xff, 0xfe, 0xff};
    char out[8];

    (void)state;
    assert_int_equal(base64url_encode(bytes, sizeof(bytes), out), 6);
    assert_memory_equal(out, "-__-_w", 6);
}

static void decodes_what_it_encoded_at_every_length(void **state)
{
    uint8_t bytes[150], back[152];
    char text[204];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        size_t n = base64_encoded_len(len);
        size_t back_len;

        base64_encode(bytes, len, text);
        assert_true(base64_check(text, n));
        assert_int_equal(base64_decode(text, n, back, &back_len), SIO_OK);
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
    }
}

/* Both readers, on memory of exactly that size. */
static bool accepts(const char *text, size_t len)
{
    char *copy = mem_raw(len);
    uint8_t *out = mem_raw(len / 4 * 3);
    size_t out_len;
    bool decoded, checked;

    assert_true(copy && out);
    memcpy(copy, text, len);
    decoded = base64_decode(copy, len, out, &out_len) == SIO_OK;
    checked = base64_check(copy, len);
    assert_int_equal(decoded, checked);
    mem_free(copy);
    mem_free(out);
    return checked;
}

static void refuses_what_is_not_base64(void **state)
{
    static const char *const bad[] = {
        "Z",      "Zg",      "Zg=",      "Zg==Zg==", "Zm9",    "Zm9v=", "====",
        "=",      "Z===",    "Zm=v",     "Zm 9",     "Zm9v\n", "Zm9-",  "Zm9_",
        "Zg==\n", "Zm9\x80", "Zm9vYg=a", "\"m9v",    "Z=g=",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (accepts(bad[i], strlen(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_true(accepts("Zh==", 4)); /* stray bits */
}

static void looks_at_every_byte(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[80];

    (void)state;
    for (size_t at = 0; at < sizeof(text); at += 7) {
        for (int c = 0; c < 256; c++) {
            bool good = c != 0 && strchr(alphabet, c) != NULL;

            memset(text, 'A', sizeof(text));
            text[at] = (char)c;
            assert_int_equal(accepts(text, sizeof(text)), good);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_the_vectors_of_the_rfc),
        cmocka_unit_test(encodes_for_urls_without_padding),
        cmocka_unit_test(decodes_what_it_encoded_at_every_length),
        cmocka_unit_test(refuses_what_is_not_base64),
        cmocka_unit_test(looks_at_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
