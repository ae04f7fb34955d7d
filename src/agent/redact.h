/*
 * agent/redact.h - addresses without what must not be shown
 */
#ifndef AGENT_REDACT_H
#define AGENT_REDACT_H

/*
 * Removes the user part (`user:password@`) of every URL in text, in place, and what is
 * behind its first '?' or '=', where cameras want a login too; and replaces control
 * characters by blanks.
 */
void agent_redact(char *text);

#endif
