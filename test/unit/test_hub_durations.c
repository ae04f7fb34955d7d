/*
 * What is remembered of videos: a file in a folder of the test's own is changed
 * underneath, with and without another time.
 */
#include <config.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "hub/durations.h"

#define NOW_S INT64_C(1700000000)

static struct {
    char path[40];
    int dir;
    struct hub_durations d;
} fix;

static int set_up(void **state)
{
    (void)state;
    strcpy(fix.path, "/tmp/test_hub_durations.XXXXXX");
    assert_non_null(mkdtemp(fix.path));
    fix.dir = open(fix.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fix.dir >= 0);
    hub_durations_init(&fix.d);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hub_durations_fini(&fix.d);
    close(fix.dir);
    rmdir(fix.path);
    return 0;
}

static void set_time(const char *name, int64_t unix_s)
{
    const struct timespec times[] = {{.tv_sec = unix_s}, {.tv_sec = unix_s}};

    assert_int_equal(utimensat(fix.dir, name, times, 0), 0);
}

/* A file that is little more than the head of a video; the same inode if it is there. */
static void put(const char *name, uint8_t seconds, int64_t unix_s)
{
    uint8_t file[8 + 8 + 100] = {[3] = sizeof(file), [11] = sizeof(file) - 8};
    int fd = openat(fix.dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    memcpy(file + 4, "moov", 4);
    memcpy(file + 12, "mvhd", 4);
    file[16 + 15] = 1;       /* units a second */
    file[16 + 19] = seconds; /* units */
    assert_true(fd >= 0);
    assert_int_equal(write(fd, file, sizeof(file)), (ssize_t)sizeof(file));
    close(fd);
    set_time(name, unix_s);
}

static double get(const char *name)
{
    struct stat st;

    assert_int_equal(fstatat(fix.dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return hub_durations_get(&fix.d, fix.dir, name, &st);
}

/* A list of one file. */
static double list(const char *name)
{
    double seconds;

    hub_durations_begin(&fix.d, NOW_S * 1000000);
    seconds = get(name);
    hub_durations_end(&fix.d);
    return seconds;
}

static void opens_a_file_again_when_it_has_changed(void **state)
{
    int fd;

    (void)state;
    put("a", 12, NOW_S - 100);
    assert_true(list("a") == 12);
    put("a", 7, NOW_S - 100);
    assert_true(list("a") == 12);
    set_time("a", NOW_S - 99); /* another time */
    assert_true(list("a") == 7);
    put("a", 3, NOW_S - 99);
    fd = openat(fix.dir, "a", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "\0\0\0\10free", 8), 8); /* another size */
    close(fd);
    set_time("a", NOW_S - 99);
    assert_true(list("a") == 3);
    put("b", 4, NOW_S - 99);
    assert_int_equal(renameat(fix.dir, "b", fix.dir, "a"), 0); /* another file */
    assert_true(list("a") == 4);
    unlinkat(fix.dir, "a", 0);
}

static void what_a_file_does_not_say_is_known_too(void **state)
{
    (void)state;
    close(openat(fix.dir, "a", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    set_time("a", NOW_S - 100);
    assert_true(list("a") < 0);
    assert_int_equal(fix.d.by_name.n_items, 1);
    unlinkat(fix.dir, "a", 0);
}

/* It may be written still, and its clock may be another host's. */
static void opens_a_file_that_was_just_written_each_time(void **state)
{
    static const int64_t ages_s[] = {1, 0, -100};

    (void)state;
    for (size_t i = 0; i < sizeof(ages_s) / sizeof(ages_s[0]); i++) {
        put("a", 12, NOW_S - ages_s[i]);
        assert_true(list("a") == 12);
        put("a", 7, NOW_S - ages_s[i]);
        assert_true(list("a") == 7);
        assert_int_equal(fix.d.by_name.n_items, 0);
    }
    unlinkat(fix.dir, "a", 0);
}

static void forgets_what_is_not_there_any_more(void **state)
{
    (void)state;
    put("a", 1, NOW_S - 100);
    put("b", 2, NOW_S - 100);
    hub_durations_begin(&fix.d, NOW_S * 1000000);
    assert_true(get("a") == 1 && get("b") == 2 && get("a") == 1);
    hub_durations_end(&fix.d);
    assert_int_equal(fix.d.by_name.n_items, 2);
    assert_true(list("b") == 2);
    assert_int_equal(fix.d.by_name.n_items, 1);
    unlinkat(fix.dir, "a", 0);
    unlinkat(fix.dir, "b", 0);
}

static void remembers_so_many_and_opens_the_rest(void **state)
{
    char name[16];

    (void)state;
    put("a", 9, NOW_S - 100);
    hub_durations_begin(&fix.d, NOW_S * 1000000);
    for (int i = 0; i < HUB_DURATIONS_MAX + 5; i++) {
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(linkat(fix.dir, "a", fix.dir, name, 0), 0);
        assert_true(get(name) == 9);
        unlinkat(fix.dir, name, 0);
    }
    hub_durations_end(&fix.d);
    assert_int_equal(fix.d.by_name.n_items, HUB_DURATIONS_MAX);
    unlinkat(fix.dir, "a", 0);
}

static void tells_without_memory_too(void **state)
{
    (void)state;
    put("a", 9, NOW_S - 100);
    alloc_fail_each(n)
    {
        assert_true(list("a") == 9);
        assert_true(list("a") == 9);
        hub_durations_fini(&fix.d);
        hub_durations_init(&fix.d);
    }
    unlinkat(fix.dir, "a", 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(opens_a_file_again_when_it_has_changed),
        TEST(what_a_file_does_not_say_is_known_too),
        TEST(opens_a_file_that_was_just_written_each_time),
        TEST(forgets_what_is_not_there_any_more),
        TEST(remembers_so_many_and_opens_the_rest),
        TEST(tells_without_memory_too),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
