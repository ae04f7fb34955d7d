#include <config.h>

#include "redis/conn.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "net/conn.h"

#define CONNECT_MS     5000
#define HANG_MS        5000 /* an answer is owed and nothing moves */
#define IDLE_MS        5000 /* then it is asked whether it lives */
#define TICK_MS        1000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 3000
#define MAX_INPUT      ((size_t)512 * 1024 * 1024) /* of answers that are not complete */

enum state { DOWN, CONNECTING, GREETING, UP };

struct command {
    struct list link;
    redis_reply_cb cb;
    void *user;
};

struct redis_conn {
    struct net_loop *loop;
    const struct redis_url *url;
    const char *name;
    const struct redis_conn_ops *ops;
    void *user;
    enum state state;
    struct net_conn *conn; /* NULL while DOWN */
    redisReader *reader;
    struct list pending;    /* commands that are owed an answer */
    struct net_timer timer; /* DOWN: the next try; else the tick */
    uint64_t progress_ms;   /* when something moved last */
    uint64_t bytes_out;     /* then */
    uint32_t backoff_ms;
    bool told;   /* the log has that it is not there */
    bool denied; /* and that it lets us not in */
    char where[128];
    char why[160]; /* the greeting failed; "" */
};

/* Replies. */

static const redisReply *reply_of(const struct redis_reply *r)
{
    return (const redisReply *)(const void *)r;
}

bool redis_reply_is_error(const struct redis_reply *r)
{
    return r && reply_of(r)->type == REDIS_REPLY_ERROR;
}

bool redis_reply_text(const struct redis_reply *r, struct sio_str *out)
{
    int type = r ? reply_of(r)->type : REDIS_REPLY_NIL;

    if (type != REDIS_REPLY_STRING && type != REDIS_REPLY_STATUS &&
        type != REDIS_REPLY_ERROR)
        return false;
    *out = (struct sio_str){reply_of(r)->str, (size_t)reply_of(r)->len};
    return true;
}

bool redis_reply_integer(const struct redis_reply *r, int64_t *out)
{
    if (!r || reply_of(r)->type != REDIS_REPLY_INTEGER)
        return false;
    *out = reply_of(r)->integer;
    return true;
}

size_t redis_reply_count(const struct redis_reply *r)
{
    return r && reply_of(r)->type == REDIS_REPLY_ARRAY ? reply_of(r)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i)
{
    return (const struct redis_reply *)(const void *)reply_of(r)->element[i];
}

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

    if (!c->told || (denied && !c->denied))
        log_warn(net_loop_log(c->loop), "redis %s away at=%s: %s", c->name, c->where,
                 denied ? c->why : why);
    c->told = true;
    c->denied = denied;
}

static void drop_conn(struct redis_conn *c)
{
    struct net_conn *conn = c->conn;

    c->conn = NULL;
    if (conn)
        net_conn_abort(conn, SIO_OK);
    if (c->reader)
        redisReaderFree(c->reader);
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
    (void)net_timer_start(&c->timer, next_backoff(c));
}

/* Commands. */

static void add_count(struct wbuf *w, char kind, size_t n)
{
    wbuf_add_byte(w, (uint8_t)kind);
    wbuf_add_u64(w, n);
    wbuf_add_cstr(w, "\r\n");
}

struct encoding {
    struct wbuf text;
    struct sio_slice slices[2 * REDIS_MAX_ARGS + 1];
    size_t n;
    size_t begin; /* of the text that no slice has yet */
};

/* What was written since becomes a slice; its place is known once all is written. */
static void cut_text(struct encoding *e)
{
    if (e->text.len == e->begin)
        return;
    e->slices[e->n++] = (struct sio_slice){NULL, NULL, e->text.len - e->begin};
    e->begin = e->text.len;
}

static int encode(struct encoding *e, const struct sio_slice *args, size_t n)
{
    size_t at = 0;

    add_count(&e->text, '*', n);
    for (size_t i = 0; i < n; i++) {
        add_count(&e->text, '$', args[i].len);
        if (args[i].buf) {
            cut_text(e);
            e->slices[e->n++] = args[i];
        } else {
            wbuf_add(&e->text, args[i].ptr, args[i].len);
        }
        wbuf_add_cstr(&e->text, "\r\n");
    }
    cut_text(e);
    if (e->text.error < 0)
        return e->text.error;
    for (size_t i = 0; i < e->n; i++) {
        if (e->slices[i].ptr)
            continue;
        e->slices[i].buf = e->text.buf;
        e->slices[i].ptr = e->text.buf->data + at;
        at += e->slices[i].len;
    }
    return SIO_OK;
}

static int send_args(struct redis_conn *c, const struct sio_slice *args, size_t n)
{
    struct encoding e = {.n = 0};
    int rv;

    wbuf_init(&e.text, UINT32_MAX);
    rv = encode(&e, args, n);
    if (rv == SIO_OK)
        rv = net_conn_send(c->conn, e.slices, e.n);
    wbuf_fini(&e.text);
    return rv;
}

static int command(struct redis_conn *c, const struct sio_slice *args, size_t n,
                   redis_reply_cb cb, void *user)
{
    struct command *command = mem_new(struct command);
    int rv;

    if (!command)
        return SIO_ERR_NOMEM;
    rv = send_args(c, args, n);
    if (rv < 0) {
        mem_free(command);
        return rv;
    }
    command->cb = cb;
    command->user = user;
    if (list_empty(&c->pending))
        c->progress_ms = net_loop_now_ms(c->loop);
    list_append(&c->pending, &command->link);
    return SIO_OK;
}

