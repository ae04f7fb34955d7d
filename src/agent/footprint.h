/*
 * agent/footprint.h - little memory, for small machines beside the cameras
 */
#ifndef AGENT_FOOTPRINT_H
#define AGENT_FOOTPRINT_H

/* Once, first thing in main, before there are threads. */
void agent_footprint_tune(void);

#endif
