/*
 * One Redis, or a cluster, of the test's own: nodes on loopback that say what they are told
 * to.
 */
#include <config.h>

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "net/loop.h"
#include "redis/nodes.h"
#include "redis/slots.h"

#define N_NODES   3
#define N_CLIENTS 8 /* of each node */
#define MAX_TURNS 5000

/* Their slots are in the first, the second and the last third. */
#define KEY_0 "snapshot:192.0.2.1" /* 2503 */
#define KEY_1 "{}foo"              /* 9500 */
#define KEY_2 "foo"                /* 12182 */

struct client {
    int fd; /* -1: none */
    size_t n;
    char in[4096];
};

struct fake_node {
    int listener; /* -1: it does not run */
    unsigned port;
    struct client clients[N_CLIENTS];
    unsigned n_accepted;
    unsigned n_gets;
    unsigned n_asking;
    char get[128]; /* the answer to GET */
};

struct fixture {
    struct net_loop *loop;
    struct redis_url url;
    struct redis_nodes *nodes;
    struct fake_node fake[N_NODES];
    const char *hello;
    char slots[65536]; /* the answer to CLUSTER SLOTS */
    unsigned n_learned;
    int n_up, n_down, n_lost, n_changed;
    uint32_t lost;
    int n_answers;
    int status;
    char answer[128];
    uint32_t speaker;
    int n_lines; /* of the log */
    char log[8192];
};

/* The nodes. */

static void node_start(struct fake_node *node)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    int on = 1;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons((uint16_t)node->port);
    node->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(node->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(node->listener, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(node->listener, 8), 0);
    assert_int_equal(getsockname(node->listener, (struct sockaddr *)&in, &len), 0);
    node->port = ntohs(in.sin_port);
}

static void client_end(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->n = 0;
}

static void node_stop(struct fake_node *node)
{
    if (node->listener >= 0)
        close(node->listener);
    node->listener = -1;
    for (size_t i = 0; i < N_CLIENTS; i++)
        client_end(&node->clients[i]);
}

/* What comes is taken apart by looking for the words in it, each command has one. */
static const char *answer_to(struct fixture *f, struct fake_node *node,
                             const char *word)
{
    if (strcmp(word, "HELLO") == 0)
        return f->hello;
    if (strcmp(word, "AUTH") == 0)
        return "+OK\r\n";
    if (strcmp(word, "PING") == 0)
        return "+PONG\r\n";
    if (strcmp(word, "ASKING") == 0) {
        node->n_asking++;
        return "+OK\r\n";
    }
    if (strcmp(word, "CLUSTER") == 0) {
        f->n_learned++;
        return f->slots;
    }
    node->n_gets++;
    return node->get;
}

/* One command; its length, 0: it is not complete. */
static size_t take_command(struct client *c, char word[32])
{
    const char *end = c->in + c->n;
    char *p;
    unsigned long n = strtoul(c->in + 1, &p, 10);

    word[0] = '\0';
    if (c->n == 0 || c->in[0] != '*')
        return 0;
    p += 2;
    for (unsigned long i = 0; i < n; i++) {
        size_t len;

        if (p >= end || !memchr(p, '\n', (size_t)(end - p)))
            return 0;
        len = strtoul(p + 1, &p, 10);
        p += 2;
        if ((size_t)(end - p) < len + 2)
            return 0;
        if (i == 0)
            snprintf(word, 32, "%.*s", (int)len, p);
        p += len + 2;
    }
    return (size_t)(p - c->in);
}

