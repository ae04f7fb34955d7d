#!/usr/bin/python3
"""nuchub-agent with cameras of all kinds, against the hub and a Flask-SocketIO server."""

import json
import os
import re
import select
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (Program, agent, case, check, equal, free_port, get_json, http,  # noqa: E402
                    hub, program, python_fixture, run_cases, temp_dir, wait_for)

PASSWORD = "camera-pass"


def http_camera(kind, *options):
    port = free_port()
    return python_fixture("http_camera.py", kind, "--port", port, *options, port=port)


def rtsp_camera(*options):
    port = free_port()
    return python_fixture("rtsp_camera.py", "--port", port, *options, port=port)


def flask_server(*options):
    port = free_port()
    return python_fixture("flask_server.py", "--port", port, *options, port=port)


def url_of(server):
    return f"http://127.0.0.1:{server.port}"


def start_agent(server, cameras, **settings):
    return agent(url_of(server), "nuc_t", ",".join(cameras),
                 CONTRASENA_CAMARAS=PASSWORD, **settings)


def told(server, event):
    """What the Flask-SocketIO server got of an event."""
    found = []
    for line in server.log().splitlines():
        if line.startswith("{"):
            message = json.loads(line)
            if message["event"] == event:
                found.append(message["data"])
    return found


def told_of(server, event, ip):
    return [d for d in told(server, event) if d["ip"] == ip]


def picture(server, ip):
    """The JPEG that the hub serves for a camera, or None."""
    r = http(server.port, "GET", f"/api/camaras/{ip}/snapshot.jpg")
    if r.status != 200:
        return None
    check(r.body[:3] == b"\xff\xd8\xff" and r.body[-2:] == b"\xff\xd9", "not a JPEG")
    return r.body


def size_of(jpeg):
    """Width and height in the frame header."""
    i = 2
    while jpeg[i + 1] not in (0xc0, 0xc1, 0xc2):
        i += 2 + int.from_bytes(jpeg[i + 2:i + 4], "big")
    return (int.from_bytes(jpeg[i + 7:i + 9], "big"), int.from_bytes(jpeg[i + 5:i + 7], "big"))


@case("cameras of all kinds at once: each good one delivers, each bad one is reported")
def _():
    with http_camera("digest") as digest, http_camera("basic", "--size", "2560x1440") as basic, \
            http_camera("html") as html, http_camera("hang") as hang, \
            http_camera("second") as second, http_camera("huge") as huge, \
            http_camera("closing") as closing, rtsp_camera("--size", "1920x1080") as rtsp, \
            flask_server() as server:
        cameras = [f"digest=http://127.0.0.1:{digest.port}",
                   f"basic=http://127.0.0.1:{basic.port}",
                   f"html=http://127.0.0.1:{html.port}",
                   f"hang=http://127.0.0.1:{hang.port}",
                   f"second=http://127.0.0.1:{second.port}",
                   f"huge=http://127.0.0.1:{huge.port}",
                   f"closing=http://127.0.0.1:{closing.port}",
                   f"rtsp=rtsp://127.0.0.1:{rtsp.port}",
                   f"both=http://127.0.0.1:{html.port}|rtsp://127.0.0.1:{rtsp.port}",
                   "127.7.7.7", "test://"]
        with start_agent(server, cameras) as a:
            good = ["digest", "basic", "second", "rtsp", "both", "test"]
            bad = ["html", "huge", "closing", "127.7.7.7", "hang"]
            for ip in good:
                wait_for(lambda: len(told_of(server, "snapshot", ip)) >= 2, f"pictures of {ip}")
            for ip in bad:
                wait_for(lambda: told_of(server, "snapshot_error", ip), f"an error of {ip}")
            for ip in bad:
                equal(told_of(server, "snapshot", ip), [], ip)
            for ip in good:
                equal(told_of(server, "snapshot_error", ip), [], ip)
            equal(told_of(server, "snapshot_error", "127.7.7.7")[0]["error"],
                  "El puerto 554 (RTSP) está cerrado en 127.7.7.7. "
                  "Verifica configuración de la cámara.")
            first = told_of(server, "snapshot", "digest")[0]
            equal(list(first)[:5], ["nuc_id", "ip", "image", "timestamp", "estado"])
            check(first["image"].startswith("/9j/"), first["image"])
            check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?", first["timestamp"]),
                  first["timestamp"])
            registered = told(server, "nuc_register")
            equal(len(registered), 1)
            equal(registered[0]["camaras"], [c.split("=")[0] for c in cameras[:-1]] + ["test"])
            check(PASSWORD not in a.log(), "a password in the log")
            # What worked is asked first: a wrong path is asked in the first round only.
            equal(second.log().count("404 GET /ISAPI/Streaming/channels/101/picture"), 1)


