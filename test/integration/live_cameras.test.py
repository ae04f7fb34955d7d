#!/usr/bin/python3
"""Live view from the camera to the viewer: RTSP cameras, the agent and the hub."""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from live import Watcher  # noqa: E402
from nuchub import (FIXTURES, Program, agent, case, check, equal, free_port, get_json, hub, http,  # noqa: E402
                    python_fixture, run_cases, sanitized, temp_dir, wait_for)
from pictures import WRAP, Decoder, now_ms, size_of  # noqa: E402

# TEST_TIMEOUT: 400

PASSWORD = "camera-pass"
decoder = Decoder()


def rtsp_camera(*options):
    port = free_port()
    return python_fixture("rtsp_camera.py", "--port", port, *options, port=port)


def http_camera(kind, *options):
    port = free_port()
    return python_fixture("http_camera.py", kind, "--port", port, *options, port=port)


def a_hub(**settings):
    path = os.path.join(temp_dir(), "nuchubd.conf")
    with open(path, "w") as f:
        f.writelines(f"{k} = {v}\n" for k, v in {"live_grace": 1, "log_level": "debug",
                                                 **settings}.items())
    return hub("--config", path)


@contextlib.contextmanager
def site(server, settings=None, nuc="nuc_site", port=None, **cameras):
    """Starts the hub, an agent and its cameras; gives the agent."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(server)
        for c in cameras.values():
            stack.enter_context(c)
        kinds = {n: "http" if "http_camera" in c.argv[1] else "rtsp" for n, c in cameras.items()}
        listed = [f"{n}={kinds[n]}://127.0.0.1:{c.port}" for n, c in cameras.items()]
        a = stack.enter_context(agent(
            f"http://127.0.0.1:{port or server.port}", nuc, ",".join(listed),
            CONTRASENA_CAMARAS=PASSWORD, **{"INTERVALO_SNAPSHOT": "3600", **(settings or {})}))
        wait_for(lambda: [n for n in get_json(server.port, "/api/nucs")["nucs"]
                          if n["nuc_id"] == nuc], "the agent")
        yield a
        check(PASSWORD not in a.log() + server.log(), "a password in a log")


def open_sessions(camera):
    """Connections that the camera has."""
    n = 0
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            local, _, state = line.split()[1:4]
            n += state == "01" and int(local.split(":")[1], 16) == camera.port
    return n


class Throttle:
    """A way through to a port that lets so many bytes a second pass from the client."""

    def __init__(self, port, rate, towards_client=False):
        self.to, self.rate, self.towards_client = port, rate, towards_client
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            server.connect(("127.0.0.1", self.to))
            for s in (client, server):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            slow, fast = (server, client) if self.towards_client else (client, server)
            threading.Thread(target=self.pump, args=(slow, fast, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(fast, slow, False), daemon=True).start()

    def pump(self, a, b, slowly):
        try:
            while data := a.recv(2048):
                if slowly and self.rate:
                    time.sleep(len(data) / self.rate)
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


@case("H.264 with a sub-stream, H.265, and pictures over HTTP, all live at once")
def _():
    server = a_hub()
    with site(server, main=rtsp_camera("--sub", "320x180"), hevc=rtsp_camera("--codec", "h265"),
              wide=rtsp_camera("--size", "1920x1080", "--fps", "4"),
              web=http_camera("digest")) as a:
        with Watcher(server.port, "main", decoder) as main, \
                Watcher(server.port, "hevc", decoder) as hevc, \
                Watcher(server.port, "wide", decoder) as wide, \
                Watcher(server.port, "web") as web:
            for w in (main, hevc, wide):
                w.wait_moving(5)
            wait_for(lambda: web.pictures >= 5, "pictures over HTTP")
            equal(size_of(main.newest), (320, 180), "the sub-stream is taken")
            equal(size_of(hevc.newest), (640, 360))
            equal(size_of(wide.newest), (1280, 720), "live pictures are made smaller")
        # A session that was lost on the way has begun and ended once more.
        wait_for(lambda: a.log().count("live ends") == a.log().count("live begins") >= 4,
                 lambda: f"the end of live view: {a.log()}")


@case("one session with the camera, however many look; none when nobody does")
def _():
    server = a_hub()
    camera = rtsp_camera()
    with site(server, cam=camera) as a:
        a.wait_log("camera=cam state=activa")
        with Watcher(server.port, "cam", decoder, agent="A") as one, \
                Watcher(server.port, "cam", decoder, agent="B") as two:
            one.wait_moving()
            two.wait_moving()
            equal(open_sessions(camera), 1)
            one.close()
            two.wait_moving(10)
        wait_for(lambda: open_sessions(camera) == 0, "the camera to be left alone")
        with Watcher(server.port, "cam", decoder) as again:
            again.wait_moving()


@case("cameras that stop sending, or go: the stream says so, and moves when they are back")
def _():
    server = a_hub()
    mute, gone = rtsp_camera(), rtsp_camera("--codec", "h265")
    with site(server, mute=mute, gone=gone), Watcher(server.port, "mute", decoder) as m, \
            Watcher(server.port, "gone", decoder) as g:
        m.wait_moving()
        g.wait_moving()
        mute.process.send_signal(signal.SIGUSR1)
        gone.kill()
        wait_for(lambda: g.still, "the picture that says so (camera gone)")
        wait_for(lambda: m.still, "the picture that says so (camera silent)")
        equal(g.still, m.still)
        check(max(m.ages) < 10_000, f"a picture that was kept for {max(m.ages)} ms")
        gone.start()
        g.wait_moving()
        mute.process.send_signal(signal.SIGUSR2)
        m.wait_moving()
        gone.stop()
        wait_for(lambda: g.still, "the picture that says so, again")
        gone.start()
        g.wait_moving()
        check(not m.stream.ended and not g.stream.ended)


@case("a sub-stream that never sends anything gives way to the main stream")
def _():
    server = a_hub()
    with site(server, cam=rtsp_camera("--sub", "320x180", "--mute-sub")), \
            Watcher(server.port, "cam", decoder) as w:
        w.wait_moving(timeout=90)
        equal(size_of(w.newest), (640, 360))


@case("a camera that is not there when somebody looks, and comes later")
def _():
    server = a_hub()
    camera = rtsp_camera()
    with site(server, cam=camera):
        camera.kill()
        with Watcher(server.port, "cam", decoder) as w:
            wait_for(lambda: w.pictures >= 2 and w.still, "the picture that says so")
            camera.start()
            w.wait_moving()


@case("an agent that was stopped for a moment goes on with whole pictures, not at a key frame")
def _():
    server = a_hub()
    with site(server, cam=rtsp_camera("--gop", 120)) as a, \
            Watcher(server.port, "cam", decoder) as w:
        w.wait_moving(5)
        stills = w.stills
        for pause in (1, 2):
            a.process.send_signal(signal.SIGSTOP)
            time.sleep(pause)
            a.process.send_signal(signal.SIGCONT)
            w.wait_moving(10)
        equal(w.stills, stills, "damaged pictures")


@case("a camera that is kept warm answers long before its next key frame")
def _():
    interval, n = 15, 5
    server = a_hub()
    with site(server, {"NUCHUB_KEEP_WARM": "cam"},
              cam=rtsp_camera("--gop", interval, "--sub", "320x180")):
        # The session begins between two key frames, and so waits for the second.
        wait_for(lambda: http(server.port, "GET", "/api/camaras/cam/snapshot?fresh=1").status == 200,
                 "the first picture")
        seen = set()
        for _ in range(n):
            r = http(server.port, "GET", "/api/camaras/cam/snapshot?fresh=1")
            equal(r.status, 200)
            jpeg = http(server.port, "GET", "/api/camaras/cam/snapshot.jpg").body
            seen.add(decoder.stamp(jpeg))
            equal(size_of(jpeg), (640, 360), "snapshots are of the main stream")
        equal(len(seen), n, "all different")
        # Key frames would be an interval apart from each other.
        spread = (max(seen) - min(seen)) / 1000
        check(spread < (n - 1) * interval, f"{spread} s between them")


@case("date, time and name are drawn where that is wanted")
def _():
    def spread(jpeg):
        """How much the grey levels differ where the text is, on a ground of one colour."""
        width, _, levels, stride = decoder.grey(jpeg)
        part = [v for y in range(4, 90) for v in levels[y * stride:y * stride + width * 2 // 3]]
        return max(part) - min(part)

    server = a_hub()
    with site(server, nuc="plain", cam=rtsp_camera()), \
            site(server, {"NUCHUB_LIVE_TEXT": "on"}, nuc="text", named=rtsp_camera()):
        with Watcher(server.port, "cam", decoder) as plain, \
                Watcher(server.port, "named", decoder) as text:
            plain.wait_moving(4)
            text.wait_moving(4)
            check(spread(plain.newest) < 40, f"text? {spread(plain.newest)}")
            check(spread(text.newest) > 80, f"no text: {spread(text.newest)}")


@case("a slow uplink gets fewer pictures, and none of them gets ever older")
def _():
    server = a_hub()
    with server:
        way = Throttle(server.port, 60_000)
        with site(server, port=way.port, cam=rtsp_camera()) as a, \
                Watcher(server.port, "cam", decoder) as w:
            w.wait_moving(5)
            begun, n = time.monotonic(), w.moving
            w.wait_moving(25, timeout=90)
            slow = (w.moving - n) / (time.monotonic() - begun)
            elapsed = (time.monotonic() - begun) * 1000
            worst = max(w.ages[-8:])
            # With pictures waiting in a queue the age would be a large part of the time.
            check(worst < elapsed / 3, f"{worst} ms old after {elapsed:.0f} ms")
            way.rate = 0
            w.wait_moving(10)
            begun, n = time.monotonic(), w.moving
            w.wait_moving(25)
            fast = (w.moving - n) / (time.monotonic() - begun)
            check(slow < fast, f"{slow:.1f} pictures a second slowly, {fast:.1f} without limit")
            check("down why" not in a.log(), "the connection was lost")


@case("snapshots that fill a slow uplink do not make live pictures old")
def _():
    server = a_hub()
    with server:
        way = Throttle(server.port, 30_000)
        with site(server, {"INTERVALO_SNAPSHOT": "1"}, port=way.port, cam=rtsp_camera(),
                  b=rtsp_camera(), c=rtsp_camera()), \
                Watcher(server.port, "cam", decoder) as w:
            w.wait_moving(20, timeout=150)
            # They are some 2 s old; in the kernel's buffer there is room for 10 s and more.
            check(min(w.ages[-5:]) < 5000, f"{w.ages} ms")


@case("a slow viewer gets fewer pictures, none of them ever older, and disturbs nobody")
def _():
    server = a_hub()
    with site(server, cam=rtsp_camera("--size", "1280x720")), \
            Watcher(server.port, "cam", decoder, agent="fast") as fast, \
            Watcher(Throttle(server.port, 60_000, True).port, "cam", decoder, agent="slow") as slow:
        fast.wait_moving(5)
        slow.wait_moving(3)
        begun, n = time.monotonic(), fast.moving
        slow.wait_moving(10, timeout=90)
        elapsed = (time.monotonic() - begun) * 1000
        worst = max(slow.ages[-4:])
        check(worst < elapsed / 2, f"{worst} ms old after {elapsed:.0f} ms")
        check(fast.moving - n > 15, f"the fast viewer got {fast.moving - n} pictures")


@case("fifty viewers, ten of whom do not read: memory stays as it is")
def _():
    def rss():
        with open(f"/proc/{server.pid}/status") as f:
            return next(int(x.split()[1]) for x in f if x.startswith("VmRSS"))

    server = a_hub()
    with site(server, cam=rtsp_camera("--size", "1280x720")), contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(contextlib.closing(socket.socket())) for _ in range(10)]
        for i, s in enumerate(deaf):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", server.port))
            s.sendall(f"GET /api/camaras/cam/stream HTTP/1.1\r\nHost: x\r\n"
                      f"User-Agent: deaf {i}\r\n\r\n".encode())
        watchers = [stack.enter_context(Watcher(server.port, "cam", agent=f"viewer {i}"))
                    for i in range(40)]

        def each_has(n):
            wait_for(lambda: all(w.pictures >= n for w in watchers), f"{n} pictures", 90)

        each_has(20)
        before = rss()
        each_has(80)
        after = rss()
        if not sanitized(server):
            check(after - before < 2000, f"{before} kB grew to {after} kB")
            check(after < 40_000, f"{after} kB")
        check(all(select.select([s], [], [], 0)[0] for s in deaf), "nothing came to a deaf viewer")
        equal([w.failed for w in watchers if w.failed], [])


@case("an agent of the older kind is asked again and again, and so is live, slowly")
def _():
    server = a_hub()
    old = Program(["/usr/bin/python3", os.path.join(FIXTURES, "old_agent.py")], {
        "SERVER_URL": f"http://127.0.0.1:{server.port}", "NUC_ID": "old",
        "CAMARAS_IPS": "cam,dead", "INTERVALO_SNAPSHOT": "3600"})
    with server, old:
        wait_for(lambda: "registered" in old.log(), "the agent")
        with Watcher(server.port, "cam") as w, Watcher(server.port, "dead") as dead:
            seen = set()
            wait_for(lambda: w.newest and (seen.add(w.newest) or len(seen) >= 6),
                     "six different pictures")
            wait_for(lambda: dead.pictures >= 2, "the picture that says so")
            check(old.log().count("asked cam") >= 4)


run_cases()
