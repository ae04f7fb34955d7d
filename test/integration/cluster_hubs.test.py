#!/usr/bin/python3
"""Three hubs that act as one: lists, pictures, questions to agents, live view; agents that
move, hubs that die, a Redis that fails, and rubbish on the channels.
"""
# TEST_TIMEOUT: 400

import base64
import json
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from hubs import Hubs, NeverTwice, Redis, cluster_hub, lists, nucs, together  # noqa: E402
from live import Stream  # noqa: E402
from metrics import metrics  # noqa: E402
from nuchub import (FIXTURES, Connection, Program, SocketIO, agent, case, check,  # noqa: E402
                    equal, free_port, get_json, http, hub, jpeg_text, run_cases, snapshot,
                    wait_for)

CAM = "192.0.2.65"
SLOW_S = 1.0  # what needs neither Redis nor another hub is never slower


def come(h, nuc_id, *cameras):
    """An agent: raw Socket.IO, registered."""
    a = SocketIO(h.port, {"nuc_id": nuc_id})
    a.emit("nuc_register", {"nuc_id": nuc_id, "camaras": list(cameras), "timestamp": "t"})
    a.event("registered")
    return a


def send_picture(a, nuc_id, ip=CAM, n=0, **more):
    a.emit("snapshot", snapshot(ip, jpeg_text(4000, n), nuc_id, timestamp=f"n{n}", **more))
    a.answer()


def old_agent(port, nuc_id, cameras):
    return Program(["/usr/bin/python3", os.path.join(FIXTURES, "old_agent.py")],
                   {"SERVER_URL": f"http://127.0.0.1:{port}", "NUC_ID": nuc_id,
                    "CAMARAS_IPS": cameras, "INTERVALO_SNAPSHOT": "1"})


def nuc_ids(same):
    return [n["nuc_id"] for n in same["/api/nucs"]["nucs"]]


def camera_ips(same):
    return {c["ip"] for c in same["/api/camaras"]["camaras"]}


# ---- lists ----

@case("agents of every kind on three hubs: all lists are the same on all, ids and order too")
def _():
    settings = f"[camara {CAM}]\nnombre = Entrada\n[camara calle]\n"
    with Hubs(settings=settings) as hubs, \
            agent(f"http://127.0.0.1:{hubs[0].port}", "nuc_c", "test://uno,test://dos"), \
            old_agent(hubs[1].port, "nuc_py", "192.0.2.70,viejo"), \
            come(hubs[2], "nuc_raw", CAM, "192.0.2.9") as raw:
        for i, ip in enumerate([CAM, "192.0.2.9"]):
            send_picture(raw, "nuc_raw", ip, i)
        raw.emit("snapshot_error", {"nuc_id": "nuc_raw", "ip": "calle", "error": "cerrado",
                                    "timestamp": "t"})
        wanted = {CAM, "192.0.2.9", "192.0.2.70", "viejo"}
        seen = {}

        def complete(same):
            seen.update(same)
            return (set(nuc_ids(same)) == {"nuc_c", "nuc_py", "nuc_raw"} and
                    wanted <= camera_ips(same) and len(camera_ips(same)) == 6 and
                    any(c.get("error") == "cerrado"
                        for c in same["/api/camaras/detectar"]["camaras"]))
        # Pictures come all the time: only now and then are all lists of one moment.
        same = hubs.wait_lists(complete, "three hubs that list the same")
        cameras = same["/api/camaras/detectar"]["camaras"]
        ids = [c["id"] for c in cameras]
        equal(len(set(ids)), len(ids), "distinct ids")
        equal(sorted(ids), ids, "order")
        equal([c["id"] for c in cameras[:2]], [1, 2], "configured cameras")
        equal(same["nucs_conectados"], 3)
        for h in hubs:
            for ip in wanted:
                r = http(h.port, "GET", f"/api/camaras/{ip}/snapshot")
                equal(r.status, 200, f"{ip} on {h.port}")
                check(r.json()["image"].startswith("data:image/jpeg;base64,"))


@case("what the lists say is the same with the sharded adapter")
def _():
    with Hubs(2, mode="sharded") as hubs, come(hubs[0], "nuc_a", CAM) as a, \
            SocketIO(hubs[1].port) as viewer:
        send_picture(a, "nuc_a")
        equal(viewer.event("snapshot_update")[0]["ip"], CAM)
        hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a"] and camera_ips(s) == {CAM}, "lists")


