#!/usr/bin/python3
"""Pictures in Redis: shared with a Flask server, and every way in which a Redis can fail.

Each test has a Redis of its own.  While it fails, pictures go on coming and viewers go on
getting them; what may not be slow is timed against the deadline of a read.
"""
# TEST_TIMEOUT: 300

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (SocketIO, case, check, equal, free_port, get_json, http, hub,  # noqa: E402
                    jpeg_text, program, python_fixture, run_cases, snapshot, temp_dir,
                    wait_for)
from redisd import Redis  # noqa: E402

PASSWORD = "a secret/with:all@of%it"
QUOTED = "a%20secret%2Fwith%3Aall%40of%25it"
READ_S = 2.0    # the deadline of a read
SLOW_S = 1.0    # what needs no Redis is never slower, even on a busy machine
CAMERAS = ["192.0.2.65", "192.0.2.66", "192.0.2.67"]


def state(h):
    return get_json(h.port, "/api/status")["redis"]


def wait_state(h, wanted):
    wait_for(lambda: state(h) == wanted, f"redis to be {wanted}")


def stored(r, ip, kind="snapshot"):
    value = r.get(f"{kind}:{ip}")
    return json.loads(value) if value else None


def listed(h):
    return {c["ip"] for c in get_json(h.port, "/api/camaras")["camaras"]}


class Load:
    """An agent that sends, a viewer that counts, and a reader that times its requests."""

    def __init__(self, h):
        self.h = h
        self.stop = False
        self.newest = {}
        self.n_seen = 0
        self.slowest = 0.0
        self.errors = []
        self.agent = SocketIO(h.port, {"nuc_id": "nuc_a"})
        self.viewer = SocketIO(h.port)
        self.threads = [threading.Thread(target=self.guard, args=(f,), daemon=True)
                        for f in (self.send, self.view, self.read)]
        for t in self.threads:
            t.start()

    def guard(self, function):
        try:
            while not self.stop:
                function()
        except Exception as e:
            if not self.stop:
                self.errors.append(f"{type(e).__name__}: {e}")

    def send(self):
        n = len(self.newest) and max(self.newest.values()) or 0
        for ip in CAMERAS:
            n += 1
            self.agent.emit("snapshot", snapshot(ip, jpeg_text(20000, n), seq=n,
                                                 timestamp=f"n{n}"))
            self.newest[ip] = n
        self.agent.answer()
        time.sleep(0.02)

    def view(self):
        self.viewer.event("snapshot_update")
        self.n_seen += 1

    def read(self):
        for target in ["/api/camaras", "/api/camaras/detectar", "/api/status",
                       f"/api/camaras/{CAMERAS[0]}/snapshot"]:
            begun = time.monotonic()
            r = http(self.h.port, "GET", target)
            self.slowest = max(self.slowest, time.monotonic() - begun)
            check(r.status in (200, 404), f"{target}: {r}")
        time.sleep(0.01)

    def goes_on(self, n=30):
        """Viewers get n more pictures."""
        target = self.n_seen + n
        wait_for(lambda: self.n_seen >= target or self.errors, "pictures at the viewer", 20)
        equal(self.errors, [])

    def end(self, limit):
        self.stop = True
        self.threads[0].join(20)
        self.threads[2].join(20)
        equal(self.errors, [])
        check(self.slowest < limit, f"a request took {self.slowest:.2f} s")
        print(f"  slowest request {self.slowest * 1000:.0f} ms, {self.n_seen} pictures seen")

    def is_stored(self, r):
        def same():
            return all((stored(r, ip) or {}).get("timestamp") == f"n{n}"
                       for ip, n in self.newest.items())
        wait_for(same, "the newest picture of each camera in Redis")


def lines(h, pattern):
    return re.findall(pattern, h.log())


# ---- what is stored ----

