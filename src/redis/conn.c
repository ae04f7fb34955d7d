#include <config.h>

#include "redis/conn.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "net/conn.h"

#define CONNECT_MS     5000
#define HANG_MS        5000
#define IDLE_MS        5000
#define TICK_MS        1000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 3000
#define PIECE          16384 /* hiredis moves all that it has not read yet, again and again */
#define MAX_REPLY      ((size_t)512 * 1024 * 1024)

enum state { DOWN, CONNECTING, GREETING, UP };

struct command {
    struct list link;
    redis_reply_cb cb;
    void *user;
    struct sio_str left; /* the channel of SUNSUBSCRIBE; ptr NULL: another command */
    char name[];
};

struct redis_conn {
    struct net_loop *loop;
    struct redis_conn_options opts;
    const struct redis_conn_ops *ops;
    void *user;
    enum state state;
    struct net_conn *conn; /* NULL while DOWN */
    struct redis_reader *reader;
    struct list pending;    /* commands that are owed an answer */
    struct net_timer timer; /* DOWN: the next try; else the tick */
    uint64_t progress_ms;   /* when something moved last */
    uint64_t bytes_out;     /* then */
    uint32_t backoff_ms;
    bool told;   /* the log has that it is not there */
    bool denied; /* and that it lets us not in */
    bool cluster;
    bool sunsubscribed; /* what came last was the answer to SUNSUBSCRIBE */
    char where[128];
    char why[160]; /* the greeting failed; "" */
};

/* Ends of a connection. */

static void close_commands(struct redis_conn *c)
{
    struct list open;

    list_init(&open);
    list_splice(&open, &c->pending);
    while (!list_empty(&open)) {
        struct command *command = container_of(open.next, struct command, link);

        list_remove(&command->link);
        if (command->cb)
            command->cb(SIO_ERR_CLOSED, NULL, command->user);
        mem_free(command);
    }
}

/* Each spell of absence is told once; being let not in is something else than that. */
static void tell_lost(struct redis_conn *c, const char *why)
{
    bool denied = c->why[0] != '\0';

    if (c->opts.name && (!c->told || (denied && !c->denied)))
        log_warn(net_loop_log(c->loop), "redis %s away at=%s: %s", c->opts.name,
                 c->where, denied ? c->why : why);
    c->told = true;
    c->denied = denied;
}

static void drop_conn(struct redis_conn *c)
{
    struct net_conn *conn = c->conn;

    c->conn = NULL;
    if (conn)
        net_conn_abort(conn, SIO_OK);
    redis_reader_free(c->reader);
    c->reader = NULL;
}

static uint32_t next_backoff(struct redis_conn *c)
{
    uint32_t ms = c->backoff_ms ? c->backoff_ms : BACKOFF_MIN_MS;
    uint16_t noise;

    c->backoff_ms = ms * 2 < BACKOFF_MAX_MS ? ms * 2 : BACKOFF_MAX_MS;
    random_pool_take(net_loop_random(c->loop), &noise, sizeof(noise));
    return ms - noise % (ms / 2);
}

static void lose(struct redis_conn *c, const char *why)
{
    bool was_up = c->state == UP;

    c->state = DOWN;
    tell_lost(c, why);
    drop_conn(c);
    close_commands(c);
    if (was_up && c->ops->on_down)
        c->ops->on_down(c, c->user);
    else if (!was_up && c->ops->on_failed)
        c->ops->on_failed(c, c->user);
    (void)net_timer_start(&c->timer, next_backoff(c));
}

/* Commands. */

/* Sends what is encoded, and owes its answer to cb. */
static int send_encoded(struct redis_conn *c, const struct sio_slice *slices, size_t n,
                        struct sio_str left, redis_reply_cb cb, void *user)
{
    struct command *command = mem_alloc(sizeof(*command) + left.len);
    int rv;

