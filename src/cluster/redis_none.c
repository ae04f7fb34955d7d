/*
 * redis_none.c - in place of the cluster where there is no hiredis, or nobody wants it
 */
#include <config.h>

#include <sioc/cluster.h>

static void refuse(struct sio_diag *diag)
{
    sio_diag_set(diag, SIO_ERR_UNSUPPORTED, "built without Redis (hiredis)");
}

struct sio_cluster *sio_cluster_new(struct net_loop *loop,
                                    const struct sio_cluster_options *opts,
                                    struct sio_diag *diag)
{
    (void)loop;
    (void)opts;
    refuse(diag);
    return NULL;
}

void sio_cluster_free(struct sio_cluster *c)
{
    (void)c;
}

struct sio_adapter *sio_cluster_adapter(struct sio_namespace *ns, void *cluster)
{
    (void)ns;
    (void)cluster;
    return NULL;
}

bool sio_cluster_is_up(const struct sio_cluster *c)
{
    (void)c;
    return false;
}

struct sio_str sio_cluster_uid(const struct sio_cluster *c)
{
    (void)c;
    return SIO_STR("");
}

void sio_cluster_stats(const struct sio_cluster *c, struct sio_cluster_stats *out)
{
    (void)c;
    *out = (struct sio_cluster_stats){.n_sent = 0};
}

struct sio_emitter *sio_emitter_new(struct net_loop *loop,
                                    const struct sio_emitter_options *opts,
                                    struct sio_diag *diag)
{
    (void)loop;
    (void)opts;
    refuse(diag);
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
