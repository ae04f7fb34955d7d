#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sioc/client.h>

#include "base/list.h"
#include "base/str.h"
#include "hub/hub.h"
#include "loopback.h"
#include "store/store.h"

/* A hundred characters of base64 that begin as a JPEG does. */
#define IMAGE                                                                          \
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYG" \
    "BwkIBgcJBwYGCAsICQoK"

/* A client of a hub, and what it was told. */
struct person {
    struct sio_client *client;
    struct sio_client_socket *socket;
    const char *auth;
    bool connected; /* "connected" has come */
    bool registered;
    bool updated;
    bool asked;
    bool refused;
    bool lost;
    bool closed;
    int n_updates;
    char last[512]; /* argument of the last event */
    char reason[64];
};

static struct sio_str on_auth(struct sio_client_socket *s, void *user)
{
    struct person *p = user;

    (void)s;
    return sio_str_from(p->auth);
}

static void on_event(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct person *p = user;
    struct sio_str name = sio_event_name(e);

    (void)s;
    snprintf(p->last, sizeof(p->last), "%.*s", STR_ARG(sio_event_arg(e, 0)));
    if (str_eq_cstr(name, "connected"))
        p->connected = true;
    else if (str_eq_cstr(name, "registered"))
        p->registered = true;
    else if (str_eq_cstr(name, "capture_snapshot"))
        p->asked = true;
    else if (str_eq_cstr(name, "snapshot_update")) {
        p->updated = true;
        p->n_updates++;
    }
}

static void on_refused(struct sio_client_socket *s, struct sio_str message,
                       struct sio_str data, void *user)
{
    struct person *p = user;

    (void)s;
    (void)data;
    snprintf(p->last, sizeof(p->last), "%.*s", STR_ARG(message));
    p->refused = true;
}

static void on_lost(struct sio_client_socket *s, const char *reason, void *user)
{
    struct person *p = user;

    (void)s;
    snprintf(p->reason, sizeof(p->reason), "%s", reason);
    p->lost = true;
}

static const struct sio_client_socket_ops person_ops = {
    .on_connect_error = on_refused,
    .on_disconnect = on_lost,
    .on_event = on_event,
    .auth = on_auth,
};

static void join(struct person *p, struct net_loop *loop, const struct hub *hub,
                 const char *auth)
{
    char url[64];
    struct sio_client_options opts = {.url = url, .no_reconnect = true};
    struct sio_diag diag = {""};

    *p = (struct person){.auth = auth};
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", hub_port(hub));
    p->client = sio_client_new(loop, &opts, &diag);
    assert_non_null(p->client);
    p->socket = sio_client_join(p->client, "/", &person_ops, p);
    assert_non_null(p->socket);
    assert_int_equal(sio_client_connect(p->client), SIO_OK);
}

static void come(struct person *p, struct net_loop *loop, const struct hub *hub,
                 const char *auth)
{
    join(p, loop, hub, auth);
    loop_until(loop, &p->connected);
}

static void on_client_closed(void *user)
{
    *(bool *)user = true;
}

static void go(struct person *p, struct net_loop *loop)
{
    sio_client_close(p->client, on_client_closed, &p->closed);
    loop_until(loop, &p->closed);
    sio_client_free(p->client);
}

static void say(struct person *p, const char *event, const char *json)
{
    struct sio_message *m = sio_message_new(event);

    assert_non_null(m);
    sio_message_add_raw(m, sio_str_from(json));
    assert_int_equal(sio_client_socket_emit(p->socket, m), SIO_OK);
    sio_message_free(m);
}

static void send_picture(struct person *p, const char *nuc_id)
{
    char json[512];

    snprintf(json, sizeof(json),
             "{\"nuc_id\":\"%s\",\"ip\":\"patio\",\"image\":\"" IMAGE
             "\",\"timestamp\":\"t\",\"estado\":\"activa\"}",
             nuc_id);
    say(p, "snapshot", json);
}