    if (!command)
        return SIO_ERR_NOMEM;
    rv = net_conn_send(c->conn, slices, n);
    if (rv < 0) {
        mem_free(command);
        return rv;
    }
    command->cb = cb;
    command->user = user;
    if (left.ptr) {
        memcpy(command->name, left.ptr, left.len);
        command->left = (struct sio_str){command->name, left.len};
    }
    if (list_empty(&c->pending))
        c->progress_ms = net_loop_now_ms(c->loop);
    list_append(&c->pending, &command->link);
    return SIO_OK;
}

static int command(struct redis_conn *c, const struct redis_request *r,
                   redis_reply_cb cb, void *user)
{
    struct redis_encoding e;
    int rv = redis_request_encode(&e, r);

    if (rv == SIO_OK)
        rv = send_encoded(c, e.slices, e.n, e.left, cb, user);
    redis_encoding_fini(&e);
    return rv;
}

int redis_conn_request(struct redis_conn *c, const struct redis_request *r,
                       redis_reply_cb cb, void *user)
{
    return c->state == UP ? command(c, r, cb, user) : SIO_ERR_CLOSED;
}

int redis_conn_send(struct redis_conn *c, const struct sio_slice *slices, size_t n,
                    struct sio_str left, redis_reply_cb cb, void *user)
{
    return c->state == UP ? send_encoded(c, slices, n, left, cb, user) : SIO_ERR_CLOSED;
}

size_t redis_conn_unsent(const struct redis_conn *c)
{
    return c->conn ? net_conn_pending(c->conn) : 0;
}

bool redis_conn_is_up(const struct redis_conn *c)
{
    return c->state == UP;
}

bool redis_conn_is_cluster(const struct redis_conn *c)
{
    return c->state == UP && c->cluster;
}

uint64_t redis_conn_silent_ms(const struct redis_conn *c)
{
    return list_empty(&c->pending) ? 0 : net_loop_now_ms(c->loop) - c->progress_ms;
}

/* The greeting: log in, choose the database, and see whether it serves. */

/* Keeps the first thing that went wrong; the last answer decides. */
static void on_greeted(int status, const struct redis_reply *reply, void *user)
{
    struct redis_conn *c = user;
    struct sio_str text = {"", 0};

    if (status != SIO_ERR_REFUSED || c->why[0])
        return;
    redis_reply_text(reply, &text);
    snprintf(c->why, sizeof(c->why), "%.*s", (int)(text.len < 150 ? text.len : 150),
             text.ptr);
}

static void on_pong(int status, const struct redis_reply *reply, void *user)
{
    struct redis_conn *c = user;

    on_greeted(status, reply, user);
    if (status == SIO_ERR_CLOSED || c->why[0]) /* then the reader of answers ends it */
        return;
    c->state = UP;
    c->backoff_ms = 0;
    c->told = c->denied = false;
    if (c->opts.name)
        log_info(net_loop_log(c->loop), "redis %s connected at=%s", c->opts.name,
                 c->where);
    if (c->ops->on_up(c, c->user) < 0) /* as above */
        snprintf(c->why, sizeof(c->why), "out of memory");
}

/* "mode" is followed by its value.  One that does not know HELLO is taken for no cluster. */
static void on_hello(int status, const struct redis_reply *reply, void *user)
{
    struct redis_conn *c = user;
    struct sio_str name, value;

    for (size_t i = 0; status == SIO_OK && i + 1 < redis_reply_count(reply); i += 2)
        if (redis_reply_text(redis_reply_at(reply, i), &name) &&
            redis_reply_text(redis_reply_at(reply, i + 1), &value) &&
            str_eq_cstr(name, "mode"))
            c->cluster = str_eq_cstr(value, "cluster");
}

static int say_hello(struct redis_conn *c)
{
    const struct sio_slice args[2] = {redis_arg(SIO_STR("HELLO")),
                                      redis_arg(SIO_STR("2"))};
    const struct redis_request r = {.args = args, .n = 2};

    return command(c, &r, on_hello, c);
}

