#!/usr/bin/python3
"""Our agent: against the hub and against the server that the hub replaces, with cameras."""

import base64
import json
import os
import re
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (Program, SocketIO, agent, case, check, equal,  # noqa: E402
                    free_port, get_json, http, hub, listening, make_ca, make_certificate,
                    python_fixture, run_cases, sanitized, temp_dir, wait_for)

LOGIN = {"USUARIO_CAMARAS": "admin", "CONTRASENA_CAMARAS": "camera-pass"}


def camera(kind, *options):
    port = free_port()
    return python_fixture("http_camera.py", kind, "--port", str(port), *options, port=port)


def rtsp(*options):
    port = free_port()
    return python_fixture("rtsp_camera.py", "--port", str(port), *options, port=port)


def url(server):
    return f"http://127.0.0.1:{server.port}"


def picture(h, ip):
    r = http(h.port, "GET", f"/api/camaras/{ip}/snapshot.jpg")
    return r.body if r.status == 200 else b""


def size_of(jpeg):
    """Width and height, from the frame header."""
    i = 2
    while i + 9 < len(jpeg):
        marker, length = jpeg[i + 1], struct.unpack("!H", jpeg[i + 2:i + 4])[0]
        if 0xc0 <= marker <= 0xc2:
            height, width = struct.unpack("!HH", jpeg[i + 5:i + 9])
            return width, height
        i += 2 + length
    return None


def decodes(jpeg):
    """True when ffmpeg finds no fault in it."""
    out = subprocess.run(["ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "mjpeg", "-i", "-",
                          "-f", "null", "-"], input=jpeg, stderr=subprocess.PIPE)
    return out.returncode == 0 and not out.stderr


def fixture_events(server, name):
    out = []
    for line in server.log().splitlines():
        if line.startswith("{"):
            e = json.loads(line)
            if e["event"] == name:
                out.append(e["data"])
    return out


