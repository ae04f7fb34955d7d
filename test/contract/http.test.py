#!/usr/bin/python3
"""The HTTP side of the contract: what the frontend and scripts ask and are told."""

import base64
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (Connection, SocketIO, case, check, equal, get_json, http, hub,  # noqa: E402
                    jpeg_text, run_cases, short, snapshot, wait_for)

ORIGIN = "https://app.example.test"
CAMERAS = "192.0.2.65,192.0.2.66,patio=rtsp://192.0.2.67:8554/one"
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?"

# (target, keys that must be there)
ENDPOINTS = [
    ("/api/status", {"arquitectura", "nucs_conectados", "status", "timestamp",
                     "usar_config_file", "redis"}),
    ("/api/nucs", {"nucs", "success", "total"}),
    ("/api/camaras", {"camaras", "success", "total"}),
    ("/api/camaras/detectar", {"camaras", "modo", "success", "timestamp", "total", "ip_local",
                               "red", "total_dispositivos"}),
]
MISSING = ["/nope", "/api", "/api/", "/api/nope", "/api/status/", "/api/camaras/",
           "/api/camaras/detectar/", "/api/camaras/192.0.2.1", "/API/STATUS",
           "/api/camaras/192.0.2.1/snapshot/", "/api/camaras/a%2Fb/snapshot",
           "/api/camaras//snapshot", "/api/camaras/192.0.2.1/nope"]

server = hub(env={"CAMARAS_IPS": CAMERAS})


def port():
    if not server.running():
        server.start()
    return server.port


def as_frontend(method, target, body=None):
    return http(port(), method, target, {
        "Origin": ORIGIN, "Content-Type": "application/json", "Referer": ORIGIN + "/",
        "Sec-Fetch-Mode": "cors"}, body)


def check_cors(r, origin):
    equal(r.all("Access-Control-Allow-Origin"), [origin or "*"], "Access-Control-Allow-Origin")
    if origin:
        check("Origin" in (r.get("Vary") or ""), f"Vary: {r.get('Vary')}")


def check_error(r, status):
    equal(r.status, status, "status")
    equal(r.get("Content-Type"), "application/json", "type of an error")
    body = r.json()
    check(body.get("success") is False and isinstance(body.get("error"), str) and body["error"],
          f"error body {body}")


# ---- before any agent ----

@case("every endpoint answers JSON with its fields, not to be cached")
def _():
    for target, keys in ENDPOINTS:
        r = http(port(), "GET", target)
        equal(r.status, 200, target)
        equal(r.get("Content-Type"), "application/json", target)
        equal(r.get("Cache-Control"), "no-store", target)
        check(keys <= set(r.json()), f"{target}: {sorted(keys - set(r.json()))} missing")


@case("status says online, counts no agent, and tells the time")
def _():
    s = get_json(port(), "/api/status")
    equal(s["status"], "online")
    equal(s["arquitectura"], "hikvision-style")
    equal(s["nucs_conectados"], 0)
    check(isinstance(s["usar_config_file"], bool))
    equal(s["redis"], "no_configurado")
    check(re.fullmatch(TIMESTAMP, s["timestamp"]), s["timestamp"])


@case("nobody is connected at first")
def _():
    equal(get_json(port(), "/api/nucs"), {"nucs": [], "success": True, "total": 0})


@case("configured cameras are listed by detectar in order, without access, and never a URL")
def _():
    d = get_json(port(), "/api/camaras/detectar")
    check(d["success"] is True)
    equal(d["modo"], "configurado")
    configured = [c for c in d["camaras"] if c["configurada"]]
    equal([c["ip"] for c in configured], ["192.0.2.65", "192.0.2.66", "patio"])
    for c in configured:
        equal(c["estado"], "sin_acceso", c["ip"])
        equal(c["nombre"], f"Cámara {c['ip']}")
        equal(c["nuc_id"], None)
    equal(d["total"], len(d["camaras"]))
    check(re.fullmatch(TIMESTAMP, d["timestamp"]), d["timestamp"])
    check(isinstance(d["ip_local"], str) and isinstance(d["red"], str), "ip_local, red")
    for target, _keys in ENDPOINTS:
        check(b"rtsp:" not in http(port(), "GET", target).body, f"{target} shows a URL")


@case("a camera without a picture is 404 with the text that the frontend shows")
def _():
    for ip in ("192.0.2.65", "192.0.2.250", "c%C3%A1mara%201", "50%25", "50%"):
        r = http(port(), "GET", f"/api/camaras/{ip}/snapshot")
        check_error(r, 404)
        equal(r.json()["error"], "No hay snapshot disponible")
    check_error(http(port(), "GET", "/api/camaras/192.0.2.65/snapshot.jpg"), 404)


