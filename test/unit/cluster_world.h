/*
 * cluster_world.h - servers of one cluster over the fake bus (fake_bus.h)
 */
#ifndef TEST_CLUSTER_WORLD_H
#define TEST_CLUSTER_WORLD_H

#include <sioc/cluster.h>

#include "fake_bus.h"
#include "sio_world.h"

/* A server of a cluster.  opts may be NULL; what matters of them is copied. */
struct sio_cluster *cluster_world_open(struct sio_world *w,
                                       const struct sio_cluster_options *opts,
                                       const struct sio_server_options *server);
void cluster_world_close(struct sio_world *w, struct sio_cluster *c);

/* Two servers of one cluster, of which b answers directly. */
struct two {
    struct sio_world a, b;
    struct sio_cluster *of_a, *of_b;
};
void two_open(struct two *t, enum sio_cluster_mode mode);
/* Nobody listens any more. */
void two_close(struct two *t);

struct sio_cluster_stats stats_of(const struct sio_cluster *c);

/* The last message that was published, in one piece. */
void expect_body(const char *text);

/* "all", "timeout", "closed", "full", "error" */
const char *status_name(int status);
/* Notes "status(first argument,...)"; '-' where there is no answer.  user: a world. */
void note_answers(int status, const struct sio_answers *answers, void *user);
/* Notes "status(here2{attributes},...)": where it is, in how many rooms. */
void note_fetched(int status, const struct sio_fetched *list, size_t n, void *user);
/* Notes the event, and answers "here" where an answer is wanted. */
void note_side(struct sio_namespace *ns, struct sio_event *e, void *user);
void run_until_noted(struct sio_world *w);

#endif