@case("what an agent registers in place of a list is listed on all hubs")
def _():
    with Hubs(2) as hubs, come(hubs[0], "nuc_a", CAM) as a:
        for odd in (5, None, {"x": [1, "á"]}, "uno"):
            a.emit("nuc_register", {"nuc_id": "nuc_a", "camaras": odd})
            hubs.wait_lists(lambda s: [n["camaras"] for n in s["/api/nucs"]["nucs"]] == [odd],
                            "lists")


@case("heartbeats of another hub's agents move")
def _():
    with Hubs(2) as hubs, come(hubs[0], "nuc_a") as a:
        wait_for(lambda: nucs(hubs[1].port), "the agent on the other hub")

        def beat(i):
            return get_json(hubs[i].port, "/api/nucs")["nucs"][0]["last_heartbeat"]
        before = beat(0)
        a.emit("pong", {"nuc_id": "nuc_a", "timestamp": "t"})
        a.answer()
        check(beat(0) > before)
        wait_for(lambda: beat(1) == beat(0), "the heartbeat on the other hub")


# ---- pictures and events ----

@case("a picture reaches the viewers of all hubs once, in order, and errors who waits for them")
def _():
    with Hubs() as hubs, come(hubs[0], "nuc_a", CAM) as a:
        viewers = [SocketIO(h.port) for h in hubs for _ in range(2)]
        for n in range(20):
            send_picture(a, "nuc_a", n=n)
            for v in viewers:
                got = v.event("snapshot_update")[0]
                equal((got["ip"], got["timestamp"], got["nuc_id"]), (CAM, f"n{n}", "nuc_a"))
                equal(got["image"], jpeg_text(4000, n))
        # An event behind them shows that none came twice.
        a.emit("event", "end")
        for v in viewers:
            got = v.until(lambda t: t == '42["event_update","end"]')
            equal([t for t in got if "snapshot_update" in t], [])
        equal(hubs.redis.client().ttl(f"snapshot:{CAM}") > 290, True)
        for v in viewers:
            v.close()


@case("what crosses between the servers is counted")
def _():
    with Hubs(2, settings="metrics = yes\n") as hubs, \
            come(hubs[0], "nuc_a", CAM) as a, SocketIO(hubs[1].port) as v:
        before = [metrics(h.port) for h in hubs]
        for n in range(3):
            a.emit("event", {"n": n})
        v.until(lambda t: "event_update" in t and '"n":2' in t.replace(" ", ""))
        after = [metrics(h.port) for h in hubs]
        for m in after:
            equal([m["nuchub_cluster_up",], m["nuchub_hubs",]], [1, 2])
            equal([m["nuchub_cluster_messages_lost_total", r]
                   for r in ("no_redis", "too_big", "connection_lost")], [0, 0, 0])
            equal(m["nuchub_cluster_messages_rejected_total",], 0)
        key = "nuchub_cluster_messages_total"
        equal(after[0][key, "out"] - before[0][key, "out"], 3)
        equal(after[1][key, "in"] - before[1][key, "in"], 3)
        hubs.redis.stop()
        wait_for(lambda: metrics(hubs[0].port)["nuchub_cluster_up",] == 0, "the loss")
        a.emit("event", {"n": 3})
        wait_for(lambda: metrics(hubs[0].port)[
            "nuchub_cluster_messages_lost_total", "no_redis"] >= 1, "it to be counted")


@case("pictures faster than Redis: every viewer ends with the newest one")
def _():
    with Hubs() as hubs, come(hubs[0], "nuc_a", CAM) as a, SocketIO(hubs[2].port) as v:
        for n in range(300):
            a.emit("snapshot", snapshot(CAM, jpeg_text(4000, n), "nuc_a", timestamp=f"n{n}"))
        stamps = []
        while not stamps or stamps[-1] != 299:
            stamps.append(int(v.event("snapshot_update")[0]["timestamp"][1:]))
        equal(stamps, sorted(set(stamps)), "in order, none twice")
        print(f"  {len(stamps)} of 300 pictures crossed")


