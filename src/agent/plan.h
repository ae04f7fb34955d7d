/*
 * agent/plan.h - which attempt comes next
 *
 * A camera remembers what worked and what refused the credentials; a plan is one
 * round over its attempts.  No I/O and no clock: a pure function of what happened.
 *
 * - What gave the last picture is tried first.
 * - A port that is closed, silent or too slow ends its endpoint for the round; after a
 *   timeout the next round begins with the path behind the one that was slow.
 * - 401 and 403 end the endpoint for agent_logins_pause_ms, longer at each further
 *   refusal, also for requests of the hub: cameras lock an account after five to seven
 *   wrong logins in half an hour, and so never see more than three of ours at an
 *   endpoint.  A picture clears it.
 */
#ifndef AGENT_PLAN_H
#define AGENT_PLAN_H

#include "agent/source.h"

/* Zeroed at the start. */
struct agent_memory {
    uint8_t worked; /* attempt + 1; 0: none so far */
    struct {
        uint64_t refused_until_ms;
        uint8_t n_refused;
        uint8_t first; /* path that the next round begins with */
    } endpoint[AGENT_ENDPOINTS_MAX];
};

/* What a round has seen, for the error text. */
struct agent_round {
    uint8_t n_silent;
    uint8_t n_closed;
    uint8_t n_refused; /* locked endpoints included */
    uint8_t n_other;
    uint64_t retry_ms; /* until the first locked endpoint is tried again */
    bool out_of_memory;
};

struct agent_plan {
    const struct agent_source *source;
    struct agent_memory *memory;
    struct agent_round round;
    uint16_t tried; /* bit per attempt */
    uint8_t done;   /* bit per endpoint */
};

void agent_plan_init(struct agent_plan *p, const struct agent_source *source,
                     struct agent_memory *memory, uint64_t now_ms);

/* The next attempt, or -1 when the round is over. */
int agent_plan_next(const struct agent_plan *p);

/* True if the attempt gave the last picture: no need to look whether the port is open. */
bool agent_plan_is_proven(const struct agent_plan *p, int attempt);

/* The endpoint's login must not be tried for ms: another camera found that out. */
void agent_plan_lock(struct agent_plan *p, int attempt, uint64_t ms);

/* Tells what came of it.  A picture, too little memory or the end closes the round. */
void agent_plan_result(struct agent_plan *p, int attempt, enum agent_outcome outcome,
                       uint64_t now_ms);

/* Writes what the hub is told when a round gave no picture (Spanish, as users know it). */
void agent_plan_error(const struct agent_plan *p, struct wbuf *w);

#endif