@case("pictures reach the hub, scaled to 1920, and resume after it was killed")
def _():
    with http_camera("basic", "--size", "2560x1440") as wide, \
            rtsp_camera("--size", "1920x1080", "--path", "/Streaming/Channels/1",
                        "--auth", "basic") as rtsp:
        cameras = [f"wide=http://127.0.0.1:{wide.port}",
                   f"rtsp=rtsp://admin:{PASSWORD}@127.0.0.1:{rtsp.port}", "test://"]
        server = hub(env={"CAMARAS_IPS": ",".join(cameras)})
        with server, start_agent(server, cameras) as a:
            for _ in range(2):
                for ip in ("wide", "rtsp", "test"):
                    wait_for(lambda: picture(server, ip), f"a picture of {ip}")
                equal(size_of(picture(server, "wide")), (1920, 1080))
                equal(size_of(picture(server, "rtsp")), (1920, 1080))
                equal([n["nuc_id"] for n in get_json(server.port, "/api/nucs")["nucs"]],
                      ["nuc_t"])
                server.kill()
                wait_for(lambda: "down why" in a.log(), "the agent to notice")
                server.start()
            check(a.running(), "the agent ended")
            check(PASSWORD not in a.log() + server.log(), "a password in a log")


@case("a refused login is sent once, though five cameras have it")
def _():
    with http_camera("locked", "--password", "another") as camera, flask_server() as server:
        ids = ["a", "b", "c", "d", "e"]
        cameras = [f"{i}=http://127.0.0.1:{camera.port}" for i in ids]
        with start_agent(server, cameras):
            for ip in ids:
                wait_for(lambda: len(told_of(server, "snapshot_error", ip)) >= 3, f"errors of {ip}")
        equal(camera.log().count(" Digest"), 1)
        check("rechaza las credenciales (usuario: admin)" in
              told_of(server, "snapshot_error", "a")[-1]["error"])


@case("a redirection to another host gets no login, and its picture is not taken")
def _():
    heard = []

    def serve(listener, answer):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            data = peer.recv(4096)
            while data:
                heard.append((listener.getsockname()[0], data))
                reply = answer(data)
                if not reply:
                    break
                peer.sendall(reply)
                data = peer.recv(4096)
            peer.close()

    def listen(host, answer):
        s = socket.socket()
        s.bind((host, 0))
        s.listen()
        threading.Thread(target=serve, args=(s, answer), daemon=True).start()
        return s

    def sequence(data):
        return re.search(rb"CSeq: *(\d+)", data).group(1)

    def rtsp_moves(data):
        if not data.startswith(b"DESCRIBE"):
            return b"RTSP/1.0 200 OK\r\nCSeq: " + sequence(data) + b"\r\nPublic: DESCRIBE\r\n\r\n"
        return (b"RTSP/1.0 302 Found\r\nCSeq: " + sequence(data) +
                b"\r\nLocation: rtsp://127.9.9.9:%d/x\r\n\r\n" % thief.getsockname()[1])

    def http_moves(data):
        return (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
                b"http://127.9.9.9:%d/x\r\n\r\n" % thief.getsockname()[1])

    def ask_login(data):
        return (b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
                b"Content-Length: 0\r\n\r\n")

    thief = listen("127.9.9.9", ask_login)
    rtsp = listen("127.0.0.1", rtsp_moves)
    web = listen("127.0.0.1", http_moves)
    with flask_server() as server:
        cameras = [f"r=rtsp://127.0.0.1:{rtsp.getsockname()[1]}/a",
                   f"w=http://127.0.0.1:{web.getsockname()[1]}/a"]
        with start_agent(server, cameras):
            for ip in ("r", "w"):
                wait_for(lambda: len(told_of(server, "snapshot_error", ip)) >= 2, f"errors of {ip}")
    for s in (thief, rtsp, web):
        s.close()
    check(any(host == "127.0.0.1" for host, _ in heard), "nobody asked")
    equal([data for host, data in heard if host == "127.9.9.9" and b"Authorization" in data], [])


