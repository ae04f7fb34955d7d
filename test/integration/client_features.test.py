#!/usr/bin/python3
"""What our client can do beyond echo, against node's socket.io, python-socketio and ours."""

import json
import os
import signal
import sys
from itertools import groupby

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from client import Client, Proxy  # noqa: E402
from nuchub import (FIXTURES, Server, case, check, equal, free_port, program,  # noqa: E402
                    run_cases, wait_for)

TRANSPORTS = ("websocket", "polling", "upgrade")


def node(port=None, **env):
    port = port or free_port()
    return Server(["node", os.path.join(FIXTURES, "echo_server.mjs"), port], port, env)


def python(**env):
    port = free_port()
    return Server(["/usr/bin/python3", os.path.join(FIXTURES, "echo_server.py"), port], port,
                  env)


def ours(*options):
    port = free_port()
    return Server([program("CONFORMANCE"), "--port", port, *options], port)


def url(server):
    return f"http://127.0.0.1:{server.port}"


def expect_echo(client, *args, ns="/"):
    client.say(f'emit {ns} {json.dumps(["message", *args])}')
    equal(next_event(client, "message-back")[:len(args)], list(args))


def next_event(client, name):
    """The arguments of the next event of that name."""
    while True:
        line = client.next("event")
        if line[2] == name:
            return line[3]


# ---- recovery ----

def recovers(server):
    with server as s:
        for transport in TRANSPORTS:
            with Proxy(("127.0.0.1", s.port)) as proxy, \
                    Client(url(s), proxy=f"127.0.0.1:{proxy.port}", transport=transport,
                           delay=10, delay_max=20) as client, \
                    Client(url(s)) as other:
                first = client.next("connect")
                equal(first[3], False)
                other.next("connect")
                client.say('ack / 10000 ["join","room"]')
                client.next("ack")
                if transport == "upgrade":
                    wait_for(lambda: proxy.n_visits >= 2, "the upgrade")
                expect_echo(client, "something", "with an offset")
                other.say(f'ack / 10000 ["watch","{first[2]}"]')
                equal(other.next("ack")[2], [True])
                proxy.cut()
                client.next("disconnect")
                equal(next_event(other, "left")[0], first[2])
                for i in range(3):
                    other.say(f'emit / ["in-room","room","missed",{i}]')
                expect_echo(other, "all of it was sent")
                proxy.gate.set()
                again = client.next("connect")
                equal(again[2:4], [first[2], True], f"{transport}: id and recovered")
                for i in range(3):
                    equal(next_event(client, "missed")[0], i)


@case("node: a lost connection is taken up where it was")
def _():
    recovers(node(RECOVERY="1"))


@case("ours: a lost connection is taken up where it was")
def _():
    recovers(ours("--recovery"))


@case("a server that does not recover, or has forgotten: a new socket")
def _():
    for server in (node(), python(), ours()):
        with server as s, Proxy(("127.0.0.1", s.port)) as proxy, \
                Client(url(s), proxy=f"127.0.0.1:{proxy.port}", delay=10,
                       delay_max=20) as client:
            first = client.next("connect")
            expect_echo(client, "x")
            proxy.cut()
            client.next("disconnect")
            proxy.gate.set()
            again = client.next("connect", "down")
            if again[0] == "down":
                again = client.next("connect")
            check(again[2] != first[2] and again[3] is False, again)
    port = free_port()
    with node(port, RECOVERY="1") as s, Client(url(s), delay=10, delay_max=20) as client:
        first = client.next("connect")
        expect_echo(client, "x")
        s.kill()
        client.next("disconnect")
        s.start()
        again = client.next("connect")
        check(again[2] != first[2] and again[3] is False, again)


# ---- retries and the send buffer ----

