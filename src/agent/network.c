#include <config.h>

#include "agent/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>

#include "agent/source.h"

static uint32_t ipv4(const struct sockaddr *sa)
{
    return ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr);
}

static bool is_candidate(const struct ifaddrs *i)
{
    return i->ifa_addr && i->ifa_netmask && i->ifa_addr->sa_family == AF_INET &&
           (i->ifa_flags & IFF_UP) && !(i->ifa_flags & IFF_LOOPBACK);
}

static bool holds_host(const struct ifaddrs *i, const char *const *hosts, size_t n)
{
    uint32_t mask = ipv4(i->ifa_netmask);
    struct in_addr host;

    for (size_t k = 0; k < n; k++)
        if (inet_pton(AF_INET, hosts[k], &host) == 1 &&
            ((ntohl(host.s_addr) ^ ipv4(i->ifa_addr)) & mask) == 0)
            return true;
    return false;
}

static void format(uint32_t address, char *out, size_t size)
{
    snprintf(out, size, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
             address >> 8 & 255, address & 255);
}

static void describe(const struct ifaddrs *i, struct agent_network *out)
{
    uint32_t mask = ipv4(i->ifa_netmask);
    uint32_t address = ipv4(i->ifa_addr);
    size_t len;

    format(address, out->address, sizeof(out->address));
    format(address & mask, out->network, sizeof(out->network) - 4);
    len = strlen(out->network);
    snprintf(out->network + len, sizeof(out->network) - len, "/%d",
             __builtin_popcount(mask));
}

void agent_network_find(struct agent_network *out, const char *const *hosts, size_t n)
{
    const struct ifaddrs *best = NULL;
    struct ifaddrs *all;
    char text[64];

    *out = (struct agent_network){"", ""};
    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!is_candidate(i))
            continue;
        if (holds_host(i, hosts, n)) {
            best = i;
            break;
        }
        format(ipv4(i->ifa_addr), text, sizeof(text));
        if (!best && agent_source_is_private(text))
            best = i;
    }
    if (best)
        describe(best, out);
    freeifaddrs(all);
}