/* The reply to a GET; text must stand in it. */
static void assert_reply(struct net_loop *loop, const struct hub *hub, const char *path,
                         const char *status, const char *text)
{
    struct peer peer;
    char request[256];

    peer_connect(&peer, loop, (uint16_t)hub_port(hub));
    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    peer_send_text(&peer, request);
    peer_wait_end(&peer);
    assert_non_null(peer.data);
    if (!strstr(peer.data, status) || !strstr(peer.data, text))
        fail_msg("%s: no %s, \"%s\" in: %s", path, status, text, peer.data);
    peer_close(&peer);
}

struct fixture {
    struct net_loop *loop;
    struct hub_config config;
    struct hub *hub;
};

static int set_up(void **state)
{
    static struct fixture f;
    struct sio_diag diag = {""};

    f.loop = net_loop_new(NULL, NULL);
    hub_config_defaults(&f.config);
    f.config.port = 0;
    f.config.interval_s = 0; /* asks at the next tick */
    f.hub = hub_new(f.loop, &f.config, &diag);
    *state = &f;
    return f.loop && f.hub ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    hub_free(f->hub);
    net_loop_free(f->loop);
    return 0;
}

static void two_hubs_in_a_process_know_nothing_of_each_other(void **state)
{
    struct fixture *f = *state;
    struct hub *other = hub_new(f->loop, &f->config, NULL);
    struct person agent, viewer, stranger;

    assert_non_null(other);
    come(&agent, f->loop, f->hub, "{\"nuc_id\":\"sede\"}");
    come(&viewer, f->loop, f->hub, "{}");
    come(&stranger, f->loop, other, "{}");
    send_picture(&agent, "sede");
    loop_until(f->loop, &viewer.updated);
    assert_string_equal(viewer.last,
                        "{\"nuc_id\":\"sede\",\"ip\":\"patio\",\"image\":\"" IMAGE
                        "\",\"estado\":\"activa\",\"timestamp\":\"t\"}");
    assert_reply(f->loop, f->hub, "/api/camaras/patio/snapshot", " 200 ",
                 "data:image/jpeg;base64," IMAGE);
    assert_reply(f->loop, f->hub, "/api/camaras/patio/snapshot.jpg", " 200 ",
                 "Content-Type: image/jpeg");
    assert_reply(f->loop, other, "/api/camaras/patio/snapshot", " 404 ",
                 "No hay snapshot disponible");
    assert_false(stranger.updated);
    assert_false(agent.updated);
    go(&agent, f->loop);
    go(&viewer, f->loop);
    go(&stranger, f->loop);
    hub_free(other);
}

static void a_nuc_is_listed_while_one_of_two_sockets_is_there(void **state)
{
    struct fixture *f = *state;
    struct person first, second;

    come(&first, f->loop, f->hub, "{\"nuc_id\":\"sede\"}");
    come(&second, f->loop, f->hub, "{\"nuc_id\":\"sede\"}");
    assert_reply(f->loop, f->hub, "/api/status", " 200 ", "\"nucs_conectados\":1");
    go(&second, f->loop);
    assert_reply(f->loop, f->hub, "/api/nucs", " 200 ", "\"nuc_id\":\"sede\"");
    go(&first, f->loop);
    assert_reply(f->loop, f->hub, "/api/nucs", " 200 ", "\"nucs\":[]");
}

static void a_nuc_speaks_only_in_its_own_name(void **state)
{
    struct fixture *f = *state;
    struct person agent, viewer;

    come(&viewer, f->loop, f->hub, "{}");
    come(&agent, f->loop, f->hub, "{\"nuc_id\":\"sede\"}");
    send_picture(&agent, "otra");
    loop_until(f->loop, &viewer.updated);
    assert_non_null(strstr(viewer.last, "{\"nuc_id\":\"sede\""));
    go(&agent, f->loop);
    go(&viewer, f->loop);
}

