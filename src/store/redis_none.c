/*
 * redis_none.c - in place of redis.c where there is no hiredis, or nobody wants it
 */
#include <config.h>

#include "store/store.h"

int store_redis_check(struct sio_str url, struct sio_diag *diag)
{
    (void)url;
    return sio_diag_set(diag, SIO_ERR_UNSUPPORTED,
                        "this nuchubd was built without Redis (hiredis)");
}

struct store *store_redis_new(struct net_loop *loop,
                              const struct store_redis_options *opts,
                              struct sio_diag *diag)
{
    (void)loop;
    store_redis_check(opts->url, diag);
    return NULL;
}