def fetches(r):
    """How often hubs have fetched a value."""
    return r.info("commandstats").get("cmdstat_getrange", {"calls": 0})["calls"]


@case("a hub without viewers fetches no picture; the first who asks gets the newest")
def _():
    with Hubs(2) as hubs, come(hubs[0], "nuc_a", CAM) as a:
        r = hubs.redis.client()
        wait_for(lambda: nucs(hubs[1].port) == ["nuc_a"], "the agent on the other hub")
        http(hubs[1].port, "GET", f"/api/camaras/{CAM}/snapshot")
        before = fetches(r)
        for n in range(10):
            send_picture(a, "nuc_a", n=n)
        wait_for(lambda: json.loads(r.get(f"snapshot:{CAM}") or "{}").get("timestamp") == "n9",
                 "the newest picture in Redis")
        equal(fetches(r), before)
        wait_for(lambda: get_json(hubs[1].port, f"/api/camaras/{CAM}/snapshot")["timestamp"] ==
                 "n9", "the newest picture on the other hub")
        equal(get_json(hubs[1].port, f"/api/camaras/{CAM}/snapshot")["timestamp"], "n9")


@case("cluster_pictures = all: the adapter carries pictures, each viewer gets each once")
def _():
    with Hubs(2, settings="cluster_pictures = all\n") as hubs, \
            come(hubs[0], "nuc_a", CAM) as a:
        viewers = [SocketIO(h.port) for h in hubs]
        for n in range(10):
            send_picture(a, "nuc_a", n=n)
        a.emit("event", "end")
        for v in viewers:
            got = v.until(lambda t: t == '42["event_update","end"]')
            stamps = [json.loads(t[2:])[1]["timestamp"] for t in got if "snapshot_update" in t]
            equal(stamps, [f"n{n}" for n in range(10)])
            v.close()
        wait_for(lambda: get_json(hubs[1].port, f"/api/camaras/{CAM}/snapshot")
                 .get("timestamp") == "n9", "the newest picture over HTTP")


# ---- questions to agents ----

def ask_fresh(port, ip=CAM):
    """A request for a fresh picture that the hub has: call to get its reply."""
    c = Connection(port)
    c.request("GET", f"/api/camaras/{ip}/snapshot?fresh=1")
    get_json(port, "/api/status")  # which comes behind it

    got = []

    def reply():
        if not got:
            with c:
                got.append(c.reply())
        return got[0]
    return reply


@case("a fresh snapshot, and its error, come from an agent of another hub")
def _():
    with Hubs() as hubs, come(hubs[0], "nuc_a", CAM) as a:
        hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a"], "the agent on all hubs")
        wait_for(lambda: CAM in str(get_json(hubs[1].port, "/api/nucs")), "its cameras")
        replies = [ask_fresh(h.port) for h in hubs for _ in range(2)]
        for _ in hubs:  # each hub asks once, however many wait
            equal(a.event("capture_snapshot"), [{"ip": CAM}])
        send_picture(a, "nuc_a", n=7)
        for reply in replies:
            equal(reply().json().get("timestamp"), "n7")
        reply = ask_fresh(hubs[2].port)
        a.event("capture_snapshot")
        a.emit("snapshot_error", {"nuc_id": "nuc_a", "ip": CAM, "error": "puerto cerrado á",
                                  "timestamp": "t"})
        got = reply()
        equal((got.status, got.json()["error"]), (502, "puerto cerrado á"))
        reply = ask_fresh(hubs[2].port)  # where that error is not still to come
        a.event("capture_snapshot")
        a.close()
        equal(reply().status, 503)


@case("who waits for a fresh snapshot of another hub's agent is told when Redis hangs or dies")
def _():
    with Hubs(2) as hubs, come(hubs[0], "nuc_a", CAM) as a:
        wait_for(lambda: CAM in str(get_json(hubs[1].port, "/api/nucs")), "its cameras")
        for fail, mend in ((hubs.redis.freeze, hubs.redis.thaw),
                           (hubs.redis.kill, hubs.redis.start)):
            reply = ask_fresh(hubs[1].port)
            a.event("capture_snapshot")
            fail()
            got = reply()
            equal((got.status, got.json()["error"]),
                  (503, "No hay conexión con el hub de la cámara"))
            mend()
            hubs.wait_together()