static int greet(struct redis_conn *c)
{
    const struct redis_url *u = c->opts.url;
    char db[STR_U64_SIZE];
    struct sio_slice args[3] = {redis_arg(SIO_STR("AUTH"))};
    struct redis_request r = {.args = args, .n = 1};
    int rv = SIO_OK;

    if (u->user)
        args[r.n++] = redis_arg(sio_str_from(u->user));
    if (u->password) {
        args[r.n++] = redis_arg(sio_str_from(u->password));
        rv = command(c, &r, on_greeted, c);
    }
    if (rv == SIO_OK && u->db > 0) {
        args[0] = redis_arg(SIO_STR("SELECT"));
        args[1] = redis_arg((struct sio_str){db, str_from_u64(u->db, db)});
        r.n = 2;
        rv = command(c, &r, on_greeted, c);
    }
    if (rv == SIO_OK)
        rv = say_hello(c);
    if (rv == SIO_OK) {
        args[0] = redis_arg(SIO_STR("PING"));
        r.n = 1;
        rv = command(c, &r, on_pong, c);
    }
    return rv;
}

/* Events of the connection. */

static void on_open(struct net_conn *conn, void *user)
{
    struct redis_conn *c = user;

    (void)conn;
    c->state = GREETING;
    c->bytes_out = 0;
    c->progress_ms = net_loop_now_ms(c->loop);
    if (greet(c) < 0)
        lose(c, "out of memory");
}

static struct command *first_command(const struct redis_conn *c)
{
    return list_empty(&c->pending)
               ? NULL
               : container_of(c->pending.next, struct command, link);
}

/* What a subscriber gets without having asked for it. */
static bool is_push(const struct redis_conn *c, const struct redis_reply *r)
{
    const struct command *first = first_command(c);
    struct sio_str kind, name;

    if (!c->ops->on_push || redis_reply_count(r) < 3 ||
        !redis_reply_text(redis_reply_at(r, 0), &kind))
        return false;
    if (str_eq_cstr(kind, "sunsubscribe"))
        return !first || !first->left.ptr ||
               !redis_reply_text(redis_reply_at(r, 1), &name) ||
               !str_eq(name, first->left);
    return str_eq_cstr(kind, "message") || str_eq_cstr(kind, "pmessage") ||
           str_eq_cstr(kind, "smessage");
}

/*
 * Behind the answer to SUNSUBSCRIBE: it may have been the push for a channel that moved in
 * that moment, and this the answer.  Nobody can tell.
 */
static bool is_moved(const struct redis_reply *r)
{
    struct sio_str text;

    return redis_reply_is_error(r) && redis_reply_text(r, &text) &&
           str_starts(text, SIO_STR("MOVED "));
}

/* False: the connection has to end, c->why may say why. */
static bool take_reply(struct redis_conn *c, const struct redis_reply *r)
{
    bool greeting = c->state == GREETING;
    struct command *command = first_command(c);

    if (is_push(c, r)) {
        c->ops->on_push(c, r, c->user);
        return true;
    }
    if (!command || (c->sunsubscribed && is_moved(r)))
        return false;
    c->sunsubscribed = command->left.ptr && !redis_reply_is_error(r);
    list_remove(&command->link);
    if (command->cb)
        command->cb(redis_reply_is_error(r) ? SIO_ERR_REFUSED : SIO_OK, r,
                    command->user);
    mem_free(command);
    return !(greeting && c->why[0] && list_empty(&c->pending));
}

static void on_data(struct net_conn *conn, uint8_t *data, size_t len, void *user)
{
    struct redis_conn *c = user;
    const struct redis_reply *reply;
    int rv = SIO_OK;

    (void)conn;
    c->progress_ms = net_loop_now_ms(c->loop);
    while (rv == SIO_OK && len > 0) {
        size_t n = len < PIECE ? len : PIECE;

        rv = redis_reader_feed(c->reader, data, n);
        data += n;
        len -= n;
        while (rv == SIO_OK && (rv = redis_reader_next(c->reader, &reply)) > 0)
            rv = take_reply(c, reply) ? SIO_OK : SIO_ERR_PROTOCOL;
    }
    if (rv < 0)
        lose(c, rv == SIO_ERR_PROTOCOL ? "it answers what nobody asked"
                                       : redis_reader_error(c->reader));
}

