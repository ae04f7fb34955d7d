#!/usr/bin/python3
"""Engine.IO as the hub speaks it: opening, polling, WebSocket, upgrade, errors, limits."""

import base64
import json
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (Closed, Connection, Polling, SocketIO, WebSocket, case, check,  # noqa: E402
                    equal, events_of, fence, frame, get_json, http, hub, jpeg_text, run_cases,
                    short, snapshot, wait_for, waiting_poll)

ORIGIN = "https://app.example.test"
server = hub()


def port():
    if not server.running():
        server.start()
    return server.port


def raw(method, query, fields=(), body=None):
    return http(port(), method, "/socket.io/" + query, fields, body)


def check_open(text, upgrades):
    check(text[0] == "0", text)
    o = json.loads(text[1:])
    equal(set(o), {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"})
    equal((o["upgrades"], o["pingInterval"], o["pingTimeout"]), (upgrades, 25000, 20000))
    check(re.fullmatch(r"[0-9A-Za-z_-]{20}", o["sid"]), o["sid"])
    return o


# ---- opening ----

@case("polling opens with one packet of exactly five fields")
def _():
    r = raw("GET", "?EIO=4&transport=polling&t=abc")
    equal((r.status, (r.get("Content-Type") or "").lower()), (200, "text/plain; charset=utf-8"))
    equal(r.get("Cache-Control"), "no-store")
    check_open(r.body.decode(), ["websocket"])


@case("WebSocket opens with the same and no upgrades")
def _():
    with WebSocket(port()) as ws:
        for name in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
            equal(ws.reply.get(name), None)
        check_open(ws.receive(), [])


@case("a session id is never given twice")
def _():
    ids = {Polling(port()).sid for _ in range(50)}
    equal(len(ids), 50)


# (method, query, status, code or None)
REFUSED = [
    ("GET", "?EIO=4", 400, 0), ("GET", "?EIO=4&transport=webtransport", 400, 0),
    ("GET", "?EIO=4&transport=POLLING", 400, 0), ("GET", "?EIO=4&transport=", 400, 0),
    ("GET", "?EIO=4&transport=polling&sid=nope", 400, 1),
    ("POST", "?EIO=4&transport=polling&sid=nope", 400, 1),
    ("GET", "?EIO=4&transport=polling&sid=%zz%00", 400, 1),
    ("POST", "?EIO=4&transport=polling", 400, 2), ("PUT", "?EIO=4&transport=polling", 400, 2),
    ("GET", "?EIO=4&transport=websocket", 400, 3),
    ("GET", "?transport=polling", 400, 5), ("GET", "?EIO=3&transport=polling", 400, 5),
    ("GET", "?EIO=5&transport=polling", 400, 5), ("GET", "?EIO=44&transport=polling", 400, 5),
]
TEXTS = {0: "Transport unknown", 1: "Session ID unknown", 2: "Bad handshake method",
         3: "Bad request", 5: "Unsupported protocol version"}


@case("each refusal has its code, its text and CORS fields")
def _():
    for method, query, status, code in REFUSED:
        if query == "?EIO=4":
            continue  # below: the one place where the two agreements differ
        r = raw(method, query, {"Origin": ORIGIN}, b"x" if method != "GET" else None)
        what = f"{method} {query}"
        equal((r.status, r.get("Content-Type")), (status, "application/json"), what)
        equal(r.json(), {"code": code, "message": TEXTS[code]}, what)
        equal(len(r.all("Access-Control-Allow-Origin")), 1, what)


@case("a refused upgrade is a plain 400 and the connection ends")
def _():
    for query in ("?EIO=3&transport=websocket", "?transport=websocket",
                  "?EIO=4&transport=websocket&sid=nope", "?EIO=4&transport=nope"):
        with Connection(port()) as c:
            c.request("GET", "/socket.io/" + query, {
                "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw=="})
            r = c.reply()
            equal(r.status, 400, query)
            check(c.closed(), f"{query}: not closed")


@case("a WebSocket handshake that is none gets no 101")
def _():
    good = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw=="}
    for change in ({"Sec-WebSocket-Version": "8"}, {"Sec-WebSocket-Version": None},
                   {"Sec-WebSocket-Key": None}, {"Sec-WebSocket-Key": "short"},
                   {"Sec-WebSocket-Key": "*3JJHMbDL1EzLkh9GBhXDw=="}):
        with Connection(port()) as c:
            fields = {k: v for k, v in {**good, **change}.items() if v is not None}
            c.request("GET", "/socket.io/?EIO=4&transport=websocket", fields)
            r = c.reply()
            check(r.status in (400, 426), f"{change}: {r.status}")
            if r.status == 426:
                equal(r.get("Sec-WebSocket-Version"), "13")


@case("Connection and Upgrade are lists without regard to case, and the key is answered")
def _():
    ws = WebSocket(port(), fields={"Connection": "keep-alive, uPGRADE", "Upgrade": "WebSocket",
                                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    equal(ws.reply.get("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    check_open(ws.receive(), [])
    ws.close()


@case("bytes right behind the handshake belong to the WebSocket")
def _():
    with Connection(port()) as c:
        c.send(b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
               b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n" + frame(b"40"))
        equal(c.reply().status, 101)
        c.until(b'40{"sid"')


@case("the path ends with a slash, and another path is 404")
def _():
    for target in ("/socket.iox/?EIO=4&transport=polling", "/engine.io/?EIO=4&transport=polling"):
        equal(http(port(), "GET", target).status, 404, target)


@case("CORS: preflight and replies, errors too, with credentials")
def _():
    p = Polling(port())
    for target in (p.target(), "/socket.io/?EIO=4&transport=polling"):
        r = http(port(), "OPTIONS", target, {
            "Origin": ORIGIN, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type"})
        check(r.status in (200, 204), f"{target}: {r.status}")
        equal(r.all("Access-Control-Allow-Origin"), [ORIGIN], target)
        check("content-type" in (r.get("Access-Control-Allow-Headers") or "").lower())
        check("POST" in (r.get("Access-Control-Allow-Methods") or ""))
    r = http(port(), "POST", p.target(), {"Origin": ORIGIN}, b"40")
    equal((r.status, r.all("Access-Control-Allow-Origin")), (200, [ORIGIN]))
    r = http(port(), "GET", p.target(), {"Origin": ORIGIN})
    equal((r.status, r.all("Access-Control-Allow-Origin")), (200, [ORIGIN]))


# ---- polling ----

@case("polling carries connect, events and acks")
def _():
    p = Polling(port())
    r = p.post('40{"nuc_id":"nuc_p"}')
    equal((r.status, r.body.lower()), (200, b"ok"))
    got = p.until(lambda t: t.startswith('42["connected"'))
    equal([t[:2] for t in got], ["40", "42"])
    p.post('427["nuc_register",{"nuc_id":"nuc_p","camaras":["x"]}]\x1e428["pong",{}]')
    got = p.until(lambda t: t == "438[]")
    equal(got, ['42["registered",{"status":"ok","nuc_id":"nuc_p"}]', "437[]", "438[]"])
    p.post("1")
    wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 0, "the agent to leave")


@case("a poll waits until there is something")
def _():
    p = Polling(port())
    p.connect()
    with waiting_poll(p) as c, SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        a.emit("event", "late")
        r = c.reply()
        equal((r.status, r.body), (200, b'42["event_update","late"]'))


@case("a post may hold many packets; a reply holds at most 16, in order")
def _():
    p = Polling(port())
    p.connect()
    n = 100
    equal(p.post("\x1e".join(f'42{i}["pong",{{}}]' for i in range(n))).status, 200)
    got = []
    while len(got) < n:
        got += p.packets()  # checks for 16
    equal(got, [f"43{i}[]" for i in range(n)])


@case("a post is understood in chunks and byte by byte")
def _():
    p = Polling(port())
    p.connect()
    with Connection(port()) as c:
        head = (f"POST {p.target()} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                "Transfer-Encoding: chunked\r\n\r\n")
        body = '5["pong",{}]'
        for b in (head + f"2\r\n42\r\n{len(body):x};x=y\r\n{body}\r\n0\r\n\r\n").encode():
            c.send(bytes([b]))
        equal(c.reply().status, 200)
    equal(p.until(lambda t: t == "435[]"), ["435[]"])


@case("binary travels as b and base64")
def _():
    p = Polling(port())
    p.connect()
    with SocketIO(port()) as viewer:
        p.post('451-["event",{"a":{"_placeholder":true,"num":0}}]\x1eb' +
               base64.b64encode(b"\x00\x01\xff").decode())
        got = []
        while len(got) < 2:
            got += p.packets()
        equal(got, ['451-["event_update",{"a":{"_placeholder":true,"num":0}}]', "bAAH/"])
        equal([viewer.receive(), viewer.receive()], [got[0], b"\x00\x01\xff"])


def check_gone(p, what):
    r = p.get()
    equal((r.status, r.json()["code"]), (400, 1), f"{what}: the session afterwards")


@case("a second poll ends the first and the session")
def _():
    p = Polling(port())
    p.connect()
    with waiting_poll(p) as first:
        # Whichever of the two the hub reads second is the one that is refused.
        second = p.get()
        one = first.reply()
        check({one.status, second.status} == {200, 400}, f"{one.status} {second.status}")
        check(b"1" in (one.body, second.body), "no close packet")
    check_gone(p, "two polls")


# (body, content type or None): each ends the session with 400
BAD_POSTS = [
    (b"x", None), (b"", None), (b"9", None), (b"7hello", None), (b'42["pong",{}]\x1e', None),
    (b"\x1e", None), (b"4\xff\xfe", None), (b"2", None), (b"b!!!", None), (b"bAAA", None),
    (b"4", "application/octet-stream"), (b"0{}", None),
]


@case("a post that breaks the protocol is 400, the waiting poll ends, the session is gone")
def _():
    with SocketIO(port(), {"nuc_id": "good"}) as good, SocketIO(port()) as viewer:
        for body, kind in BAD_POSTS:
            p = Polling(port())
            p.connect()
            with waiting_poll(p) as c:
                r = p.post(body, {"Content-Type": kind} if kind else ())
                equal(r.status, 400, repr(body))
                equal(c.reply().status in (200, 400), True)
            check_gone(p, repr(body))
            # without a poll under way
            p = Polling(port())
            p.connect()
            equal(p.post(body, {"Content-Type": kind} if kind else ()).status, 400, repr(body))
        equal(fence(good, viewer), [[]])
    wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 0, "the agent to leave")


@case("packets before a bad one in a post are processed")
def _():
    with SocketIO(port()) as viewer:
        p = Polling(port())
        p.connect()
        p.post('42["event","before"]\x1ex')
        equal(viewer.event("event_update"), ["before"])


@case("the close packet ends the session and a waiting poll")
def _():
    p = Polling(port())
    p.connect({"nuc_id": "nuc_p"})
    with waiting_poll(p) as c:
        equal(p.post("1").status, 200)
        equal(c.reply().status, 200)
    check_gone(p, "close packet")
    equal(get_json(port(), "/api/nucs")["total"], 0)


@case("a waiting poll that is dropped ends the session at once")
def _():
    p = Polling(port())
    p.connect({"nuc_id": "nuc_p"})
    c = waiting_poll(p)
    # It is waiting when an event for it comes back on it; ask for one more after that.
    p.post('425["pong",{}]')
    equal(c.reply().body, b"435[]")
    c.request("GET", p.target())
    wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 1, "the agent")
    c.close()
    wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 0, "the agent to leave")
    check_gone(p, "dropped poll")


@case("another method with a known sid is refused and the session lives")
def _():
    p = Polling(port())
    p.connect()
    for method in ("PUT", "DELETE", "PATCH"):
        r = http(port(), method, p.target(), body=b"x")
        check(400 <= r.status < 600, f"{method}: {r.status}")
    p.post('425["pong",{}]')
    equal(p.until(lambda t: t == "435[]"), ["435[]"])


@case("a post over maxPayload is 413, told by its length or counted in chunks")
def _():
    for chunked in (False, True):
        p = Polling(port())
        p.connect()
        limit = p.handshake["maxPayload"]
        with Connection(port()) as c:
            head = f"POST {p.target()} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
            if chunked:
                c.send(head + "Transfer-Encoding: chunked\r\n\r\n")
                piece = b"100000\r\n" + b"4" + b"x" * (0x100000 - 1) + b"\r\n"
                try:
                    for _i in range(limit // 0x100000 + 2):
                        c.send(piece)
                except (BrokenPipeError, ConnectionResetError):
                    pass
            else:
                c.send(head + f"Content-Length: {limit + 1}\r\n\r\n")
            try:
                equal(c.reply().status, 413, f"chunked {chunked}")
            except ConnectionResetError:
                check(chunked, "reset without a reply")  # it may overtake the reply
    equal(http(port(), "GET", "/api/status").status, 200)


@case("a picture of 16 million bytes is taken and delivered by polling")
def _():
    image = jpeg_text(15_999_700, seed=13)
    agent, viewer = Polling(port()), Polling(port())
    viewer.connect()
    agent.connect({"nuc_id": "nuc_p"})
    equal(agent.post("42" + json.dumps(["snapshot", snapshot("192.0.2.74", image)])).status, 200)
    got = viewer.until(lambda t: "snapshot_update" in t[:40])
    update = events_of(got)[-1][1][0]
    check(update["image"] == image, "another image")
    equal(http(port(), "GET", "/api/camaras/192.0.2.74/snapshot.jpg").body,
          base64.b64decode(image))
    agent.post("1")


# ---- upgrade ----

def probe(p, **kw):
    ws = WebSocket(port(), f"EIO=4&transport=websocket&sid={p.sid}", **kw)
    ws.send("2probe")
    equal(ws.receive(), "3probe")
    return ws


@case("an upgrade: probe, noop to the waiting poll, then everything over WebSocket, in order")
def _():
    p = Polling(port())
    p.connect({"nuc_id": "nuc_u"})
    with waiting_poll(p) as c:
        ws = probe(p)
        equal(c.reply().body, b"6")
    p.post("\x1e".join(f'42{i}["pong",{{}}]' for i in range(30)))  # answers wait in the queue
    ws.send("5")
    ws.send('4299["pong",{}]')
    got = []
    while not got or got[-1] != "4399[]":
        got.append(ws.receive())
    equal([t for t in got if t != "6"], [f"43{i}[]" for i in range(30)] + ["4399[]"])
    r = p.get()
    equal((r.status, r.json()["code"]), (400, 3), "a poll after the upgrade")
    equal(get_json(port(), "/api/nucs")["total"], 1)
    ws.close()
    wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 0, "the agent to leave")


@case("a poll during the probe is answered with a noop, but not in a tight loop")
def _():
    p = Polling(port())
    p.connect()
    ws = probe(p)
    r = p.get()
    equal((r.status, r.body), (200, b"6"))
    ws.send("5")
    ws.send('421["pong",{}]')
    got = []
    while "431[]" not in got:
        got.append(ws.receive())
    ws.close()


# first frames that are not the probe
NOT_A_PROBE = ["2", "4x", "3probe", "x", "6", "2probex", '42["event",1]']


@case("a failed upgrade leaves polling as it was, and nothing is lost")
def _():
    for text in NOT_A_PROBE + [None, "probed"]:
        p = Polling(port())
        p.connect()
        if text == "probed":
            ws = probe(p)
        else:
            ws = WebSocket(port(), f"EIO=4&transport=websocket&sid={p.sid}")
        if text in NOT_A_PROBE:
            ws.send(text)
            try:
                while True:
                    ws.receive()
            except Closed:
                pass
        ws.close()
        p.post('425["pong",{}]')
        got = [t for t in p.until(lambda t: t == "435[]") if t != "6"]
        equal(got, ["435[]"], f"after {text!r}")
        ws = probe(p)  # and a later one succeeds
        ws.send("5")
        ws.send('426["pong",{}]')
        got = []
        while "436[]" not in got:
            got.append(ws.receive())
        ws.close()


@case("a second WebSocket for a session is closed and the session is untouched")
def _():
    for opened_by in ("polling", "websocket"):
        if opened_by == "polling":
            p = Polling(port())
            p.connect()
            sid, ws = p.sid, probe(p)
            ws.send("5")
        else:
            ws = WebSocket(port())
            sid = json.loads(ws.receive()[1:])["sid"]
            ws.send("40")
        try:
            other = WebSocket(port(), f"EIO=4&transport=websocket&sid={sid}")
            try:
                other.send("2probe")
                while True:
                    check(other.receive() != "3probe", "probe answered")
            except Closed:
                pass
        except AssertionError as e:
            check("no upgrade" in str(e), str(e))
        ws.send('427["pong",{}]')
        got = []
        while "437[]" not in got:
            got.append(ws.receive())
        ws.close()


# ---- frames ----

def long_frame(n):
    return b"\x81\xff" + struct.pack("!Q", n) + b"abcd"


# (bytes, close codes that are right)
BAD_FRAMES = [
    (frame(b"4x", masked=False), {1002}), (frame(b"4x", rsv=4), {1002}),
    (frame(b"4x", rsv=1), {1002}), (frame(b"x", opcode=3), {1002}), (frame(b"", opcode=11), {1002}),
    (frame(b"x" * 126, opcode=9), {1002}), (frame(b"x", opcode=9, fin=False), {1002}),
    (frame(b"x", opcode=0), {1002}),
    (frame(b"4", fin=False) + frame(b"4x"), {1002}),
    (long_frame(1 << 63), {1002}), (long_frame(1 << 40), {1009}),
    (frame(b"\x03", opcode=8), {1002}), (frame(struct.pack("!H", 999), opcode=8), {1002}),
    (frame(struct.pack("!H", 1005), opcode=8), {1002}),
    (frame(struct.pack("!H", 1000) + b"\xff", opcode=8), {1007}),
    (frame(b"4\xff\xfe"), {1007}), (frame(b"4\xed\xa0\x80"), {1007}), (frame(b"4\xc3"), {1007}),
    (frame(b"4\xc3", fin=False) + frame(b"x", opcode=0), {1007}),
]


@case("a frame that breaks RFC 6455 closes with its code")
def _():
    for sent, codes in BAD_FRAMES:
        with SocketIO(port()) as c:
            c.ws.c.send(sent)
            try:
                while True:
                    c.receive()
            except Closed as e:
                check(e.code in codes, f"{sent[:20]!r}: {e.code}")
    equal(http(port(), "GET", "/api/status").status, 200)


@case("an Engine.IO packet of no known type ends the session")
def _():
    for sent in (frame(b"x"), frame(b""), frame(b"9"), frame(b"2"), frame(b"0{}")):
        with SocketIO(port(), {"nuc_id": "bad"}) as c:
            c.ws.c.send(sent)
            try:
                while True:
                    c.receive()
            except Closed:
                pass
            wait_for(lambda: get_json(port(), "/api/nucs")["total"] == 0, "the agent to leave")


@case("a close frame is answered with its code, a close packet by closing")
def _():
    with SocketIO(port()) as c:
        c.ws.c.send(frame(struct.pack("!H", 1000) + b"bye", opcode=8))
        try:
            c.receive()
        except Closed as e:
            equal(e.code, 1000)
        check(c.ws.c.closed())
    with SocketIO(port()) as c:
        c.send("1")
        try:
            c.receive()
            check(False, "lives")
        except Closed:
            pass


@case("a ping frame is answered, also between fragments, which are put together")
def _():
    with SocketIO(port()) as c:
        text = '425["pong",{"n":"ñ"}]'.encode()
        for i, b in enumerate(text):
            c.ws.c.send(frame(bytes([b]), opcode=1 if i == 0 else 0, fin=i == len(text) - 1))
            if i == 5:
                c.ws.c.send(frame(b"hello", opcode=9))
        opcode, fin, data = c.ws.read_frame()
        equal((opcode, fin, data), (10, True, b"hello"))
        equal(c.receive(), "435[]")


@case("frames are understood byte by byte")
def _():
    with SocketIO(port()) as c:
        for b in frame(b'425["pong",{"a":"' + b"x" * 200 + b'"}]') + frame(b'426["pong",{}]'):
            c.ws.c.send(bytes([b]))
        equal([c.receive(), c.receive()], ["435[]", "436[]"])


@case("fragments of a message add up against maxPayload")
def _():
    with SocketIO(port()) as c:
        limit = json.loads(c.open[1:])["maxPayload"]
        piece, sent = b"x" * (1 << 20), 0
        try:
            c.ws.c.send(frame(b"4", fin=False))
            while sent <= limit:
                c.ws.c.send(frame(piece, opcode=0, fin=False))
                sent += len(piece)
            while True:
                c.receive()
        except Closed as e:
            check(e.code in (1009, None), str(e))
        except (BrokenPipeError, ConnectionResetError):
            pass


@case("a client that never joins a namespace or stops within a frame disturbs nobody")
def _():
    idle = [WebSocket(port()) for _ in range(5)]
    for ws in idle[2:]:
        ws.c.send(frame(b'42["event","' + b"x" * 100000)[:50000])
    with SocketIO(port()) as c:
        equal(c.answer(), [])
    for ws in idle:
        ws.close()
    equal(short(http(port(), "GET", "/api/status").status), "200")


run_cases()
