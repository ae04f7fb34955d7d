/*
 * agent/probe.h - does anything listen there?
 */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include "agent/capture.h"

#define AGENT_PROBE_TIMEOUT_MS 3000

/*
 * Opens a TCP connection and closes it.  AGENT_PICTURE stands for "yes"; AGENT_CLOSED,
 * AGENT_SILENT, AGENT_CANCELLED or AGENT_NO_MEMORY otherwise, with why filled.
 * Blocks until c's deadline, and in the system's resolver for a host name.
 */
enum agent_outcome agent_probe(const struct agent_capture *c, struct sio_diag *why);

#endif
