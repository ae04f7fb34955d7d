/*
 * emit/args.h - what nuchub-emit was told to do
 */
#ifndef EMIT_ARGS_H
#define EMIT_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include <sioc/cluster.h>

enum emit_mode { EMIT_RUN, EMIT_HELP, EMIT_VERSION };

enum emit_action { EMIT_EVENT, EMIT_SIDE, EMIT_JOIN, EMIT_LEAVE, EMIT_DISCONNECT };

struct emit_names {
    struct sio_str *items;
    size_t n;
};

/* Texts are argv's or the environment's. */
struct emit_args {
    enum emit_mode mode;
    enum emit_action action;
    bool has_action; /* it was named */
    const char *url;
    const char *key; /* NULL: the library's */
    const char *nsp;
    struct emit_names rooms;
    struct emit_names except;
    struct emit_names names; /* to enter, to leave */
    bool sharded;
    enum sio_cluster_subscriptions subscriptions;
    bool is_volatile;
    bool close;
    bool lines; /* the arguments come from stdin */
    bool heard; /* a server must have listened */
    uint32_t timeout_ms;
    const char *event;           /* NULL: none */
    struct sio_message *message; /* event with its arguments */
    size_t n_arguments;
};

/*
 * SIO_OK, or an error with diag filled; the caller ends out with emit_args_fini in any
 * case.
 */
int emit_args_init(struct emit_args *out, int argc, char **argv, struct sio_diag *diag);
void emit_args_fini(struct emit_args *args);

const char *emit_args_usage(void);

#endif
