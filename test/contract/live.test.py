#!/usr/bin/python3
"""Live view in the hub: multipart streams, who may have how many, and what agents are asked."""

import base64
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import live  # noqa: E402
from nuchub import (Connection, SocketIO, case, check, equal, get_json, http, hub,  # noqa: E402
                    jpeg_text, run_cases, snapshot, temp_dir, wait_for)

IP = "192.0.2.65"
config = os.path.join(temp_dir(), "nuchubd.conf")
with open(config, "w") as f:
    f.write("live_grace = 1\nlive_shared = 2\nlog_level = debug\n")
server = hub("--config", config)


def port():
    if not server.running():
        server.start()
    return server.port


def picture(n, size=3000):
    return b"\xff\xd8\xff\xe0" + f"<{n}>".encode() + b"x" * size + b"\xff\xd9"


def Stream(ip=IP, **kw):
    return live.Stream(port(), ip, **kw)


class Agent(SocketIO):
    """One that streams; frames are answered."""

    def __init__(self, nuc="nuc_live", ip=IP, streams=True):
        super().__init__(port(), {"nuc_id": nuc})
        self.ip, self.n, self.nuc = ip, 0, nuc
        self.register(streams)

    def register(self, streams):
        more = {"capacidades": ["stream"]} if streams else {}
        self.emit("nuc_register", {"nuc_id": self.nuc, "camaras": [self.ip], **more}, ack=99)
        self.until(lambda t: t == "4399[]")

    def frame(self, data, ip=None):
        self.n += 1
        self.ws.send(f'451-{self.n}["frame",' + json.dumps({
            "nuc_id": self.nuc, "ip": ip or self.ip,
            "image": {"_placeholder": True, "num": 0}, "timestamp": "2026-01-02T03:04:05"}) + "]")
        self.ws.send_binary(data)

    def answered(self):
        self.until(lambda t: t == f"43{self.n}[]")


@case("an agent that streams is told to, pictures come through, and it is told to stop")
def _():
    with Agent() as a:
        s = Stream()
        equal(s.field("Content-Type"), "multipart/x-mixed-replace; boundary=frame")
        equal((s.field("Cache-Control"), s.field("Connection")), ("no-store", "close"))
        equal(a.event("stream_start"), [{"ip": IP, "ancho": 1280, "calidad": 70, "fps": 15}])
        first = s.next()
        check(first[:2] == b"\xff\xd8" and len(first) > 1024, "the first picture comes at once")
        for i in range(5):
            a.frame(picture(i))
            a.answered()
            equal(s.next(), picture(i), f"picture {i}")
        s.close()
        equal(a.event("stream_stop"), [{"ip": IP}])


@case("the head of the next part follows each picture at once")
def _():
    with Agent() as a:
        s = Stream()
        a.event("stream_start")
        s.next()
        a.frame(picture("one"))
        equal(s.next(), picture("one"))
        equal(s.data, live.PART)
        s.close()


@case("two viewers share one encoding; one leaves and the other goes on")
def _():
    with Agent() as a:
        one, two = Stream(agent="A"), Stream(agent="B")
        a.event("stream_start")
        a.frame(picture(1))
        for s in (one, two):
            s.until(lambda p: p == picture(1))
        equal(http(port(), "POST", f"/api/camaras/{IP}/stream/stop", {}, b"").json(),
              {"success": True, "message": f"Stream de {IP} detenido"})
        one.close()
        a.frame(picture(2))
        two.until(lambda p: p == picture(2))
        two.close()
        a.event("stream_stop")


@case("a viewer that does not read gets the newest picture, not all of them")
def _():
    with Agent() as a:
        slow, fast = Stream(agent="slow"), Stream(agent="fast")
        a.event("stream_start")
        big = 1_000_000
        for i in range(60):
            a.frame(picture(i, big))
            a.answered()
            fast.until(lambda p, i=i: p.startswith(picture(i, 0)[:-2]))
        seen = []
        while not seen or seen[-1] != 59:
            m = re.match(rb"\xff\xd8\xff\xe0<(\d+)>", slow.next())
            if m:
                seen.append(int(m[1]))
        check(len(seen) < 40, f"{len(seen)} pictures")
        equal(seen, sorted(set(seen)), "in order, none twice")
        with open(f"/proc/{server.pid}/status") as f:
            rss = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
        slow.close()
        fast.close()
        check("libasan" in open(f"/proc/{server.pid}/maps").read() or rss < 60_000, f"{rss} kB")


