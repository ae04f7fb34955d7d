"""A load on hubs that act as one, and every way in which their Redis can fail."""

import json
import os
import signal
import socket
import threading
import time

from nuchub import (SocketIO, check, equal, free_port, get_json, http, jpeg_text, snapshot,
                    wait_for)

CAMERAS = [f"cam{i}" for i in range(5)]
PICTURE = 20000  # characters


class SlowLink(threading.Thread):
    """Passes connections on, what goes through them delay_s later."""

    def __init__(self, to_port):
        super().__init__(daemon=True)
        self.to_port, self.delay_s = to_port, 0
        self.socket = socket.create_server(("127.0.0.1", free_port()))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            conn, _ = self.socket.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self.to_port))
            except OSError:
                conn.close()
                continue
            for a, b in ((conn, far), (far, conn)):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.take, args=(a, b), daemon=True).start()

    def take(self, a, b):
        waiting, more = [], threading.Condition()
        threading.Thread(target=self.give, args=(a, b, waiting, more), daemon=True).start()
        data = True
        while data:
            try:
                data = a.recv(1 << 18)
            except OSError:
                data = b""
            with more:
                waiting.append((time.monotonic() + self.delay_s, data))
                more.notify()

    @staticmethod
    def give(a, b, waiting, more):
        while True:
            with more:
                more.wait_for(lambda: waiting)
                due, data = waiting.pop(0)
            time.sleep(max(0, due - time.monotonic()))
            try:
                if data:
                    b.sendall(data)
                    continue
                b.shutdown(socket.SHUT_RDWR)
                a.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            if not data:
                return


class Faults:
    """Name, how it begins and ends, what the hubs say meanwhile (None: as ever)."""

    def __init__(self, redis, link):
        self.redis, self.link = redis, link
        self.all = [
            ("refuses (killed)", self.kill, redis.start, "desconectado"),
            ("hangs (SIGSTOP)", self.hang, self.go_on, "desconectado"),
            ("another password", self.lock, self.unlock, "desconectado"),
            ("full (OOM)", self.fill, self.make_room, "rechaza"),
            ("slow (0.3 s each way)", lambda: self.delay(0.3), lambda: self.delay(0), None),
            ("replaced by another", self.kill, self.replace, "desconectado"),
        ]

    def kill(self):
        self.redis.kill()

    def hang(self):
        os.kill(self.redis.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.redis.pid, signal.SIGCONT)

    def order(self, *words):
        self.redis.client().execute_command(*words)

    def lock(self):
        self.order("ACL", "SETUSER", "nuchub", "resetpass", ">another")
        self.order("CLIENT", "KILL", "USER", "nuchub")

    def unlock(self):
        self.order("ACL", "SETUSER", "nuchub", ">PASSWORD-OF-HUBS")

    def fill(self):
        self.order("CONFIG", "SET", "maxmemory-policy", "noeviction")
        self.order("CONFIG", "SET", "maxmemory", "1mb")

    def make_room(self):
        self.order("CONFIG", "SET", "maxmemory", "0")

    def delay(self, seconds):
        self.link.delay_s = seconds

    def replace(self):
        self.redis.start()
        c = self.redis.client()
        c.setex(f"snapshot:{CAMERAS[0]}", 100, json.dumps(snapshot(CAMERAS[0], timestamp="old")))
        c.setex("snapshot:other", 300, json.dumps(snapshot("other")))


class Load:
    """An agent at the first hub, viewers at the first and the second, readers of both."""

    def __init__(self, near, far, every_s=0.02):
        self.near, self.far, self.every_s = near, far, every_s
        self.stop = False
        self.newest = {}
        self.errors = []
        # (when, how long) of: a picture to a viewer here, and there; a request here, there
        self.here, self.there, self.asked_here, self.asked_there = [], [], [], []
        self.agent = SocketIO(near.port, {"nuc_id": "nuc_load"})
        self.threads = []
        for f, args in ((self.send, ()),
                        (self.view, (SocketIO(near.port), self.here)),
                        (self.view, (SocketIO(far.port), self.there)),
                        (self.read, (near, self.asked_here)),
                        (self.read, (far, self.asked_there))):
            t = threading.Thread(target=self.guard, args=(f, *args), daemon=True)
            t.start()
            self.threads.append(t)

    def guard(self, function, *args):
        try:
            while not self.stop:
                function(*args)
        except Exception as e:
            if not self.stop:
                self.errors.append(f"{function.__name__}: {type(e).__name__}: {e}")

    def send(self):
        n = sum(self.newest.values()) + 1
        ip = CAMERAS[n % len(CAMERAS)]
        i = self.newest.get(ip, 0) + 1
        self.agent.emit("snapshot", snapshot(ip, jpeg_text(PICTURE), "nuc_load",
                                             timestamp=f"{i} {time.monotonic()}"))
        self.newest[ip] = i
        if n % 10 == 0:
            self.agent.answer()
        time.sleep(self.every_s)

    @staticmethod
    def view(client, out):
        s, = client.event("snapshot_update")
        now = time.monotonic()
        if s["timestamp"][0].isdigit():
            out.append((now, now - float(s["timestamp"].split()[1]), s["ip"],
                        int(s["timestamp"].split()[0])))

    @staticmethod
    def read(h, out):
        for target in ("/api/camaras", "/api/nucs", "/api/status",
                       f"/api/camaras/{CAMERAS[0]}/snapshot"):
            begun = time.monotonic()
            r = http(h.port, "GET", target)
            out.append((time.monotonic(), time.monotonic() - begun, target))
            check(r.status in (200, 404), f"{target}: {r}")
        time.sleep(0.02)

    def goes_on(self, n=40, there=True):
        """n more pictures at the viewer here, and there."""
        wanted = [(o, len(o) + n) for o in ([self.here, self.there] if there else [self.here])]
        wait_for(lambda: self.errors or all(len(o) >= w for o, w in wanted),
                 lambda: f"pictures: {[(len(o), w) for o, w in wanted]}")
        equal(self.errors, [])

    def end(self):
        """No more pictures; all that were sent have been taken."""
        self.stop = True
        for t in self.threads[:1] + self.threads[3:]:
            t.join(30)
        self.agent.answer()
        equal(self.errors, [])

    def is_stored(self, redis):
        def stored(ip):
            value = redis.client().get(f"snapshot:{ip}")
            return value and json.loads(value)["timestamp"].split()[0]

        def shown(h, ip):
            r = http(h.port, "GET", f"/api/camaras/{ip}/snapshot")
            return r.status == 200 and r.json()["timestamp"].split()[0]
        for ip, n in self.newest.items():
            wait_for(lambda ip=ip, n=n: stored(ip) == str(n),
                     lambda ip=ip, n=n: f"picture {n} of {ip} in Redis: {stored(ip)}")
            for h in (self.near, self.far):
                wait_for(lambda h=h, ip=ip, n=n: shown(h, ip) == str(n),
                         lambda h=h, ip=ip, n=n: f"picture {n} of {ip}: {shown(h, ip)}")


def state(h):
    return get_json(h.port, "/api/status")["redis"]
