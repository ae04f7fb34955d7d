#include <config.h>

#include "base/json.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/*
 * Up to 15 digits fit a double as they are, and so does a power of ten up to 10^22: one
 * division of the two is rounded once, as strtod would.  Not where the processor counts
 * with more bits than a double has.
 */
#define EXACT_DIGITS 15
#define DIVIDES_ONCE (FLT_EVAL_METHOD == 0)
static const double power_of_10[EXACT_DIGITS + 1] = {
    1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
};

/* Digits, maybe a sign and a point; no exponent. */
static bool small_decimal(struct sio_str value, double *out)
{
    bool negative = value.ptr[0] == '-';
    size_t n_digits = 0, n_behind = 0;
    bool point = false;
    uint64_t n = 0;
    double d;

    for (size_t i = negative; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '.') {
            point = true;
            continue;
        }
        if (c < '0' || c > '9' || n_digits == EXACT_DIGITS)
            return false;
        n = n * 10 + (uint64_t)(c - '0');
        n_digits++;
        n_behind += point;
    }
    if (point && !DIVIDES_ONCE)
        return false;
    d = (double)n / power_of_10[n_behind];
    *out = negative ? -d : d;
    return true;
}

bool json_number(struct sio_str value, double *out)
{
    char small[64];
    char *copy = small;
    locale_t c_locale;

    if (value.len > 0 && small_decimal(value, out))
        return true;
    if (value.len == 0 || json_type(value) != JSON_NUMBER)
        return false;
    if (value.len < sizeof(small)) {
        memcpy(small, value.ptr, value.len);
        small[value.len] = '\0';
    } else {
        copy = mem_strndup(value.ptr, value.len);
        if (!copy)
            return false;
    }
    /* The process may have a locale with another decimal point. */
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *out = c_locale ? strtod_l(copy, NULL, c_locale) : strtod(copy, NULL);
    if (c_locale)
        freelocale(c_locale);
    if (copy != small)
        mem_free(copy);
    return true;
}

/*
 * The fewest digits (at most 17) that read back as d > 0: d = 0.DIGITS * 10^exp.
 * Returns their number.
 */
static int shortest_digits(double d, char digits[18], int *exp)
{
    char text[32];
    int n = 0;

    /*
     * 15 digits survive the way through a double, so with zeros off they are the
     * shortest; the smallest numbers have fewer to begin with.
     */
    for (int precision = d < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision - 1, d);
        if (strtod(text, NULL) == d)
            break;
    }
    for (const char *p = text; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && n < 17)
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    *exp = atoi(strchr(text, 'e') + 1) + 1;
    return n;
}

static void add_zeros(struct wbuf *w, int n)
{
    while (n-- > 0)
        wbuf_add_byte(w, '0');
}

/*
 * Most numbers have few decimals.  If n / 10^k gives d > 0 back, these are its digits,
 * and with the least k they are the fewest.
 */
static bool write_short(struct wbuf *w, double d)
{
    for (int k = 1; DIVIDES_ONCE && k <= 6; k++) {
        double scaled = d * power_of_10[k] + 0.5;
        char digits[STR_U64_SIZE];
        size_t len, whole;
        uint64_t n;

        if (scaled >= 1e15)
            return false;
        n = (uint64_t)scaled;
        if ((double)n / power_of_10[k] != d)
            continue;
        len = str_from_u64(n, digits);
        whole = len > (size_t)k ? len - (size_t)k : 0;
        wbuf_add(w, digits, whole);
        wbuf_add_cstr(w, whole > 0 ? "." : "0.");
        if (whole == 0)
            add_zeros(w, k - (int)len);
        wbuf_add(w, digits + whole, len - whole);
        return true;
    }
    return false;
}

/* In the form of ECMA-262, "Number::toString", but for -0. */
void json_write_double(struct wbuf *w, double d)
{
    char digits[18];
    int n, exp;

    if (!isfinite(d)) {
        wbuf_add_cstr(w, "null");
        return;
    }
    if (signbit(d)) {
        wbuf_add_byte(w, '-');
        d = -d;
    }
    if (d < 1e15 && d == (double)(uint64_t)d) {
        wbuf_add_u64(w, (uint64_t)d);
        return;
    }
    if (write_short(w, d))
        return;
    n = shortest_digits(d, digits, &exp);
    if (exp > 21 || exp < -5) {
        wbuf_add(w, digits, 1);
        if (n > 1)
            wbuf_add_byte(w, '.');
        wbuf_add(w, digits + 1, (size_t)n - 1);
        wbuf_addf(w, "e%+d", exp - 1);
    } else if (exp <= 0) {
        wbuf_add_cstr(w, "0.");
        add_zeros(w, -exp);
        wbuf_add(w, digits, (size_t)n);
    } else if (exp >= n) {
        wbuf_add(w, digits, (size_t)n);
        add_zeros(w, exp - n);
    } else {
        wbuf_add(w, digits, (size_t)exp);
        wbuf_add_byte(w, '.');
        wbuf_add(w, digits + exp, (size_t)(n - exp));
    }
}
