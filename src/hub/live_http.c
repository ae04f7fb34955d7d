#include <config.h>

#include <stdio.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "hub/hub_impl.h"

/*
 * A browser shows a picture when it has read the head of the next part, so each picture
 * is followed by one.
 */
#define TYPE      "multipart/x-mixed-replace; boundary=frame"
#define PART_HEAD "--frame\r\nContent-Type: image/jpeg\r\n\r\n"
#define PART_END  "\r\n" PART_HEAD

#define COOKIE    "visor"
/* What the kernel may hold of pictures that are not on their way yet. */
#define UNSENT_BYTES (16 * 1024)
/* A page opens several streams in one go, before it has a cookie; a busy machine late. */
#define BURST_MS 1500
/* So many of one camera in one go are one browser's, which has six connections. */
#define BURST_MAX 5
/* What a page adds to an address to have it anew is shorter. */
#define QUERY_MAX 40

/*
 * Who looks: a browser that shows the cookie that it was given, or whoever has the same
 * address and the same kind of browser.
 */
struct hub_viewer {
    struct map_node node;
    struct list streams; /* struct hub_stream.in_viewer, oldest first */
    size_t n;
    bool shared; /* known by address: maybe several people */
    size_t key_len;
    char key[];
};

struct hub_stream {
    struct list in_camera;
    struct list in_viewer;
    struct hub *hub;
    struct hub_live_camera *camera;
    struct hub_viewer *viewer;
    struct http_request *request;
    uint64_t opened_ms;
    uint64_t number;               /* of the picture that was sent last; 0: none */
    struct map_node by_given;      /* in live.given, unless given is "" */
    char given[RANDOM_ID_LEN + 1]; /* the cookie that this reply gave */
    char query[QUERY_MAX];         /* the beginning of the request's */
};

/*
 * Pictures.
 */

/* Sends the newest picture if the last one has been taken. */
static void offer(struct hub_stream *s)
{
    struct hub_live_camera *c = s->camera;
    struct sio_slice out[2];

    if (s->number == c->number || http_stream_pending(s->request) > 0)
        return;
    s->number = c->number;
    out[0] = sio_slice_of(c->frame);
    out[1] = (struct sio_slice){NULL, (const uint8_t *)PART_END, strlen(PART_END)};
    http_stream_send(s->request, out, 2); /* on_abort frees s where this fails */
}

static void on_drain(struct http_request *r, void *user)
{
    (void)r;
    offer(user);
}

void hub_live_http_show(struct hub_live_camera *c)
{
    struct list *next;

    for (struct list *l = c->streams.next; l != &c->streams; l = next) {
        next = l->next;
        offer(container_of(l, struct hub_stream, in_camera));
    }
}

/*
 * Viewers.
 */

static struct hub_viewer *find_viewer(struct hub *hub, struct sio_str key)
{
    struct map_node *node = map_find(&hub->live.viewers, key);

    return node ? container_of(node, struct hub_viewer, node) : NULL;
}

static struct hub_viewer *get_viewer(struct hub *hub, struct sio_str key, bool shared)
{
    struct hub_viewer *v = find_viewer(hub, key);

    if (v)
        return v;
    v = mem_alloc(sizeof(*v) + key.len);
    if (!v)
        return NULL;
    memcpy(v->key, key.ptr, key.len);
    v->key_len = key.len;
    v->shared = shared;
    list_init(&v->streams);
    if (map_add(&hub->live.viewers, &v->node, (struct sio_str){v->key, key.len}) < 0) {
        mem_free(v);
        return NULL;
    }
    return v;
}

static void drop_viewer_if_gone(struct hub *hub, struct hub_viewer *v)
{
    if (v->n > 0)
        return;
    map_remove(&hub->live.viewers, &v->node);
    mem_free(v);
}

static void move_to_viewer(struct hub_stream *s, struct hub_viewer *v)
{
    if (s->viewer)
        s->viewer->n--;
    list_remove(&s->in_viewer);
    list_append(&v->streams, &s->in_viewer);
    s->viewer = v;
    v->n++;
}

/* The value of our cookie, if it is one that we may have given; else len 0. */
static struct sio_str cookie_of(const struct http_request *r)
{
    struct sio_str rest = http_request_field(r, "Cookie");

    while (rest.ptr) {
        struct sio_str value = str_trim(str_cut(&rest, ';'));
        struct sio_str name = str_cut(&value, '=');
        bool good = str_eq_cstr(name, COOKIE) && value.len == RANDOM_ID_LEN;

        for (size_t i = 0; good && i < value.len; i++)
            good = (value.ptr[i] >= '0' && value.ptr[i] <= '9') ||
                   (value.ptr[i] >= 'a' && value.ptr[i] <= 'z') ||
                   (value.ptr[i] >= 'A' && value.ptr[i] <= 'Z') ||
                   value.ptr[i] == '-' || value.ptr[i] == '_';
        if (good)
            return value;
    }
    return (struct sio_str){"", 0};
}

