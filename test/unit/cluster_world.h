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

/* Two servers of one cluster, of which b answers directly.  opts may be NULL. */
struct two {
    struct sio_world a, b;
    struct sio_cluster *of_a, *of_b;
};
void two_open(struct two *t, const struct sio_cluster_options *opts);
/* Nobody listens any more. */
void two_close(struct two *t);

struct sio_cluster_stats stats_of(const struct sio_cluster *c);

/* An event with the three bytes "xyz". */
struct sio_message *bytes_message(const char *name);

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

/*
 * A kind of channels, and what servers say there; for cases that are the same with each.
 */
struct cluster_kind {
    struct sio_cluster_options opts;
    size_t n_topics;    /* of a namespace without rooms */
    size_t n_of_room;   /* topics more for a room with members */
    size_t n_of_socket; /* and for each socket */
    const char *to_all; /* where questions and orders go */
    const char *to_r;   /* where what is for the room "r" goes */
    bool side_bytes;    /* servers can say bytes to each other */
    /* What a server of node says there. */
    const char *joins;  /* who is in "r" enters "x" and "y" */
    const char *leaves; /* all leave "y" */
    const char *lists;
    struct sio_str asks;
};
extern const struct cluster_kind pubsub_kind, dynamic_kind, static_kind, private_kind;

/* Some other server says it to all. */
void kind_say_later(const struct cluster_kind *kind, struct sio_str text);
void kind_say(const struct cluster_kind *kind, const char *text); /* and it is heard */

/* A test with each; its state is the kind. */
#define CASE_OF(test, kind)                                         \
    {                                                               \
#test "_" #kind, test, NULL, NULL, (void *)(uintptr_t)&kind \
    }
#define CASE(test)                                           \
    CASE_OF(test, pubsub_kind), CASE_OF(test, dynamic_kind), \
        CASE_OF(test, static_kind), CASE_OF(test, private_kind)

#endif