@case("a camera that goes away is shown so, the stream stays, and moves again")
def _():
    with Agent() as a:
        s = Stream()
        a.event("stream_start")
        a.frame(picture(1))
        s.until(lambda p: p == picture(1))
        a.emit("stream_error", {"nuc_id": "nuc_live", "ip": IP, "error": "No responde"})
        lost = s.next()
        check(lost != picture(1) and len(lost) > 1024, "the picture that says so")
        a.frame(picture(2))
        equal(s.next(), picture(2))
    # The agent has gone; another connection of it is told again.
    with Agent() as a:
        a.event("stream_start")
        a.frame(picture(3))
        s.until(lambda p: p == picture(3))
        a.register(True)
        a.event("stream_start")
        s.close()
        a.event("stream_stop")


@case("an old agent is asked again and again")
def _():
    with Agent("nuc_old", "192.0.2.70", streams=False) as a:
        s = Stream("192.0.2.70")
        for i in range(4):
            equal(a.event("capture_snapshot"), [{"ip": "192.0.2.70"}])
            text = jpeg_text(2000, seed=i)
            a.emit("snapshot", snapshot("192.0.2.70", text, "nuc_old"))
            s.until(lambda p, t=text: p == base64.b64decode(t))
        a.event("capture_snapshot")
        a.emit("snapshot_error", {"nuc_id": "nuc_old", "ip": "192.0.2.70", "error": "x"})
        check(len(s.next()) > 1024)
        a.event("capture_snapshot")
        s.close()


@case("without an agent: the newest snapshot at once, or the picture that says so")
def _():
    with SocketIO(port(), {"nuc_id": "nuc_gone"}) as a:
        text = jpeg_text(2000, seed=7)
        a.answer("42" + json.dumps(["snapshot", snapshot("192.0.2.71", text, "nuc_gone")]))
    s = Stream("192.0.2.71")
    equal(s.next(), base64.b64decode(text))
    s.close()
    s = Stream("192.0.2.199")
    begun = s.next()
    lost = s.next()
    check(begun != lost and len(lost) > 1024, "after some seconds it says so")
    s.close()


@case("a viewer's older streams end, cut: two of a camera stay")
def _():
    cookie = "A" * 20
    with Agent() as a:
        streams = []
        for i in range(10):
            streams.append(Stream(cookie=cookie, query=f"?t={i}"))
        for s in streams[:-2]:
            s.wait_cut()
        a.event("stream_start")
        a.frame(picture("end"))
        for s in streams[-2:]:
            s.until(lambda p: p == picture("end"))
            s.close()


@case("five tiles, renewed together and looked at one by one, all move")
def _():
    cookie = "B" * 20
    ips = [f"192.0.2.{i}" for i in range(80, 85)]
    agents = [Agent(f"nuc_{ip}", ip) for ip in ips]
    tiles = {ip: [Stream(ip, cookie=cookie)] for ip in ips}
    for round in range(5):
        for ip in ips:
            tiles[ip].append(Stream(ip, cookie=cookie, query=f"?t={round}"))
        for n, a in enumerate(agents):
            a.frame(picture(f"{round}.{n}"))
            tiles[a.ip][-1].until(lambda p, w=picture(f"{round}.{n}"): p == w)
    for ip in ips:
        for s in tiles[ip][:-1]:
            s.wait_cut()
    six = Stream("192.0.2.85", cookie=cookie)
    tiles[ips[0]][-1].wait_cut()  # never more than five
    for a in agents[1:]:
        a.frame(picture("still"))
        tiles[a.ip][-1].until(lambda p: p == picture("still"))
    for s in [six] + [s for ip in ips for s in tiles[ip]]:
        s.close()
    for a in agents:
        a.close()


@case("viewers behind one address do not disturb each other; without a cookie there is room for some")
def _():
    with Agent():
        mine = [Stream(cookie="C" * 20) for _ in range(2)]
        others = [Stream(cookie="D" * 20) for _ in range(6)]
        shared = [Stream(agent="same") for _ in range(5)]  # live_shared 2: four stay
        shared[0].wait_cut()
        for s in mine + others[-2:] + shared[-4:]:
            check(s.next())
            s.close()
        for s in others[:-2]:
            s.wait_cut()