static void a_silent_agent_is_asked_for_a_picture(void **state)
{
    struct fixture *f = *state;
    struct person agent;

    come(&agent, f->loop, f->hub, "{\"nuc_id\":\"sede\"}");
    say(&agent, "nuc_register", "{\"nuc_id\":\"sede\",\"camaras\":[\"patio\"]}");
    loop_until(f->loop, &agent.registered);
    loop_until(f->loop, &agent.asked);
    assert_string_equal(agent.last, "{\"ip\":\"patio\"}");
    go(&agent, f->loop);
}

/* The old connection has not ended yet, but who waits has asked nobody else. */
static void who_waits_asks_an_agent_that_has_come_back(void **state)
{
    struct fixture *f = *state;
    struct hub_config config = f->config;
    struct person old, new;
    struct peer peer;
    struct hub *hub;

    config.interval_s = 3600;
    hub = hub_new(f->loop, &config, NULL);
    assert_non_null(hub);
    come(&old, f->loop, hub, "{\"nuc_id\":\"sede\"}");
    say(&old, "nuc_register", "{\"nuc_id\":\"sede\",\"camaras\":[\"patio\"]}");
    loop_until(f->loop, &old.registered);
    peer_connect(&peer, f->loop, (uint16_t)hub_port(hub));
    peer_send_text(&peer, "GET /api/camaras/patio/snapshot?fresh=1 HTTP/1.1\r\n"
                          "Host: x\r\nConnection: close\r\n\r\n");
    loop_until(f->loop, &old.asked);
    come(&new, f->loop, hub, "{\"nuc_id\":\"sede\"}");
    say(&new, "nuc_register", "{\"nuc_id\":\"sede\",\"camaras\":[\"patio\"]}");
    loop_until(f->loop, &new.asked);
    send_picture(&new, "sede");
    peer_wait_end(&peer);
    assert_non_null(strstr(peer.data, " 200 "));
    peer_close(&peer);
    go(&old, f->loop);
    go(&new, f->loop);
    hub_free(hub);
}

static void agents_are_cut_off_at_the_end_and_viewers_told(void **state)
{
    struct fixture *f = *state;
    struct person agent, viewer;
    bool down = false;

    come(&agent, f->loop, f->hub, "{\"nuc_id\":\"sede\"}");
    come(&viewer, f->loop, f->hub, "{}");
    hub_shutdown(f->hub, 5000, on_client_closed, &down);
    loop_until(f->loop, &agent.lost);
    loop_until(f->loop, &viewer.lost);
    loop_until(f->loop, &down);
    assert_string_not_equal(agent.reason, "io server disconnect");
    sio_client_free(agent.client);
    sio_client_free(viewer.client);
}

static void an_agent_needs_the_token_that_is_configured(void **state)
{
    static char general[] = "general", own[] = "propio", sede[] = "sede";
    struct fixture *f = *state;
    struct hub_nuc_config nuc = {sede, own};
    struct hub_config config = f->config;
    struct person without, wrong, right, other, viewer;
    struct hub *hub;

    config.token = general;
    config.nucs = &nuc;
    config.n_nucs = 1;
    hub = hub_new(f->loop, &config, NULL);
    assert_non_null(hub);
    join(&without, f->loop, hub, "{\"nuc_id\":\"sede\"}");
    loop_until(f->loop, &without.refused);
    assert_string_equal(without.last, "No autorizado");
    join(&wrong, f->loop, hub, "{\"nuc_id\":\"sede\",\"token\":\"general\"}");
    loop_until(f->loop, &wrong.refused);
    come(&right, f->loop, hub, "{\"nuc_id\":\"sede\",\"token\":\"propio\"}");
    come(&other, f->loop, hub, "{\"nuc_id\":\"otra\",\"token\":\"general\"}");
    come(&viewer, f->loop, hub, "{}");
    send_picture(&viewer, "sede"); /* no business of a viewer here */
    send_picture(&right, "sede");
    loop_until(f->loop, &viewer.updated);
    assert_int_equal(viewer.n_updates, 1);
    go(&without, f->loop);
    go(&wrong, f->loop);
    go(&right, f->loop);
    go(&other, f->loop);
    go(&viewer, f->loop);
    hub_free(hub);
}