static void on_close(struct net_conn *conn, int error, void *user)
{
    struct redis_conn *c = user;
    char why[160];

    if (c->conn != conn)
        return;
    c->conn = NULL;
    snprintf(why, sizeof(why), "%s",
             net_conn_diag(conn)[0] ? net_conn_diag(conn) : sio_strerror(error));
    lose(c, why);
}

static void connect_now(struct redis_conn *c)
{
    static const struct net_conn_ops ops = {
        .on_open = on_open,
        .on_data = on_data,
        .on_close = on_close,
    };
    const struct net_connect_options opts = {
        .host = c->opts.url->host,
        .port = c->opts.url->port,
        .path = c->opts.url->path,
        .tls = c->opts.tls,
        .timeout_ms = CONNECT_MS,
    };

    c->state = CONNECTING;
    c->why[0] = '\0';
    c->cluster = c->sunsubscribed = false;
    c->reader = redis_reader_new(c->opts.max_reply);
    if (c->reader)
        c->conn = net_conn_connect(c->loop, &opts, &ops, c);
    if (!c->conn)
        lose(c, "out of memory");
}

static bool is_hung(struct redis_conn *c)
{
    uint64_t now_ms = net_loop_now_ms(c->loop);
    uint64_t bytes_out = net_conn_bytes_out(c->conn);

    /* While the kernel holds us back, what it takes is a sign of life. */
    if (bytes_out != c->bytes_out && net_conn_pending(c->conn) > 0)
        c->progress_ms = now_ms;
    c->bytes_out = bytes_out;
    return redis_conn_silent_ms(c) >= c->opts.hang_ms;
}

static void on_timer(struct net_timer *timer, void *user)
{
    struct redis_conn *c = user;
    const struct sio_slice ping = redis_arg(SIO_STR("PING"));
    const struct redis_request r = {.args = &ping, .n = 1};

    /* Its place among the timers has just become free, so it never fails to run. */
    (void)net_timer_start(timer, TICK_MS);
    if (c->state == DOWN) {
        connect_now(c);
        return;
    }
    if (is_hung(c)) {
        lose(c, "no answer in time");
        return;
    }
    if (c->state == UP && list_empty(&c->pending) &&
        net_loop_now_ms(c->loop) - c->progress_ms >= c->opts.idle_ms)
        (void)command(c, &r, NULL, NULL);
}

static void describe(struct redis_conn *c)
{
    const struct redis_url *u = c->opts.url;

    if (u->path)
        snprintf(c->where, sizeof(c->where), "%s", u->path);
    else
        snprintf(c->where, sizeof(c->where), "%.100s:%u%s", u->host, (unsigned)u->port,
                 u->tls ? " (TLS)" : "");
}

struct redis_conn *redis_conn_new(struct net_loop *loop,
                                  const struct redis_conn_options *opts,
                                  const struct redis_conn_ops *ops, void *user)
{
    struct redis_conn *c = mem_new(struct redis_conn);

    if (!c)
        return NULL;
    c->loop = loop;
    c->opts = *opts;
    c->opts.max_reply = opts->max_reply ? opts->max_reply : MAX_REPLY;
    c->opts.idle_ms = opts->idle_ms ? opts->idle_ms : IDLE_MS;
    c->opts.hang_ms = opts->hang_ms ? opts->hang_ms : HANG_MS;
    c->ops = ops;
    c->user = user;
    list_init(&c->pending);
    net_timer_init(&c->timer, loop, on_timer, c);
    describe(c);
    if (net_timer_start(&c->timer, 0) < 0) {
        mem_free(c);
        return NULL;
    }
    if (c->opts.tls)
        net_tls_ref(c->opts.tls);
    return c;
}

void redis_conn_free(struct redis_conn *c)
{
    if (!c)
        return;
    c->state = DOWN;
    net_timer_stop(&c->timer);
    drop_conn(c);
    close_commands(c);
    net_tls_unref(c->opts.tls);
    mem_free(c);
}