@case("node: retries bring every event, in order, until it is acknowledged")
def _():
    with node() as s:
        for transport in TRANSPORTS:
            with Client(url(s), transport=transport, retries=40, ack_timeout=60) as client:
                client.next("connect")
                client.say(f'ack / 0 ["flaky","{transport}-one",3]')
                client.say(f'ack / 0 ["flaky","{transport}-two",2]')
                # An answer may be late, and then there is one try more.
                for name, least in (("one", 3), ("two", 2)):
                    got = client.next("ack")
                    check(got[1] == "no error" and got[2][0] >= least, (name, got))
                tried = [e[3][0].rpartition("-")[2] for e in client.all("event")
                         if e[2] == "tried"]
                equal([name for name, _ in groupby(tried)], ["one", "two"])
                check(tried.count("one") >= 3 and tried.count("two") >= 2, tried)
                client.say(f'ack / 0 ["flaky","{transport}-never",1000]')
                equal(client.next("ack")[1], "timed out")


@case("node: a retried event survives the server's end; what was emitted meanwhile follows")
def _():
    port = free_port()
    with node(port) as s, Client(url(s), retries=50, ack_timeout=60000, delay=10,
                                 delay_max=20) as client:
        client.next("connect")
        client.say('ack / 0 ["flaky","survivor",2]')
        next_event(client, "tried")
        s.kill()
        client.next("disconnect")
        client.say('ack / 0 ["message-with-ack","later"]')
        s.start()
        client.next("connect")
        next_event(client, "tried")
        client.say('emit / ["flaky","survivor",1]')  # waits its turn behind the others
        s.kill()
        s.start()
        client.next("connect")
        next_event(client, "tried")
        client.stop()


def buffers(offline, events, wanted):
    port = free_port()
    with node(port) as s, Client(url(s), delay=10, delay_max=20, offline=offline,
                                 max_queue=3000) as client:
        client.next("connect")
        expect_echo(client, "warm")
        s.kill()
        client.next("disconnect")
        for e in events:
            client.say(f'emit / ["message",{e},"{"x" * 1000}"]')
        client.say('volatile / ["message","volatile"]')
        s.start()
        client.next("connect")
        for w in wanted:
            equal(next_event(client, "message-back")[0], w)
        expect_echo(client, "end")
        return [line[1] for line in client.all("error")]


@case("node: what is emitted while the server is away is kept, replaced or dropped as chosen")
def _():
    errors = buffers("keep", [0, 1, 2, 3], [0, 1])
    equal(len(errors), 3, errors)
    errors = buffers("newest", [0, 1, 2, 3], [2, 3])
    equal(len(errors), 1, errors)
    errors = buffers("drop", [0, 1, 2, 3], [])
    equal(len(errors), 5, errors)


# ---- compression ----

def compresses(server):
    text = "all of this text looks like the rest of it; " * 4000
    with server as s, Proxy(("127.0.0.1", s.port)) as proxy:
        for deflate in ({"deflate": "on"}, {}):
            before = proxy.n_bytes
            with Client(url(s), proxy=f"127.0.0.1:{proxy.port}", transport="websocket",
                        **deflate) as client:
                client.next("connect")
                for i in range(3):
                    expect_echo(client, text, i)
                client.say("bytes / " + "00ff" * 30000)
                line = client.next("event")
                equal(line[2], "message-back")
                equal(line[4], ["00ff" * 30000])
            went = proxy.n_bytes - before
            check(went < 60000 if deflate else went > 1000000, f"{deflate}: {went} bytes")


@case("node: messages are compressed both ways where both want it")
def _():
    compresses(node(DEFLATE="1"))


@case("ours: messages are compressed both ways where both want it")
def _():
    compresses(ours("--deflate"))


@case("a server that does not compress is spoken to without")
def _():
    for server in (node(), python(), ours()):
        with server as s, Client(url(s), transport="websocket", deflate="on") as client:
            client.next("connect")
            expect_echo(client, "x" * 5000)


@case("node: MessagePack, where the server speaks that")
def _():
    with node(MSGPACK="1") as s:
        for transport in TRANSPORTS:
            with Client(url(s), transport=transport, msgpack="on") as client:
                client.next("connect", "down")
                expect_echo(client, "text", 1, 2.5, None, {"a": [True]})
                client.say("bytes / 00ff10")
                equal(client.next("event")[3:], [[{"_placeholder": True, "num": 0}], ["00ff10"]])


# ---- namespaces ----