static void says_why_it_does_not_start(void **state)
{
    static char missing[] = "/nonexistent/x.pem", dir[] = "/dev/null/dir";
    struct fixture *f = *state;
    struct hub_config config = f->config;
    struct sio_diag diag = {""};

    config.port = (uint64_t)hub_port(f->hub);
    assert_null(hub_new(f->loop, &config, &diag));
    assert_non_null(strstr(diag.text, "in use"));
    config.port = 0;
    config.tls_cert = missing;
    config.tls_key = missing;
    assert_null(hub_new(f->loop, &config, &diag));
    assert_non_null(strstr(diag.text, missing));
    config.tls_cert = config.tls_key = NULL;
    config.state_dir = dir;
    assert_null(hub_new(f->loop, &config, &diag));
    assert_string_equal(diag.text,
                        "cannot make folder /dev/null/dir/intrusos: Not a directory");
}

/* A host whose name is too long for a sid, instead of that of this machine. */
int gethostname(char *name, size_t size)
{
    static const char host[] = "hub1.a-name-of-thirty-two-bytes-and-more.example.test";

    strncpy(name, host, size);
    errno = ENAMETOOLONG;
    return size >= sizeof(host) ? 0 : -1;
}

static void a_hub_of_many_is_called_as_its_host_begins(void **state)
{
    static char url[] = "redis://127.0.0.1:1";
    struct fixture *f = *state;
    struct hub_config config = f->config;
    struct hub *hub;

    if (store_redis_check(sio_str_from(url), NULL) < 0)
        skip(); /* built without Redis */
    config.redis_url = url;
    config.cluster = HUB_CLUSTER_PUBSUB;
    hub = hub_new(f->loop, &config, NULL);
    assert_non_null(hub);
    assert_reply(f->loop, hub, "/socket.io/?EIO=4&transport=polling", " 200 ",
                 "{\"sid\":\"hub1-a-name-of-thirty-two-bytes-.");
    hub_free(hub);
}

static void makes_the_state_directory(void **state)
{
    static const char *const below[] = {"/a/b/cercas", "/a/b/videos", "/a/b/intrusos",
                                        "/a/b",        "/a",          ""};
    char top[] = "/tmp/test_hub.XXXXXX";
    char dir[64], path[64];
    struct fixture *f = *state;
    struct hub_config config = f->config;
    struct hub *hub;

    assert_non_null(mkdtemp(top));
    snprintf(dir, sizeof(dir), "%s/a/b", top);
    config.state_dir = dir;
    for (int i = 0; i < 2; i++) { /* the second time it is there */
        hub = hub_new(f->loop, &config, NULL);
        assert_non_null(hub);
        hub_free(hub);
    }
    for (size_t i = 0; i < N_ELEMENTS(below); i++) {
        snprintf(path, sizeof(path), "%s%s", top, below[i]);
        assert_int_equal(rmdir(path), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_hubs_in_a_process_know_nothing_of_each_other),
        TEST(a_nuc_is_listed_while_one_of_two_sockets_is_there),
        TEST(a_nuc_speaks_only_in_its_own_name),
        TEST(a_silent_agent_is_asked_for_a_picture),
        TEST(who_waits_asks_an_agent_that_has_come_back),
        TEST(agents_are_cut_off_at_the_end_and_viewers_told),
        TEST(an_agent_needs_the_token_that_is_configured),
        TEST(says_why_it_does_not_start),
        TEST(a_hub_of_many_is_called_as_its_host_begins),
        TEST(makes_the_state_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
