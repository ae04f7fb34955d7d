/*
 * http/mask.h - WebSocket masking (RFC 6455, 5.3), in words
 */
#ifndef HTTP_MASK_H
#define HTTP_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/utf8.h"

/*
 * dst = src xor mask; src[0] is byte number `at` of the payload.  dst may be src, and
 * must not overlap it otherwise.
 */
void ws_mask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4],
             uint64_t at);

/*
 * The same for a piece of text, which is fed to u on the way: false when it is not
 * UTF-8 (what dst then holds is undefined).
 */
bool ws_unmask_text(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4],
                    uint64_t at, struct utf8 *u);

#endif