@case("every kind of camera at once: pictures of those that have one, errors of the others")
def _():
    kinds = {"digest": camera("digest"), "basic": camera("basic"), "html": camera("html"),
             "hang": camera("hang"), "second": camera("second"), "closing": camera("closing"),
             "huge": camera("huge"), "rtsp": rtsp("--size", "1920x1080"),
             "rtspbasic": rtsp("--auth", "basic", "--path", "/h264/ch1/main/av_stream"),
             "wide": camera("open", "--size", "2560x1440")}
    for c in kinds.values():
        c.start()
    absent = free_port()
    good = ["digest", "basic", "second", "rtsp", "rtspbasic", "wide", "pattern"]
    bad = ["html", "hang", "closing", "huge", "absent"]
    entries = [f"{k}={'rtsp' if k.startswith('rtsp') else 'http'}://127.0.0.1:{c.port}"
               for k, c in kinds.items()]
    entries += [f"absent=http://127.0.0.1:{absent}|rtsp://127.0.0.1:{absent}", "test://pattern"]
    cameras = ",".join(entries)
    with hub(env={"CAMARAS_IPS": cameras}) as h, SocketIO(h.port) as viewer, \
            agent(url(h), "nuc_test", cameras, LOGIN) as a:
        for ip in good:
            wait_for(lambda: picture(h, ip), f"a picture of {ip}: {a.log()[-500:]}")
        updates = set()
        while updates < set(good):
            u, = viewer.event("snapshot_update")
            equal((u["nuc_id"], u["estado"]), ("nuc_test", "activa"))
            check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", u["timestamp"]),
                  u["timestamp"])
            check(not u["image"].startswith("data:"), "a prefix on the wire")
            base64.b64decode(u["image"], validate=True)
            updates.add(u["ip"])
        for ip in good:
            jpeg = picture(h, ip)
            check(jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9", f"{ip}: not whole")
            check(decodes(jpeg), f"{ip}: does not decode")
        equal(size_of(picture(h, "digest")), (640, 360))
        equal(size_of(picture(h, "rtsp")), (1920, 1080))
        equal(size_of(picture(h, "wide")), (1920, 1080), "scaled to 1920")
        nuc, = get_json(h.port, "/api/nucs")["nucs"]
        equal((nuc["nuc_id"], sorted(nuc["camaras"])), ("nuc_test", sorted(good + bad)))
        # The camera that works goes on while those that hang are waited for.
        first = picture(h, "digest")
        stamp = get_json(h.port, "/api/camaras/pattern/snapshot")["timestamp"]
        wait_for(lambda: get_json(h.port, "/api/camaras/pattern/snapshot")["timestamp"] != stamp,
                 "the next picture")
        check(first)
        for ip in bad:
            equal(http(h.port, "GET", f"/api/camaras/{ip}/snapshot").status, 404, ip)
        found = {c["ip"]: c["estado"] for c in get_json(h.port, "/api/camaras/detectar")["camaras"]}
        equal(found, {**{k: "activa" for k in good}, **{k: "sin_acceso" for k in bad}})
        check("camera-pass" not in a.log(), "a password in the log")
        # What worked is asked first: the second address, once it is known, alone.
        n = kinds["second"].log().count("\n")
        wait_for(lambda: kinds["second"].log().count("\n") > n + 4, "more requests")
        for line in kinds["second"].log().splitlines()[n:]:
            check("/ISAPI/Streaming/channels/1/picture" in line, line)
        equal(a.stop(), 0, "exit status of the agent")
        wait_for(lambda: get_json(h.port, "/api/nucs")["total"] == 0, "the agent to leave")
    for c in kinds.values():
        c.stop()


@case("a camera that refuses the login is not hammered")
def _():
    with hub() as h, camera("locked", "--password", "another") as c, \
            agent(url(h), "nuc_test", f"lock=http://127.0.0.1:{c.port},test://", LOGIN,
                  INTERVALO_SNAPSHOT="0.2") as a:
        def beats():
            n = get_json(h.port, "/api/nucs")["nucs"]
            return n[0]["last_heartbeat"] if n else 0

        c.wait_log("401")
        seen = {beats()}
        while len(seen) < 12:  # a dozen pictures of the other camera later
            wait_for(lambda: beats() not in seen, "the next picture")
            seen.add(beats())
        tries = [line for line in c.log().splitlines() if re.search("Digest|Basic", line)]
        check(len(tries) <= 2, f"{len(tries)} logins: {tries}")
        check("another" not in a.log() and "camera-pass" not in a.log())


@case("the server before the hub is served: register, pictures, errors, its requests, pong")
def _():
    port = free_port()
    with python_fixture("flask_server.py", "--port", str(port), "--ask", "test", port=port) as s, \
            camera("basic") as c, \
            agent(url(s), "nuc_flask", f"test://,cam=http://127.0.0.1:{c.port},"
                  f"absent=http://127.0.0.1:{free_port()}", LOGIN) as a:
        registered = wait_for(lambda: fixture_events(s, "nuc_register"), "nuc_register")[0]
        equal(list(registered), ["nuc_id", "camaras", "timestamp", "capacidades", "ip_local",
                                 "red", "version"])
        equal(registered["camaras"], ["test", "cam", "absent"])
        wait_for(lambda: {e["ip"] for e in fixture_events(s, "snapshot")} == {"test", "cam"},
                 "pictures of both")
        e = fixture_events(s, "snapshot")[0]
        equal(list(e), ["nuc_id", "ip", "image", "timestamp", "estado", "image_length"])
        equal((e["nuc_id"], e["estado"], e["image"][:4]), ("nuc_flask", "activa", "/9j/"))
        error = wait_for(lambda: fixture_events(s, "snapshot_error"), "snapshot_error")[0]
        equal(list(error), ["nuc_id", "ip", "error", "timestamp"])
        equal(error["ip"], "absent")
        check(error["error"], "no text")
        pong = wait_for(lambda: fixture_events(s, "pong"), "pong")[0]
        equal(list(pong), ["nuc_id", "timestamp"])
        check(get_json(port, "/api/camaras/cam/snapshot")["image"].startswith("/9j/"))
        n = len(fixture_events(s, "snapshot"))
        s.kill()
        s.start()
        wait_for(lambda: len(fixture_events(s, "nuc_register")) == 2, "the second registration")
        wait_for(lambda: len(fixture_events(s, "snapshot")) > n + 2, "pictures again")
        check(a.running())


@case("the hub is killed and restarted, twice: pictures resume by themselves")
def _():
    with hub() as h, agent(url(h), "nuc_test", "test://one,test://two") as a:
        for _round in range(3):
            for ip in ("one", "two"):
                wait_for(lambda: picture(h, ip), f"a picture of {ip}")
            nuc, = get_json(h.port, "/api/nucs")["nucs"]
            equal(nuc["camaras"], ["one", "two"], "registered again")
            h.kill()
            h.start()
        check(a.running())


@case("an agent that finds no hub at its start waits for it")
def _():
    h = hub()
    with agent(url(h), "nuc_test", "test://") as a:
        a.wait_log("down why")
        check(a.running() and not listening(h.port))
        with h:
            wait_for(lambda: picture(h, "test"), "a picture")


@case("each transport carries pictures")
def _():
    for transport in ("websocket", "polling", "upgrade", "auto"):
        with hub() as h, agent(url(h), "nuc_test", "test://", NUCHUB_TRANSPORT=transport):
            wait_for(lambda: picture(h, "test"), f"a picture over {transport}")
            first = get_json(h.port, "/api/camaras/test/snapshot")["timestamp"]
            wait_for(lambda: get_json(h.port, "/api/camaras/test/snapshot")["timestamp"] != first,
                     f"the next picture over {transport}")


@case("TLS: the hub's certificate is checked, its name too, and faults are said clearly")
def _():
    folder = temp_dir()
    ca, other = make_ca(folder), make_ca(folder, "other")
    cert, key = make_certificate(folder, ca, "DNS:localhost,IP:127.0.0.1", "good")
    wrong, wrong_key = make_certificate(folder, ca, "DNS:hub.example.test", "wrong")
    with hub("--tls-cert", cert, "--tls-key", key) as h:
        def get(ip):
            out = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", ca[0], "-o",
                                  "/dev/null", "-w", "%{http_code}",
                                  f"https://localhost:{h.port}/api/camaras/{ip}/snapshot"],
                                 stdout=subprocess.PIPE, check=True, text=True)
            return int(out.stdout)

        https = f"https://localhost:{h.port}"
        for ip, settings in (("option", {"NUCHUB_CA_FILE": ca[0]}),
                             ("system", {"SSL_CERT_FILE": ca[0]}),
                             ("upgrade", {"NUCHUB_CA_FILE": ca[0], "NUCHUB_TRANSPORT": "upgrade"}),
                             ("wss", {"NUCHUB_CA_FILE": ca[0], "SERVER_URL":
                                      f"wss://127.0.0.1:{h.port}"})):
            with agent(https, "nuc_tls", f"test://{ip}", settings):
                wait_for(lambda: get(ip) == 200, f"a picture with the CA as {ip}")
        for settings in ({"NUCHUB_CA_FILE": other[0]}, {}):
            with agent(https, "nuc_no", "test://no", settings) as a:
                a.wait_log("(?i)certificate|verif")
                equal(get("no"), 404)
                check(a.running(), "it ended")
    with hub("--tls-cert", wrong, "--tls-key", wrong_key) as h:
        with agent(f"https://localhost:{h.port}", "nuc_no", "test://no",
                   {"NUCHUB_CA_FILE": ca[0]}) as a:
            a.wait_log("certificate of localhost refused: it is for another name")
            out = subprocess.run(["curl", "-skS", f"https://localhost:{h.port}/api/nucs"],
                                 stdout=subprocess.PIPE, check=True)
            equal(json.loads(out.stdout)["total"], 0)


