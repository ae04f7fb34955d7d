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
