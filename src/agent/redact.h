/*
 * agent/redact.h - addresses without what must not be shown
 */
#ifndef AGENT_REDACT_H
#define AGENT_REDACT_H

/*
 * Removes the user part (`user:password@`) of every URL in text, in place, and
 * replaces control characters by blanks.
 */
void agent_redact(char *text);

#endif
