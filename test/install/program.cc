// A program of somebody else's, in C++17: a server and its client on one loop.
#include <sioc/sioc.h>

#include <iostream>
#include <memory>
#include <string>
#include <string_view>

namespace {

struct Free {
    void operator()(net_loop *p) const { net_loop_free(p); }
    void operator()(sio_server *p) const { sio_server_free(p); }
    void operator()(sio_client *p) const { sio_client_free(p); }
    void operator()(sio_message *p) const { sio_message_free(p); }
};

template <class T> using Owned = std::unique_ptr<T, Free>;

struct App {
    Owned<net_loop> loop;
    std::string greeting;
};

std::string_view view(sio_str s)
{
    return {s.ptr, s.len};
}

} // namespace

int main()
{
    App app;
    sio_diag diag{};
    app.loop.reset(net_loop_new(nullptr, &diag));

    sio_server_options opts{};
    opts.engine.cors = true;
    Owned<sio_server> server{sio_server_new(app.loop.get(), &opts, &diag)};
    static const sio_namespace_ops server_ops{};
    sio_namespace *ns = sio_server_namespace(server.get(), "/", &server_ops, nullptr);
    sio_namespace_on(
        ns, "greet",
        [](sio_socket *, sio_event *e, void *) {
            std::string text = "hello ";
            text += cJSON_GetStringValue(sio_event_json(e, 0));
            sio_event_ackf(e, "s", text.c_str());
        },
        nullptr);
    sio_http_page(sio_server_http(server.get()), "/", "text/plain", "page", 4);
    eio_listen_options where{};
    where.host = "127.0.0.1";
    int port = sio_server_listen(server.get(), &where, &diag);

    const std::string url = "http://127.0.0.1:" + std::to_string(port);
    sio_client_options client_opts{};
    client_opts.url = url.c_str();
    client_opts.proxy = "";
    Owned<sio_client> client{sio_client_new(app.loop.get(), &client_opts, &diag)};
    sio_client_socket_ops ops{};
    ops.on_connect = [](struct sio_client_socket *s, void *user) {
        Owned<sio_message> m{sio_message_newf("greet", "S", sio_str_from("C++"))};
        sio_client_socket_emit_ack(
            s, m.get(), 10000,
            [](int status, sio_event *e, void *user2) {
                auto *a = static_cast<App *>(user2);
                if (status == SIO_OK)
                    a->greeting = view(sio_event_arg(e, 0));
                net_loop_stop(a->loop.get());
            },
            user);
    };
    sio_client_join(client.get(), "/", &ops, &app);
    sio_client_connect(client.get());
    net_loop_run(app.loop.get());
    client.reset();
    server.reset();
    std::cout << app.greeting << diag.text << '\n';
}
