#!/usr/bin/python3
"""Our Socket.IO client against node's socket.io and python-socketio, on each transport."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from nuchub import (FIXTURES, Server, case, check, equal, free_port, program, run_cases,  # noqa: E402
                    temp_dir)

PEER = program("CLIENT_PEER")
USED = {"default": "websocket", "websocket": "websocket", "polling": "polling"}


def certificate(name="localhost"):
    folder = temp_dir()
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name}"],
                   check=True, stderr=subprocess.DEVNULL)
    return cert, key


def node(*tls, transports="polling,websocket", msgpack=""):
    port = free_port()
    return Server(["node", os.path.join(FIXTURES, "echo_server.mjs"), port, *tls], port,
                  {"TRANSPORTS": transports, "MSGPACK": msgpack})


def python(*tls, msgpack=""):
    port = free_port()
    return Server(["/usr/bin/python3", os.path.join(FIXTURES, "echo_server.py"), port, *tls],
                  port, {"MSGPACK": msgpack})


def run(url, transport, *more):
    done = subprocess.run([PEER, url, transport, *more], capture_output=True, text=True,
                          timeout=60)
    check("ERROR: " not in done.stderr and "runtime error" not in done.stderr, done.stderr)
    return done.stdout.strip() or done.stderr


def all_transports(server, url, *more):
    with server:
        for transport in ("websocket", "polling", "upgrade", "default"):
            got = run(url, transport, *more)
            wanted = USED.get(transport)
            check(got == f"ok {wanted}" if wanted else got.startswith("ok "),
                  f"{transport}: {got}")


@case("node, every transport")
def _():
    server = node()
    all_transports(server, f"http://127.0.0.1:{server.port}")


@case("node over TLS, every transport")
def _():
    tls = certificate()
    server = node(*tls)
    all_transports(server, f"https://localhost:{server.port}", tls[0])


@case("node without WebSocket: the default falls back to polling")
def _():
    with node(transports="polling") as server:
        equal(run(f"http://127.0.0.1:{server.port}", "default"), "ok polling")


@case("python-socketio, every transport")
def _():
    server = python()
    all_transports(server, f"http://127.0.0.1:{server.port}")


@case("python-socketio over TLS, every transport")
def _():
    tls = certificate()
    server = python(*tls)
    all_transports(server, f"https://localhost:{server.port}", tls[0])


@case("node with socket.io-msgpack-parser, every transport")
def _():
    server = node(msgpack="1")
    all_transports(server, f"http://127.0.0.1:{server.port}", "--parser", "msgpack")


@case("python-socketio with serializer msgpack, every transport")
def _():
    server = python(msgpack="1")
    all_transports(server, f"http://127.0.0.1:{server.port}", "--parser", "msgpack")


@case("a certificate that is not trusted is refused in clear words")
def _():
    with node(*certificate()) as server:
        got = run(f"https://localhost:{server.port}", "websocket")
        equal(got, "not ok: certificate of localhost refused: it is self-signed and not "
                   "among the trusted ones")


@case("a certificate for another name is refused in clear words")
def _():
    tls = certificate("other.test")
    with node(*tls) as server:
        got = run(f"https://localhost:{server.port}", "websocket", tls[0])
        equal(got, "not ok: certificate of localhost refused: it is for another name")


run_cases()
