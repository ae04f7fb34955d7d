#!/usr/bin/python3
"""Debian's python3-socketio against the hub, and agents as they are in use."""

import json
import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (FIXTURES, Polling, Program, SocketIO, TIMEOUT, case, check,  # noqa: E402
                    equal, get_json, http, hub, jpeg_text, run_cases, sanitized, snapshot,
                    temp_dir, wait_for)

import socketio  # noqa: E402

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}
server = hub()


def port():
    if not server.running():
        server.start()
    return server.port


class Client:
    """A python-socketio client and what it heard."""

    def __init__(self, at, transports, auth=None):
        self.sio = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=0.5)
        self.heard = []
        self.lock = threading.Lock()
        for name in ("connected", "registered", "snapshot_update", "event_update"):
            self.sio.on(name, self._listener(name))
        self.sio.connect(f"http://127.0.0.1:{at}", auth=auth, transports=transports,
                         wait_timeout=TIMEOUT)

    def _listener(self, name):
        def listener(*args):
            with self.lock:
                self.heard.append((name, args))
        return listener

    def arguments(self, name):
        with self.lock:
            return [args for n, args in self.heard if n == name]

    def wait(self, name, n=1):
        wait_for(lambda: len(self.arguments(name)) >= n, f"{n} {name}")
        return self.arguments(name)[n - 1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sio.disconnect()


def nobody_left():
    wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 0, "the agents to leave")


def pictures(transports):
    with Client(port(), transports) as viewer, \
            Client(port(), transports, {"nuc_id": "nuc_py"}) as agent:
        equal(agent.wait("connected"), ({"status": "ok", "nuc_id": "nuc_py",
                                         "message": "Conectado al servidor central"},))
        viewer.wait("connected")
        if transports is None:
            equal(agent.sio.transport(), "websocket")
        agent.sio.emit("nuc_register", {"nuc_id": "nuc_py", "camaras": ["192.0.2.1"]})
        equal(agent.wait("registered"), ({"status": "ok", "nuc_id": "nuc_py"},))
        for i in range(10):
            sent = snapshot("192.0.2.1", jpeg_text(100000, seed=i), "nuc_py")
            agent.sio.call("snapshot", sent, timeout=TIMEOUT)
            got, = viewer.wait("snapshot_update", i + 1)
            equal(list(got), ["nuc_id", "ip", "image", "estado", "timestamp"])
            equal(got, sent)
        agent.sio.emit("event", {"a": [1, "ñ", None]})
        equal(viewer.wait("event_update"), ({"a": [1, "ñ", None]},))
        equal(agent.wait("event_update"), ({"a": [1, "ñ", None]},))
        equal(agent.arguments("snapshot_update"), [], "told to the agent")
    nobody_left()


def big_picture(transports):
    with Client(port(), transports) as viewer, \
            Client(port(), transports, {"nuc_id": "nuc_py"}) as agent:
        image = jpeg_text(15_000_000, seed=3)
        agent.sio.call("snapshot", snapshot("192.0.2.2", image, "nuc_py"), timeout=60)
        got, = viewer.wait("snapshot_update")
        check(got["image"] == image, "another image")
    nobody_left()


def many_events(transports):
    with Client(port(), transports) as viewer, \
            Client(port(), transports, {"nuc_id": "nuc_py"}) as agent:
        viewer.wait("connected")
        for i in range(60):
            agent.sio.emit("event", i)
        viewer.wait("event_update", 60)
        equal(sorted(a[0] for a in viewer.arguments("event_update")), list(range(60)))
    nobody_left()


def restart(transports):
    with hub() as h:
        with Client(h.port, transports, {"nuc_id": "nuc_py"}) as agent:
            agent.wait("connected")
            h.kill()
            wait_for(lambda: not agent.sio.connected, "the disconnection")
            h.start()
            agent.wait("connected", 2)
            wait_for(lambda: get_json(h.port, "/api/nucs")["total"] == 1, "the agent")


for _name, _transports in TRANSPORTS.items():
    for _what, _run in (("agent and viewer, from connect to snapshot_update", pictures),
                        ("a picture of 15 million characters arrives whole", big_picture),
                        ("sixty events at once all arrive, each once", many_events),
                        ("a killed hub that comes back is found again", restart)):
        case(f"{_name}: {_what}")(lambda run=_run, t=_transports: run(t))


# ---- the agents in use ----

def old_agent(at, cameras, *transports, interval="1"):
    return Program(["/usr/bin/python3", os.path.join(FIXTURES, "old_agent.py"), *transports],
                   {"SERVER_URL": f"http://127.0.0.1:{at}", "NUC_ID": "nuc_sede1",
                    "CAMARAS_IPS": cameras, "INTERVALO_SNAPSHOT": interval})