@case("a picture and an error are stored under the names, values and lifetimes of old")
def _():
    with Redis() as r, hub(env={"REDIS_URL": r.url("/3")}) as h:
        wait_state(h, "conectado")
        with SocketIO(h.port, {"nuc_id": "nuc_a"}) as a:
            a.emit("snapshot", snapshot(CAMERAS[0], nombre="ñ"))
            a.emit("snapshot_error", {"nuc_id": "nuc_a", "ip": CAMERAS[1], "error": "sin señal"})
            a.answer()
        c = r.client(db=3)
        s = wait_for(lambda: stored(c, CAMERAS[0]), "the picture")
        for key, value in snapshot(CAMERAS[0]).items():
            equal(s[key], value, key)
        e = wait_for(lambda: stored(c, CAMERAS[1], "estado"), "the error")
        equal(list(e), ["nuc_id", "ip", "estado", "error", "timestamp"])
        equal((e["estado"], e["error"]), ("sin_acceso", "sin señal"))
        check(295 <= c.ttl(f"snapshot:{CAMERAS[0]}") <= 300)
        check(595 <= c.ttl(f"estado:{CAMERAS[1]}") <= 600)
        equal(c.dbsize(), 2)
        calls = c.info("commandstats")
        equal(calls["cmdstat_set"]["calls"], 2, "writes")


@case("pictures survive a restart of the hub, with their age")
def _():
    with Redis() as r:
        h = hub("--config", config("stale_after = 1\n"), env={"REDIS_URL": r.url()})
        h.start()
        wait_state(h, "conectado")
        with SocketIO(h.port, {"nuc_id": "nuc_a"}) as a:
            for ip in CAMERAS:
                a.emit("snapshot", snapshot(ip))
            a.answer()
        wait_for(lambda: r.client().dbsize() == 3, "the pictures in Redis")
        h.stop()
        time.sleep(1.1)  # so that they are stale
        h.start()
        wait_state(h, "conectado")
        equal(listed(h), set(CAMERAS))
        s = get_json(h.port, f"/api/camaras/{CAMERAS[1]}/snapshot")
        equal((s["estado"], s["image"]), ("sin_acceso", "data:image/jpeg;base64," + jpeg_text()))
        equal(http(h.port, "GET", f"/api/camaras/{CAMERAS[2]}/snapshot.jpg").status, 200)
        check(r.client().ttl(f"snapshot:{CAMERAS[0]}") < 300)
        h.stop()


def config(text):
    path = os.path.join(temp_dir(), "nuchubd.conf")
    with open(path, "w") as f:
        f.write(text)
    return path


@case("the hub and a Flask server share one Redis and read each other's pictures")
def _():
    port = free_port()
    with Redis() as r, hub(env={"REDIS_URL": r.url()}) as h, \
            python_fixture("flask_server.py", "--port", port, "--redis", r.url(),
                           port=port) as f:
        wait_state(h, "conectado")
        with SocketIO(h.port, {"nuc_id": "nuc_a"}) as a:
            a.emit("snapshot", snapshot(CAMERAS[0], estado="ñandú"))
            a.answer()
        with SocketIO(f.port, {"nuc_id": "nuc_b"}) as b:
            b.emit("snapshot", snapshot(CAMERAS[1], nuc_id="nuc_b", estado="ñu"))
            wait_for(lambda: r.client().dbsize() == 2, "both pictures")
            for port in (h.port, f.port):
                equal(listed_at(port), {(CAMERAS[0], "nuc_a", "ñandú"), (CAMERAS[1], "nuc_b", "ñu")})
            s = get_json(h.port, f"/api/camaras/{CAMERAS[1]}/snapshot")
            equal(s["image"], "data:image/jpeg;base64," + jpeg_text())
            equal(get_json(f.port, f"/api/camaras/{CAMERAS[0]}/snapshot")["image"], jpeg_text())
            # A newer one of a camera that the hub has already.
            b.emit("snapshot", snapshot(CAMERAS[0], jpeg_text(800), nuc_id="nuc_b"))
            time.sleep(1.6)  # two that come closer together count as one
            b.emit("snapshot", snapshot(CAMERAS[0], jpeg_text(1200), nuc_id="nuc_b"))
        wait_for(lambda: get_json(h.port, f"/api/camaras/{CAMERAS[0]}/snapshot")["image"]
                 .endswith(jpeg_text(1200)), "the Flask server's newer picture")


def listed_at(port):
    return {(c["ip"], c["nuc_id"], c["estado"]) for c in get_json(port, "/api/camaras")["camaras"]}


