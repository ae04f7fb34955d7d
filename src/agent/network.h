/*
 * agent/network.h - the network that this machine shares with the cameras
 */
#ifndef AGENT_NETWORK_H
#define AGENT_NETWORK_H

#include <stddef.h>

struct agent_network {
    char address[64]; /* of this machine, "192.168.77.10"; or "" */
    char network[64]; /* "192.168.77.0/24"; or "" */
};

/*
 * The interface in whose network one of the hosts is, else the first with an address of
 * a private network.  Names are not looked up.
 */
void agent_network_find(struct agent_network *out, const char *const *hosts, size_t n);

#endif