@case("a namespace is refused with data, and joined with the right auth")
def _():
    for server in (node(), python(), ours()):
        with server as s, Client(url(s), watch=1) as client:
            client.next("connect")
            client.say("add /restricted")
            line = client.next("refused")
            equal(line[1:3], ["/restricted", "unauthorized"])
            equal(line[3], {"code": "E_AUTH"})
            expect_echo(client, "the connection lives")
            client.say("add /no-such-namespace")
            equal(client.next("refused")[1], "/no-such-namespace")
            expect_echo(client, "and lives on")
        with server as s, Client(url(s), auth='{"token":"secret"}') as client:
            equal(next_event(client, "auth")[0], {"token": "secret"})


@case("a namespace is left and joined again while the others stay")
def _():
    for server in (node(), python(), ours()):
        with server as s, Client(url(s), watch=1) as client:
            client.next("connect")
            client.say("add /custom")
            equal(client.next("connect")[1], "/custom")
            expect_echo(client, 1, ns="/custom")
            client.say("leave /custom")
            equal(client.next("disconnect")[1:], ["/custom", "io client disconnect"])
            expect_echo(client, 2)
            client.say("enter /custom")
            equal(client.next("connect")[1], "/custom")
            expect_echo(client, 3, ns="/custom")
            equal(len(client.all("up")), 1)
            heard = [line[2] for line in client.all("any") if line[1] == "/custom"]
            equal(heard.count("message-back"), 2)
            said = [line[2] for line in client.all("any-out")]
            equal(said.count("message"), 3)


@case("after the server's disconnect it stays out, or comes back where asked")
def _():
    for server in (node(), python(), ours()):
        with server as s:
            with Client(url(s)) as client:
                client.next("connect")
                client.say('emit / ["kick"]')
                equal(client.next("disconnect")[2], "io server disconnect")
                client.say("enter /")
                client.next("connect")
                expect_echo(client, "again")
            with Client(url(s), rejoin=1, delay=10) as client:
                client.next("connect")
                client.say('emit / ["kick"]')
                client.next("disconnect")
                client.next("connect")
                expect_echo(client, "again")


# ---- the connection ----

@case("cookies of the server come back with every request and every attempt")
def _():
    for server in (node(COOKIE="1"), python(COOKIE="1"), ours("--cookie")):
        with server as s, Client(url(s), transport="polling", delay=10) as client:
            client.next("connect")
            client.say("close")
            client.next("closed")
            client.say("connect")
            client.next("connect")
            client.say('ack / 10000 ["whoami"]')
            headers = client.next("ack")[2][0]["headers"]
            cookie = headers.get("cookie") or headers.get("Cookie") or ""
            check(cookie.startswith("io="), headers)


@case("a server that has stopped answering is left after its ping timeout")
def _():
    with node() as s, Client(url(s), no_reconnect=1) as client:
        client.next("connect")
        os.kill(s.pid, signal.SIGSTOP)
        try:
            equal(client.next("disconnect")[2], "ping timeout")
            check("no ping from the server for 2300 ms" in client.next("down")[2])
        finally:
            os.kill(s.pid, signal.SIGCONT)


@case("attempts are counted and end where that is wanted")
def _():
    port = free_port()
    with node(port) as s, Client(url(s), attempts=3, delay=5, delay_max=10) as client:
        client.next("connect")
        s.kill()
        wait_for(lambda: client.next("down")[3] == 0, "the last attempt")
        equal([line[1] for line in client.all("attempt")][-1], 3)
        s.start()
        client.say("connect")
        client.next("connect")
        expect_echo(client, "by hand")


@case("where polling fails, WebSocket is tried if asked for; where WebSocket does, polling")
def _():
    with node(TRANSPORTS="websocket") as s:
        with Client(url(s), transport="upgrade", try_all=1) as client:
            equal(client.next("connect")[4], "websocket")
        with Client(url(s), transport="upgrade", no_reconnect=1) as client:
            check("status 400" in client.next("down")[2])
    with node(TRANSPORTS="polling") as s, Client(url(s)) as client:
        equal(client.next("connect")[4], "polling")


run_cases()