@case("the cookie: given once, taken back, kept out of other sites without TLS")
def _():
    with Agent():
        s = Stream(agent="Cookie/1")
        check("SameSite=Lax" in s.field("Set-Cookie") and "HttpOnly" in s.field("Set-Cookie") and
              "Secure" not in s.field("Set-Cookie"), s.head)
        mine = s.cookie()
        again = [Stream(cookie=mine, agent="Cookie/1", query=f"?t={i}") for i in range(2)]
        equal(again[0].field("Set-Cookie"), None)
        s.wait_cut()  # the stream that the cookie came with is the same viewer's
        for bad in ("x", "A" * 21, "a b" + "c" * 17, "%" * 20):
            check(Stream(cookie=bad, agent="bad").field("Set-Cookie"), bad)
        for x in again:
            x.close()


@case("streams that a page opens in one go, each given another cookie, are one viewer's")
def _():
    ips = [f"192.0.2.{i}" for i in range(90, 95)]
    tiles = [Stream(ip, agent="burst") for ip in ips]
    other = Stream(ips[4], agent="burst")  # somebody else, of the same kind
    again = [Stream(ip, agent="burst", cookie=tiles[4].cookie(), query="?t=2") for ip in ips]
    for s in tiles[:4]:
        s.wait_cut()
    for s in [other] + again:
        check(s.next())
        s.close()
    tiles[4].close()


@case("refreshes in one go, each given another cookie, are one viewer's; the same address twice is not")
def _():
    pages = [[Stream(agent=agent, query=f"?t={t}") for t in ts]
             for agent, ts in (("one", (1, 2, 3)), ("two", (1, 1, 2)))]
    again = [Stream(agent=agent, query="?t=4", cookie=page[2].cookie())
             for agent, page in zip(("one", "two"), pages)]
    for s in pages[0][:2]:
        s.wait_cut()
    for s in pages[1] + [pages[0][2]] + again:
        check(s.next())
        s.close()


@case("a browser that is given one cookie after the other stays one viewer")
def _():
    first = [Stream(agent="late", query=f"?t={t}") for t in (1, 2, 3)]
    then = Stream(agent="late", query="?t=4", cookie=first[1].cookie())
    last = Stream(agent="late", query="?t=5", cookie=first[2].cookie())
    for s in first:
        s.wait_cut()
    for s in (then, last):
        check(s.next())
        s.close()


@case("viewers over Socket.IO get the same pictures, binary")
def _():
    with Agent() as a, SocketIO(port()) as v:
        v.emit("stream_join", {"ip": IP}, ack=5)
        v.until(lambda t: t == '435[{"success":true}]')
        a.event("stream_start")
        check(v.receive().startswith('451-["frame",'))
        check(v.receive()[:2] == b"\xff\xd8", "the first picture at once")
        a.frame(picture("ws"))
        head = json.loads(v.receive().split("-", 1)[1])
        equal((head[0], head[1]["ip"], head[1]["nuc_id"]), ("frame", IP, "nuc_live"))
        equal(v.receive(), picture("ws"))
        v.emit("stream_leave", {"ip": IP}, ack=6)
        v.until(lambda t: t == '436[{"success":true}]')
        a.event("stream_stop")
        for bad in ({}, {"ip": 5.5e300}, {"ip": "a/b"}, {"ip": None}, {"ip": "x" * 300}):
            v.emit("stream_join", bad, ack=7)
            v.until(lambda t: isinstance(t, str) and t.startswith('437[{"success"'))


@case("frames of somebody else's camera, or that are none, are ignored")
def _():
    with Agent() as a, Agent("nuc_other", "192.0.2.99") as other, SocketIO(port()) as viewer:
        s = Stream()
        a.event("stream_start")
        s.next()
        other.frame(picture("false"), ip=IP)
        other.ws.send('42["stream_error",{"ip":"%s"}]' % IP)
        viewer.ws.send('451-["frame",{"ip":"%s","image":{"_placeholder":true,"num":0}}]' % IP)
        viewer.ws.send_binary(picture("false"))
        a.frame(b"no picture" * 100)
        a.emit("frame", {"ip": IP, "image": "text"})
        a.emit("frame", {"ip": IP})
        a.emit("frame")
        other.answer()
        viewer.answer()
        a.frame(picture("true"))
        equal(s.next(), picture("true"))
        s.close()


@case("an agent that streams a camera which another one has now is told to stop")
def _():
    with Agent() as a, Agent("nuc_other") as other:
        a.frame(picture("old"))
        equal(a.event("stream_stop"), [{"ip": IP}])
        other.answer()