@case("the agents in use answer capture_snapshot of another hub")
def _():
    with Hubs(2) as hubs, old_agent(hubs[0].port, "nuc_py", "viejo"), \
            agent(f"http://127.0.0.1:{hubs[0].port}", "nuc_c", "test://uno"):
        for ip in ["viejo"]:
            wait_for(lambda: ip in str(get_json(hubs[1].port, "/api/nucs")), f"{ip} listed")
            equal(ask_fresh(hubs[1].port, ip)().status, 200)
        name = wait_for(lambda: [n["camaras"][0] for n in
                                 get_json(hubs[1].port, "/api/nucs")["nucs"]
                                 if n["nuc_id"] == "nuc_c" and n["camaras"]], "nuc_c")[0]
        equal(ask_fresh(hubs[1].port, name)().status, 200)


# ---- agents that move, hubs that end ----

@case("an agent that moves is listed once at every moment, its new hub answers for it")
def _():
    with Hubs() as hubs:
        first = come(hubs[0], "nuc_a", CAM)
        hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a"], "the agent")
        with NeverTwice(hubs.ports(), ["nuc_a"]):
            for i in [1, 2, 0, 2, 1]:
                second = come(hubs[i], "nuc_a", CAM)  # before the old one ends
                hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a"], "the agent")
                reply = ask_fresh(hubs[(i + 1) % 3].port)
                equal(second.event("capture_snapshot"), [{"ip": CAM}])
                send_picture(second, "nuc_a", n=i)
                equal(reply().status, 200)
                first.close()
                first = second
        first.close()
        hubs.wait_lists(lambda s: nuc_ids(s) == [], "the agent to go")


