#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "hub/hub.h"
#include "store/store.h"

#define TURNS 60
#define IMAGE \
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYF"
#define IMAGE_2 "BgYGBwkIBgcJBwYGCAsICQoKAAAA"
#define EVENTS                                                                      \
    "42[\"nuc_register\",{\"nuc_id\":\"sede\",\"camaras\":[\"a\",\"b\"]}]\x1e"      \
    "421[\"snapshot\",{\"nuc_id\":\"otra\",\"ip\":\"a\",\"image\":\"" IMAGE IMAGE_2 \
    "\"}]\x1e"                                                                      \
    "422[\"snapshot_error\",{\"ip\":\"b\",\"error\":\"x\"}]\x1e"                    \
    "42[\"event\",{\"a\":1}]\x1e"                                                   \
    "421[\"snapshot\",{\"nuc_id\":\"sede\",\"ip\":\"a\",\"image\":\"" IMAGE IMAGE_2 \
    "\",\"timestamp\":\"t\",\"estado\":\"activa\"}]"

struct talk {
    struct net_loop *loop;
    const struct hub *hub;
    int turns; /* of the loop, for one request */
    char reply[65536];
};

/* One request over a connection of its own.  There may be no reply. */
static void ask(struct talk *t, const char *method, const char *path, const char *body)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)hub_port(t->hub))};
    static char request[8192];
    size_t len = 0;
    ssize_t n = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    snprintf(request, sizeof(request),
             "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
             "Content-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             method, path, strlen(body), body);
    assert_true(send(fd, request, strlen(request), MSG_NOSIGNAL) > 0);
    for (int i = 0; i < t->turns && n != 0; i++) {
        net_loop_run_once(t->loop, i < t->turns / 2 ? 0 : 1);
        n = recv(fd, t->reply + len, sizeof(t->reply) - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
    }
    t->reply[len] = '\0';
    close(fd);
}

static void be_a_client(struct talk *t, const char *connect)
{
    static const char field[] = "\"sid\":\"";
    const char *sid;
    char path[128];

    ask(t, "GET", "/socket.io/?EIO=4&transport=polling", "");
    sid = strstr(t->reply, field);
    if (!sid)
        return;
    sid += strlen(field);
    snprintf(path, sizeof(path), "/socket.io/?EIO=4&transport=polling&sid=%.*s",
             (int)strcspn(sid, "\""), sid);
    ask(t, "POST", path, connect);
    ask(t, "POST", path, EVENTS);
    ask(t, "GET", path, "");
}

/* Whatever allocation fails, it costs at most a reply or a connection. */
static void lives_on_when_memory_ends_for_a_moment(void **state)
{
    static const char *const paths[] = {"/",
                                        "/api/status",
                                        "/api/nucs",
                                        "/api/camaras",
                                        "/api/camaras/detectar",
                                        "/api/camaras/a/snapshot",
                                        "/api/camaras/a/snapshot.jpg"};
    static char ip[] = "a";
    struct hub_camera_config camera = {ip, NULL, NULL};
    static struct talk t;
    struct hub_config config;

    (void)state;
    t.turns = TURNS;
    hub_config_defaults(&config);
    config.port = 0;
    config.cameras = &camera;
    config.n_cameras = 1;
    alloc_fail_each(n)
    {
        struct hub *hub;

        t.loop = net_loop_new(NULL, NULL);
        if (!t.loop)
            continue;
        t.hub = hub = hub_new(t.loop, &config, NULL);
        if (hub) {
            be_a_client(&t, "40{\"nuc_id\":\"sede\"}");
            be_a_client(&t, "40");
            for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                ask(&t, "GET", paths[i], "");
        }
        hub_free(hub);
        net_loop_free(t.loop);
    }
    /* The last round had all the memory it wanted. */
    assert_non_null(strstr(t.reply, "200 OK"));
    assert_non_null(strstr(t.reply, "image/jpeg"));
}

/* The same for files, settings and live view; fences are whole, whatever happens. */
static void screens_live_on_too(void **state)
{
    static const char line[] = "{\"lineas\":[{\"x1\":1,\"y1\":2,\"x2\":3,\"y2\":4,"
                               "\"nombre\":\"\u00f1\"}]}";
    static const char *const paths[] = {"/api/camaras/a/stream",
                                        "/api/camaras/a/stream",
                                        "/api/camaras/a/snapshot?fresh=1",
                                        "/api/intrusos",
                                        "/api/videos",
                                        "/api/ip",
                                        "/api/camaras/configuradas",
                                        "/api/configuracion",
                                        "/api/cercas",
                                        "/api/cercas/a"};
    char folder[] = "/tmp/test_hub_alloc.XXXXXX";
    static const char *const names[] = {"cercas/config_cercas_a.json",
                                        "cercas/config_cercas_a.json.bak",
                                        "cercas",
                                        "videos",
                                        "intrusos",
                                        ""};
    struct hub_config config;
    static struct talk t;
    char path[100];

    (void)state;
    assert_non_null(mkdtemp(folder));
    t.turns = 12;
    hub_config_defaults(&config);
    config.port = 0;
    config.state_dir = folder;
    alloc_fail_each(n)
    {
        struct hub *hub;

        t.loop = net_loop_new(NULL, NULL);
        if (!t.loop)
            continue;
        t.hub = hub = hub_new(t.loop, &config, NULL);
        if (hub) {
            ask(&t, "POST", "/api/cercas/a", line);
            ask(&t, "DELETE", "/api/cercas/a/otra", "");
            ask(&t, "POST", "/api/camaras/a/stream/stop", "");
            for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                ask(&t, "GET", paths[i], "");
        }
        hub_free(hub);
        net_loop_free(t.loop);
    }
    assert_non_null(strstr(t.reply, "\"total\":1"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_int_equal(remove(path), 0);
    }
}

/* One of many, whose Redis is away. */
static void so_does_a_hub_of_a_cluster(void **state)
{
    static char url[] = "redis://127.0.0.1:1", name[] = "h";
    static const char *const paths[] = {
        "/api/status", "/api/nucs", "/api/camaras/a/snapshot", "/api/camaras/a/stream"};
    struct hub_config config;
    static struct talk t;

    (void)state;
    if (store_redis_check(sio_str_from(url), NULL) < 0)
        skip();
    t.turns = 12;
    hub_config_defaults(&config);
    config.port = 0;
    config.redis_url = url;
    config.cluster = HUB_CLUSTER_PUBSUB;
    config.cluster_name = name;
    alloc_fail_each(n)
    {
        struct hub *hub;

        t.loop = net_loop_new(NULL, NULL);
        if (!t.loop)
            continue;
        t.hub = hub = hub_new(t.loop, &config, NULL);
        if (hub) {
            be_a_client(&t, "40{\"nuc_id\":\"sede\"}");
            be_a_client(&t, "40");
            for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                ask(&t, "GET", paths[i], "");
        }
        hub_free(hub);
        net_loop_free(t.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_on_when_memory_ends_for_a_moment),
        cmocka_unit_test(screens_live_on_too),
        cmocka_unit_test(so_does_a_hub_of_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