@case("beside live pictures a snapshot, or that there is none, is not shown")
def _():
    with Agent() as a:
        s = Stream()
        a.event("stream_start")
        s.next()
        for i in range(3):
            a.frame(picture(i))
            a.answered()
            a.emit("snapshot", snapshot(IP, nuc_id="nuc_live"), ack=98)
            a.until(lambda t: t == "4398[]")
            a.emit("snapshot_error", {"nuc_id": "nuc_live", "ip": IP, "error": "x"}, ack=97)
            a.until(lambda t: t == "4397[]")
            equal(s.next(), picture(i))
        a.frame(picture("last"))
        equal(s.next(), picture("last"))
        s.close()


@case("an agent that goes away for good is shown so, and the stream stays")
def _():
    with Agent() as a:
        s = Stream()
        a.event("stream_start")
        a.frame(picture(1))
        s.until(lambda p: p == picture(1))
    began = time.monotonic()
    s.until(lambda p: p != picture(1))
    check(time.monotonic() - began < 50, "as long as a snapshot counts")
    with Agent() as a:
        a.event("stream_start")
        a.frame(picture(2))
        s.until(lambda p: p == picture(2))
    s.close()


@case("cameras that no agent has are not looked at without end")
def _():
    refused = 0
    viewers = [SocketIO(port()) for _ in range(6)]
    for i, v in enumerate(viewers):
        for k in range(50):
            v.emit("stream_join", {"ip": f"nowhere-{i}-{k}"}, ack=5)
            refused += "error" in v.until(lambda t: isinstance(t, str) and t.startswith("435["))[-1]
    check(refused >= 300 - 256, f"{refused} refused")
    with Agent() as a:
        s = Stream()
        a.event("stream_start")
        s.close()
    for v in viewers:
        v.close()


@case("HEAD has the fields of GET and starts nothing")
def _():
    with Agent(ip="192.0.2.66") as a:
        r = http(port(), "HEAD", f"/api/camaras/{a.ip}/stream")
        equal((r.status, r.get("Content-Type"), r.get("Cache-Control"), r.body),
              (200, "multipart/x-mixed-replace; boundary=frame", "no-store", b""))
        a.emit("nuc_register", {"nuc_id": a.nuc, "camaras": [a.ip]}, ack=98)
        said = a.until(lambda t: t == "4398[]")
        check(not any("stream_start" in t for t in said), said)
    equal(http(port(), "HEAD", "/api/camaras/%00/stream").status, 404)


@case("bad names, and a hub that ends")
def _():
    for ip in ("%00", "a%0ab", "x" * 200, "%ff"):
        equal(http(port(), "GET", f"/api/camaras/{ip}/stream").status, 404)
    equal(http(port(), "POST", f"/api/camaras/{IP}/stream").status, 405)
    s = Stream()
    server.stop()
    s.wait_cut()
    equal(server.process.returncode, 0)
    check("not finished" not in server.log(), "the hub waited for streams")


@case("a fresh snapshot is asked for, and awaited")
def _():
    def ask():
        c = Connection(port())
        c.request("GET", f"/api/camaras/{IP}/snapshot?fresh=1")
        return c
    with Agent(streams=False) as a:
        one, two = ask(), ask()
        equal(a.event("capture_snapshot"), [{"ip": IP}])
        text = jpeg_text(2000, seed=9)
        a.emit("snapshot", snapshot(IP, text, "nuc_live"))
        for c in (one, two):
            equal(c.reply().json()["image"], "data:image/jpeg;base64," + text)
        c = ask()
        a.event("capture_snapshot")
        a.emit("snapshot_error", {"nuc_id": "nuc_live", "ip": IP, "error": "La cámara no responde"})
        r = c.reply()
        equal((r.status, r.json()), (502, {"success": False, "error": "La cámara no responde"}))
        equal(http(port(), "HEAD", f"/api/camaras/{IP}/snapshot?fresh=1").status, 200)
        equal([t for t in a.answer() if "capture" in t], [], "nobody has asked for a body")
        c = ask()
        a.event("capture_snapshot")
        c.close()  # the client goes away
        c = ask()
    r = c.reply()  # the agent goes away
    equal((r.status, r.json()["success"]), (503, False))
    r = http(port(), "GET", "/api/camaras/192.0.2.199/snapshot?fresh=1")
    equal((r.status, r.json()), (503, {"success": False, "error": "El NUC de la cámara no está conectado"}))
    equal(http(port(), "GET", f"/api/camaras/{IP}/snapshot?fresh=0").status, 200)


run_cases()