class Tunnel:
    """A way to a port that can be left half open: nothing passes, nothing is closed."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target = port
        self.dead = False
        self.socks = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                a, _ = self.listener.accept()
                b = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.socks += [a, b]
            for x, y in ((a, b), (b, a)):
                threading.Thread(target=self.pump, args=(x, y), daemon=True).start()

    def pump(self, x, y):
        try:
            while data := x.recv(65536):
                while self.dead:
                    time.sleep(0.05)
                y.sendall(data)
        except OSError:
            pass
        for s in (x, y):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for s in [self.listener, *self.socks]:
            s.close()


@case("an agent whose old connection hangs half open is its new hub's at once")
def _():
    with Hubs() as hubs, Tunnel(hubs[0].port) as tunnel:
        old = SocketIO(tunnel.port, {"nuc_id": "nuc_a"})
        old.emit("nuc_register", {"nuc_id": "nuc_a", "camaras": [CAM], "timestamp": "t"})
        old.event("registered")
        hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a"], "the agent")
        tunnel.dead = True
        with NeverTwice(hubs.ports(), ["nuc_a"]):
            new = come(hubs[1], "nuc_a", CAM, "patio")
            hubs.wait_lists(lambda s: len(s["/api/nucs"]["nucs"][0]["camaras"]) == 2,
                            "the new hub's word")
            reply = ask_fresh(hubs[0].port)  # which has the dead socket
            equal(new.event("capture_snapshot"), [{"ip": CAM}])
            send_picture(new, "nuc_a")
            equal(reply().status, 200)
        new.close()


@case("who waits for a fresh snapshot gets it, though the agent moves meanwhile")
def _():
    with Hubs() as hubs:
        old = come(hubs[0], "nuc_a", CAM)
        hubs.wait_lists(lambda s: CAM in str(s["/api/nucs"]), "the agent")
        for n, i in enumerate([1, 2, 0]):  # also to the hub that waits
            reply = ask_fresh(hubs[2].port)
            old.event("capture_snapshot")
            new = SocketIO(hubs[i].port, {"nuc_id": "nuc_a"})
            new.emit("nuc_register", {"nuc_id": "nuc_a", "camaras": [CAM], "timestamp": "t"})
            equal(new.event("capture_snapshot"), [{"ip": CAM}])
            send_picture(new, "nuc_a", n=n)
            equal(reply().json().get("timestamp"), f"n{n}", str(reply()))
            new.answer()  # it may have been asked twice
            old.close()
            old = new
            hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a"], "the agent, once")
        old.close()


@case("a hub that is killed is noticed within some 4 s, and its agents leave the lists")
def _():
    with Hubs() as hubs, come(hubs[0], "nuc_a", CAM), come(hubs[1], "nuc_b") as b:
        hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a", "nuc_b"], "two agents")
        reply = ask_fresh(hubs[1].port)
        time.sleep(0.1)
        hubs[0].kill()
        begun = time.monotonic()
        hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_b"], "the agents of a dead hub to go",
                        timeout=15)
        print(f"  noticed after {time.monotonic() - begun:.1f} s")
        hubs.wait_together()
        equal(reply().status, 503)
        # And when it is there again, it is one of them as before.
        hubs[0].start()
        hubs.wait_together()
        with come(hubs[0], "nuc_a", CAM):
            hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_b", "nuc_a"], "both again")
        b.answer()


@case("a hub that ends in good order is gone at once, and no agent is listed twice meanwhile")
def _():
    with Hubs() as hubs:
        balancer = Tunnel(hubs[0].port)
        with balancer, NeverTwice(hubs.ports()), \
                old_agent(balancer.port, "nuc_py", "viejo"), \
                agent(f"http://127.0.0.1:{balancer.port}", "nuc_c", "test://uno"):
            hubs.wait_lists(lambda s: sorted(nuc_ids(s)) == ["nuc_c", "nuc_py"], "two agents")
            for i in [1, 2]:
                balancer.target = hubs[i].port
                hubs[i - 1].stop()
                hubs.wait_together()
                hubs.wait_lists(lambda s: sorted(nuc_ids(s)) == ["nuc_c", "nuc_py"],
                                "the agents at their next hub")
                hubs[i - 1].start()
                hubs.wait_together()
            for h in hubs:
                check("died" not in h.log(), "a hub that said bye has died")


# ---- live view ----

def frame(n, size=3000):
    return b"\xff\xd8\xff\xe0" + f"<{n}>".encode() + b"x" * size + b"\xff\xd9"


class Streamer(SocketIO):
    """An agent that streams: one frame when it is told to."""

    def __init__(self, h, nuc_id="nuc_live", ip=CAM):
        super().__init__(h.port, {"nuc_id": nuc_id})
        self.nuc, self.ip, self.n = nuc_id, ip, 0
        self.emit("nuc_register", {"nuc_id": nuc_id, "camaras": [ip],
                                   "capacidades": ["stream"]})
        self.event("registered")

    def frame(self, n):
        self.n += 1
        self.ws.send(f'451-{self.n}["frame",' + json.dumps({
            "nuc_id": self.nuc, "ip": self.ip, "image": {"_placeholder": True, "num": 0},
            "timestamp": "2026-01-02T03:04:05"}) + "]")
        self.ws.send_binary(frame(n))
        self.until(lambda t: t == f"43{self.n}[]")


class Listener:
    """Counts what is published for live view, as a hub would hear it."""

    def __init__(self, r, ip=CAM):
        self.pubsub = r.pubsub()
        self.pubsub.subscribe(f"socket.io:live:{ip}")
        self.pubsub.get_message(timeout=10)
        self.frames = []
        self.stop = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop:
            m = self.pubsub.get_message(timeout=0.05)
            if m and m["type"] == "message":
                head, body = m["data"].split(b"\n", 1)
                self.frames.append((json.loads(head)["type"], body))

    def end(self):
        self.stop = True
        self.thread.join(10)
        self.pubsub.close()


def looking(r, ip=CAM):
    """How many hubs listen to the camera's frames."""
    return r.pubsub_numsub(f"socket.io:live:{ip}")[0][1]


class RoomViewer(SocketIO):
    """In the camera's room: the bytes of the next frame."""

    def __init__(self, h, ip=CAM):
        super().__init__(h.port)
        self.emit("stream_join", {"ip": ip}, ack=5)

    def next(self):
        self.until(lambda t: isinstance(t, str) and '"frame"' in t)
        return self.until(lambda t: isinstance(t, bytes))[-1]

    def until_frame(self, n):
        while self.next() != frame(n):
            pass


