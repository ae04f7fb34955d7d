#include <config.h>

#include "agent/capture.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

#define WIDTH         640
#define HEIGHT        360
#define CHROMA_WIDTH  (WIDTH / 2)
#define CHROMA_HEIGHT (HEIGHT / 2)
#define BARS_HEIGHT   224
#define GLYPH_WIDTH   5
#define GLYPH_HEIGHT  7

struct colour {
    uint8_t y;
    uint8_t cb;
    uint8_t cr;
};

static const struct colour white = {235, 128, 128};
static const struct colour black = {16, 128, 128};

static void fill(struct agent_image *im, uint32_t x, uint32_t y, uint32_t w, uint32_t h,
                 struct colour c)
{
    if (x >= WIDTH || y >= HEIGHT)
        return;
    if (w > WIDTH - x)
        w = WIDTH - x;
    if (h > HEIGHT - y)
        h = HEIGHT - y;
    for (uint32_t row = y; row < y + h; row++)
        memset(im->plane[0] + row * im->stride[0] + x, c.y, w);
    for (uint32_t row = y / 2; row < (y + h + 1) / 2; row++) {
        memset(im->plane[1] + row * im->stride[1] + x / 2, c.cb, (w + 1) / 2);
        memset(im->plane[2] + row * im->stride[2] + x / 2, c.cr, (w + 1) / 2);
    }
}

/* Columns of seven dots, the lowest bit on top; NULL for what has no glyph. */
static const uint8_t *glyph_of(char c)
{
    static const struct {
        char c;
        uint8_t columns[GLYPH_WIDTH];
    } font[] = {
        {' ', {0x00, 0x00, 0x00, 0x00, 0x00}}, {'-', {0x08, 0x08, 0x08, 0x08, 0x08}},
        {'.', {0x00, 0x60, 0x60, 0x00, 0x00}}, {'0', {0x3e, 0x51, 0x49, 0x45, 0x3e}},
        {'1', {0x00, 0x42, 0x7f, 0x40, 0x00}}, {'2', {0x42, 0x61, 0x51, 0x49, 0x46}},
        {'3', {0x21, 0x41, 0x45, 0x4b, 0x31}}, {'4', {0x18, 0x14, 0x12, 0x7f, 0x10}},
        {'5', {0x27, 0x45, 0x45, 0x45, 0x39}}, {'6', {0x3c, 0x4a, 0x49, 0x49, 0x30}},
        {'7', {0x01, 0x71, 0x09, 0x05, 0x03}}, {'8', {0x36, 0x49, 0x49, 0x49, 0x36}},
        {'9', {0x06, 0x49, 0x49, 0x29, 0x1e}}, {':', {0x00, 0x36, 0x36, 0x00, 0x00}},
        {'A', {0x7e, 0x11, 0x11, 0x11, 0x7e}}, {'B', {0x7f, 0x49, 0x49, 0x49, 0x36}},
        {'C', {0x3e, 0x41, 0x41, 0x41, 0x22}}, {'D', {0x7f, 0x41, 0x41, 0x22, 0x1c}},
        {'E', {0x7f, 0x49, 0x49, 0x49, 0x41}}, {'F', {0x7f, 0x09, 0x09, 0x01, 0x01}},
        {'G', {0x3e, 0x41, 0x41, 0x51, 0x32}}, {'H', {0x7f, 0x08, 0x08, 0x08, 0x7f}},
        {'I', {0x00, 0x41, 0x7f, 0x41, 0x00}}, {'J', {0x20, 0x40, 0x41, 0x3f, 0x01}},
        {'K', {0x7f, 0x08, 0x14, 0x22, 0x41}}, {'L', {0x7f, 0x40, 0x40, 0x40, 0x40}},
        {'M', {0x7f, 0x02, 0x04, 0x02, 0x7f}}, {'N', {0x7f, 0x04, 0x08, 0x10, 0x7f}},
        {'O', {0x3e, 0x41, 0x41, 0x41, 0x3e}}, {'P', {0x7f, 0x09, 0x09, 0x09, 0x06}},
        {'Q', {0x3e, 0x41, 0x51, 0x21, 0x5e}}, {'R', {0x7f, 0x09, 0x19, 0x29, 0x46}},
        {'S', {0x46, 0x49, 0x49, 0x49, 0x31}}, {'T', {0x01, 0x01, 0x7f, 0x01, 0x01}},
        {'U', {0x3f, 0x40, 0x40, 0x40, 0x3f}}, {'V', {0x1f, 0x20, 0x40, 0x20, 0x1f}},
        {'W', {0x7f, 0x20, 0x18, 0x20, 0x7f}}, {'X', {0x63, 0x14, 0x08, 0x14, 0x63}},
        {'Y', {0x03, 0x04, 0x78, 0x04, 0x03}}, {'Z', {0x61, 0x51, 0x49, 0x45, 0x43}},
        {'_', {0x40, 0x40, 0x40, 0x40, 0x40}},
    };

    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    for (size_t i = 0; i < N_ELEMENTS(font); i++)
        if (font[i].c == c)
            return font[i].columns;
    return NULL;
}

