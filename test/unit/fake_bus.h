/*
 * fake_bus.h - the cluster's bus without a Redis: all buses of the process hear each
 * other, when the test says so
 *
 * In place of cluster/bus.c.  What is published, and counts that were asked for, wait
 * until fake_bus_run; so a test sees the bytes on their way, and may add its own.
 */
#ifndef TEST_FAKE_BUS_H
#define TEST_FAKE_BUS_H

#include "cluster/bus.h"

/* Delivers what waits, and what that leads to.  Returns how many messages it were. */
size_t fake_bus_run(void);

/* Somebody publishes: waits like the others. */
void fake_bus_say(const char *channel, const void *body, size_t len);
void fake_bus_say_shard(const char *channel, const void *body, size_t len);

/* The last message that was published, its channel, and how many there were. */
const char *fake_bus_channel(void);
struct sio_slice fake_bus_body(void);
size_t fake_bus_n(void);

/* The connection of all buses is lost: what waits is lost, too; or comes back. */
void fake_bus_down(void);
void fake_bus_up(void);

/* Publishing fails with this error (SIO_OK: no more); counting with SIO_ERR_CLOSED later. */
void fake_bus_refuse(int error);
void fake_bus_refuse_counts(bool refuse);

/* Redis has been silent for so long. */
void fake_bus_hang(uint64_t ms);

/* Topics that are listened to from now on are (not) confirmed at once. */
void fake_bus_confirm(bool at_once);

/* As many other servers as there seem to be listen, too. */
void fake_bus_others(uint64_t n);

/* Topics of all buses; for tests that look for what is left. */
size_t fake_bus_n_topics(void);

/* Forgets all of that. */
void fake_bus_reset(void);

#endif