@case("live view crosses: every viewer gets each frame, each frame is published once")
def _():
    with Hubs() as hubs, Streamer(hubs[0]) as a:
        r = hubs.redis.client()
        hubs.wait_lists(lambda s: CAM in str(s["/api/nucs"]), "the agent")
        here = Stream(hubs[0].port, CAM)
        a.event("stream_start")
        far = [Stream(h.port, CAM, agent=f"B{i}") for h in hubs.hubs[1:] for i in range(3)]
        rooms = [RoomViewer(h) for h in hubs]
        wait_for(lambda: looking(r) == 2, "two hubs to listen")
        heard = Listener(r)
        for f in far:  # what came before a hub was told of the lease did not cross
            wait_frame(a, f, "go")
        for n in range(30):
            a.frame(n)
            for s in [here, *far]:
                s.until(lambda p: p == frame(n))
            for v in rooms:
                v.until_frame(n)
        wait_for(lambda: heard.frames and heard.frames[-1][1] == frame(n), "the last frame")
        crossed = [body for kind, body in heard.frames if kind == "frame"]
        equal(crossed[-30:], [frame(i) for i in range(30)])
        for s in far:
            s.close()
        for v in rooms[1:]:
            v.close()
        wait_for(lambda: looking(r) == 1, "the hubs to listen no more")  # our own listener
        heard.frames.clear()
        a.frame("after")
        here.until(lambda p: p == frame("after"))
        a.emit("event", "x")
        rooms[0].until(lambda t: t == '42["event_update","x"]')
        equal(heard.frames, [])
        heard.end()
        rooms[0].close()
        here.close()
        a.event("stream_stop")


@case("the agent stops when the last viewer, on another hub, has gone; and starts again")
def _():
    with Hubs(2, settings="live_grace = 0\n") as hubs, Streamer(hubs[0]) as a:
        hubs.wait_lists(lambda s: CAM in str(s["/api/nucs"]), "the agent")
        for n in range(3):
            s = Stream(hubs[1].port, CAM, query=f"?t={n}")
            a.event("stream_start")
            wait_frame(a, s, n)
            s.close()
            a.event("stream_stop")


def wait_frame(a, s, n):
    """Sends frames until one crosses."""
    done = []

    def read():
        s.until(lambda p: p.startswith(frame(n)[:4 + len(f"<{n}>")]))
        done.append(1)
    t = threading.Thread(target=read, daemon=True)
    t.start()
    while not done:
        a.frame(n)
        t.join(0.05)


@case("live view follows an agent that moves, and says when its hub dies")
def _():
    with Hubs() as hubs:
        first = Streamer(hubs[0])
        hubs.wait_lists(lambda s: CAM in str(s["/api/nucs"]), "the agent")
        s = Stream(hubs[2].port, CAM)
        first.event("stream_start")
        wait_frame(first, s, 1)
        second = Streamer(hubs[1])
        first.close()
        second.event("stream_start")
        wait_frame(second, s, 2)
        third = Streamer(hubs[2])  # to the viewer's own hub
        second.close()
        third.event("stream_start")
        wait_frame(third, s, 3)
        fourth = Streamer(hubs[0])
        third.close()
        fourth.event("stream_start")
        wait_frame(fourth, s, 4)
        hubs[0].kill()
        s.until(lambda p: b"<4>" not in p)  # the picture that says so
        s.close()


@case("an agent that is lost in the middle of live view is shown as lost on other hubs")
def _():
    with Hubs(2) as hubs, Streamer(hubs[0]) as a:
        hubs.wait_lists(lambda s: CAM in str(s["/api/nucs"]), "the agent")
        s = Stream(hubs[1].port, CAM)
        a.event("stream_start")
        wait_frame(a, s, 1)
        a.emit("stream_error", {"nuc_id": "nuc_live", "ip": CAM, "error": "x"})
        s.until(lambda p: b"<1>" not in p)
        wait_frame(a, s, 2)
        s.close()


@case("live view of the agents in use, seen from another hub")
def _():
    with Hubs(2) as hubs, old_agent(hubs[0].port, "nuc_py", "viejo"), \
            agent(f"http://127.0.0.1:{hubs[0].port}", "nuc_c", "test://uno",
                  INTERVALO_SNAPSHOT="60"):
        for ip in ["viejo", "uno"]:
            wait_for(lambda: ip in str(get_json(hubs[1].port, "/api/nucs")), f"{ip} listed")
            s = Stream(hubs[1].port, ip)
            seen = set()
            while len(seen) < 5:
                seen.add(s.next())
            s.close()


