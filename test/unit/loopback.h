/*
 * loopback.h - the other end of a connection, as raw bytes, for tests of servers
 *
 * The loop under test runs on the test's own thread, in turns, while the test waits
 * for bytes.  Nothing sleeps: waiting ends with what is waited for, or fails after a
 * bound that only a broken server reaches.
 */
#ifndef TEST_LOOPBACK_H
#define TEST_LOOPBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sioc/loop.h>

struct peer {
    struct net_loop *loop;
    int fd;
    bool ended; /* the other side has sent FIN, or a reset */
    size_t len;
    size_t cap;
    char *data; /* all that came, with a NUL behind it */
};

void peer_connect(struct peer *p, struct net_loop *loop, uint16_t port);
void peer_close(struct peer *p);

/* Queues nothing: the kernel takes all, while the loop runs. */
void peer_send(struct peer *p, const void *data, size_t len);
void peer_send_text(struct peer *p, const char *text);
void peer_end(struct peer *p); /* FIN */

/* Runs the loop until at least len bytes came in all, until text stands in them, to the end. */
void peer_wait_len(struct peer *p, size_t len);
void peer_wait_text(struct peer *p, const char *text);
void peer_wait_end(struct peer *p);

/* Runs the loop as long as condition holds; for a test's own function, with <cmocka.h>. */
#define RUN_WHILE(loop, condition)                               \
    for (int turns_ = 0; condition; turns_++) {                  \
        assert_true(turns_ < 3000);                              \
        assert_int_equal(net_loop_run_once((loop), 10), SIO_OK); \
    }

/* Runs the loop until *flag. */
void loop_until(struct net_loop *loop, const bool *flag);

/* Runs the loop as long as there is something to do at once. */
void loop_settle(struct net_loop *loop);

#endif