/* The address as the nearest proxy saw it, where there is one, and the browser. */
static struct hub_viewer *shared_viewer(struct hub *hub, struct http_request *r)
{
    char address[NET_ADDR_SIZE];
    struct hub_viewer *v = NULL;
    struct wbuf w;

    wbuf_init(&w, 64 * 1024);
    wbuf_add_byte(&w, '|'); /* no cookie begins so */
    wbuf_add_str(&w, hub_api_client_address(hub, r, address));
    wbuf_add_byte(&w, '|');
    wbuf_add_str(&w, http_request_field(r, "User-Agent"));
    if (w.error == SIO_OK)
        v = get_viewer(hub, wbuf_str(&w), true);
    wbuf_fini(&w);
    return v;
}

static bool looks_at(const struct hub_viewer *v, const struct hub_live_camera *camera)
{
    const struct hub_stream *s;

    list_for_each (s, struct hub_stream, in_viewer, &v->streams)
        if (s->camera == camera)
            return true;
    return false;
}

/* The streams of v that were opened in one go up to l, of that camera: how many. */
static size_t count_burst(const struct hub_viewer *v, const struct list *l,
                          const struct hub_live_camera *camera,
                          struct hub_stream **oldest)
{
    uint64_t at = container_of(l, struct hub_stream, in_viewer)->opened_ms;
    size_t n = 0;

    for (; l != &v->streams; l = l->prev) {
        struct hub_stream *s = container_of(l, struct hub_stream, in_viewer);

        if (at - s->opened_ms > BURST_MS)
            break;
        at = s->opened_ms;
        if (s->camera != camera)
            continue;
        *oldest = s;
        n++;
    }
    return n;
}

/*
 * Of the streams that were opened in one go from first to last: whether all are refreshes
 * of that camera by one page.  A page does not open the same address twice.
 */
static bool is_one_page(const struct list *first, const struct list *last,
                        const struct hub_live_camera *camera)
{
    const struct list *end = last->next;

    for (const struct list *l = first; l != end; l = l->next) {
        const struct hub_stream *s = container_of(l, struct hub_stream, in_viewer);

        if (s->camera != camera)
            return false;
        for (const struct list *m = l->next; m != end; m = m->next)
            if (strcmp(s->query,
                       container_of(m, struct hub_stream, in_viewer)->query) == 0)
                return false;
    }
    return true;
}

/*
 * Moves what was opened in one go with v's first stream, from l on to older or newer
 * ones: each of another camera, unless all are one browser's.
 */
static void take_burst(struct hub_viewer *v, struct hub_viewer *shared, struct list *l,
                       bool older, bool all)
{
    const struct hub_stream *own =
        container_of(v->streams.next, struct hub_stream, in_viewer);
    uint64_t at = own->opened_ms;
    struct list *next;

    for (; l != &shared->streams; l = next) {
        struct hub_stream *s = container_of(l, struct hub_stream, in_viewer);

        next = older ? l->prev : l->next;
        if ((older ? at - s->opened_ms : s->opened_ms - at) > BURST_MS ||
            (!all && looks_at(v, s->camera)))
            break;
        at = s->opened_ms;
        move_to_viewer(s, v);
        if (older) {
            list_remove(&s->in_viewer);
            list_prepend(&v->streams, &s->in_viewer);
        }
    }
}

static bool in_one_go(const struct list *older, const struct list *newer)
{
    return container_of(newer, struct hub_stream, in_viewer)->opened_ms -
               container_of(older, struct hub_stream, in_viewer)->opened_ms <=
           BURST_MS;
}

/* Its owner is known now: takes the stream that the cookie was given with, and others. */
static void take_own(struct hub_viewer *v, struct hub_viewer *shared,
                     struct hub_stream *own)
{
    struct list *older = own->in_viewer.prev, *newer = own->in_viewer.next;
    struct list *first = &own->in_viewer, *last = &own->in_viewer;
    struct hub_stream *oldest;
    bool all;

    while (first->prev != &shared->streams && in_one_go(first->prev, first))
        first = first->prev;
    while (last->next != &shared->streams && in_one_go(last, last->next))
        last = last->next;
    all = is_one_page(first, last, own->camera) ||
          count_burst(shared, last, own->camera, &oldest) >= BURST_MAX;
    move_to_viewer(own, v);
    take_burst(v, shared, newer, false, all);
    take_burst(v, shared, older, true, all);
}