# ---- CORS and routing ----

@case("CORS fields are on every reply, once, errors included")
def _():
    for target in [t for t, _ in ENDPOINTS] + MISSING + ["/api/camaras/192.0.2.65/snapshot"]:
        check_cors(http(port(), "GET", target), None)
        r = as_frontend("GET", target)
        check_cors(r, ORIGIN)
        equal(r.all("Access-Control-Allow-Credentials"), [], target)
    check_cors(as_frontend("POST", "/api/status", b"{}"), ORIGIN)


@case("preflight of every endpoint is allowed, with content-type and DELETE, and remembered")
def _():
    for target in [t for t, _ in ENDPOINTS] + ["/api/camaras/192.0.2.65/snapshot",
                                               "/api/camaras/192.0.2.65/snapshot.jpg"]:
        r = http(port(), "OPTIONS", target, {
            "Origin": ORIGIN, "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "content-type, x-one"})
        check(r.status in (200, 204), f"{target}: {r.status}")
        equal(r.body, b"", target)
        check_cors(r, ORIGIN)
        methods = re.split(r", *", r.get("Access-Control-Allow-Methods") or "")
        check({"GET", "POST", "DELETE"} <= set(methods), f"{target}: methods {methods}")
        names = re.split(r", *", (r.get("Access-Control-Allow-Headers") or "").lower())
        check({"content-type", "x-one"} <= set(names) or names == ["*"],
              f"{target}: fields {names}")
        check(int(r.get("Access-Control-Max-Age") or 0) > 0, f"{target}: no Max-Age")


@case("plain OPTIONS tells what is allowed")
def _():
    for target in [t for t, _ in ENDPOINTS]:
        r = http(port(), "OPTIONS", target)
        check(r.status in (200, 204), f"{target}: {r.status}")
        check({"GET", "HEAD", "OPTIONS"} <= set(re.split(r", *", r.get("Allow") or "")),
              f"{target}: Allow {r.get('Allow')}")


@case("unknown paths are 404 as JSON")
def _():
    for target in MISSING:
        for method in ("GET", "POST"):
            r = http(port(), method, target, body=b"x" if method == "POST" else None)
            try:
                check_error(r, 404)
            except AssertionError as e:
                raise AssertionError(f"{method} {target}: {e}") from None


@case("a known path with another method is 405 with Allow, as JSON")
def _():
    for target in [t for t, _ in ENDPOINTS] + ["/api/camaras/192.0.2.65/snapshot"]:
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
            r = as_frontend(method, target, b"{}" if method != "TRACE" else None)
            check_error(r, 405)
            check({"GET", "HEAD", "OPTIONS"} <= set(re.split(r", *", r.get("Allow") or "")),
                  f"{method} {target}: Allow {r.get('Allow')}")


@case("HEAD has the fields of GET and no body")
def _():
    for target in [t for t, _ in ENDPOINTS] + ["/api/camaras/192.0.2.65/snapshot", "/nope"]:
        with Connection(port()) as c:
            c.request("HEAD", target)
            c.request("GET", target)
            head, get = c.reply(head_only=True), c.reply()
        equal(head.status, get.status, target)
        equal(head.get("Content-Type"), get.get("Content-Type"), target)
        if target not in ("/api/status", "/api/camaras/detectar"):  # a fraction may be left out
            equal(head.get("Content-Length"), str(len(get.body)), target)


@case("query strings and the absolute form of a target are understood")
def _():
    for target in ("/api/status?t=1&x=%zz", "http://hub.example.test/api/status",
                   "HTTP://hub.example.test:8080/api/status?x"):
        equal(http(port(), "GET", target).status, 200, target)


@case("the built-in page is served at /")
def _():
    r = http(port(), "GET", "/")
    equal(r.status, 200)
    check((r.get("Content-Type") or "").startswith("text/html"), r.get("Content-Type"))
    check(b"<" in r.body)


# ---- connections ----

@case("a connection serves one request after the other, errors too")
def _():
    with Connection(port()) as c:
        for method, target, body, status in (
                ("GET", "/api/status", None, 200), ("GET", "/nope", None, 404),
                ("POST", "/api/status", b'{"a":1}', 405), ("GET", "/api/nucs", None, 200)):
            c.request(method, target, body=body)
            equal(c.reply().status, status, f"{method} {target}")


@case("requests sent together are answered in order")
def _():
    with Connection(port()) as c:
        one = b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n"
        c.send(one + b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n" + one * 20)
        equal([c.reply().status for _ in range(22)], [200, 404] + [200] * 20)


@case("a request is understood byte by byte")
def _():
    with Connection(port()) as c:
        for b in b"GET /nope HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n\r\n" \
                 b"GET /api/nucs HTTP/1.1\r\nHost: x\r\n\r\n":
            c.send(bytes([b]))
        equal([c.reply().status, c.reply().status], [404, 200])


@case("HTTP/1.0 and Connection: close end the connection, keep-alive does not")
def _():
    for head, ends in ((b"GET /api/status HTTP/1.0\r\n\r\n", True),
                       (b"GET /api/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", True),
                       (b"GET /api/status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False)):
        with Connection(port()) as c:
            c.send(head)
            r = c.reply()
            equal(r.status, 200)
            if ends:
                check(c.closed(), f"{head!r}: not closed")
            else:
                c.request("GET", "/api/nucs")
                equal(c.reply().status, 200)


@case("Expect: 100-continue is answered")
def _():
    with Connection(port()) as c:
        c.send(b"POST /api/status HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
               b"Content-Length: 2\r\n\r\n")
        # Either the interim reply or at once the final one; then the body may follow.
        first = c.until(b"\r\n\r\n")
        check(first.startswith((b"HTTP/1.1 100", b"HTTP/1.1 405")), short(first))
        if first.startswith(b"HTTP/1.1 100"):
            c.send(b"{}")
            equal(c.reply().status, 405)


# (what is sent, statuses that are right); the connection must end
BAD_REQUESTS = [
    (b"GARBAGE\r\n\r\n", {400}),
    (b"GET /api/status HTTP/9.9\r\nHost: x\r\n\r\n", {400, 505}),
    (b"GET /api/status HTTP/1.1\r\nHost: x\r\nNo colon here\r\n\r\n", {400}),
    (b"GET /api/status HTTP/1.1\r\nHost : x\r\n\r\n", {400}),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414, 431}),
    (b"GET /api/status HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 70000 + b"\r\n\r\n", {400, 431}),
    (b"GET /api/status HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n", {400, 431}),
    (b"POST /api/status HTTP/1.1\r\nHost: x\r\nContent-Length: nope\r\n\r\n", {400}),
    (b"POST /api/status HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", {400}),
    (b"POST /api/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
     {400}),
    (b"POST /api/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    (b"POST /api/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
     {400, 413}),
]


@case("a request that is none is refused with a status line, and the connection ends")
def _():
    for sent, statuses in BAD_REQUESTS:
        with Connection(port()) as c:
            try:
                c.send(sent)
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                r = c.reply()
            except ConnectionResetError:
                raise AssertionError(f"{sent[:60]!r}: reset, no reply") from None
            check(r.status in statuses, f"{sent[:60]!r}: {r.status}")
            check(c.closed(), f"{sent[:60]!r}: not closed")
    equal(http(port(), "GET", "/api/status").status, 200, "afterwards")


# ---- with an agent ----

def with_agent(auth, *events):
    """Runs events of an agent and returns it, still connected."""
    a = SocketIO(port(), auth)
    for name, data in events:
        a.emit(name, data)
    a.answer()
    return a


@case("an agent is listed with its cameras, viewers are not, and it leaves when it closes")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"token": "x"}):
        a = with_agent({"nuc_id": "nuc_http"},
                       ("nuc_register", {"nuc_id": "nuc_http", "camaras": ["192.0.2.65"],
                                         "timestamp": "2026-01-02T03:04:05.678901"}))
        n = get_json(port(), "/api/nucs")
        equal((n["total"], len(n["nucs"]), n["success"]), (1, 1, True))
        nuc = n["nucs"][0]
        equal(nuc["nuc_id"], "nuc_http")
        equal(nuc["camaras"], ["192.0.2.65"])
        equal(nuc["conectado"], True)
        check(re.fullmatch(TIMESTAMP, nuc["connected_at"]), nuc["connected_at"])
        check(isinstance(nuc["last_heartbeat"], (int, float)) and nuc["last_heartbeat"] > 1.7e9)
        equal(get_json(port(), "/api/status")["nucs_conectados"], 1)
        a.close()
        wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 0, "the agent to leave")
        viewer.answer()


@case("snapshot and pong move last_heartbeat, snapshot_error does not")
def _():
    with with_agent({"nuc_id": "nuc_hb"}) as a:
        def beat():
            return get_json(port(), "/api/nucs")["nucs"][0]["last_heartbeat"]

        first = beat()
        a.answer('42["snapshot_error",{"nuc_id":"nuc_hb","ip":"192.0.2.80","error":"x"}]',
                 '42["event",1]')
        # answer() itself ends with a pong that names no NUC; only named ones count.
        b0 = beat()
        a.answer('42["pong",{"nuc_id":"nuc_hb","timestamp":"x"}]')
        second = beat()
        check(second > first, f"pong did not move it: {first} {second}")
        a.emit("snapshot", snapshot("192.0.2.81", nuc_id="nuc_hb"))
        a.answer()
        check(beat() > second, "snapshot did not move it")
        check(b0 <= second)


@case("a picture appears in every view with what the frontend reads")
def _():
    image = jpeg_text(4000, seed=1)
    with with_agent({"nuc_id": "nuc_a"}, ("snapshot", snapshot("192.0.2.65", image)),
                    ("snapshot", snapshot("192.0.2.90", image, estado="grabando"))):
        r = get_json(port(), "/api/camaras/192.0.2.65/snapshot")
        equal(r, {"estado": "activa", "image": "data:image/jpeg;base64," + image,
                  "ip": "192.0.2.65", "success": True,
                  "timestamp": "2026-01-02T03:04:05.678901"})
        cameras = {c["ip"]: c for c in get_json(port(), "/api/camaras")["camaras"]}
        c = cameras["192.0.2.65"]
        check(set(c) >= {"estado", "ip", "nuc_id", "tiene_snapshot", "timestamp", "id", "nombre"},
              f"fields {sorted(c)}")
        equal((c["estado"], c["nuc_id"], c["tiene_snapshot"], c["timestamp"]),
              ("activa", "nuc_a", True, "2026-01-02T03:04:05.678901"))
        check(isinstance(c["nombre"], str) and isinstance(c["id"], int), f"{c}")
        equal(cameras["192.0.2.90"]["estado"], "grabando")
        found = {c["ip"]: c for c in get_json(port(), "/api/camaras/detectar")["camaras"]}
        equal({k: found["192.0.2.65"][k] for k in ("configurada", "estado", "nombre", "nuc_id")},
              {"configurada": True, "estado": "activa", "nombre": "Cámara 192.0.2.65",
               "nuc_id": "nuc_a"})
        equal({k: found["192.0.2.90"][k] for k in ("configurada", "estado", "nombre", "nuc_id")},
              {"configurada": False, "estado": "grabando", "nombre": "Cámara 192.0.2.90",
               "nuc_id": "nuc_a"})


@case("a picture outlives its agent, and the list keeps order and distinct ids")
def _():
    a = with_agent({"nuc_id": "nuc_a"}, *[
        ("snapshot", snapshot(f"192.0.2.{100 + i}")) for i in (7, 3, 9, 1)])
    a.close()
    first = get_json(port(), "/api/camaras")["camaras"]
    ids = [c["id"] for c in first]
    equal(len(set(ids)), len(ids), "distinct ids")
    with with_agent({"nuc_id": "nuc_b"}, ("snapshot", snapshot("192.0.2.103"))):
        second = get_json(port(), "/api/camaras")["camaras"]
    equal([(c["id"], c["ip"]) for c in second], [(c["id"], c["ip"]) for c in first])


@case("the image keeps a data: prefix that it came with")
def _():
    image = "data:image/jpeg;base64," + jpeg_text(400, seed=2)
    with with_agent({"nuc_id": "nuc_a"}, ("snapshot", snapshot("192.0.2.91", image))):
        equal(get_json(port(), "/api/camaras/192.0.2.91/snapshot")["image"], image)
        r = http(port(), "GET", "/api/camaras/192.0.2.91/snapshot.jpg")
        equal(r.body, base64.b64decode(image.split(",")[1]))


@case("names of cameras are percent-decoded text")
def _():
    with with_agent({"nuc_id": "nuc_a"}, ("snapshot", snapshot("cámara 1")),
                    ("snapshot", snapshot("a:b"))):
        equal(get_json(port(), "/api/camaras/c%C3%A1mara%201/snapshot")["ip"], "cámara 1")
        equal(get_json(port(), "/api/camaras/a:b/snapshot")["ip"], "a:b")
        equal(get_json(port(), "/api/camaras/a%3Ab/snapshot")["ip"], "a:b")


@case("snapshot.jpg is the JPEG itself, with ETag, Last-Modified, HEAD and 304")
def _():
    target = "/api/camaras/192.0.2.92/snapshot.jpg"
    images = [jpeg_text(90000, seed=s) for s in (3, 4)]
    with with_agent({"nuc_id": "nuc_a"}, ("snapshot", snapshot("192.0.2.92", images[0]))) as a:
        r = http(port(), "GET", target, {"Origin": ORIGIN})
        equal((r.status, r.get("Content-Type")), (200, "image/jpeg"))
        equal(r.body, base64.b64decode(images[0]), "body")
        check_cors(r, ORIGIN)
        tag, date = r.get("ETag"), r.get("Last-Modified")
        check(re.fullmatch(r'(W/)?"[^"]+"', tag or ""), f"ETag {tag}")
        check(re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date or ""), date)
        for fields in ({"If-None-Match": tag}, {"If-None-Match": f'"x", {tag}'},
                       {"If-None-Match": "*"}, {"If-Modified-Since": date}):
            again = http(port(), "GET", target, fields)
            equal((again.status, again.body), (304, b""), str(fields))
            equal(again.get("ETag"), tag)
        equal(http(port(), "GET", target, {"If-None-Match": '"other"'}).status, 200)
        head = http(port(), "HEAD", target)
        equal(head.get("Content-Length"), str(len(r.body)))
        a.emit("snapshot", snapshot("192.0.2.92", images[1]))
        a.answer()
        r = http(port(), "GET", target, {"If-None-Match": tag})
        equal((r.status, r.body == base64.b64decode(images[1])), (200, True), "the next picture")