@case("a Redis that hangs stops no live view of a hub's own agents, and others come back")
def _():
    with Hubs(2) as hubs, Streamer(hubs[0]) as a:
        hubs.wait_lists(lambda s: CAM in str(s["/api/nucs"]), "the agent")
        here, far = Stream(hubs[0].port, CAM), Stream(hubs[1].port, CAM)
        a.event("stream_start")
        wait_frame(a, far, 1)
        hubs.redis.freeze()
        for n in range(2, 300):
            begun = time.monotonic()
            a.frame(n)
            here.until(lambda p: p == frame(n))
            check(time.monotonic() - begun < SLOW_S, "a frame was slow")
        wait_for(lambda: cluster_state(hubs[0].port) == "desconectado", "the loss to be seen")
        hubs.redis.thaw()
        wait_frame(a, far, 300)
        here.close()
        far.close()


# ---- Redis fails ----

def cluster_state(port):
    return get_json(port, "/api/status")["cluster"]


def goes_on_alone(hubs, agents, n):
    """Each hub's own agents and viewers do as if nothing was."""
    for i, a in enumerate(agents):
        with SocketIO(hubs[i].port) as v:
            begun = time.monotonic()
            send_picture(a, f"nuc_{i}", f"cam{i}", n)
            got = v.event("snapshot_update")[0]
            equal(got["timestamp"], f"n{n}")
            equal(http(hubs[i].port, "GET", "/api/nucs").status, 200)
            took = time.monotonic() - begun
            check(took < SLOW_S, f"took {took:.2f} s")


@case("Redis hangs, is killed, comes back empty: hubs go on, and agree again afterwards")
def _():
    with Hubs() as hubs:
        agents = [come(h, f"nuc_{i}", f"cam{i}") for i, h in enumerate(hubs)]
        goes_on_alone(hubs, agents, 1)
        everybody = ["nuc_0", "nuc_1", "nuc_2"]
        hubs.wait_lists(lambda s: sorted(nuc_ids(s)) == everybody, "three agents")
        for n, (away, back) in enumerate([(hubs.redis.freeze, hubs.redis.thaw),
                                          (hubs.redis.kill, hubs.redis.start)]):
            away()
            for p in hubs.ports():
                wait_for(lambda: cluster_state(p) == "desconectado", "the loss to be seen")
            goes_on_alone(hubs, agents, 2 + n)
            for p in hubs.ports():  # and they keep each other
                equal(sorted(nucs(p)), everybody)
            begun = time.monotonic()
            equal(http(hubs[0].port, "GET", "/api/camaras/cam1/snapshot?fresh=1").status, 503)
            check(time.monotonic() - begun < SLOW_S, "no waiting for who cannot be told")
            agents[0].close()  # it moves meanwhile, where nobody hears of it
            wait_for(lambda: "nuc_0" not in nucs(hubs[0].port), "it to go")
            agents[0] = come(hubs[1], "nuc_0", "cam0")
            back()
            hubs.wait_together()
            for i, a in enumerate(agents):
                send_picture(a, f"nuc_{i}", f"cam{i}", 10 + n)
            hubs.wait_lists(lambda s: sorted(nuc_ids(s)) == everybody and
                            camera_ips(s) == {"cam0", "cam1", "cam2"}, "hubs that agree")
            agents[0].close()
            agents[0] = come(hubs[0], "nuc_0", "cam0")
            hubs.wait_lists(lambda s: sorted(nuc_ids(s)) == everybody, "it at home again")
        for a in agents:
            a.close()


@case("hubs start without a Redis and find each other when it comes")
def _():
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with cluster_hub(url, "a") as a, cluster_hub(url, "b") as b, come(a, "nuc_a"):
        equal(cluster_state(a.port), "desconectado")
        equal(get_json(b.port, "/api/status")["hubs"], 1)
        with Redis(port=port):
            wait_for(lambda: together(a.port, 2) and together(b.port, 2), "two hubs")
            wait_for(lambda: nucs(b.port) == ["nuc_a"], "the agent on the other hub")


