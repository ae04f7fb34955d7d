/*
 * fake_redis.h - connections to a Redis of the fuzzer's, in the place of net/'s
 *
 * A target that uses it is linked with WRAP_REDIS.  Whatever is sent is taken and
 * forgotten; what is answered is the target's affair.
 */
#ifndef TEST_FAKE_REDIS_H
#define TEST_FAKE_REDIS_H

#include <stdbool.h>

#include "net/conn.h"

/* At most so many at a time; more dials fail. */
#define FAKE_REDIS_SLOTS 8

/* The connection in that slot, which a dial gave its place; NULL: none, or it has ended. */
struct net_conn *fake_redis_conn(unsigned slot);

/* It is there now; nothing if it was already. */
void fake_redis_open(struct net_conn *c);
/* Bytes of the peer's; nothing where it is not open. */
void fake_redis_feed(struct net_conn *c, const void *data, size_t len);
/* The peer has gone. */
void fake_redis_close(struct net_conn *c);

/* How much it says that it has not yet sent, from now on. */
void fake_redis_hold(size_t bytes);

/* Frees what has ended, and forgets the rest. */
void fake_redis_reset(void);

#endif
