#!/usr/bin/python3
"""Figures of live view, printed: test/bench/live.py BUILD-DIR [SECONDS]

Latency from the camera's picture to the viewer's bytes, pictures a second, what agent and
hub need of a processor, and the hub's memory with 50 viewers of which 10 do not read.
"""

import contextlib
import os
import re
import socket
import statistics
import sys
import time

build = os.path.abspath(sys.argv[1])
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10
os.environ["NUCHUBD"] = os.path.join(build, "nuchubd")
os.environ["NUCHUB_AGENT"] = os.path.join(build, "nuchub-agent")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from live import Watcher  # noqa: E402
from nuchub import agent, free_port, get_json, hub, python_fixture, wait_for  # noqa: E402
from pictures import Decoder  # noqa: E402

decoder = Decoder()


def cpu(p):
    with open(f"/proc/{p.pid}/stat") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def rss(p):
    with open(f"/proc/{p.pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


@contextlib.contextmanager
def site(*options):
    port = free_port()
    camera = python_fixture("rtsp_camera.py", "--port", port, *options, port=port)
    with camera, hub() as server, agent(f"http://127.0.0.1:{server.port}", "nuc",
                                        f"cam=rtsp://127.0.0.1:{port}",
                                        CONTRASENA_CAMARAS="camera-pass",
                                        INTERVALO_SNAPSHOT="3600") as a:
        wait_for(lambda: get_json(server.port, "/api/nucs")["nucs"], "the agent")
        yield server, a


def one_camera(size, codec):
    with site("--size", size, "--codec", codec, "--fps", "15") as (server, a), \
            Watcher(server.port, "cam", decoder) as w:
        w.wait_moving(15)
        w.ages.clear()
        before, n, begun = (cpu(a), cpu(server)), w.moving, time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begun
        ages = sorted(w.ages)
        print(f"{codec} {size}: {(w.moving - n) / took:.1f} pictures/s at the viewer (15 from the "
              f"camera), {len(w.newest) // 1000} kB each; latency median "
              f"{statistics.median(ages):.0f} ms, 95 % {ages[int(len(ages) * .95)]} ms; "
              f"agent {100 * (cpu(a) - before[0]) / took:.1f} % of a processor, "
              f"hub {100 * (cpu(server) - before[1]) / took:.1f} %", flush=True)


def many_viewers():
    with site("--size", "1280x720", "--fps", "10") as (server, _), contextlib.ExitStack() as stack:
        alone = rss(server)
        for i in range(10):
            s = stack.enter_context(contextlib.closing(socket.socket()))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", server.port))
            s.sendall(f"GET /api/camaras/cam/stream HTTP/1.1\r\nHost: x\r\n"
                      f"User-Agent: deaf {i}\r\n\r\n".encode())
        viewers = [stack.enter_context(Watcher(server.port, "cam", agent=f"viewer {i}"))
                   for i in range(40)]
        wait_for(lambda: all(v.pictures > 20 for v in viewers), "pictures", 120)
        before, n, begun = cpu(server), sum(v.pictures for v in viewers), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begun
        used, got = cpu(server) - before, sum(v.pictures for v in viewers) - n
        print(f"50 viewers, 10 of them deaf: {got / 40 / took:.1f} pictures/s each; hub "
              f"{100 * used / took / 50:.2f} % of a processor per viewer "
              f"({1e6 * used / max(got, 1):.0f} us a picture), {rss(server)} kB ({alone} kB before)")


one_camera("1280x720", "h264")
one_camera("1920x1080", "h264")
one_camera("1280x720", "h265")
many_viewers()
