/*
 * cluster/cluster.h - the inside of sio_cluster: what its adapters share
 *
 * A namespace's adapter is one of two kinds: pubsub.c or sharded.c.  Both stand on the bus,
 * number their questions, and collect answers in the same way (questions.h).
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include <sioc/cluster.h>

#include "cluster/bus.h"

/* The bus, for other channels of the same Redis; borrowed. */
struct cluster_bus *sio_cluster_bus(struct sio_cluster *c);

#endif