@case("capture_snapshot makes the agent send that picture, with an ack when it is done")
def _():
    port = free_port()
    with camera("open") as c:
        with python_fixture("flask_server.py", "--port", str(port), "--ask",
                            f"127.0.0.1:{c.port}", port=port) as s, \
                agent(url(s), "nuc_ask", "test://", INTERVALO_SNAPSHOT="600"):
            wait_for(lambda: f"127.0.0.1:{c.port}" in
                     {e["ip"] for e in fixture_events(s, "snapshot")}, "the picture asked for")


@case("a mistake in the settings is told and ends the agent with 2, without passwords")
def _():
    for settings in ({"SERVER_URL": "nonsense"}, {"SERVER_URL": ""},
                     {"INTERVALO_SNAPSHOT": "soon"},
                     {"SERVER_URL": "rtsp://127.0.0.1"}, {"SERVER_URL": "http://"},
                     {"SERVER_URL": "http://127.0.0.1/hub"},
                     {"SERVER_URL": "http://u:camera-pass@127.0.0.1"},
                     {"CAMARAS_IPS": "a/b=rtsp://admin:camera-pass@192.0.2.1/x"}):
        a = agent("http://127.0.0.1:9", "nuc", "test://", LOGIN, **settings).start()
        equal(a.wait_exit(), 2, f"{settings}: {a.log()}")
        check(list(settings)[0] in a.log(), f"{settings}: {a.log()}")
        check(a.log().strip() and "camera-pass" not in a.log(), a.log())


@case("an old agent's .env is understood")
def _():
    with hub() as h:
        folder = temp_dir()
        with open(os.path.join(folder, ".env"), "w") as f:
            f.write(f"# agente\nSERVER_URL=http://127.0.0.1:{h.port}\nNUC_ID=nuc_env\n"
                    "CAMARAS_IPS=test://\nUSUARIO_CAMARAS=admin\nCONTRASENA_CAMARAS='x y'\n"
                    "INTERVALO_SNAPSHOT=1\nOTRA=1\n")
        a = Program([os.environ["NUCHUB_AGENT"]], cwd=folder)
        with a:
            wait_for(lambda: picture(h, "test"), "a picture")
            equal(get_json(h.port, "/api/nucs")["nucs"][0]["nuc_id"], "nuc_env")


@case("with one RTSP camera the agent stays under 40 MB")
def _():
    with hub() as h, rtsp("--size", "1920x1080") as c, \
            agent(url(h), "nuc_test", f"cam=rtsp://127.0.0.1:{c.port}", LOGIN,
                  INTERVALO_SNAPSHOT="0.5") as a:
        stamps = set()
        while len(stamps) < 6:
            r = http(h.port, "GET", "/api/camaras/cam/snapshot")
            if r.status == 200:
                stamps.add(r.json()["timestamp"])
            wait_for(lambda: (http(h.port, "GET", "/api/camaras/cam/snapshot").body != r.body),
                     "the next picture")
        with open(f"/proc/{a.pid}/status") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) * 1024
        check(peak < 40e6 or sanitized(a), f"{peak / 1e6:.1f} MB")


run_cases()