@case("freshness is by arrival, whatever the agent's clock says")
def _():
    for stamp in ("2001-01-01T00:00:00.000000", "2099-01-01T00:00:00Z", "ayer", "", None, 5):
        with with_agent({"nuc_id": "nuc_a"},
                        ("snapshot", snapshot("192.0.2.66", timestamp=stamp))):
            found = {c["ip"]: c for c in get_json(port(), "/api/camaras/detectar")["camaras"]}
            equal(found["192.0.2.66"]["estado"], "activa", f"timestamp {stamp!r}")
            equal(get_json(port(), "/api/camaras/192.0.2.66/snapshot")["timestamp"], stamp)


@case("a configured camera with only an error is sin_acceso, an unconfigured one is not listed")
def _():
    error = {"nuc_id": "nuc_a", "error": "La cámara no responde", "timestamp": "x"}
    with with_agent({"nuc_id": "nuc_a"}, ("snapshot_error", {**error, "ip": "patio"}),
                    ("snapshot_error", {**error, "ip": "192.0.2.201"})):
        found = {c["ip"]: c for c in get_json(port(), "/api/camaras/detectar")["camaras"]}
        equal((found["patio"]["estado"], found["patio"]["configurada"]), ("sin_acceso", True))
        check("192.0.2.201" not in found)
        check_error(http(port(), "GET", "/api/camaras/192.0.2.201/snapshot"), 404)