@case("hubs that are configured differently, or have one name, are told apart in the log")
def _():
    with Redis() as r, cluster_hub(r.url(), "same") as a, \
            hub("--cluster", "pubsub", "--cluster-name", "same",
                env={"REDIS_URL": r.url(), "CAMARAS_IPS": "otra"}) as b:
        for h in (a, b):
            h.wait_log("has this hub's cluster_name, same: a balancer cannot tell them apart")
            h.wait_log("name=same .* has other cameras in its configuration")
    with Hubs(2, settings=f"[camara {CAM}]\n") as hubs:
        check("warn: hub" not in hubs[0].log() + hubs[1].log(), "a warning without a reason")


# ---- hostile ----

@case("rubbish on the channels between hubs is ignored, counted and survived")
def _():
    with Hubs(2) as hubs, come(hubs[0], "nuc_a", CAM) as a, SocketIO(hubs[1].port) as v:
        hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a"], "the agent")
        r = hubs.redis.client()
        me = "abcdefghijklmnopqrst"
        real = [c.decode().split(":")[-1] for c in r.pubsub_channels("socket.io:hub:*")]
        equal(len(real), 2)
        rubbish = [b"", b"\x80\x04\x95", b"{", b"[]", b"null", b'{"type":"beat"}', b"\xff" * 100,
                   b'{"type":"nuc","hub":"%s"}' % me.encode(), b"[" * 100000,
                   json.dumps({"type": "capture", "hub": me, "nuc": "a", "ip": "a/b"}).encode(),
                   b'"' + b"x" * 3000000 + b'"', os.urandom(1000)]
        stranger = [
            {"type": "beat", "hub": me, "name": "x", "version": 9, "heard": [5, [], ["a"]]},
            {"type": "state", "hub": me, "version": 9, "part": 0, "parts": 1, "nucs": [5, {}]},
            {"type": "gone", "hub": me, "version": 10, "nuc": "nuc_a"},
            {"type": "watch", "hub": me, "ip": CAM},
            {"type": "watch", "hub": me, "ip": "nowhere"},
            {"type": "unwatch", "hub": me, "ip": CAM},
            {"type": "picture", "hub": me, "ip": "nothing", "nuc": "nuc_a", "tag": 5},
            {"type": "error", "hub": me, "ip": CAM, "nuc": "nuc_a", "error": "x" * 4000},
            {"type": "capture", "hub": me, "nuc": "nobody", "ip": CAM},
            {"type": "gone", "hub": real[0], "version": 1, "nuc": "nuc_a"},
            {"type": "beat", "hub": real[0], "version": 2 ** 52},
        ]
        for channel in ["socket.io:hubs", *[f"socket.io:hub:{x}" for x in real],
                        f"socket.io:live:{CAM}"]:
            for data in rubbish:
                r.publish(channel, data)
            for m in stranger:
                r.publish(channel, json.dumps(m))
        for h in hubs:
            h.wait_log("ignored: not a message between hubs")
        wait_for(lambda: get_json(hubs[0].port, "/api/status")["hubs"] == 2, "strangers to go")
        hubs.wait_lists(lambda s: nuc_ids(s) == ["nuc_a"], "the agent is still there")
        send_picture(a, "nuc_a", n=3)
        v.until(lambda t: "snapshot_update" in t and '"n3"' in t)


@case("what another program has put in a picture's place reaches no viewer, or as JSON")
def _():
    with Hubs(2) as hubs, SocketIO(hubs[0].port) as v:
        r = hubs.redis.client()
        notice = {"type": "picture", "hub": "abcdefghijklmnopqrst", "ip": CAM, "nuc": "x"}
        image = jpeg_text(4000, 1)
        for n, value in enumerate([{}, [], 5, {"image": 5}, {"image": ""}, {"ip": CAM},
                                   {"image": image}, {"image": image, "timestamp": "last"}]):
            before = fetches(r)
            r.set(f"snapshot:{CAM}", json.dumps(value), ex=300)
            r.publish("socket.io:hubs", json.dumps({**notice, "tag": n + 1, "put": n + 1}))
            wait_for(lambda: fetches(r) > before, "the hub with a viewer to fetch it")
        got = []
        while not got or got[-1]["timestamp"] != "last":
            got.append(v.event("snapshot_update")[0])
        for u in got:
            equal(u["image"], image)
            equal(list(u), ["nuc_id", "ip", "image", "estado", "timestamp"])


run_cases()