@case("what others put into Redis wrongly harms nobody")
def _():
    with Redis() as r, hub(env={"REDIS_URL": r.url()}) as h:
        wait_state(h, "conectado")
        c = r.client()
        good = json.dumps(snapshot("ok"))
        wrong = {"text": ("nope", 500), "cut": (good[:50], 500), "empty": ("", 404),
                 "array": ("[1]", 404), "number": ("7", 404), "utf8": (b'{"image":"\xff"}', 500),
                 "noimage": ("{}", 404), "null": ('{"image":null}', 404),
                 "deep": ("[" * 100000, 500)}
        for name, (value, _) in wrong.items():
            c.setex(f"snapshot:{name}", 300, value)
        c.lpush("snapshot:list", "x")
        c.setex("snapshot:ok", 300, good)
        c.set("snapshot:forever", good)
        c.setex(b"snapshot:\xff\x00\x01", 300, good)
        c.setex("snapshot:" + "x" * 5000, 300, good)
        c.setex("estado:text", 300, "nope")
        equal(listed(h), {"ok", "forever"})
        get_json(h.port, "/api/camaras/detectar")
        for name, (_, status) in wrong.items():
            equal(http(h.port, "GET", f"/api/camaras/{name}/snapshot").status, status, name)
        equal(http(h.port, "GET", "/api/camaras/list/snapshot").status, 500)
        equal(http(h.port, "GET", "/api/camaras/ok/snapshot").status, 200)
        equal(state(h), "conectado")


