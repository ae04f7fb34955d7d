#!/usr/bin/python3
"""The hub as a program: configuration, staleness, tokens, TLS, how it starts and ends."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from metrics import metrics  # noqa: E402
from nuchub import (TOP, Closed, Connection, Polling, Program, SocketIO, case, check, equal,  # noqa: E402
                    free_port, get_json, http, hub, jpeg_text, make_ca, make_certificate,
                    program, run_cases, snapshot, temp_dir, wait_for)


def config_file(text):
    path = os.path.join(temp_dir(), "nuchubd.conf")
    with open(path, "w") as f:
        f.write(text)
    return path


NAMED = """
# names as the frontend shows them
interval = 1
stale_after = 1

[nuc nuc_sede1]
[nuc nuc_sede2]
[camara 192.0.2.65]
nombre = Cámara Principal
nuc = nuc_sede1
[camara 192.0.2.66]
nuc = nuc_sede2
[camara 192.0.2.67]
"""


def cameras(port):
    return {c["ip"]: c for c in get_json(port, "/api/camaras/detectar")["camaras"]}


@case("counters for Prometheus, where they are wanted")
def _():
    with hub() as h:
        equal(http(h.port, "GET", "/metrics").status, 404)
    with hub("--config", config_file("metrics = yes\n")) as h:
        before = metrics(h.port)
        equal(before["nuchub_nucs",], 0)
        equal(before["nuchub_cameras",], 0)
        http(h.port, "GET", "/socket.io/?EIO=4&transport=polling&sid=nobody")
        with SocketIO(h.port, {"nuc_id": "nuc_x"}) as a:
            a.emit("snapshot", snapshot("192.0.2.65", nuc_id="nuc_x"))
            a.emit("snapshot", snapshot('\\pa"tio', nuc_id="nuc_x"))
            wait_for(lambda: metrics(h.port)["nuchub_cameras",] == 2, "both cameras count")
            after = metrics(h.port)
        equal(after["nuchub_nucs",], 1)
        equal(after["nuchub_sessions", "websocket"], 1)
        equal(after["nuchub_refused_total", "unknown_sid"], 1)
        check(after["nuchub_messages_total", "in"] > before["nuchub_messages_total", "in"])
        check(after["nuchub_http_requests_total",] > before["nuchub_http_requests_total",])
        check(("nuchub_camera_silent_seconds", "192.0.2.65") in after)
        check(("nuchub_camera_silent_seconds", '\\pa"tio') in after, "a name is escaped")
        check(("nuchub_redis_up",) not in after, "there is no Redis")


@case("a configuration file names cameras and their NUCs")
def _():
    with hub("--config", config_file(NAMED)) as h:
        check(get_json(h.port, "/api/status")["usar_config_file"] is True)
        d = get_json(h.port, "/api/camaras/detectar")
        equal(d["modo"], "configurado")
        equal([(c["ip"], c["nombre"], c["nuc_id"]) for c in d["camaras"]],
              [("192.0.2.65", "Cámara Principal", "nuc_sede1"),
               ("192.0.2.66", "Cámara 192.0.2.66", "nuc_sede2"),
               ("192.0.2.67", "Cámara 192.0.2.67", None)])
        with SocketIO(h.port, {"nuc_id": "nuc_x"}) as a:
            a.emit("snapshot", snapshot("192.0.2.65", nuc_id="nuc_x"))
            a.emit("snapshot", snapshot("192.0.2.67", nuc_id="nuc_x"))
            a.answer()
            c = cameras(h.port)
            equal((c["192.0.2.65"]["nuc_id"], c["192.0.2.65"]["nombre"]),
                  ("nuc_sede1", "Cámara Principal"))
            equal(c["192.0.2.67"]["nuc_id"], "nuc_x")
            found = {c["ip"]: c for c in get_json(h.port, "/api/camaras")["camaras"]}
            equal(found["192.0.2.65"]["nombre"], "Cámara Principal")


@case("a picture grows stale by its arrival, and is fresh again with the next one")
def _():
    with hub("--config", config_file(NAMED)) as h, SocketIO(h.port, {"nuc_id": "nuc_a"}) as a:
        for _round in range(2):
            a.emit("snapshot", snapshot("192.0.2.65", timestamp="2099-01-01T00:00:00Z"))
            a.answer()
            equal(cameras(h.port)["192.0.2.65"]["estado"], "activa")
            wait_for(lambda: cameras(h.port)["192.0.2.65"]["estado"] == "sin_acceso",
                     "the picture to grow stale")
        equal(http(h.port, "GET", "/api/camaras/192.0.2.65/snapshot").status, 200,
              "it is still served")


@case("an agent that is silent for two intervals is asked, less and less often")
def _():
    with hub("--config", config_file(NAMED)) as h, SocketIO(h.port, {"nuc_id": "nuc_a"}) as a:
        a.emit("nuc_register", {"nuc_id": "nuc_a", "camaras": ["192.0.2.65", "cam2"]})
        asked = [a.event("capture_snapshot")[0]["ip"] for _ in range(2)]
        equal(sorted(asked), ["192.0.2.65", "cam2"])
        a.emit("snapshot", snapshot("cam2"))  # an answer
        equal(list(a.event("capture_snapshot")[0]), ["ip"])


@case("CAMARAS_IPS replaces the list of the file, as before")
def _():
    with hub("--config", config_file(NAMED), env={"CAMARAS_IPS": " 192.0.2.1 ,, test://,"}) as h:
        equal(list(cameras(h.port)), ["192.0.2.1", "test"])


@case("a .env file is read, and the environment wins over it")
def _():
    port = free_port()
    folder = temp_dir()
    with open(os.path.join(folder, ".env"), "w") as f:
        f.write("# as for the server before\nCAMARAS_IPS=192.0.2.9\nPORT=1\nOTHER='x y'\n")
    h = hub(port=port)
    h.argv = [h.argv[0], "--state-dir", folder]
    h.cwd, h.env["PORT"] = folder, str(port)
    with h:
        equal(list(cameras(port)), ["192.0.2.9"])


def run_hub(*options, env=None):
    """Exit status and output of a hub that is expected to end."""
    p = Program([program("NUCHUBD"), "--state-dir", temp_dir(), *options], env).start()
    status = p.wait_exit()
    return status, p.log()


# (text of the file, line, what the message must show)
WRONG = [
    ("port = 8080\nprot = 8080\n", 2, "prot"), ("port = many\n", 1, "port"),
    ("port = 70000\n", 1, "port"), ("\n\n[camera x]\n", 3, "camera"),
    ("[camara a/b]\n", 1, "a/b"), ("[camara 192.0.2.1]\ncolor = red\n", 2, "color"),
    ("no equals sign\n", 1, "no equals"), ("[camara 192.0.2.1\n", 1, "192.0.2.1"),
    ("[camara c]\n[camara c]\n", 2, "c"), ("max_payload = 1\n", 1, "max_payload"),
]


@case("a mistake in the configuration is told with file and line, and the hub does not start")
def _():
    for text, line, shown in WRONG:
        path = config_file(text)
        for more in ((), ("--check-config",)):
            status, log = run_hub("--port", free_port(), "--config", path, *more)
            equal(status, 2, f"{text!r}: exit status")
            check(f"{path}:{line}:" in log, f"{text!r}: {log}")
            check(shown in log, f"{text!r}: {log}")


@case("--check-config finds what only a start would, and makes nothing")
def _():
    none = "/nonexistent/file"
    for text, shown in (
            (f"tls_cert = {none}\ntls_key = {none}\n", none),
            (f"admin_user = a\nadmin_hash_file = {none}\n", none),
            (f"admin_user = a\nadmin_hash_file = {config_file('plain')}\n", "bcrypt"),
            (f"www = {none}\n", none), ("www = /\nwww_api = here\n", "www"),
            (f"run_monitoreo = {none}\n", none), ("run_monitoreo = sh\n", "run_monitoreo"),
            ("origins = camaras.example.test\n", "origins"),
            ("session_cookie = a b\n", "cookie"), ("redis_url = localhost\n", "REDIS_URL")):
        status, log = run_hub("--check-config", "--config", config_file(text))
        check(status == 2 and shown in log, f"{text!r}: {status} {log}")
    state = os.path.join(temp_dir(), "state")
    status, _log = run_hub("--check-config", "--state-dir", state)
    check(status == 0 and not os.path.exists(state))


@case("the example of a configuration is right, with every line of it in force")
def _():
    with open(os.path.join(TOP, "contrib/examples/nuchubd.conf")) as f:
        text = re.sub(r"^#(\w+ =)", r"\1", f.read(), flags=re.M)
    named = re.sub(r"^(tls_|admin_|run_|www|token =|redis_url).*\n", "", text, flags=re.M)
    status, log = run_hub("--check-config", "--config", config_file(named))
    equal(status, 0, log)
    for key in ("tls_cert", "admin_user", "run_vigilancia", "www"):
        check(f"\n{key} =" in text, key)


@case("--check-config says that a good file is good, --version and --help say themselves")
def _():
    path = config_file(NAMED)
    status, log = run_hub("--check-config", "--config", path)
    check(status == 0 and path in log, log)
    status, log = run_hub("--version")
    check(status == 0 and re.search(r"nuchubd.*\d+\.\d+", log), log)
    status, log = run_hub("--help")
    check(status == 0 and "--config" in log and "--state-dir" in log, log)


@case("bad options, a missing file and a taken port are told in one line")
def _():
    for options in (("--nope",), ("--port", "x"), ("--config", "/nonexistent/file"),
                    ("--tls-cert", "/nonexistent/cert", "--tls-key", "/nonexistent/key")):
        status, log = run_hub(*options)
        check(status and status > 0, f"{options}: {status}")
        check(log.strip() and "assert" not in log.lower(), f"{options}: {log!r}")
    with socket.socket() as s:
        port = free_port()
        s.bind(("0.0.0.0", port))
        s.listen()
        status, log = run_hub("--port", port)
        check(status == 1 and str(port) in log, f"{status} {log!r}")


@case("the shell's limit of open files is not the hub's")
def _():
    h = hub()
    h.argv = ["prlimit", "--nofile=32:1024", *h.argv]
    with h:
        clients = [Connection(h.port) for _ in range(64)]
        for c in clients:
            c.request("GET", "/api/status")
            equal(c.reply().status, 200)
            c.close()


@case("a port of CAMARAS_IPS with a password is never shown")
def _():
    with hub("--log-level", "debug",
             env={"CAMARAS_IPS": "p=rtsp://admin:camera-pass@192.0.2.1/x"}) as h:
        for target in ("/api/camaras/detectar", "/api/camaras", "/api/status", "/"):
            check(b"camera-pass" not in http(h.port, "GET", target).body, target)
        check("camera-pass" not in h.log())
    status, log = run_hub("--port", free_port(),
                          env={"CAMARAS_IPS": "a/b=rtsp://admin:camera-pass@192.0.2.1/x"})
    check(status and "camera-pass" not in log, log)


@case("the state directory and its folders are made")
def _():
    with hub() as h:
        state = h.argv[h.argv.index("--state-dir") + 1]
        equal(sorted(set(os.listdir(state)) & {"intrusos", "videos", "cercas"}),
              ["cercas", "intrusos", "videos"])


@case("SIGTERM and SIGINT end the hub in good order, also with clients of every kind")
def _():
    for sig in (signal.SIGTERM, signal.SIGINT):
        h = hub().start()
        clients = [SocketIO(h.port), SocketIO(h.port, {"nuc_id": "nuc_a"})]
        p = Polling(h.port)
        p.connect()
        poll = Connection(h.port)
        poll.request("GET", p.target())
        idle = Connection(h.port)
        clients[0].answer()
        h.process.send_signal(sig)
        for c in clients:
            try:
                while True:
                    c.receive()
            except Closed:
                c.close()
        equal(poll.reply().status, 200, "the waiting poll")
        check(idle.closed(), "an idle connection")
        equal(h.wait_exit(), 0, "exit status")
        h.check_sanitizers()


@case("an agent's DISCONNECT packet is never sent: its connection is closed instead")
def _():
    h = hub().start()
    a = SocketIO(h.port, {"nuc_id": "nuc_a"})
    h.process.send_signal(signal.SIGTERM)
    got = []
    try:
        while True:
            got.append(a.receive())
    except Closed:
        pass
    check("41" not in got, f"{got}")
    h.stop()


@case("with a token configured agents must show it, viewers need not")
def _():
    path = config_file("token = s3cret\n[nuc nuc_own]\ntoken = other\n")
    with hub("--config", path) as h:
        with SocketIO(h.port) as viewer:
            for auth, good in (({"nuc_id": "nuc_a", "token": "s3cret"}, True),
                               ({"nuc_id": "nuc_own", "token": "other"}, True),
                               ({"nuc_id": "nuc_own", "token": "s3cret"}, False),
                               ({"nuc_id": "nuc_a"}, False),
                               ({"nuc_id": "nuc_a", "token": "S3cret"}, False),
                               ({"nuc_id": "nuc_a", "token": 5}, False)):
                c = SocketIO(h.port, raw_connect="40" + json.dumps(auth))
                first = c.receive()
                check(first.startswith("40{" if good else '44{"message"'), f"{auth}: {first}")
                if good:
                    c.emit("snapshot", snapshot("ok"))
                    equal(viewer.event("snapshot_update")[0]["nuc_id"], auth["nuc_id"])
                c.close()
            viewer.emit("snapshot", snapshot("forged"))
            viewer.answer()
            equal(http(h.port, "GET", "/api/camaras/forged/snapshot").status, 404)
        check("s3cret" not in h.log())


# ---- TLS ----

def tls_hub(folder, ca, names="DNS:localhost,IP:127.0.0.1"):
    cert, key = make_certificate(folder, ca, names)
    return hub("--tls-cert", cert, "--tls-key", key)


@case("TLS: HTTP, WebSocket, polling, big pictures, and 1.2 as well as 1.3")
def _():
    folder = temp_dir()
    ca = make_ca(folder)
    with tls_hub(folder, ca) as h:
        context = ssl.create_default_context(cafile=ca[0])
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.maximum_version = version
            with Connection(h.port, context=context, name="localhost") as c:
                for _i in range(3):
                    c.request("GET", "/api/status")
                    equal(c.reply().json()["status"], "online")
        image = jpeg_text(8_000_000, seed=1)
        with SocketIO(h.port, context=context, name="localhost") as viewer, \
                SocketIO(h.port, {"nuc_id": "nuc_a"}, context=context, name="localhost") as a:
            for i in range(3):
                a.emit("snapshot", snapshot("192.0.2.1", image, timestamp=i))
                u = viewer.event("snapshot_update")[0]
                check(u["image"] == image and u["timestamp"] == i)


def serial_of(port, context):
    with socket.create_connection(("127.0.0.1", port), 10) as s, \
            context.wrap_socket(s, server_hostname="localhost") as t:
        return t.getpeercert()["serialNumber"]


@case("TLS: SIGHUP reads the certificate again, a bad one is left alone, who is there stays")
def _():
    folder = temp_dir()
    ca = make_ca(folder)
    context = ssl.create_default_context(cafile=ca[0])
    with tls_hub(folder, ca) as h, \
            SocketIO(h.port, {"nuc_id": "nuc_a"}, context=context, name="localhost") as a:
        old = serial_of(h.port, context)
        cert, _key = make_certificate(folder, ca, "DNS:localhost")
        equal(serial_of(h.port, context), old, "until it is told")
        os.kill(h.pid, signal.SIGHUP)
        h.wait_log("certificate read again")
        new = serial_of(h.port, context)
        check(new != old, "a new certificate is shown")
        with open(cert, "w") as f:
            f.write("no certificate\n")
        os.kill(h.pid, signal.SIGHUP)
        h.wait_log("the old certificate stays: ")
        equal(serial_of(h.port, context), new)
        a.emit("snapshot", snapshot("192.0.2.65", nuc_id="nuc_a"))
        a.answer()
    with hub() as h:
        os.kill(h.pid, signal.SIGHUP)
        h.wait_log("nothing is read again")
        equal(get_json(h.port, "/api/status")["status"], "online")


@case("TLS: what is not TLS, an old version, or a handshake cut off disturbs nobody")
def _():
    folder = temp_dir()
    ca = make_ca(folder)
    with tls_hub(folder, ca) as h:
        context = ssl.create_default_context(cafile=ca[0])
        stuck = [Connection(h.port) for _ in range(20)]
        for c in stuck[:10]:
            c.send(b"\x16\x03\x01\x02\x00\x01")
        with Connection(h.port) as c:
            c.send(b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n")
            while c.receive():
                pass
            check(b"online" not in c.rest, "answered in the clear")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        try:
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
            Connection(h.port, context=old)
            check(False, "TLS 1.1 accepted")
        except (ssl.SSLError, OSError):
            pass
        with Connection(h.port, context=context, name="localhost") as c:
            c.request("GET", "/api/status")
            equal(c.reply().status, 200)
        for c in stuck:
            c.close()


@case("TLS: curl and openssl agree that the certificate is served whole")
def _():
    folder = temp_dir()
    ca = make_ca(folder)
    with tls_hub(folder, ca) as h:
        out = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--cacert", ca[0],
             f"https://localhost:{h.port}/api/status"], stdout=subprocess.PIPE, check=True)
        equal(json.loads(out.stdout)["status"], "online")


@case("a certificate and a key that do not belong together are refused at start")
def _():
    folder = temp_dir()
    ca = make_ca(folder)
    cert, _key = make_certificate(folder, ca, "DNS:localhost", "one")
    _cert, key = make_certificate(folder, ca, "DNS:localhost", "two")
    status, log = run_hub("--port", free_port(), "--tls-cert", cert, "--tls-key", key)
    check(status and status > 0 and log.strip(), f"{status} {log!r}")


run_cases()