/*
 * What this cookie was given with, when its owner was not known yet, is its owner's.  The
 * replies to what was opened in one go give a browser one cookie after the other: who
 * showed an earlier one was the same.
 */
static void adopt(struct hub *hub, struct hub_viewer *v)
{
    struct map_node *node =
        map_find(&hub->live.given, (struct sio_str){v->key, v->key_len});
    struct hub_stream *own =
        node ? container_of(node, struct hub_stream, by_given) : NULL;
    struct hub_viewer *before = own ? own->viewer : NULL;

    if (!before)
        return;
    if (before->shared)
        take_own(v, before, own);
    else
        while (before->n > 0)
            move_to_viewer(
                container_of(before->streams.next, struct hub_stream, in_viewer), v);
    drop_viewer_if_gone(hub, before);
}

/*
 * Streams.
 */

static void drop_stream(struct hub_stream *s)
{
    struct hub *hub = s->hub;

    if (s->request)
        http_request_set_data(s->request, NULL);
    list_remove(&s->in_camera);
    list_remove(&s->in_viewer);
    if (s->given[0])
        map_remove(&hub->live.given, &s->by_given);
    hub->live.n_streams--;
    if (s->viewer) {
        s->viewer->n--;
        drop_viewer_if_gone(hub, s->viewer);
    }
    mem_free(s);
}

/*
 * Cut, not ended: a page takes an ended stream for a finished picture, and shows that
 * again instead of asking.
 */
static void cut_stream(struct hub_stream *s)
{
    struct http_request *r = s->request;

    drop_stream(s);
    http_stream_cut(r);
}

/* The oldest that has a newer one of the same camera, or NULL. */
static struct hub_stream *oldest_replaced(const struct hub_viewer *v,
                                          const struct hub_live_camera *camera,
                                          size_t keep)
{
    struct hub_stream *s, *other;

    list_for_each (s, struct hub_stream, in_viewer, &v->streams) {
        size_t newer = 0;

        if (camera && s->camera != camera)
            continue;
        for (struct list *l = s->in_viewer.next; l != &v->streams; l = l->next) {
            other = container_of(l, struct hub_stream, in_viewer);
            newer += other->camera == s->camera;
        }
        if (newer > keep)
            return s;
    }
    return NULL;
}

/*
 * Pages leave streams open that nobody sees any more, and a browser has six connections
 * for a host: what a newer stream has replaced ends.  s is the newest of its viewer.  One
 * older stream of the same camera stays, for a full view beside its tile, while there is
 * room.
 */
static void make_room(struct hub_stream *s)
{
    struct hub_viewer *v = s->viewer;
    size_t people = v->shared ? s->hub->config->live_shared : 1;
    size_t most = people * s->hub->config->live_viewer_streams;
    struct hub_stream *old;

    while (v->shared && count_burst(v, &s->in_viewer, s->camera, &old) > BURST_MAX)
        cut_stream(old);
    while ((old = oldest_replaced(v, s->camera, 2 * people - 1)) != NULL)
        cut_stream(old);
    while (v->n + 1 >= most && (old = oldest_replaced(v, NULL, 0)) != NULL)
        cut_stream(old);
    while (v->n > most)
        cut_stream(container_of(v->streams.next, struct hub_stream, in_viewer));
}

/* given has room for RANDOM_ID_LEN + 1. */
static void give_cookie(struct hub *hub, struct http_request *r, char *given)
{
    char text[160];
    int len;

    random_id(net_loop_random(hub->loop), given);
    /* The one form that comes back to a page of another site, and that needs TLS. */
    len = snprintf(text, sizeof(text),
                   COOKIE "=%s; Path=/; Max-Age=31536000; HttpOnly; %s", given,
                   hub_api_is_secure(hub, r) ? "Secure; SameSite=None; Partitioned"
                                             : "SameSite=Lax");
    http_reply_field(r, "Set-Cookie", (struct sio_str){text, (size_t)len});
}

void hub_live_http_greet(struct hub *hub, struct http_request *r)
{
    char given[RANDOM_ID_LEN + 1];

    if (cookie_of(r).len == 0)
        give_cookie(hub, r, given);
}

static struct hub_stream *new_stream(struct hub *hub, struct http_request *r,
                                     struct hub_live_camera *camera)
{
    struct sio_str cookie = cookie_of(r);
    struct hub_viewer *v =
        cookie.len > 0 ? get_viewer(hub, cookie, false) : shared_viewer(hub, r);
    struct hub_stream *s = v ? mem_new(struct hub_stream) : NULL;

