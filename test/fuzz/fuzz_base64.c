/* Bytes survive the way there and back; what the check accepts can be decoded. */
#include <config.h>

#include <assert.h>
#include <string.h>

#include <sioc/error.h>

#include "base/base64.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t text_len = base64_encoded_len(size);
    char *text = mem_raw(text_len);
    uint8_t *back = mem_raw(text_len / 4 * 3);
    size_t len;

    assert(text && back);
    base64_encode(data, size, text);
    assert(base64_check(text, text_len));
    assert(base64_decode(text, text_len, back, &len) == SIO_OK);
    assert(len == size && (size == 0 || memcmp(back, data, size) == 0));
    assert(base64_check((const char *)data, size) ==
           (base64_decode((const char *)data, size, back, &len) == SIO_OK));
    mem_free(text);
    mem_free(back);
    return 0;
}
