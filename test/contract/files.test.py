#!/usr/bin/python3
"""Files that the hub serves: pictures and videos of intruders, and a built frontend."""

import base64
import gzip
import os
import re
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (Connection, case, check, equal, get_json, http, hub, run_cases,  # noqa: E402
                    temp_dir, wait_for)

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8 + b"\xff\xd9"
BIG = os.urandom(3_000_000)

first, second, videos, www = temp_dir(), temp_dir(), temp_dir(), temp_dir()
config = os.path.join(temp_dir(), "nuchubd.conf")


def put(folder, name, data, age=0.0):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    at = time.time() - age
    os.utime(path, (at, at))
    return path


def box(kind, body):
    return struct.pack("!I", len(body) + 8) + kind + body


def movie(seconds, version=0):
    if version:
        head = struct.pack("!B3xQQIQ", 1, 0, 0, 1000, seconds * 1000)
    else:
        head = struct.pack("!B3xIIII", 0, 0, 0, 1000, seconds * 1000)
    return (box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", b"x" * 100) +
            box(b"moov", box(b"free", b"") + box(b"mvhd", head + bytes(80))))


put(first, "ALERTA_LINEA_1_20260101_123456.jpg", JPEG, age=30)
put(first, "ALERTA_LINEA_INFERIOR_20251231_235959.PNG", b"\x89PNG" + JPEG, age=20)
put(first, "a_b_c_d.png", JPEG, age=10)
put(first, "ALERTA_X_20261301_000000.jpeg", JPEG, age=5)
put(first, "notas.txt", b"no picture")
put(first, ".oculto.jpg", JPEG)
os.mkdir(os.path.join(first, "carpeta.jpg"))
os.symlink("/etc/passwd", os.path.join(first, "enlace.jpg"))
os.mkfifo(os.path.join(first, "tubo.jpg"))
put(second, "ALERTA_LINEA_2_20260102_000001.jpg", JPEG, age=40)
put(second, "a_b_c_d.png", b"the other one", age=1)
put(videos, "VIDEO_LINEA_1_20260101_123456.mp4", movie(12), age=30)
put(videos, "VIDEO_LINEA_1_20260101_123457.mp4", movie(7, version=1), age=20)
put(videos, "VIDEO_LINEA_1_20260101_123458.avi", b"RIFF....", age=10)
put(videos, "VIDEO_LINEA_1_20260101_123459.mov", BIG, age=5)
put(videos, "roto.mp4", b"\0\0\0\x01moov\0", age=50)
with open(config, "w") as out:
    out.write(f"intrusos_dir = {first}\nintrusos_dir_2 = {second}\nvideos_dir = {videos}\n")

put(www, "index.html", b"<!doctype html><html><HEAD lang=es><title>app</title></HEAD></html>")
put(www, "_expo/static/js/web/index-0123456789abcdef0123.js", b"console.log(1)")
put(www, "_expo/static/js/web/index-0123456789abcdef0123.js.gz", gzip.compress(b"console.log(1)"))
put(www, "favicon.ico", b"ico")
put(www, ".env", b"secret")
os.symlink("/etc", os.path.join(www, "etc"))
os.symlink("/etc/passwd", os.path.join(www, "passwd.txt"))

server = hub("--config", config)
front = hub("--www", www, "--www-api", "self")
plain = hub("--www", www)


def port(which=server):
    if not which.running():
        which.start()
    return which.port


def get(target, fields=(), method="GET", which=server):
    return http(port(which), method, target, fields)


MOV = "/api/videos/VIDEO_LINEA_1_20260101_123459.mov"
JPG = "/api/intrusos/ALERTA_LINEA_1_20260101_123456.jpg"


@case("pictures are listed newest first, with what their names say")
def _():
    r = get_json(port(), "/api/intrusos")
    equal(r["success"], True)
    equal(r["total"], 5, "total")
    rows = {i["archivo"]: i for i in r["imagenes"]}
    equal([i["archivo"] for i in r["imagenes"]],
          ["ALERTA_X_20261301_000000.jpeg", "a_b_c_d.png",
           "ALERTA_LINEA_INFERIOR_20251231_235959.PNG", "ALERTA_LINEA_1_20260101_123456.jpg",
           "ALERTA_LINEA_2_20260102_000001.jpg"])
    one = rows["ALERTA_LINEA_1_20260101_123456.jpg"]
    equal((one["fecha"], one["hora"], one["linea"], one["tamano"]),
          ("2026-01-01", "12:34:56", "LINEA_1", len(JPEG)))
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", one["modificado"]), one)
    two = rows["ALERTA_LINEA_INFERIOR_20251231_235959.PNG"]
    equal((two["hora"], two["linea"]), ("23:59:59", "LINEA_INFERIOR"))
    for name in ("a_b_c_d.png", "ALERTA_X_20261301_000000.jpeg"):
        equal({rows[name][k] for k in ("fecha", "hora", "linea")}, {"Desconocida"}, name)
    equal(len({i["id"] for i in r["imagenes"]}), 5, "distinct ids")
    check(first not in str(r) and second not in str(r), "a path of the server is shown")