int redis_conn_command(struct redis_conn *c, const struct sio_slice *args, size_t n,
                       redis_reply_cb cb, void *user)
{
    if (c->state != UP)
        return SIO_ERR_CLOSED;
    return n > REDIS_MAX_ARGS ? SIO_ERR_INVAL : command(c, args, n, cb, user);
}

int redis_conn_tell(struct redis_conn *c, const struct sio_slice *args, size_t n)
{
    if (c->state != UP)
        return SIO_ERR_CLOSED;
    return n > REDIS_MAX_ARGS ? SIO_ERR_INVAL : send_args(c, args, n);
}

size_t redis_conn_unsent(const struct redis_conn *c)
{
    return c->conn ? net_conn_pending(c->conn) : 0;
}

bool redis_conn_is_up(const struct redis_conn *c)
{
    return c->state == UP;
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
    log_info(net_loop_log(c->loop), "redis %s connected at=%s", c->name, c->where);
    if (c->ops->on_up)
        c->ops->on_up(c, c->user);
}

static int greet(struct redis_conn *c)
{
    const struct redis_url *u = c->url;
    char db[STR_U64_SIZE];
    struct sio_slice args[3] = {redis_arg(SIO_STR("AUTH"))};
    size_t n = 1;
    int rv = SIO_OK;

    if (u->user)
        args[n++] = redis_arg(sio_str_from(u->user));
    if (u->password) {
        args[n++] = redis_arg(sio_str_from(u->password));
        rv = command(c, args, n, on_greeted, c);
    }
    if (rv == SIO_OK && u->db > 0) {
        args[0] = redis_arg(SIO_STR("SELECT"));
        args[1] = redis_arg((struct sio_str){db, str_from_u64(u->db, db)});
        rv = command(c, args, 2, on_greeted, c);
    }
    if (rv == SIO_OK) {
        args[0] = redis_arg(SIO_STR("PING"));
        rv = command(c, args, 1, on_pong, c);
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
    if (greet(c) < 0 || net_timer_start(&c->timer, TICK_MS) < 0)
        lose(c, "out of memory");
}

/* What a subscriber gets without having asked for it. */
static bool is_push(const struct redis_conn *c, const struct redis_reply *r)
{
    static const char *const kinds[] = {
        "message",    "pmessage",    "smessage",     "subscribe",    "psubscribe",
        "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe",
    };
    struct sio_str kind;

    if (!c->ops->on_push)
        return false;
    if (redis_reply_is_error(r))
        return list_empty(&c->pending);
    if (redis_reply_count(r) < 3 || !redis_reply_text(redis_reply_at(r, 0), &kind))
        return false;
    for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
        if (str_eq_cstr(kind, kinds[i]))
            return true;
    return false;
}

/* False: the connection has to end, c->why may say why. */
static bool take_reply(struct redis_conn *c, const struct redis_reply *r)
{
    bool greeting = c->state == GREETING;
    struct command *command;

    if (is_push(c, r)) {
        c->ops->on_push(c, r, c->user);
        return true;
    }
    if (list_empty(&c->pending))
        return false;
    command = container_of(c->pending.next, struct command, link);
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
    void *reply = NULL;
    bool good = redisReaderFeed(c->reader, (const char *)data, len) == REDIS_OK;

    c->progress_ms = net_loop_now_ms(c->loop);
    while (good && c->conn == conn) {
        good = redisReaderGetReply(c->reader, &reply) == REDIS_OK;
        if (!good || !reply)
            break;
        good = take_reply(c, reply);
        freeReplyObject(reply);
    }
    if (c->conn != conn)
        return;
    if (!good || c->reader->len > MAX_INPUT)
        lose(c, c->reader->err ? c->reader->errstr : "it answers what nobody asked");
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
        .host = c->url->host,
        .port = c->url->port,
        .path = c->url->path,
        .timeout_ms = CONNECT_MS,
    };

    c->state = CONNECTING;
    c->why[0] = '\0';
    c->reader = redisReaderCreate();
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
    return redis_conn_silent_ms(c) >= HANG_MS;
}

static void on_timer(struct net_timer *timer, void *user)
{
    struct redis_conn *c = user;
    struct sio_slice ping = redis_arg(SIO_STR("PING"));

    if (c->state == DOWN) {
        connect_now(c);
        return;
    }
    if (is_hung(c)) {
        lose(c, "no answer in time");
        return;
    }
    if (c->state == UP && list_empty(&c->pending) &&
        net_loop_now_ms(c->loop) - c->progress_ms >= IDLE_MS)
        (void)command(c, &ping, 1, NULL, NULL);
    net_timer_start(timer, TICK_MS);
}

static void describe(struct redis_conn *c)
{
    const struct redis_url *u = c->url;

    if (u->path)
        snprintf(c->where, sizeof(c->where), "%s", u->path);
    else
        snprintf(c->where, sizeof(c->where), "%.100s:%u", u->host, (unsigned)u->port);
}

struct redis_conn *redis_conn_new(struct net_loop *loop, const struct redis_url *url,
                                  const char *name, const struct redis_conn_ops *ops,
                                  void *user)
{
    struct redis_conn *c = mem_new(struct redis_conn);

    if (!c)
        return NULL;
    c->loop = loop;
    c->url = url;
    c->name = name;
    c->ops = ops;
    c->user = user;
    list_init(&c->pending);
    net_timer_init(&c->timer, loop, on_timer, c);
    describe(c);
    if (net_timer_start(&c->timer, 0) < 0) {
        mem_free(c);
        return NULL;
    }
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
    mem_free(c);
}
