/*
 * emitter_none.c - in place of the emitter where there is no hiredis, or nobody wants it
 */
#include <config.h>

#include <sioc/cluster.h>

struct sio_emitter *sio_emitter_new(struct net_loop *loop,
                                    const struct sio_emitter_options *opts,
                                    struct sio_diag *diag)
{
    (void)loop;
    (void)opts;
    sio_diag_set(diag, SIO_ERR_UNSUPPORTED, "built without Redis (hiredis)");
    return NULL;
}

void sio_emitter_free(struct sio_emitter *e)
{
    (void)e;
}

int sio_emitter_emit(struct sio_emitter *e, struct sio_str nsp,
                     const struct sio_target *target, struct sio_message *m)
{
    (void)e;
    (void)nsp;
    (void)target;
    (void)m;
    return SIO_ERR_UNSUPPORTED;
}

int sio_emitter_join(struct sio_emitter *e, struct sio_str nsp,
                     const struct sio_target *target, const struct sio_str *rooms,
                     size_t n)
{
    (void)e;
    (void)nsp;
    (void)target;
    (void)rooms;
    (void)n;
    return SIO_ERR_UNSUPPORTED;
}

int sio_emitter_leave(struct sio_emitter *e, struct sio_str nsp,
                      const struct sio_target *target, const struct sio_str *rooms,
                      size_t n)
{
    return sio_emitter_join(e, nsp, target, rooms, n);
}

int sio_emitter_disconnect(struct sio_emitter *e, struct sio_str nsp,
                           const struct sio_target *target, bool close)
{
    (void)close;
    return sio_emitter_join(e, nsp, target, NULL, 0);
}

int sio_emitter_side_emit(struct sio_emitter *e, struct sio_str nsp,
                          struct sio_message *m)
{
    return sio_emitter_emit(e, nsp, NULL, m);
}

int sio_emitter_flush(struct sio_emitter *e, uint32_t timeout_ms,
                      void (*cb)(int status, void *user), void *user)
{
    (void)e;
    (void)timeout_ms;
    (void)cb;
    (void)user;
    return SIO_ERR_UNSUPPORTED;
}

uint64_t sio_emitter_unheard(const struct sio_emitter *e)
{
    (void)e;
    return 0;
}