@case("videos are listed with their length")
def _():
    r = get_json(port(), "/api/videos")
    seconds = {v["archivo"]: v["duracion"] for v in r["videos"]}
    equal(seconds, {"VIDEO_LINEA_1_20260101_123456.mp4": 12,
                    "VIDEO_LINEA_1_20260101_123457.mp4": 7,
                    "VIDEO_LINEA_1_20260101_123458.avi": 5,
                    "VIDEO_LINEA_1_20260101_123459.mov": 5, "roto.mp4": 5})


@case("a video that has changed is looked at again, and no other")
def _():
    def length():
        r = get_json(port(), "/api/videos")
        return {v["archivo"]: v["duracion"] for v in r["videos"]}["cambia.mp4"]
    path = put(videos, "cambia.mp4", movie(12), age=30)
    at = os.stat(path).st_mtime_ns
    equal(length(), 12)
    put(videos, "cambia.mp4", movie(7))
    os.utime(path, ns=(at, at))
    equal(length(), 12, "the same size and time")
    os.utime(path, ns=(at, at + 1))
    equal(length(), 7, "another time")
    os.remove(path)


@case("a picture is sent with type, conditions and dates")
def _():
    r = get(JPG)
    equal((r.status, r.body, r.get("Content-Type")), (200, JPEG, "image/jpeg"))
    check(r.get("Content-Disposition").startswith("inline"), r)
    equal(r.get("Accept-Ranges"), "bytes")
    check("max-age" in r.get("Cache-Control"), r)
    etag, date = r.get("ETag"), r.get("Last-Modified")
    for fields in ({"If-None-Match": etag}, {"If-None-Match": f'"x", W/{etag}'},
                   {"If-None-Match": "*"}, {"If-Modified-Since": date}):
        again = get(JPG, fields)
        equal((again.status, again.body, again.get("ETag")), (304, b"", etag), str(fields))
    for fields in ({"If-None-Match": '"x"'}, {"If-Modified-Since": "nonsense"},
                   {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
                   {"If-None-Match": '"x"', "If-Modified-Since": date}, {"If-Match": etag}):
        equal(get(JPG, fields).status, 200, str(fields))
    for fields in ({"If-Match": '"x"'}, {"If-Match": "W/" + etag},
                   {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}):
        equal(get(JPG, fields).status, 412, str(fields))
    head = get(JPG, method="HEAD")
    equal((head.status, head.get("Content-Length"), head.get("ETag")),
          (200, str(len(JPEG)), etag))
    png = get("/api/intrusos/ALERTA_LINEA_INFERIOR_20251231_235959.PNG")
    equal(png.get("Content-Type"), "image/png")
    equal(get("/api/intrusos/a_b_c_d.png").body, JPEG, "the first folder's file")


@case("ranges of a large file, in every form")
def _():
    n = len(BIG)
    whole = get(MOV)
    equal((whole.status, whole.get("Content-Type")), (200, "video/quicktime"))
    check(whole.body == BIG, "whole body")
    for text, a, b in (("bytes=0-99", 0, 99), ("bytes=2000-", 2000, n - 1),
                       ("bytes=-10", n - 10, n - 1), (f"bytes=5-{n * 9}", 5, n - 1),
                       (f"bytes=-{n * 9}", 0, n - 1), ("bytes=0-0", 0, 0),
                       (f"bytes={n - 1}-", n - 1, n - 1), ("Bytes = 1 - 2 ", 1, 2),
                       ("bytes=0-99999999999999999999999", 0, n - 1)):
        r = get(MOV, {"Range": text})
        equal((r.status, r.get("Content-Range"), r.get("Content-Length")),
              (206, f"bytes {a}-{b}/{n}", str(b - a + 1)), text)
        check(r.body == BIG[a:b + 1], f"{text}: bytes")
    for text in (f"bytes={n}-", "bytes=0-1,5-6", "bytes=9-3", "bytes=-0",
                 "bytes=99999999999999999999999-"):
        r = get(MOV, {"Range": text})
        equal((r.status, r.get("Content-Range")), (416, f"bytes */{n}"), text)
        equal(r.json()["success"], False)
    for text in ("bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "lines=1-2", "0-5",
                 "bytes=+1-2", "bytes=1--2"):
        r = get(MOV, {"Range": text})
        equal((r.status, len(r.body)), (200, n), text)
    equal(get(MOV, {"Range": "bytes=0-9"}, method="HEAD").status, 206, "HEAD")


@case("If-Range: the rest of what the client has, or all")
def _():
    r = get(MOV, method="HEAD")
    for tag, status in ((r.get("ETag"), 206), (r.get("Last-Modified"), 206), ('"x"', 200),
                        ("W/" + r.get("ETag"), 200), ("nonsense", 200),
                        ("Thu, 01 Jan 1970 00:00:00 GMT", 200)):
        equal(get(MOV, {"Range": "bytes=0-9", "If-Range": tag}).status, status, tag)


@case("a client that takes its time gets all; one that leaves costs nothing")
def _():
    with Connection(port()) as c:
        c.request("GET", MOV)
        head = c.until(b"\r\n\r\n")
        check(b" 200 " in head, head)
        for _ in range(20):  # others are served meanwhile
            equal(get("/api/videos/VIDEO_LINEA_1_20260101_123458.avi").status, 200)
        check(c.exactly(len(BIG)) == BIG, "bytes of the slow one")
        c.request("GET", MOV)
        c.until(b"\r\n\r\n")
    descriptors = f"/proc/{server.pid}/fd"
    wait_for(lambda: not any(os.path.realpath(os.path.join(descriptors, d)).endswith(".mov")
                             for d in os.listdir(descriptors)), "the file to be closed")


@case("a file that shrinks while it is sent ends the connection, not the hub")
def _():
    size = 1 << 28  # more than the system's buffers hold
    path = put(videos, "VIDEO_corto.mp4", b"")
    os.truncate(path, size)
    with Connection(port()) as c:
        c.request("GET", "/api/videos/VIDEO_corto.mp4")
        c.until(b"\r\n\r\n")
        os.truncate(path, 10)
        n = len(c.rest)
        c.rest = b""
        while c.receive():
            n += len(c.rest)
            c.rest = b""
        check(n < size, f"{n} bytes")
    os.unlink(path)
    equal(get("/api/status").status, 200)


@case("base64 of a picture")
def _():
    r = get(JPG + "/base64").json()
    equal(r["archivo"], "ALERTA_LINEA_1_20260101_123456.jpg")
    equal(base64.b64decode(r["image"].removeprefix("data:image/jpeg;base64,")), JPEG)
    r = get("/api/intrusos/nada.jpg/base64")
    equal((r.status, r.json()), (404, {"success": False, "error": "Imagen no encontrada"}))


@case("no way out of the folders")
def _():
    names = ["..", ".", "../x.jpg", "..%2f..%2fetc%2fpasswd", "%2e%2e%2fx.jpg", "enlace.jpg",
             "tubo.jpg", "carpeta.jpg", ".oculto.jpg", "notas.txt", "a%00.jpg", "%00", "a\\b.jpg",
             "%5c.jpg", "x" * 250 + ".jpg", "x" * 251 + ".jpg", "x" * 3000 + ".jpg", "%ff.jpg",
             "%", "%zz.jpg", "/etc/passwd", "carpeta.jpg/x.jpg", "jpg", ".jpg"]
    for name in names:
        for base in ("/api/intrusos/", "/api/videos/"):
            for method in ("GET", "DELETE"):
                r = get(base + name, method=method)
                check(r.status in (404, 414), f"{method} {base}{name[:40]}: {r}")
                equal(r.json()["success"], False)
                check(b"root:" not in r.body)
    check(os.path.islink(os.path.join(first, "enlace.jpg")), "link deleted")
    check(os.path.exists(os.path.join(first, "notas.txt")), "other file deleted")


@case("deleting: one folder's file, once")
def _():
    put(first, "ALERTA_B_20260101_000000.jpg", JPEG)
    put(second, "ALERTA_B_20260101_000000.jpg", JPEG)
    target = "/api/intrusos/ALERTA_B_20260101_000000.jpg"
    equal(get(target, method="DELETE").json(),
          {"success": True, "message": "Imagen ALERTA_B_20260101_000000.jpg eliminada"})
    check(os.path.exists(os.path.join(second, "ALERTA_B_20260101_000000.jpg")))
    equal(get(target, method="DELETE").status, 200)
    equal(get(target, method="DELETE").status, 404)
    put(videos, "VIDEO ñandú.mp4", b"x")
    r = get("/api/videos/VIDEO%20%C3%B1and%C3%BA.mp4", method="DELETE")
    equal(r.json()["message"], "Video VIDEO ñandú.mp4 eliminado")


@case("folders below the state directory are made at start; without one the lists are empty")
def _():
    with hub() as h:
        state = h.argv[h.argv.index("--state-dir") + 1]
        equal(sorted(os.listdir(state)), ["cercas", "intrusos", "videos"])
        equal(get_json(h.port, "/api/intrusos"), {"success": True, "imagenes": [], "total": 0})
        os.rmdir(os.path.join(state, "videos"))  # and one that goes away later
        equal(get_json(h.port, "/api/videos"), {"success": True, "videos": [], "total": 0})


@case("a frontend: index for its routes, files with their types, nothing below /api")
def _():
    r = get("/", which=front)
    equal((r.status, r.get("Content-Type"), r.get("Cache-Control")),
          (200, "text/html; charset=utf-8", "no-cache"))
    check(b"<HEAD lang=es><script>globalThis.process={env:{REACT_APP_API_URL:location.origin}}"
          b"</script><title>" in r.body, r.body)
    equal(get("/camaras/una", which=front).body, r.body, "a route of the page")
    equal(get("/index.html", which=front).body, r.body)
    for which in (front, plain):
        given = get("/", which=which).get("Set-Cookie")
        check(given.startswith("visor=") and "; Path=/;" in given, given)
        known = {"Cookie": given.partition(";")[0]}
        equal(get("/", known, which=which).get("Set-Cookie"), None)
    equal(get("/nada.js", which=front).status, 404)
    for target in ("/api", "/api/nada", "/%61pi/nada", "/socket.io", "/api/camaras/x/y"):
        r = get(target, which=front)
        equal((r.status, r.get("Content-Type")), (404, "application/json"), target)
    equal(get("/api/status", which=front).status, 200)
    equal(get("/socket.io/?EIO=4&transport=polling", which=front).body[:1], b"0")
    equal(get("/favicon.ico", which=front).get("Content-Type"), "image/x-icon")
    r = get("/", method="POST", which=front)
    equal((r.status, r.get("Allow")), (405, "OPTIONS, HEAD, GET"))
    r = get("/", method="HEAD", which=front)
    equal((r.status, r.body, r.get("Content-Length")),
          (200, b"", get("/", which=front).get("Content-Length")))
    for target in ("/.env", "/etc/passwd", "/passwd.txt", "/../etc/passwd", "/..%2f..%2fetc/passwd",
                   "/%2e%2e/%2e%2e/etc/hosts.txt", "//etc/passwd.txt", "/a%00.txt"):
        r = get(target, which=front)
        check(b"root:" not in r.body and b"secret" not in r.body, f"{target}: {r}")


@case("a frontend: caching and compressed files")
def _():
    script = "/_expo/static/js/web/index-0123456789abcdef0123.js"
    r = get(script, which=plain)
    equal((r.body, r.get("Content-Encoding")), (b"console.log(1)", None))
    check("immutable" in r.get("Cache-Control") and r.get("Vary"), r)
    zipped = get(script, {"Accept-Encoding": "br, gzip"}, which=plain)
    equal((gzip.decompress(zipped.body), zipped.get("Content-Encoding")),
          (b"console.log(1)", "gzip"))
    equal(zipped.get("Content-Type"), "text/javascript; charset=utf-8")
    check(zipped.get("ETag") != r.get("ETag"), "one tag for two forms")
    equal(get(script, {"Accept-Encoding": "gzip;q=0"}, which=plain).get("Content-Encoding"), None)
    equal(get(script, {"If-None-Match": r.get("ETag")}, which=plain).status, 304)
    r = get("/", which=plain)
    check(b"globalThis" not in r.body and r.get("ETag"), r)
    equal(get("/", {"If-None-Match": r.get("ETag")}, which=plain).status, 304)


@case("a frontend that is not there, or a bad address, is an error at start")
def _():
    for options, word in ((("--www", "/nonexistent"), "index.html"),
                          (("--www", www, "--www-api", 'https://x";alert(1)//'), "www_api")):
        p = hub(*options)
        try:
            p.start()
            raise AssertionError("it started")
        except AssertionError as e:
            check(word in str(e), str(e))


run_cases()