static void serve(struct fixture *f, struct fake_node *node, struct client *c)
{
    char word[32];
    ssize_t n;
    size_t len;

    if (c->fd < 0) {
        c->fd = node->listener < 0
                    ? -1
                    : accept4(node->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        node->n_accepted += c->fd >= 0;
        return;
    }
    n = recv(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n, 0);
    if (n == 0) {
        client_end(c);
        return;
    }
    c->n += n > 0 ? (size_t)n : 0;
    c->in[c->n] = '\0';
    while ((len = take_command(c, word)) > 0) {
        const char *text = answer_to(f, node, word);

        if (send(c->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
            break;
        c->n -= len;
        memmove(c->in, c->in + len, c->n + 1);
    }
}

static void turn(struct fixture *f)
{
    assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
    for (size_t i = 0; i < N_NODES; i++)
        for (size_t k = 0; k < N_CLIENTS; k++)
            serve(f, &f->fake[i], &f->fake[i].clients[k]);
}

#define TURN_WHILE(f, condition)                  \
    for (int turns_ = 0; (condition); turns_++) { \
        assert_true(turns_ < MAX_TURNS);          \
        turn(f);                                  \
    }

static void serves(struct fixture *f, unsigned node)
{
    snprintf(f->fake[node].get, sizeof(f->fake[node].get), "+node %u\r\n", node);
}

static void is_silent(struct fixture *f, unsigned node)
{
    f->fake[node].get[0] = '\0';
}

/* how: "MOVED SLOT HOST" or "ASK SLOT HOST". */
static void sends_on(struct fixture *f, unsigned node, const char *how, unsigned to)
{
    snprintf(f->fake[node].get, sizeof(f->fake[node].get), "-%s:%u\r\n", how,
             f->fake[to].port);
}

/* Node a has the first third, and so on. */
static void set_slots(struct fixture *f, unsigned a, unsigned b, unsigned c)
{
    static const unsigned bounds[] = {0, 5460, 5461, 10922, 10923, 16383};
    const unsigned owner[3] = {a, b, c};
    size_t n = (size_t)snprintf(f->slots, sizeof(f->slots), "*3\r\n");

    for (size_t i = 0; i < 3; i++)
        n += (size_t)snprintf(f->slots + n, sizeof(f->slots) - n,
                              "*3\r\n:%u\r\n:%u\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n"
                              "$2\r\nid\r\n",
                              bounds[2 * i], bounds[2 * i + 1], f->fake[owner[i]].port);
}

/* The user. */

static void note_log(enum sio_log_level level, const char *line, size_t len, void *user)
{
    struct fixture *f = user;
    size_t n = strlen(f->log);

    (void)level;
    f->n_lines++;
    snprintf(f->log + n, sizeof(f->log) - n, "%.*s\n", (int)len, line);
}

static void on_up(struct redis_nodes *n, void *user)
{
    struct fixture *f = user;

    assert_true(redis_nodes_is_up(n));
    f->n_up++;
}

static void on_down(struct redis_nodes *n, void *user)
{
    struct fixture *f = user;

    assert_false(redis_nodes_is_up(n));
    assert_false(redis_nodes_is_whole(n));
    f->n_down++;
}

static void on_lost(struct redis_nodes *n, uint32_t node, void *user)
{
    struct fixture *f = user;

    assert_true(redis_nodes_is_up(n));
    f->lost = node;
    f->n_lost++;
}

static void on_changed(struct redis_nodes *n, void *user)
{
    struct fixture *f = user;

    assert_true(redis_nodes_is_up(n));
    f->n_changed++;
}

static void on_answer(int status, const struct redis_reply *reply, void *user)
{
    struct fixture *f = user;
    struct sio_str text = {"", 0};

    redis_reply_text(reply, &text);
    snprintf(f->answer, sizeof(f->answer), "%.*s", STR_ARG(text));
    f->status = status;
    f->speaker = f->nodes ? redis_nodes_speaker(f->nodes) : REDIS_NO_NODE;
    f->n_answers++;
}

static int begin(struct fixture *f, const char *key)
{
    const struct sio_slice args[2] = {
        redis_arg(SIO_STR("GET")), redis_arg(key ? sio_str_from(key) : SIO_STR("x"))};
    const struct redis_request r = {.args = args, .n = 2};
    struct sio_str of = {NULL, 0};

    if (key)
        of = sio_str_from(key);
    return redis_nodes_request(f->nodes, of, &r, on_answer, f);
}

/* Gets, and waits for the answer. */
static void get(struct fixture *f, const char *key)
{
    int n = f->n_answers;

    assert_int_equal(begin(f, key), SIO_OK);
    assert_int_equal(f->n_answers, n); /* not before it has returned */
    TURN_WHILE(f, f->n_answers == n);
    assert_int_equal(f->n_answers, n + 1);
}

static void get_from(struct fixture *f, const char *key, unsigned node)
{
    char wanted[16];

    snprintf(wanted, sizeof(wanted), "node %u", node);
    get(f, key);
    assert_int_equal(f->status, SIO_OK);
    assert_string_equal(f->answer, wanted);
}

static void come_up(struct fixture *f)
{
    static const struct redis_nodes_ops ops = {
        .on_up = on_up,
        .on_down = on_down,
        .on_lost = on_lost,
        .on_changed = on_changed,
    };
    const struct redis_conn_options opts = {.url = &f->url, .name = "test"};

    f->nodes = redis_nodes_new(f->loop, &opts, &ops, f);
    assert_non_null(f->nodes);
    assert_int_equal(begin(f, KEY_0), SIO_ERR_CLOSED);
    TURN_WHILE(f, f->n_up == 0);
}

static int set_up(void **state)
{
    static struct fixture f;
    const struct net_loop_options loop_opts = {
        .log = note_log, .log_user = &f, .log_level = SIO_LOG_INFO};
    char url[64];

    memset(&f, 0, sizeof(f));
    for (unsigned i = 0; i < N_NODES; i++) {
        for (size_t k = 0; k < N_CLIENTS; k++)
            f.fake[i].clients[k].fd = -1;
        node_start(&f.fake[i]);
        serves(&f, i);
    }
    f.hello = "*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$4\r\nmode\r\n$7\r\ncluster\r\n";
    set_slots(&f, 0, 1, 2);
    snprintf(url, sizeof(url), "redis://u:secret@127.0.0.1:%u", f.fake[0].port);
    f.loop = net_loop_new(&loop_opts, NULL);
    *state = &f;
    return redis_url_parse(sio_str_from(url), &f.url, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    redis_nodes_free(f->nodes);
    f->nodes = NULL;
    net_loop_free(f->loop);
    for (unsigned i = 0; i < N_NODES; i++)
        node_stop(&f->fake[i]);
    redis_url_fini(&f->url);
    assert_null(strstr(f->log, "secret"));
    return 0;
}

/* Tests. */

static void one_redis_has_one_connection(void **state)
{
    struct fixture *f = *state;

    f->hello = "*2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n";
    come_up(f);
    get_from(f, KEY_0, 0);
    get_from(f, KEY_1, 0);
    get_from(f, NULL, 0);
    assert_int_equal(f->fake[0].n_accepted, 1);
    assert_int_equal(f->n_learned, 0);
    assert_true(redis_nodes_is_whole(f->nodes));
    assert_int_equal(redis_nodes_where(f->nodes, SIO_STR(KEY_2)), 0);
    assert_int_equal(redis_nodes_next(f->nodes, REDIS_NO_NODE, false), 0);
    assert_int_equal(redis_nodes_next(f->nodes, 0, true), REDIS_NO_NODE);
    redis_nodes_doubt(f->nodes);
    sends_on(f, 0, "MOVED 2503 127.0.0.1", 1);
    get(f, KEY_0); /* a proxy, maybe: what it says is the answer */
    assert_int_equal(f->status, SIO_ERR_REFUSED);
    node_stop(&f->fake[0]);
    TURN_WHILE(f, f->n_down == 0);
    assert_int_equal(begin(f, KEY_0), SIO_ERR_CLOSED);
    node_start(&f->fake[0]);
    serves(f, 0);
    TURN_WHILE(f, f->n_up == 1);
    get_from(f, KEY_0, 0);
    assert_int_equal(f->n_lost + f->n_changed, 0);
}

static void one_redis_may_become_a_cluster(void **state)
{
    struct fixture *f = *state;
    const char *cluster = f->hello;

    f->hello = "-ERR unknown command 'HELLO'\r\n";
    come_up(f);
    get_from(f, KEY_1, 0);
    f->hello = cluster;
    for (int i = 1; i <= 4; i++) { /* and one again, and so on */
        node_stop(&f->fake[0]);
        node_stop(&f->fake[1]);
        TURN_WHILE(f, f->n_down < i);
        f->hello = i % 2 ? cluster : "-ERR\r\n";
        node_start(&f->fake[0]);
        if (i % 2)
            node_start(&f->fake[1]);
        TURN_WHILE(f, f->n_up < i + 1);
        get_from(f, KEY_1, i % 2 ? 1 : 0);
    }
}

static void commands_go_to_the_node_of_their_key(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    assert_non_null(strstr(f->log, "redis test is a cluster: masters=3 slots=16384\n"));
    assert_int_equal(f->fake[1].n_accepted, 0); /* nothing was for it yet */
    get_from(f, KEY_1, 1);
    assert_int_equal(f->speaker, redis_nodes_where(f->nodes, SIO_STR(KEY_1)));
    get_from(f, KEY_2, 2);
    get_from(f, KEY_0, 0);
    get_from(f, NULL, 0);
    get_from(f, KEY_1, 1);
    assert_int_equal(f->fake[1].n_accepted, 1);
    assert_int_equal(f->fake[2].n_accepted, 1);
    assert_true(redis_nodes_is_whole(f->nodes));
    assert_int_equal(f->n_learned, 1);
    assert_int_equal(redis_nodes_unsent(f->nodes), 0);
    assert_int_equal(redis_nodes_silent_ms(f->nodes), 0);
}

static void nodes_can_be_walked_through(void **state)
{
    const struct sio_slice args[2] = {redis_arg(SIO_STR("GET")),
                                      redis_arg(SIO_STR("x"))};
    const struct redis_request r = {.args = args, .n = 2};
    struct fixture *f = *state;
    uint32_t node = REDIS_NO_NODE;
    int n = 0;

    come_up(f);
    while ((node = redis_nodes_next(f->nodes, node, false)) != REDIS_NO_NODE) {
        assert_int_equal(redis_nodes_request_at(f->nodes, node, &r, on_answer, f),
                         SIO_OK);
        n++;
    }
    assert_int_equal(n, 3);
    TURN_WHILE(f, f->n_answers < 3);
    for (unsigned i = 0; i < N_NODES; i++)
        assert_int_equal(f->fake[i].n_gets, 1);
    assert_int_equal(redis_nodes_request_at(f->nodes, 77, &r, on_answer, f),
                     SIO_ERR_CLOSED);
    assert_int_equal(redis_nodes_request_at(f->nodes, 100000, &r, on_answer, f),
                     SIO_ERR_CLOSED);
}

static void a_moved_slot_is_followed(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    get_from(f, KEY_0, 0);
    sends_on(f, 0, "MOVED 2503 127.0.0.1", 2);
    get_from(f, KEY_0, 2);
    assert_int_equal(f->fake[0].n_gets, 2);
    get_from(f, KEY_0, 2); /* now without the detour, and the map is read again */
    assert_int_equal(f->fake[0].n_gets, 2);
    TURN_WHILE(f, f->n_learned < 2);
    assert_int_equal(f->n_lost, 0);
}

static void an_asked_slot_is_followed_once(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    sends_on(f, 0, "ASK 2503 ", 1);
    get_from(f, KEY_0, 1);
    assert_int_equal(f->fake[1].n_asking, 1);
    get_from(f, KEY_0, 1);
    assert_int_equal(f->fake[0].n_gets, 2);
    assert_int_equal(f->fake[1].n_asking, 2);
}

static void nobody_is_sent_around_for_ever(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    for (unsigned i = 0; i < N_NODES; i++)
        sends_on(f, i, "MOVED 2503 127.0.0.1", (i + 1) % 3);
    get(f, KEY_0);
    assert_int_equal(f->status, SIO_ERR_REFUSED);
    assert_true(strncmp(f->answer, "MOVED ", 6) == 0);
    assert_int_equal(f->fake[0].n_gets + f->fake[1].n_gets + f->fake[2].n_gets, 6);
}

static void a_node_that_is_not_there_costs_only_its_keys(void **state)
{
    struct fixture *f = *state;

    node_stop(&f->fake[1]);
    come_up(f);
    get(f, KEY_1);
    assert_int_equal(f->status, SIO_ERR_CLOSED);
    assert_int_equal(begin(f, KEY_1), SIO_ERR_CLOSED); /* it is known now */
    assert_int_equal(f->n_lost, 1);
    assert_false(redis_nodes_is_whole(f->nodes));
    get_from(f, KEY_0, 0);
    get_from(f, KEY_2, 2);
    sends_on(f, 0, "MOVED 2503 127.0.0.1", 1);
    get(f, KEY_0);
    assert_int_equal(f->status, SIO_ERR_CLOSED);
    serves(f, 0);
    node_start(&f->fake[1]);
    TURN_WHILE(f, !redis_nodes_is_whole(f->nodes) || f->n_changed == 0);
    get_from(f, KEY_1, 1);
    assert_int_equal(f->n_down, 0);
}

static void another_node_takes_over(void **state)
{
    struct fixture *f = *state;
    uint32_t node;
    int n;

    come_up(f);
    get_from(f, KEY_1, 1);
    node = f->speaker;
    is_silent(f, 1); /* it does not answer */
    n = f->n_answers;
    assert_int_equal(begin(f, KEY_1), SIO_OK);
    TURN_WHILE(f, f->fake[1].n_gets < 2);
    node_stop(&f->fake[1]);
    TURN_WHILE(f, f->n_lost == 0);
    assert_int_equal(f->n_answers, n + 1);
    assert_int_equal(f->status, SIO_ERR_CLOSED);
    assert_int_equal(f->lost, node);
    assert_false(redis_nodes_is_whole(f->nodes));
    set_slots(f, 0, 2, 2);
    TURN_WHILE(f, f->n_changed == 0);
    assert_true(redis_nodes_is_whole(f->nodes));
    get_from(f, KEY_1, 2);
    assert_int_equal(f->n_down, 0);
}

static void the_first_node_is_not_needed_any_more(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    get_from(f, KEY_1, 1);
    node_stop(&f->fake[0]);
    set_slots(f, 1, 1, 2);
    TURN_WHILE(f, f->n_lost == 0);
    get_from(f, NULL, 1);
    TURN_WHILE(f, f->n_changed == 0);
    get_from(f, KEY_0, 1);
    assert_int_equal(f->n_down, 0);
    assert_true(redis_nodes_is_whole(f->nodes));
}

/* Nothing was for the others, so none is connected. */
static void another_node_is_found(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    node_stop(&f->fake[0]);
    set_slots(f, 1, 1, 2);
    TURN_WHILE(f, f->n_down == 0);
    TURN_WHILE(f, f->n_up == 1);
    get(f, NULL);
    assert_int_equal(f->status, SIO_OK);
    get_from(f, KEY_0, 1);
}

static void without_a_map_redirects_are_followed(void **state)
{
    struct fixture *f = *state;

    snprintf(f->slots, sizeof(f->slots), "-NOPERM this user may not\r\n");
    come_up(f);
    assert_non_null(strstr(f->log, "refuses CLUSTER SLOTS: NOPERM this user may not"));
    sends_on(f, 0, "MOVED 9500 127.0.0.1", 1);
    get_from(f, KEY_1, 1);
    get_from(f, KEY_1, 1);
    assert_int_equal(f->fake[0].n_gets, 1);
}

static void strange_maps_do_no_harm(void **state)
{
    static const char *const maps[] = {
        "+OK\r\n",
        ":1\r\n",
        "*0\r\n",
        "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\n?\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$3\r\na b\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:0\r\n",
        "*2\r\n*3\r\n:0\r\n:16383\r\n*0\r\n*3\r\n:0\r\n:16383\r\n*0\r\n",
    };
    struct fixture *f = *state;

    snprintf(f->slots, sizeof(f->slots), "%s", maps[0]);
    come_up(f);
    for (size_t i = 0; i < 3; i++) { /* one a second is asked for */
        unsigned n = f->n_learned;

        snprintf(f->slots, sizeof(f->slots), "%s",
                 maps[i * 3 + (size_t)f->fake[0].port % 3]);
        redis_nodes_doubt(f->nodes);
        TURN_WHILE(f, f->n_learned == n);
        get_from(f, KEY_1, 0);
    }
    set_slots(f, 0, 1, 2);
    TURN_WHILE(f, f->n_changed == 0);
    get_from(f, KEY_1, 1);
}

/* Each slot at another node that is none. */
static void there_are_not_too_many_nodes(void **state)
{
    struct fixture *f = *state;
    size_t n = (size_t)snprintf(f->slots, sizeof(f->slots), "*600\r\n");
    uint32_t node = REDIS_NO_NODE;
    int n_nodes = 0;

    for (unsigned i = 0; i < 600; i++)
        n += (size_t)snprintf(f->slots + n, sizeof(f->slots) - n,
                              "*3\r\n:%u\r\n:%u\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n", i,
                              i, i + 1);
    come_up(f);
    while ((node = redis_nodes_next(f->nodes, node, true)) != REDIS_NO_NODE)
        n_nodes++;
    assert_int_equal(n_nodes, 255); /* and the one that was named */
    get_from(f, KEY_0, 0);
    redis_nodes_free(f->nodes);
    f->nodes = NULL;
}

static void what_is_open_is_answered_at_the_end(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    is_silent(f, 0);
    assert_int_equal(begin(f, KEY_0), SIO_OK);
    TURN_WHILE(f, f->fake[0].n_gets == 0);
    assert_int_equal(begin(f, KEY_1), SIO_OK); /* that one waits to be connected */
    assert_true(redis_nodes_unsent(f->nodes) > 0);
    redis_nodes_free(f->nodes);
    f->nodes = NULL;
    assert_int_equal(f->n_answers, 2);
    assert_int_equal(f->status, SIO_ERR_CLOSED);
    assert_int_equal(f->n_down, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_redis_has_one_connection),
        TEST(one_redis_may_become_a_cluster),
        TEST(commands_go_to_the_node_of_their_key),
        TEST(nodes_can_be_walked_through),
        TEST(a_moved_slot_is_followed),
        TEST(an_asked_slot_is_followed_once),
        TEST(nobody_is_sent_around_for_ever),
        TEST(a_node_that_is_not_there_costs_only_its_keys),
        TEST(another_node_takes_over),
        TEST(the_first_node_is_not_needed_any_more),
        TEST(another_node_is_found),
        TEST(without_a_map_redirects_are_followed),
        TEST(strange_maps_do_no_harm),
        TEST(there_are_not_too_many_nodes),
        TEST(what_is_open_is_answered_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
