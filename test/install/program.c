/*
 * A program of somebody else's: a server and its client on one loop.  It has functions of
 * its own with names that the library uses inside.
 */
#include <sioc/sioc.h>

#include <stdio.h>

/* A static library that does not keep its names to itself would call these, or not link. */
int map_add(void);
int http_reply(void);
int net_conn_send(void);
int json_check(void);
int mem_alloc(void);
int log_write(void);

int map_add(void)
{
    return 1;
}

int http_reply(void)
{
    return 1;
}

int net_conn_send(void)
{
    return 1;
}

int json_check(void)
{
    return 1;
}

int mem_alloc(void)
{
    return 1;
}

int log_write(void)
{
    return 1;
}

struct app {
    struct net_loop *loop;
    int sum;
};

static void on_add(struct sio_socket *s, struct sio_event *e, void *user)
{
    double a = cJSON_GetNumberValue(sio_event_json(e, 0));
    double b = cJSON_GetNumberValue(sio_event_json(e, 1));

    (void)s;
    (void)user;
    sio_event_ackf(e, "i", (int)(a + b));
}

static void on_sum(int status, struct sio_event *e, void *user)
{
    struct app *app = user;

    if (status == SIO_OK)
        app->sum = (int)cJSON_GetNumberValue(sio_event_json(e, 0));
    net_loop_stop(app->loop);
}

static void on_connect(struct sio_client_socket *s, void *user)
{
    struct sio_message *m = sio_message_newf("add", "ii", 40, 2);

    sio_client_socket_emit_ack(s, m, 10000, on_sum, user);
    sio_message_free(m);
}

int main(void)
{
    static const struct sio_namespace_ops server_ops = {NULL};
    static const struct sio_client_socket_ops client_ops = {.on_connect = on_connect};
    struct sio_diag diag = {""};
    struct app app = {net_loop_new(NULL, &diag), 0};
    struct sio_server_options opts = {.engine = {.cors = true}};
    struct eio_listen_options where = {.host = "127.0.0.1"};
    struct sio_server *server = sio_server_new(app.loop, &opts, &diag);
    struct sio_namespace *ns = sio_server_namespace(server, "/", &server_ops, NULL);
    int port = sio_server_listen(server, &where, &diag);
    char url[64];
    struct sio_client_options client_opts = {.url = url, .proxy = ""};
    struct sio_client *client;

    sio_namespace_on(ns, "add", on_add, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", port);
    client = sio_client_new(app.loop, &client_opts, &diag);
    sio_client_join(client, "/", &client_ops, &app);
    sio_client_connect(client);
    net_loop_run(app.loop);
    sio_client_free(client);
    sio_server_free(server);
    net_loop_free(app.loop);
    printf("%d%s\n", app.sum, diag.text);
    return map_add() + http_reply() + net_conn_send() + json_check() + mem_alloc() +
               log_write() !=
           6;
}