@case("many keys of others do not hold lists up, and one fetch serves all who ask")
def _():
    with Redis() as r, hub(env={"REDIS_URL": r.url()}) as h:
        wait_state(h, "conectado")
        c = r.client()
        with c.pipeline(transaction=False) as p:
            for i in range(20000):
                p.set(f"celery:{i}", "x")
            p.execute()
        c.setex("snapshot:ok", 300, json.dumps(snapshot("ok", jpeg_text(400000))))
        equal(listed(h), {"ok"})
        c.setex("snapshot:two", 300, json.dumps(snapshot("two", jpeg_text(400000))))
        threads = [threading.Thread(target=http, args=(h.port, "GET",
                                                       "/api/camaras/two/snapshot"))
                   for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        check(c.info("commandstats")["cmdstat_getrange"]["calls"] <= 4)


# ---- URLs ----

@case("REDIS_URL: password, user, database, socket, and what is refused at start")
def _():
    with Redis("--requirepass", PASSWORD) as r:
        r.password = PASSWORD
        r.client().execute_command("ACL", "SETUSER", "cams", "on", ">" + PASSWORD, "~*", "+@all")
        for url in (f"redis://:{QUOTED}@127.0.0.1:{r.port}",
                    f"redis://cams:{QUOTED}@localhost:{r.port}/2",
                    f"redis://127.0.0.1:{r.port}?password={QUOTED}&db=1&socket_timeout=5",
                    f"unix://:{QUOTED}@{r.socket}?db=4"):
            with hub(env={"REDIS_URL": url}) as h:
                wait_state(h, "conectado")
                check("secret" not in h.log())
        with hub(env={"REDIS_URL": ""}) as h:
            equal(state(h), "no_configurado")
    for url, why in [("redis://:hush@h:x", "port"), ("redis://:hush@h/x", "database"),
                     ("http://:hush@h", "begins with"), ("hush", "begins with"),
                     ("unix://hush", "path")]:
        p = subprocess.run([program("NUCHUBD"), "--port", "0"], env={"REDIS_URL": url},
                           stderr=subprocess.PIPE, text=True, timeout=20)
        check(p.returncode != 0, url)
        check(why in p.stderr and "hush" not in p.stderr, p.stderr)


# ---- faults ----

def fault(r, h, load, begin, end, lost="desconectado", n_away=1, url=None):
    begin()
    load.goes_on()
    wait_state(h, lost)
    load.goes_on()
    end()
    wait_state(h, "conectado")
    load.goes_on()
    load.end(READ_S + SLOW_S)
    load.is_stored(r.client())
    equal(len(lines(h, "redis store away")), n_away, "lines that say that it is lost")


def under_load(*options):
    r = Redis(*options).start()
    h = hub(env={"REDIS_URL": r.url()}).start()
    wait_state(h, "conectado")
    load = Load(h)
    load.goes_on()
    return r, h, load


@case("a Redis that hangs: nothing stalls, and it is used again when it wakes")
def _():
    r, h, load = under_load()
    fault(r, h, load, lambda: os.kill(r.pid, signal.SIGSTOP),
          lambda: os.kill(r.pid, signal.SIGCONT))
    h.stop()
    r.stop()


@case("a Redis that is killed and comes back empty gets everything again")
def _():
    r, h, load = under_load()
    load.agent.emit("snapshot", snapshot("once"))  # never sent again
    wait_for(lambda: stored(r.client(), "once"), "the picture that is sent once")
    fault(r, h, load, r.kill, r.start)
    wait_for(lambda: stored(r.client(), "once"), "it again")
    h.stop()
    r.stop()


@case("another Redis with other data in its place: the newer of both wins")
def _():
    r, h, load = under_load()
    load.agent.emit("snapshot", snapshot("ours"))
    load.agent.emit("snapshot", snapshot("theirs"))
    wait_for(lambda: stored(r.client(), "theirs"), "both in the first one")

    def replace():
        time.sleep(2)  # so that it is newer
        r.start()
        c = r.client()
        c.setex("snapshot:ours", 100, json.dumps(snapshot("ours", timestamp="old")))
        c.setex("snapshot:theirs", 300, json.dumps(snapshot("theirs", timestamp="new")))
        c.setex("snapshot:more", 300, json.dumps(snapshot("more")))
    fault(r, h, load, r.kill, replace)
    wait_for(lambda: stored(r.client(), "ours")["timestamp"] != "old", "ours in Redis")
    wait_for(lambda: get_json(h.port, "/api/camaras/theirs/snapshot")["timestamp"] == "new",
             "theirs at the hub")
    equal(stored(r.client(), "theirs")["timestamp"], "new")
    equal(listed(h), set(CAMERAS) | {"ours", "theirs", "more"})
    h.stop()
    r.stop()


@case("a Redis that is full: told once, and written when there is room")
def _():
    r, h, load = under_load()

    def fill():
        r.client().config_set("maxmemory-policy", "noeviction")
        r.client().config_set("maxmemory", "1mb")
    fault(r, h, load, fill, lambda: r.client().config_set("maxmemory", "0"), "rechaza", 0)
    equal(len(lines(h, "takes no writes: OOM")), 1)
    equal(len(lines(h, "takes writes again")), 1)
    h.stop()
    r.stop()


@case("a Redis that is slow delays nothing that memory has")
def _():
    r, h, load = under_load()
    for _ in range(5):
        os.kill(r.pid, signal.SIGSTOP)
        load.goes_on(15)
        os.kill(r.pid, signal.SIGCONT)
        load.goes_on(15)
    equal(state(h), "conectado")
    load.end(READ_S + SLOW_S)
    load.is_stored(r.client())
    equal(len(lines(h, "redis store away")), 0)
    h.stop()
    r.stop()


@case("a wrong password is told once, and right when it becomes so")
def _():
    with Redis("--requirepass", "other") as r:
        r.password = "other"
        with hub(env={"REDIS_URL": f"redis://:{QUOTED}@127.0.0.1:{r.port}"}) as h:
            load = Load(h)
            h.wait_log("redis store away .*WRONGPASS")
            check("secret" not in h.log() and "with:all" not in h.log())
            load.goes_on()
            equal(state(h), "desconectado")
            r.client().config_set("requirepass", PASSWORD)
            r.password = PASSWORD
            wait_state(h, "conectado")
            load.end(READ_S + SLOW_S)
            load.is_stored(r.client())
            equal(len(lines(h, "redis store away")), 1)


@case("the hub may start before Redis")
def _():
    r = Redis()
    with hub(env={"REDIS_URL": r.url()}) as h:
        h.wait_log("redis store away")
        equal(state(h), "desconectado")
        load = Load(h)
        load.goes_on()
        equal(http(h.port, "GET", "/api/camaras/192.0.2.99/snapshot").status, 404)
        r.start()
        wait_state(h, "conectado")
        load.end(SLOW_S)
        load.is_stored(r.client())
        equal(len(lines(h, "redis store away")), 1)
    r.stop()


@case("who asks a hung Redis for what memory lacks is answered at the deadline")
def _():
    with Redis() as r, hub(env={"REDIS_URL": r.url()}) as h:
        wait_state(h, "conectado")
        r.client().setex("snapshot:there", 300, json.dumps(snapshot("there")))
        os.kill(r.pid, signal.SIGSTOP)
        for target in ("/api/camaras/there/snapshot", "/api/camaras"):
            begun = time.monotonic()
            http(h.port, "GET", target)
            check(time.monotonic() - begun < READ_S * 2 + SLOW_S, target)
        os.kill(r.pid, signal.SIGCONT)
        wait_for(lambda: http(h.port, "GET", "/api/camaras/there/snapshot").status == 200,
                 "the picture after all")


if __name__ == "__main__":
    run_cases()
