#!/usr/bin/python3
"""nginx and HAProxy in front of three servers, with the files of doc/cluster: each client
stays with its server, and finds another one when that dies."""
# TEST_TIMEOUT: 300

import base64
import json
import os
import sys
from itertools import count

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import balancer  # noqa: E402
from balancer import haproxy, nginx  # noqa: E402
from fleet import KINDS, Fleet  # noqa: E402
from live import Stream  # noqa: E402
from nuchub import (Server, SocketIO, case, check, equal, free_port, get_json, hub,  # noqa: E402
                    jpeg_text, program, run_cases, snapshot, wait_for)

balancer.need_programs()

N_CALLS = 25
NAMES = ("hub1", "hub2", "hub3")
# Clients that keep no cookies outside of browsers.
WITHOUT_COOKIES = ("js3", "js2")
CLIENTS = ([("js4", "polling")] * 4 + [("js3", "polling")] * 3 + [("js2", "polling")] * 2 +
           [("py", "polling")] * 2 + [("aio", "polling")] +
           [("c", "polling")] * 2 +
           [(kind, t) for kind in KINDS for t in ("upgrade", "websocket")])


def source(n):
    """Node's clients can be given an address; those of Python all come from the same one."""
    return f"127.0.{n // 256}.{n % 256}"


def server(name):
    port = free_port()
    return Server([program("CONFORMANCE"), "--port", port, "--sid-prefix", name, "--cookie",
                   "--allow-eio3", "--trusted-proxies", "1"], port)


servers = {name: server(name) for name in NAMES}
fleet = Fleet()


def ports():
    return [s.port for s in servers.values()]


def running():
    return [s for s in servers.values() if s.running()]


def unknown():
    """Requests that came to a server that did not know their session."""
    n = 0
    for s in running():
        with SocketIO(s.port) as c:
            c.send('421["stats"]')
            n += json.loads(c.until(lambda t: t.startswith("431"))[-1][3:])[0]["unknown"]
    return n


def where(c):
    return c.sid and c.sid.split(".")[0]  # ours does not say


def open_clients(variant, port):
    clients = []
    for i, (kind, transport) in enumerate(CLIENTS):
        more = {}
        if variant == "cookie":
            if kind in WITHOUT_COOKIES and transport != "websocket":
                continue
            more["cookies"] = True
        if kind.startswith("js"):
            more["source"] = source(20 + i)
        # aiohttp takes no cookies from an address.
        host = "localhost" if kind == "aio" else "127.0.0.1"
        c = fleet.open(kind, f"http://{host}:{port}", transport, **more)
        c.source = more.get("source", "127.0.0.1")
        clients.append(c)
    fleet.wait(clients)
    return clients


def all_ask(clients, n):
    wanted = {c: c.n_asked + n for c in clients}
    for c in clients:
        c.ask("message-with-ack", "x" * 100, n=n)
    wait_for(lambda: all(c.n_asked >= wanted[c] for c in clients),
             lambda: f"answers: {[c for c in clients if c.n_asked < wanted[c]]}")


def stay(clients):
    """Several hundred requests: never a wrong server."""
    before = unknown()
    all_ask(clients, N_CALLS)
    equal([c for c in clients if c.reasons or c.refusals], [], "clients that lost their server")
    equal(unknown() - before, 0, "requests at a wrong server")
    check(len({where(c) for c in clients}) >= 2, "all clients are on one server")
    for c in clients:
        who = c.call("whoami")[0]
        equal(who["address"], c.source, "the address behind X-Forwarded-For")


def kill_one(clients):
    """The server of most clients is killed: these come back, others notice nothing."""
    name = max(NAMES, key=lambda n: sum(where(c) == n for c in clients))
    hit = [c for c in clients if where(c) == name]
    others = [c for c in clients if where(c) not in (name, None)]
    servers[name].kill()
    wait_for(lambda: all(c.connected and where(c) != name for c in hit),
             lambda: f"other servers: {hit}")
    fleet.wait(clients)
    all_ask([c for c in clients if c.kind != "c"], 5)  # whose may be lost with the server
    equal([c for c in others if c.reasons], [], "clients of other servers that lost theirs")
    return name


def bring_back(name, variant, port):
    """Started again it gets clients again."""
    servers[name].start()
    sources = count(100)

    def has_some():
        # Always others: a hash may send any dozen elsewhere.
        news = [fleet.open("js4", f"http://127.0.0.1:{port}", "polling", cookies=True,
                           source=source(next(sources))) for _ in range(12)]
        fleet.wait(news)
        found = any(where(c) == name for c in news)
        for c in news:
            c.close()
        return found
    wait_for(has_some, f"a client at {name} again")
    fleet.wait()
    if variant != "address":  # where clients move back
        all_ask(fleet.clients, 5)


def run(make, variant):
    for s in servers.values():
        if not s.running():
            s.start()
    with make(variant, ports()) as b:
        try:
            clients = open_clients(variant, b.port)
            stay(clients)
            name = kill_one(clients)
            bring_back(name, variant, b.port)
        finally:
            fleet.close()


for make_one in (nginx, haproxy):
    for a_variant in balancer.VARIANTS:
        case(f"{make_one.__name__} by {a_variant}: clients stay, and find another server")(
            lambda m=make_one, v=a_variant: run(m, v))


@case("pictures of live view and large messages go through as they come")
def _():
    with hub() as h:
        for make in (nginx, haproxy):
            with make("address", [h.port] * 3) as b, SocketIO(b.port, {"nuc_id": "nuc_a"}) as a:
                ip = f"cam-{make.__name__}"
                a.emit("snapshot", snapshot(ip))
                wait_for(lambda: get_json(b.port, "/api/camaras")["total"], "the camera")
                s = Stream(b.port, ip)
                s.next()
                for n in range(1, 4):
                    text = jpeg_text(400000, n)
                    a.emit("snapshot", snapshot(ip, text))
                    s.until(lambda p, want=base64.b64decode(text): p == want)
                s.close()


if __name__ == "__main__":
    run_cases()
