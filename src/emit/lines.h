/*
 * emit/lines.h - an event for each line of standard input
 */
#ifndef EMIT_LINES_H
#define EMIT_LINES_H

#include "emit/args.h"

struct emit_lines_ops {
    int (*send)(struct sio_message *m, void *user);
    void *user;
};

/*
 * Sends the event of args with the arguments in each line, until the end of the input;
 * the loop goes on meanwhile.  A line that is not JSON is told of on standard error,
 * counted in *n_bad and passed.  SIO_OK; SIO_ERR_IO, SIO_ERR_NOMEM, or what send
 * returned.
 */
int emit_lines(struct net_loop *loop, const struct emit_args *args,
               const struct emit_lines_ops *ops, size_t *n_bad);

#endif
