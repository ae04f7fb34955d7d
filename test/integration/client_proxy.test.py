#!/usr/bin/python3
"""Our client and the agent through an HTTP proxy, and what they say when it fails them."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from client import Client, Proxy  # noqa: E402
from nuchub import (Server, agent, case, check, equal, free_port, get_json, hub,  # noqa: E402
                    make_ca, make_certificate, program, python_fixture, run_cases,
                    temp_dir, wait_for)


def server(*options):
    port = free_port()
    return Server([program("CONFORMANCE"), "--port", port, *options], port)


def expect_echo(client):
    equal(client.next("connect", "down")[0], "connect")
    expect_message_back(client)


def expect_message_back(client):
    client.say('emit / ["message","through",1]')
    equal(client.next("event")[2], "auth")
    equal(client.next("event")[2:4], ["message-back", ["through", 1]])


def expect_down(why, error=None, **options):
    with Client("http://hub.test:8080", no_reconnect=1, **options) as client:
        line = client.next("down")
        check(why in line[2], f"{line[2]!r}, not {why!r}")
        if error:
            equal(line[1], error)


@case("every transport goes through CONNECT, to a name that only the proxy knows")
def _():
    with server() as s, Proxy(("127.0.0.1", s.port)) as proxy:
        for transport, used in (("websocket", "websocket"), ("polling", "polling"),
                                ("default", "websocket"), ("upgrade", "polling")):
            with Client("http://hub.test:8080", transport=transport,
                        proxy=f"http://127.0.0.1:{proxy.port}") as client:
                expect_echo(client)
                equal(client.all("connect")[0][4], used)
        for head in proxy.asked:
            check(head.startswith("CONNECT hub.test:8080 HTTP/1.1\r\nHost: hub.test:8080"), head)
            check("Authorization" not in head, head)


@case("TLS goes through it end to end, and the server's name is checked")
def _():
    folder = temp_dir()
    ca = make_ca(folder)
    cert, key = make_certificate(folder, ca, "DNS:hub.test")
    with hub("--tls-cert", cert, "--tls-key", key) as h, \
            Proxy(("127.0.0.1", h.port)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        with Client("https://hub.test", proxy=url, ca=ca[0]) as client:
            equal(client.next("connect", "down")[0], "connect")
        with Client("https://other.test", proxy=url, ca=ca[0], no_reconnect=1) as client:
            equal(client.next("down")[2],
                  "certificate of other.test refused: it is for another name")
        with Client("https://hub.test", proxy=url, no_reconnect=1) as client:
            check("refused" in client.next("down")[2])


@case("a login is shown, decoded, and asked for in clear words")
def _():
    with server() as s, Proxy(("127.0.0.1", s.port), login="us@er:pa:ss") as proxy:
        with Client("http://hub.test",
                    proxy=f"http://us%40er:pa%3Ass@127.0.0.1:{proxy.port}") as client:
            expect_echo(client)
        expect_down("it wants a login (status 407)", proxy=f"127.0.0.1:{proxy.port}")
        expect_down("it does not accept the login (status 407)",
                    proxy=f"user:wrong@127.0.0.1:{proxy.port}")


@case("the environment names the proxy, and whom it is not for")
def _():
    with server() as s, Proxy(("127.0.0.1", s.port)) as proxy:
        env = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
        with Client("http://hub.test", env=env) as client:
            expect_echo(client)
        direct = f"http://127.0.0.1:{s.port}"
        with Client(direct, env={**env, "NO_PROXY": "other.test, 127.0.0.0/8"}) as client:
            expect_echo(client)
        equal(proxy.n_visits, 1)
        with Client(direct, env=env, proxy="") as client:
            expect_echo(client)
        equal(proxy.n_visits, 1)
        with Client(direct, env={"ALL_PROXY": f"127.0.0.1:{proxy.port}"}) as client:
            expect_echo(client)
        equal(proxy.n_visits, 2)


@case("a proxy that is not there, or does not connect us, is named with the reason")
def _():
    def say(data):
        return lambda conn: conn.sendall(data)

    def endless(conn):
        conn.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            conn.sendall(b"A: " + b"x" * 4000 + b"\r\n")

    def drip(conn):
        for c in b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100000:
            conn.sendall(bytes([c]))
            try:
                conn.settimeout(0.01)
                if not conn.recv(1):
                    return
            except socket.timeout:
                pass

    closed = free_port()
    expect_down(f"proxy 127.0.0.1 port {closed}: Connection refused",
                proxy=f"127.0.0.1:{closed}")
    expect_down("looking up proxy no-such-host.invalid", proxy="no-such-host.invalid:3128")
    for says, why in (
            (say(b"HTTP/1.1 502 Bad gateway\r\n\r\n"), "CONNECT was answered with status 502"),
            (say(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"), "status 403"),
            (say(b"HTTP/1.1 301 X\r\nLocation: http://x.test\r\n\r\n"), "status 301"),
            (say(b"SSH-2.0-x\r\n"), "the answer is not HTTP/1.1"),
            (say(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n"), "more came than an answer"),
            (say(b""), "it closed the connection"),
            (say(b"HTTP/1.1 200 O"), "it closed the connection"),
            (endless, "the answer is too large")):
        with Proxy(None, says=says) as proxy:
            for transport in ("websocket", "polling"):
                expect_down(f"proxy 127.0.0.1 port {proxy.port}: ", transport=transport,
                            proxy=f"http://127.0.0.1:{proxy.port}")
                expect_down(why, transport=transport, proxy=f"127.0.0.1:{proxy.port}")
    with Proxy(None, says=drip) as proxy:
        expect_down("in time", timeout=300, proxy=f"127.0.0.1:{proxy.port}")


@case("the client comes back when the proxy does")
def _():
    with server() as s:
        with Proxy(("127.0.0.1", s.port)) as proxy:
            port = proxy.port
            client = Client("http://hub.test", proxy=f"127.0.0.1:{port}", delay=20,
                            delay_max=50)
            expect_echo(client)
        with client:
            wait_for(lambda: "Connection refused" in client.next("down")[2], "a refusal")
            with Proxy(("127.0.0.1", s.port), port=port):
                client.next("connect")  # after as many more refusals as there was time for
                expect_message_back(client)


@case("the agent goes out through the only way there is")
def _():
    with hub() as h, Proxy(("127.0.0.1", h.port), login="agent:secret") as proxy:
        env = {"HTTP_PROXY": f"http://agent:secret@127.0.0.1:{proxy.port}"}
        with agent("http://hub.test:8080", "n1", "test://", env=env) as a:
            wait_for(lambda: get_json(h.port, "/api/camaras")["total"] == 1 or
                     not a.running(), "a picture through the proxy")
            check(a.running(), a.log)
            check("secret" not in a.log(), a.log())
            check(all(x.startswith("CONNECT hub.test:8080 ") for x in proxy.asked))


@case("the agent's cameras are not asked for through the proxy")
def _():
    camera_port = free_port()
    with python_fixture("http_camera.py", "open", "--port", camera_port,
                        port=camera_port), hub() as h, \
            Proxy(("127.0.0.1", h.port)) as proxy:
        env = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
        with agent("http://hub.test", "n1", f"cam=http://127.0.0.1:{camera_port}",
                   env=env) as a:
            wait_for(lambda: get_json(h.port, "/api/camaras")["total"] == 1 or
                     "sin_acceso" in a.log(), "a picture")
            check(all(x.startswith("CONNECT hub.test:80 ") for x in proxy.asked),
                  repr(proxy.asked))
            equal(get_json(h.port, "/api/camaras")["total"], 1)


run_cases()