def picture_number(at, ip):
    """The agent writes a number into each picture; 0 where there is none."""
    r = http(at, "GET", f"/api/camaras/{ip}/snapshot.jpg")
    return int(r.body[12:20]) if r.status == 200 else 0


@case("an agent in use opens by polling, upgrades, registers and sends pictures")
def _():
    with hub(env={"CAMARAS_IPS": "cam1,cam2,dead1"}) as h, \
            old_agent(h.port, "cam1,cam2,dead1") as a:
        a.wait_log("registered nuc_sede1")
        a.wait_log("greeted nuc_sede1")
        a.wait_log("connected (polling|websocket)")
        wait_for(lambda: picture_number(h.port, "cam2") > 3, "pictures of the second round")
        found = {c["ip"]: c["estado"]
                 for c in get_json(h.port, "/api/camaras/detectar")["camaras"]}
        equal(found, {"cam1": "activa", "cam2": "activa", "dead1": "sin_acceso"})
        nuc = get_json(h.port, "/api/nucs")["nucs"][0]
        equal((nuc["nuc_id"], nuc["camaras"]), ("nuc_sede1", ["cam1", "cam2", "dead1"]))


@case("an agent in use over polling alone is served as well")
def _():
    with hub() as h, old_agent(h.port, "cam1", "polling") as a:
        a.wait_log("connected polling")
        wait_for(lambda: picture_number(h.port, "cam1") > 2, "pictures")


@case("an agent in use that fell silent after an outage is asked and sends pictures again")
def _():
    config = os.path.join(temp_dir(), "nuchubd.conf")
    with open(config, "w") as f:
        f.write("interval = 2\n")
    with hub("--config", config, env={"CAMARAS_IPS": "cam1,cam2"}) as h, \
            old_agent(h.port, "cam1,cam2") as a:
        wait_for(lambda: picture_number(h.port, "cam2") > 2, "pictures")
        h.kill()
        a.wait_log("sender-ended")
        h.start()
        wait_for(lambda: a.log().count("registered nuc_sede1") == 2, "the second registration")
        # From now on it sends nothing by itself.
        for ip in ("cam1", "cam2"):
            a.wait_log(f"asked {ip}")
            wait_for(lambda: picture_number(h.port, ip) > 0, f"a picture of {ip}")


@case("a hub that is stopped in good order does not end an agent in use for good")
def _():
    with hub() as h, old_agent(h.port, "cam1") as a:
        a.wait_log("registered nuc_sede1")
        h.stop()
        a.wait_log("disconnected")
        h.start()
        wait_for(lambda: a.log().count("registered nuc_sede1") == 2, "the second registration")
        check(a.running(), "the agent ended")


# ---- viewers that do not read ----

def stamps_of(texts, images):
    """The timestamps per camera of updates that arrived; they must be whole and in order."""
    stamps = {}
    for t in texts:
        if not t.startswith('42["snapshot_update"'):
            continue
        u = json.loads(t[2:])[1]
        check(u["image"] == images[u["timestamp"] % len(images)], "another image")
        check(u["timestamp"] > stamps.get(u["ip"], -1), "an older picture behind a newer")
        stamps[u["ip"]] = u["timestamp"]
    return stamps


@case("a viewer that does not read keeps the newest picture of each camera, and costs little")
def _():
    n, size, cameras = 150, 200_000, ("cam1", "cam2", "cam3")
    images = [jpeg_text(size, seed=i) for i in range(4)]
    with hub() as h, SocketIO(h.port) as viewer, SocketIO(h.port) as other, \
            SocketIO(h.port, {"nuc_id": "nuc_a"}) as a:
        for i in range(n):
            for ip in cameras:
                a.emit("snapshot", snapshot(ip, images[i % 4], timestamp=i))
                got, = other.event("snapshot_update")  # the one that reads gets every one
                equal((got["ip"], got["timestamp"]), (ip, i))
        a.emit("event", "end")
        with open(f"/proc/{h.pid}/status") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) * 1024
        check(peak < 60e6 or sanitized(h),
              f"peak {peak / 1e6:.0f} MB of {n * len(cameras) * size / 1e6:.0f} MB sent")
        got = viewer.until(lambda t: t == '42["event_update","end"]')
        equal(stamps_of(got, images), {ip: n - 1 for ip in cameras}, "the newest of each camera")
        check(len(got) < n * len(cameras), "nothing was dropped: the test is too small")


@case("a viewer that polls slowly gets the newest picture of each camera")
def _():
    p = Polling(port())
    p.connect()
    images = [jpeg_text(1_000_000, seed=1)]
    with SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        for i in range(60):
            for ip in ("p1", "p2"):
                a.emit("snapshot", snapshot(ip, images[0], timestamp=i))
        a.emit("event", "end")
        a.answer()
        got = p.until(lambda t: t == '42["event_update","end"]')
        equal(stamps_of(got, images), {"p1": 59, "p2": 59})
    nobody_left()


run_cases()