@case("a camera that announces an answer of 2 GB costs no memory; the log tells of each attempt")
def _():
    taken = [0]

    def serve(listener):
        peer, _ = listener.accept()  # whether somebody listens
        peer, _ = listener.accept()
        peer.recv(4096)
        try:
            peer.sendall(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 2000000000\r\n\r\n")
            while True:
                taken[0] += peer.send(bytes(1 << 20))
        except OSError:
            peer.close()

    nobody = free_port()
    with socket.create_server(("127.0.0.1", 0)) as camera, flask_server() as server:
        thread = threading.Thread(target=serve, args=(camera,))
        thread.start()
        port = camera.getsockname()[1]
        entry = f"x=rtsp://127.0.0.1:{port}/a?user=u&pwd={PASSWORD}|http://127.0.0.1:{nobody}/b"
        with start_agent(server, [entry], INTERVALO_SNAPSHOT="3600") as a:
            error = wait_for(lambda: told_of(server, "snapshot_error", "x"), "the error")
            thread.join()
            check(taken[0] < 500 << 20, f"{taken[0]} bytes were taken")
            why = a.wait_log('camera=x state=sin_acceso why="(.*)"')[1]
            check(f"127.0.0.1:{port}/a?: " in why and "/b: " in why, why)
            check(PASSWORD not in str(error) + a.log(), "a password was shown")


@case("a server asks for pictures: of a camera in the list, and of one that is not")
def _():
    with flask_server("--ask", "a", "--ask", "127.7.7.7", "--ask", "192.0.2.1") as server:
        with start_agent(server, ["test://a"], INTERVALO_SNAPSHOT="3600"):
            wait_for(lambda: told(server, "pong"), "a pong")
            wait_for(lambda: told_of(server, "snapshot", "a"), "the picture")
            wait_for(lambda: told_of(server, "snapshot_error", "127.7.7.7"), "the closed port")
            refused = wait_for(lambda: told_of(server, "snapshot_error", "192.0.2.1"), "a refusal")
            equal(refused[0]["error"], "Error al capturar de 192.0.2.1: dirección no permitida")


@case("every transport")
def _():
    for transport in ("auto", "upgrade", "websocket", "polling"):
        for server in (hub(), flask_server()):
            with server, start_agent(server, ["test://a"], NUCHUB_TRANSPORT=transport):
                wait_for(lambda: http(server.port, "GET", "/api/camaras/a/snapshot").status == 200,
                         f"a picture over {transport}")


@case("the agent says good-bye and ends at SIGTERM, whatever it is doing")
def _():
    with http_camera("hang") as hang, flask_server() as server:
        a = start_agent(server, [f"h=http://127.0.0.1:{hang.port}"]).start()
        wait_for(lambda: "GET" in hang.log(), "the camera to be asked")
        equal(a.stop(), 0)
        wait_for(lambda: told(server, "disconnect"), "the good-bye")
        a.check_sanitizers()
    nobody = free_port()
    a = agent(f"http://127.0.0.1:{nobody}", "nuc_t", "test://").start()
    a.wait_log("down why")
    equal(a.stop(), 0)


@case("the agent ends at SIGTERM, though the system's resolver hangs")
def _():
    if subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        print("# a resolver of our own needs root")
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.9.9.9", 53))
        mute.settimeout(40)
        path = os.path.join(temp_dir(), "resolv.conf")
        with open(path, "w") as f:
            f.write("nameserver 127.9.9.9\noptions timeout:30\n")
        a = agent(f"http://127.0.0.1:{free_port()}", "nuc_t", "c=rtsp://camera.example.test",
                  NUCHUB_KEEP_WARM="all")
        a.argv = ["unshare", "--mount", "sh", "-c",
                  f"mount --bind {path} /etc/resolv.conf && exec {a.argv[0]}"]
        a.start()
        check(b"camera" in mute.recv(512), "another name was asked for")
        equal(a.stop(), 0)


@case("mistakes in the settings end the agent with a sentence and status 2")
def _():
    folder = temp_dir()
    with open(os.path.join(folder, ".env"), "w") as f:
        f.write("SERVER_URL=http://127.0.0.1:1\nCAMARAS_IPS=test://\nINTERVALO_SNAPSHOT=x\n")
    a = Program([program("NUCHUB_AGENT"), "--check-config"], cwd=folder).start()
    equal(a.wait_exit(), 2)
    equal(a.log(), "nuchub-agent: .env:3: INTERVALO_SNAPSHOT: is not a number of seconds "
                   "from 0.2 to 86400\n")
    a = Program([program("NUCHUB_AGENT"), "--check-config", "--interval=5"], cwd=folder).start()
    equal(a.wait_exit(), 0)
    equal(a.log(), "nuchub-agent: the configuration is good\n")
    with socket.create_server(("127.0.0.1", 0)) as camera:
        a = agent("http://127.0.0.1:1", "nuc_t", f"a=rtsp://127.0.0.1:{camera.getsockname()[1]}",
                  NUCHUB_KEEP_WARM="all")
        a.argv.append("--check-config")
        equal(a.start().wait_exit(), 0, a.log())
        equal(select.select([camera], [], [], 0)[0], [], "a camera was dialled")


@case("less than 40 MB with an RTSP camera of 1920x1080")
def _():
    with rtsp_camera("--size", "1920x1080") as rtsp, hub() as server, \
            start_agent(server, [f"r=rtsp://127.0.0.1:{rtsp.port}"]) as a:
        def times():
            found = get_json(server.port, "/api/camaras")["camaras"]
            seen.update(c["timestamp"] for c in found if c["tiene_snapshot"])
            return len(seen) >= 4

        seen = set()
        wait_for(times, "four pictures")
        with open(a.argv[0], "rb") as f:
            sanitized = b"__asan_init" in f.read()
        if not sanitized:
            with open(f"/proc/{a.pid}/status") as f:
                status = f.read()
            rss = {k: int(v) for k, v in re.findall(r"(VmHWM|VmRSS):\s+(\d+) kB", status)}
            check(rss["VmHWM"] < 40000, f"{rss}")


run_cases()
