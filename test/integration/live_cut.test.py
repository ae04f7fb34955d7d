#!/usr/bin/python3
"""Hub, agent and camera, each in a network of its own: what is cut or ends comes back.

The hub is where the viewers are; the agent is reached by one link, and the camera by
another one from there.
"""

import atexit
import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from live import Watcher  # noqa: E402
from nuchub import (FIXTURES, Program, case, check, get_json, hub, program,  # noqa: E402
                    run_cases, temp_dir, wait_for)
from pictures import Decoder  # noqa: E402

# TEST_TIMEOUT: 400

MARK = f"{os.getpid() % 100000}"
AGENT, CAMERA = f"nuc-a{MARK}", f"nuc-c{MARK}"
UPLINK, CABLE = f"nu{MARK}", f"nc{MARK}"  # our end of one, the agent's end of the other
decoder = Decoder()


def ip(*words, ns=None):
    subprocess.run(["ip", *(["-n", ns] if ns else []), *words], check=True,
                   stderr=subprocess.PIPE)


def remove_networks():
    for ns in (AGENT, CAMERA):
        subprocess.run(["ip", "netns", "del", ns], stderr=subprocess.DEVNULL, check=False)


def make_networks():
    atexit.register(remove_networks)
    for ns in (AGENT, CAMERA):
        ip("netns", "add", ns)
        ip("link", "set", "lo", "up", ns=ns)
    ip("link", "add", UPLINK, "type", "veth", "peer", "name", "up0", "netns", AGENT)
    ip("link", "add", CABLE, "netns", AGENT, "type", "veth", "peer", "name", "eth0", "netns", CAMERA)
    for name, address, ns in ((UPLINK, "198.51.100.1/30", None), ("up0", "198.51.100.2/30", AGENT),
                              (CABLE, "203.0.113.1/30", AGENT), ("eth0", "203.0.113.2/30", CAMERA)):
        ip("address", "add", address, "dev", name, ns=ns)
        ip("link", "set", name, "up", ns=ns)


try:
    make_networks()
except (OSError, subprocess.CalledProcessError) as e:
    print("networks of our own need root (CAP_NET_ADMIN):", getattr(e, "stderr", None) or e)
    sys.exit(77)

config = os.path.join(temp_dir(), "nuchubd.conf")
with open(config, "w") as f:
    f.write("live_grace = 1\nlog_level = debug\n")
server = hub("--config", config)
camera = Program(["ip", "netns", "exec", CAMERA, "/usr/bin/python3",
                  os.path.join(FIXTURES, "rtsp_camera.py"), "--port", "554", "--host", "203.0.113.2"])
nuc = Program(["ip", "netns", "exec", AGENT, program("NUCHUB_AGENT")], {
    "SERVER_URL": f"http://198.51.100.1:{server.port}", "NUC_ID": "nuc_cut",
    "CAMARAS_IPS": "cam=rtsp://203.0.113.2", "CONTRASENA_CAMARAS": "camera-pass",
    "INTERVALO_SNAPSHOT": "3600"})


@contextlib.contextmanager
def watching():
    for p in (server, camera, nuc):
        if not p.running():
            p.start()
    wait_for(lambda: get_json(server.port, "/api/nucs")["nucs"], "the agent")
    with Watcher(server.port, "cam", decoder) as w:
        w.wait_moving(timeout=90)
        yield w


@case("the camera is killed and started: the same stream moves again")
def _():
    with watching() as w:
        camera.kill()
        wait_for(lambda: w.still, "the picture that says so")
        camera.start()
        w.wait_moving(timeout=90)


@case("the agent is killed and started: the same stream moves again")
def _():
    with watching() as w:
        nuc.kill()
        wait_for(lambda: w.still, "the picture that says so")
        nuc.start()
        w.wait_moving(timeout=90)


@case("the hub is killed and started: the next request moves again")
def _():
    with watching() as w:
        server.kill()
        wait_for(lambda: w.failed, "the end of the stream")
        server.start()
        with Watcher(server.port, "cam", decoder) as again:
            again.wait_moving(timeout=90)


@case("the links are cut and restored, one after the other: the same stream moves again")
def _():
    with watching() as w:
        for name, ns in ((CABLE, AGENT), (UPLINK, None)):
            ip("link", "set", name, "down", ns=ns)
            wait_for(lambda: w.still, "the picture that says so", 90)
            ip("link", "set", name, "up", ns=ns)
            w.wait_moving(timeout=120)
        check(nuc.running() and camera.running() and server.running())


run_cases()
