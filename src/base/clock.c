#include <config.h>

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

uint64_t clock_mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int64_t clock_wall_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static size_t clamp(int n, size_t size)
{
    if (n < 0)
        return 0;
    return (size_t)n < size ? (size_t)n : size - 1;
}

size_t clock_format_local(int64_t wall_us, char out[CLOCK_LOCAL_SIZE])
{
    int64_t us = wall_us % 1000000;
    time_t s = (time_t)(wall_us / 1000000);
    struct tm tm = {0};
    size_t len;

    if (us < 0) {
        us += 1000000;
        s--;
    }
    localtime_r(&s, &tm);
    len = clamp(snprintf(out, CLOCK_LOCAL_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d",
                         tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                         tm.tm_min, tm.tm_sec),
                CLOCK_LOCAL_SIZE);
    if (us > 0)
        len += clamp(snprintf(out + len, CLOCK_LOCAL_SIZE - len, ".%06d", (int)us),
                     CLOCK_LOCAL_SIZE - len);
    return len;
}

size_t clock_format_http(int64_t unix_s, char out[CLOCK_HTTP_SIZE])
{
    time_t s = (time_t)unix_s;
    struct tm tm = {0};

    gmtime_r(&s, &tm);
    return clamp(snprintf(out, CLOCK_HTTP_SIZE, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                          day_names[tm.tm_wday], tm.tm_mday, month_names[tm.tm_mon],
                          tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec),
                 CLOCK_HTTP_SIZE);
}

/* n digits at p as a number, or -1. */
static int digits(const char *p, int n)
{
    int v = 0;

    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

static int name_index(const char *p, const char names[][4], int n)
{
    for (int i = 0; i < n; i++)
        if (memcmp(p, names[i], 3) == 0)
            return i;
    return -1;
}

/* `Sun, 06 Nov 1994 08:49:37 GMT`: every field at its place. */
int64_t clock_parse_http(const char *s, size_t len)
{
    struct tm tm = {0};

    if (len != 29 || memcmp(s + 3, ", ", 2) != 0 || s[7] != ' ' || s[11] != ' ' ||
        s[16] != ' ' || s[19] != ':' || s[22] != ':' || memcmp(s + 25, " GMT", 4) != 0)
        return -1;
    tm.tm_mday = digits(s + 5, 2);
    tm.tm_mon = name_index(s + 8, month_names, 12);
    tm.tm_year = digits(s + 12, 4) - 1900;
    tm.tm_hour = digits(s + 17, 2);
    tm.tm_min = digits(s + 20, 2);
    tm.tm_sec = digits(s + 23, 2);
    if (name_index(s, day_names, 7) < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_mon < 0 || tm.tm_year < 70 || tm.tm_hour < 0 || tm.tm_hour > 23 ||
        tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
        return -1;
    return (int64_t)timegm(&tm);
}