static void draw_text(struct agent_image *im, uint32_t x, uint32_t y, uint32_t dot,
                      const char *text)
{
    for (; *text && x < WIDTH; text++, x += (GLYPH_WIDTH + 1) * dot) {
        const uint8_t *columns = glyph_of(*text);

        for (uint32_t i = 0; columns && i < GLYPH_WIDTH * GLYPH_HEIGHT; i++) {
            uint32_t column = i / GLYPH_HEIGHT;
            uint32_t row = i % GLYPH_HEIGHT;

            if (columns[column] >> row & 1)
                fill(im, x + column * dot, y + row * dot, dot, dot, white);
        }
    }
}

static void draw_bars(struct agent_image *im, uint32_t shift)
{
    /* 75 % bars, full range */
    static const struct colour bars[] = {
        {191, 128, 128}, {169, 32, 144}, {134, 160, 32}, {112, 64, 48},
        {79, 192, 208},  {57, 96, 224},  {22, 224, 112}, {16, 128, 128},
    };

    for (uint32_t i = 0; i < N_ELEMENTS(bars); i++)
        fill(im, i * WIDTH / 8, 0, WIDTH / 8, BARS_HEIGHT,
             bars[(i + shift) % N_ELEMENTS(bars)]);
}

/* Something that moves, so that a frozen picture is seen at once. */
static void draw_runner(struct agent_image *im, uint64_t wall_ms)
{
    uint32_t span = WIDTH - 48;
    uint32_t phase = (uint32_t)(wall_ms / 8 % (2 * span));
    uint32_t x = phase < span ? phase : 2 * span - phase;

    fill(im, x & ~1u, BARS_HEIGHT - 56, 48, 48, white);
    fill(im, (x & ~1u) + 8, BARS_HEIGHT - 48, 32, 32, black);
}

static uint32_t sum_of(const char *text)
{
    uint32_t sum = 0;

    while (*text)
        sum = sum * 31 + (uint8_t)*text++;
    return sum;
}

static void draw(struct agent_image *im, const char *camera)
{
    int64_t wall_us = clock_wall_us();
    char now[CLOCK_LOCAL_SIZE];

    clock_format_local(wall_us / 1000000 * 1000000, now);
    fill(im, 0, 0, WIDTH, HEIGHT, black);
    draw_bars(im, sum_of(camera) % 8); /* cameras side by side differ */
    draw_runner(im, (uint64_t)wall_us / 1000);
    now[10] = ' '; /* between date and time */
    draw_text(im, 16, BARS_HEIGHT + 20, 6, camera);
    draw_text(im, 16, BARS_HEIGHT + 84, 5, now);
}

static enum agent_outcome test_take(const struct agent_capture *c,
                                    struct sio_buf **jpeg, struct sio_diag *why)
{
    uint8_t *pixels = mem_alloc(WIDTH * HEIGHT * 3 / 2);
    struct agent_image im = {.width = WIDTH, .height = HEIGHT};
    int rv;

    if (!pixels) {
        sio_diag_set(why, SIO_ERR_NOMEM, "out of memory");
        return AGENT_NO_MEMORY;
    }
    im.plane[0] = pixels;
    im.plane[1] = pixels + WIDTH * HEIGHT;
    im.plane[2] = im.plane[1] + CHROMA_WIDTH * CHROMA_HEIGHT;
    im.stride[0] = WIDTH;
    im.stride[1] = im.stride[2] = CHROMA_WIDTH;
    draw(&im, c->target.camera);
    rv = agent_jpeg_encode_image(&im, &c->limits, jpeg);
    mem_free(pixels);
    if (rv == SIO_OK)
        return AGENT_PICTURE;
    sio_diag_set(why, rv, "test pattern: %s", sio_strerror(rv));
    return rv == SIO_ERR_NOMEM ? AGENT_NO_MEMORY : AGENT_NO_PICTURE;
}

const struct capture_ops agent_capture_test = {
    .name = "test",
    .timeout_ms = 5000,
    .take = test_take,
};
