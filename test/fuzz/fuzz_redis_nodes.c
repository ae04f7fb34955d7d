/*
 * A cluster of Redis whose nodes do what the input says: every command is answered once, up
 * and down take turns, and nobody is connected to without bound.
 *
 * The input is a series of steps: a byte for what is done, one for with what, and for what
 * a node says as many bytes as that says.
 */
#include <config.h>

#include <assert.h>

#include "fake_redis.h"
#include "redis/nodes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 400

struct run {
    struct redis_nodes *nodes;
    unsigned n_asked;
    unsigned n_answered;
    bool up;
};

static void on_up(struct redis_nodes *n, void *user)
{
    struct run *r = user;

    assert(!r->up && redis_nodes_is_up(n));
    r->up = true;
}

static void on_down(struct redis_nodes *n, void *user)
{
    struct run *r = user;

    assert(r->up && !redis_nodes_is_up(n));
    r->up = false;
}

static void on_lost(struct redis_nodes *n, uint32_t node, void *user)
{
    struct run *r = user;

    assert(r->up && redis_nodes_is_up(n) && node != REDIS_NO_NODE);
}

static void on_changed(struct redis_nodes *n, void *user)
{
    struct run *r = user;

    assert(r->up && redis_nodes_is_up(n));
}

static void ask(struct run *r, uint8_t with);

static void on_answer(int status, const struct redis_reply *reply, void *user)
{
    struct run *r = user;

    assert((status == SIO_ERR_CLOSED) == (reply == NULL));
    r->n_answered++;
    if (r->n_answered % 7 == 0)
        ask(r, (uint8_t)r->n_answered);
}

static void on_push(struct redis_nodes *n, uint32_t node,
                    const struct redis_reply *reply, void *user)
{
    (void)n;
    (void)user;
    assert(node != REDIS_NO_NODE && reply);
}

static void ask(struct run *r, uint8_t with)
{
    const struct sio_slice args[2] = {
        redis_arg(with & 32 ? SIO_STR("SUNSUBSCRIBE") : SIO_STR("GET")),
        redis_arg(SIO_STR("channel"))};
    const struct redis_request request = {.args = args, .n = 2};
    const char key = (char)('a' + with % 8);
    struct sio_str of = {with & 16 ? NULL : &key, with & 16 ? 0 : 1};
    int rv;

    if (with & 64)
        rv = redis_nodes_request_at(r->nodes, with % 8, &request, on_answer, r);
    else
        rv = redis_nodes_request(r->nodes, of, &request, on_answer, r);
    r->n_asked += rv == SIO_OK;
}

/* What a node says that greets: AUTH is not asked, HELLO and PING are. */
static void greet(struct net_conn *c, bool cluster)
{
    static const char yes[] = "*2\r\n$4\r\nmode\r\n$7\r\ncluster\r\n+PONG\r\n";
    static const char no[] = "-ERR\r\n+PONG\r\n";

    fake_redis_open(c);
    fake_redis_feed(c, cluster ? yes : no, cluster ? sizeof(yes) - 1 : sizeof(no) - 1);
}

static const char *const texts[] = {
    ("*2\r\n*3\r\n:0\r\n:8000\r\n*2\r\n$1\r\nh\r\n:6379\r\n"
     "*4\r\n:8001\r\n:16383\r\n*2\r\n$1\r\ni\r\n:1\r\n*2\r\n$0\r\n\r\n:2\r\n"),
    "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:3\r\n",
    "-MOVED 15495 j:1\r\n",
    "-ASK 1 i:1\r\n",
    "-CLUSTERDOWN x\r\n",
    "*3\r\n$12\r\nsunsubscribe\r\n$7\r\nchannel\r\n:0\r\n",
    "+OK\r\n",
    "*0\r\n",
};

/* Returns how many bytes it has used. */
static size_t step(struct run *r, struct net_loop *loop, const uint8_t *data,
                   size_t size)
{
    uint8_t what = data[0] % 8, with = data[1];
    struct net_conn *c = fake_redis_conn(with % FAKE_REDIS_SLOTS);
    const char *text =
        texts[with / FAKE_REDIS_SLOTS % (sizeof(texts) / sizeof(*texts))];
    size_t len = data[0] / 8 < size - 2 ? data[0] / 8 : size - 2;

    switch (what) {
    case 0: fake_redis_feed(c, data + 2, len); return 2 + len;
    case 1: fake_redis_feed(c, text, strlen(text)); break;
    case 2: ask(r, with); break;
    case 3: redis_nodes_doubt(r->nodes); break;
    case 4: fake_redis_close(c); break;
    case 5:
    case 6: greet(c, with < 240); break;
    default: net_loop_run_once(loop, 0); break;
    }
    return 2;
}

static void run(struct net_loop *loop, const uint8_t *data, size_t size)
{
    static const struct redis_nodes_ops ops = {on_up, on_down, on_lost, on_changed,
                                               on_push};
    static char host[] = "h";
    const struct redis_url url = {.host = host, .port = 6379};
    const struct redis_conn_options opts = {.url = &url, .name = "test"};
    struct run r = {.nodes = redis_nodes_new(loop, &opts, &ops, &r)};
    size_t at = 0;

    assert(r.nodes);
    net_loop_run_once(loop, 0);
    for (int i = 0; i < MAX_STEPS && size - at >= 2; i++)
        at += step(&r, loop, data + at, size - at);
    redis_nodes_free(r.nodes);
    assert(r.n_answered == r.n_asked);
    fake_redis_reset();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_loop *loop = net_loop_new(NULL, NULL);

    if (loop)
        run(loop, data, size);
    net_loop_free(loop);
    return 0;
}