    if (!s) {
        if (v)
            drop_viewer_if_gone(hub, v);
        return NULL;
    }
    s->hub = hub;
    s->opened_ms = net_loop_now_ms(hub->loop);
    s->camera = camera;
    s->request = r;
    (void)snprintf(s->query, sizeof(s->query), "%.*s", STR_ARG(http_request_query(r)));
    list_init(&s->in_viewer);
    list_init(&s->in_camera);
    if (cookie.len > 0 && v->n == 0)
        adopt(hub, v);
    move_to_viewer(s, v);
    list_append(&camera->streams, &s->in_camera);
    hub->live.n_streams++;
    http_request_set_data(r, s);
    if (cookie.len == 0) {
        give_cookie(hub, r, s->given);
        if (map_add(&hub->live.given, &s->by_given, sio_str_from(s->given)) < 0)
            s->given[0] = '\0';
    }
    return s;
}

/* The head.  s: the stream, or NULL where only the head was asked for. */
static int reply_head(struct http_request *r, struct hub_stream *s)
{
    http_reply_field(r, "Cache-Control", SIO_STR("no-store"));
    http_reply_field(r, "X-Accel-Buffering", SIO_STR("no"));
    http_reply_close(r);
    return http_stream_begin(r, 200, TYPE, on_drain, s);
}

static void begin(struct hub_stream *s)
{
    static const struct sio_slice head = {NULL, (const uint8_t *)PART_HEAD,
                                          sizeof(PART_HEAD) - 1};
    struct http_request *r = s->request;
    struct net_conn *conn = http_request_conn(r);

    if (reply_head(r, s) < 0) {
        s->request = NULL; /* the connection has gone: no on_abort comes */
        drop_stream(s);
        return;
    }
    net_conn_set_marks(conn, 1, 0); /* on_drain whenever a picture is taken */
    net_conn_set_unsent(conn, UNSENT_BYTES);
    if (http_stream_send(r, &head, 1) < 0)
        return;
    /* The first picture goes out with the head, whatever else is said. */
    s->number = s->camera->number;
    http_stream_send(
        r,
        (struct sio_slice[]){sio_slice_of(s->camera->frame),
                             {NULL, (const uint8_t *)PART_END, sizeof(PART_END) - 1}},
        2);
}

static void on_stream(struct http_request *r, void *user)
{
    struct hub *hub = user;
    struct sio_str ip = http_request_param(r, 0);
    struct hub_live_camera *camera;
    struct hub_stream *s;

    if (!hub_registry_check_ip(ip)) {
        http_reply_error(r, 404, "Cámara no encontrada");
        return;
    }
    if (hub->live.n_streams >= hub->config->live_max_streams || hub->n_closing > 0) {
        http_reply_error(r, 503, "Demasiadas vistas en vivo");
        return;
    }
    if (http_request_is_head(r)) {
        reply_head(r, NULL);
        return;
    }
    camera = hub_live_open(hub, ip);
    if (!camera) {
        http_reply_error(r, 503, "Demasiadas vistas en vivo");
        return;
    }
    s = new_stream(hub, r, camera);
    if (!s) {
        http_reply_error(r, 500, "Error interno");
        return;
    }
    make_room(s);
    begin(s);
}

static void on_abort(struct http_request *r, void *user)
{
    struct hub_stream *s = http_request_data(r);

    (void)user;
    if (s)
        drop_stream(s);
}

/*
 * The page cannot say which stream it means, and it would be wrong to end another
 * viewer's: a viewer stops by closing.
 */
static void on_stop(struct http_request *r, void *user)
{
    struct wbuf text;

    (void)user;
    wbuf_init(&text, HUB_REPLY_MAX);
    wbuf_addf(&text, "Stream de %.*s detenido", STR_ARG(http_request_param(r, 0)));
    hub_api_reply_message(r, &text, NULL);
}

int hub_live_http_init(struct hub *hub)
{
    static const struct hub_route routes[] = {
        {HTTP_GET,
         "/api/camaras/:/stream",
         {.on_request = on_stream, .on_abort = on_abort}},
        {HTTP_POST,
         "/api/camaras/:/stream/stop",
         {.on_request = on_stop, .max_body = 65536}},
    };

    return hub_api_add_routes(hub, routes, N_ELEMENTS(routes));
}

void hub_live_cut(struct hub *hub)
{
    struct hub_live_camera *c;

    list_for_each (c, struct hub_live_camera, link, &hub->live.cameras)
        while (!list_empty(&c->streams))
            cut_stream(container_of(c->streams.next, struct hub_stream, in_camera));
}

void hub_live_http_fini(struct hub *hub)
{
    map_fini(&hub->live.viewers);
    map_fini(&hub->live.given);
}
