/*
 * agent/logins.h - what is known of each login, shared by all cameras
 *
 * Several cameras are often channels of one recorder, with one account.  A wrong
 * password must then be noticed once, not once per channel, or the account is locked.
 * So a login that is not proven is tried by one thread at a time, and what the device
 * says holds for all of them.  May be called from any thread.
 */
#ifndef AGENT_LOGINS_H
#define AGENT_LOGINS_H

#include "agent/capture.h"

struct agent_logins;

/* NULL when out of memory.  Freed when no thread uses it any more. */
struct agent_logins *agent_logins_new(void);
void agent_logins_free(struct agent_logins *l); /* NULL is allowed */

/*
 * Before a login is sent to target.  0: go on, and call agent_logins_tell afterwards;
 * else the milliseconds for which it must not be tried.  Blocks while another thread
 * tries the same login for the first time, until c's deadline or its end.
 */
uint64_t agent_logins_ask(struct agent_logins *l, const struct agent_capture *c);

/* What came of it. */
void agent_logins_tell(struct agent_logins *l, const struct agent_target *target,
                       enum agent_outcome outcome);

/* How long a login is left alone after the n-th refusal in a row (n from 1). */
#define AGENT_REFUSED_FIRST_MS (10 * 60 * 1000) /* doubles */
#define AGENT_REFUSED_MAX_MS   (60 * 60 * 1000)
uint64_t agent_logins_pause_ms(uint32_t n);

#endif