@case("an error keeps the picture, and a later picture is activa again")
def _():
    error = {"nuc_id": "nuc_a", "ip": "patio", "error": "x", "timestamp": "x"}
    with with_agent({"nuc_id": "nuc_a"}, ("snapshot", snapshot("patio"))) as a:
        a.emit("snapshot_error", error)
        a.answer()
        equal(http(port(), "GET", "/api/camaras/patio/snapshot").status, 200)
        a.emit("snapshot", snapshot("patio"))
        a.answer()
        found = {c["ip"]: c for c in get_json(port(), "/api/camaras/detectar")["camaras"]}
        equal(found["patio"]["estado"], "activa")


@case("two sockets of one NUC: it stays listed until both have gone, in either order")
def _():
    for leaves_first in (0, 1):
        both = [with_agent({"nuc_id": "nuc_two"}), with_agent({"nuc_id": "nuc_two"})]
        equal(get_json(port(), "/api/nucs")["total"], 1)
        both[leaves_first].close()
        other = both[1 - leaves_first]
        # Its end reaches the hub before what the other one asks afterwards is sure to be
        # served, so ask until nothing changes any more: register again and look.
        for _round in range(5):
            other.emit("nuc_register", {"nuc_id": "nuc_two", "camaras": ["x"]})
            check(other.event("registered"))
            equal([n["nuc_id"] for n in get_json(port(), "/api/nucs")["nucs"]], ["nuc_two"])
        other.close()
        wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 0, "both to leave")


@case("without cameras configured detectar says automatico and lists what was pushed")
def _():
    with hub() as h, SocketIO(h.port, {"nuc_id": "nuc_a"}) as a:
        equal(get_json(h.port, "/api/camaras/detectar")["modo"], "automatico")
        a.emit("snapshot", snapshot("192.0.2.99"))
        a.answer()
        d = get_json(h.port, "/api/camaras/detectar")
        equal([c["ip"] for c in d["camaras"]], ["192.0.2.99"])
        check(json.dumps(d))


run_cases()
