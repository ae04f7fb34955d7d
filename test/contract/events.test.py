#!/usr/bin/python3
"""The events of the contract: who may send what, who is told, and what is refused."""

import base64
import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (Closed, SocketIO, case, check, equal, events_of, fence, get_json,  # noqa: E402
                    http, hub, jpeg_text, run_cases, short, snapshot, wait_for)

server = hub()
MESSAGE = "Conectado al servidor central"


def port():
    if not server.running():
        server.start()
    return server.port


def nuc_ids():
    return [n["nuc_id"] for n in get_json(port(), "/api/nucs")["nucs"]]


def gone(*ids):
    wait_for(lambda: not set(ids) & set(nuc_ids()), f"{ids} to leave")


def ends(client):
    """True when the server closes; packets before that are passed over."""
    client.ws.c.sock.settimeout(5)
    try:
        while True:
            client.receive()
    except Closed:
        return True
    except TimeoutError:
        return False


# ---- CONNECT ----

# (auth or None, query, nuc_id of the connected event or None for any, listed)
CONNECTS = [
    ({"nuc_id": "nuc_a"}, "", "nuc_a", True),
    (None, "&nuc_id=nuc_q", "nuc_q", True),
    ({}, "&nuc_id=nuc_q", "nuc_q", True),
    ({"nuc_id": "nuc_auth"}, "&nuc_id=nuc_q", "nuc_auth", True),
    (None, "", "unknown", False),
    ({"token": "x"}, "", "unknown", False),
    ({"token": "x"}, "&nuc_id=nuc_q", "unknown", False),
    ({"nuc_id": "unknown"}, "", "unknown", False),
    ({"nuc_id": "ñandú ✓"}, "", "ñandú ✓", True),
    (None, "&nuc_id=nuc%20con%20espacio+y%C3%B1", "nuc con espacio yñ", True),
    (None, "&nuc_id=", None, False),
    ({"nuc_id": None}, "", None, False),
    ({"nuc_id": 7}, "", None, False),
    ({"nuc_id": ""}, "", None, False),
]


@case("nuc_id comes from the auth object, else from the query; without one it is a viewer")
def _():
    for auth, query, nuc_id, listed in CONNECTS:
        what = f"auth {auth} query {query!r}"
        with SocketIO(port(), auth, query) as c:
            replies = [t for t in c.greeting if t.startswith("40")]
            equal(len(replies), 1, f"{what}: CONNECT replies")
            equal(set(json.loads(replies[0][2:])), {"sid"}, what)
            name, args = events_of(c.greeting)[0]
            equal(name, "connected", what)
            equal((args[0]["status"], args[0]["message"]), ("ok", MESSAGE), what)
            if nuc_id is not None:
                equal(args[0]["nuc_id"], nuc_id, what)
            equal(nuc_ids(), [nuc_id] if listed else [], what)
        wait_for(lambda: not nuc_ids(), "the last one to leave")


@case("the CONNECT reply comes before the connected event")
def _():
    with SocketIO(port(), {"nuc_id": "nuc_a"}) as c:
        equal([t[:2] for t in c.greeting], ["40", "42"])
    gone("nuc_a")


@case("the id of the socket is not the id of the session")
def _():
    with SocketIO(port()) as c:
        sid = json.loads(c.greeting[0][2:])["sid"]
        check(sid != json.loads(c.open[1:])["sid"])
        check(re.fullmatch(r"[0-9A-Za-z_-]{16,}", sid), sid)


@case("a nuc_id that is a list or an object is no agent, and the connection works")
def _():
    for auth in ({"nuc_id": [1]}, {"nuc_id": {"a": 1}}):
        with SocketIO(port(), raw_connect="40" + json.dumps(auth)) as c:
            got = c.until(lambda t: t.startswith("40"))
            check(got, "CONNECT reply")
            c.answer()
            equal(nuc_ids(), [], str(auth))


@case("the namespace / may be named")
def _():
    with SocketIO(port(), raw_connect='40/,{"nuc_id":"nuc_a"}') as c:
        check(c.event("connected")[0]["nuc_id"] == "nuc_a")
    gone("nuc_a")


@case("another namespace is refused with a message, and the connection lives")
def _():
    for text, name in (('40/admin,{"nuc_id":"nuc_a"}', "/admin"), ("40/admin,", "/admin")):
        with SocketIO(port()) as c:
            c.send(text)
            got = c.until(lambda t: t.startswith("44"))[-1]
            match = re.fullmatch(r"44(/[^,]*),(.*)", got)
            check(match, got)
            equal(match[1], name)
            check(isinstance(json.loads(match[2])["message"], str), got)
            c.answer()
            equal(nuc_ids(), [])


@case("DISCONNECT removes the entry without a reply, and CONNECT works again")
def _():
    with SocketIO(port(), {"nuc_id": "nuc_a"}) as c:
        c.send("41")
        gone("nuc_a")
        c.send('40{"nuc_id":"nuc_b"}')
        got = c.until(lambda t: t.startswith('42["connected"'))
        equal([t[:2] for t in got], ["40", "42"])
        equal(nuc_ids(), ["nuc_b"])
    gone("nuc_b")


# ---- what breaks the protocol ends the connection ----

VIOLATIONS = [
    '40{"nuc_id":"twice"}', "42[]", '42{"a":1}', '42"x"', "42", '42["event",', "42hola", "4",
    "49", "47[]", '44{"message":"x"}', '42/admin,["event",{"a":1}]', '42[null,1]', '42[{},1]',
    '42["event",1]x', '42["event",1],', '42["event",NaN]', '42["event",01]', '42["event","\t"]',
    '42["event","\\x"]', '42["event",\'a\']', "43", "431{}", "41/admin,", "45[]",
    '45-["event"]', '4599999-["event",{"_placeholder":true,"num":0}]',
    '451-["event",{"_placeholder":true,"num":1}]', '451-["event",{"_placeholder":true,"num":-1}]',
    '451-["event",{"_placeholder":true,"num":"0"}]', '42["event",' + "[" * 5000,
    '42["event",' + "[" * 100000 + "]" * 100000 + "]",
]


@case("a packet that breaks the syntax ends its connection and nobody else's")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_good"}) as good:
        lived = []
        for text in VIOLATIONS:
            with SocketIO(port(), {"nuc_id": "nuc_bad"}) as c:
                try:
                    c.send(text)
                    if text.startswith("451-"):
                        c.ws.send_binary(b"x")
                    c.ws.send('42["event","after"]')
                    ended = ends(c)
                except (BrokenPipeError, ConnectionResetError):
                    ended = True
                if not ended:
                    lived.append(text[:60])
            gone("nuc_bad")
            got, = fence(good, viewer)
            equal([t for t in got if "after" not in t], [], f"{short(text)}: told to a viewer")
        equal(lived, [], "connections that live")
        equal(nuc_ids(), ["nuc_good"])
    gone("nuc_good")


@case("an event before CONNECT has no effect")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_good"}) as good:
        c = SocketIO(port(), raw_connect='42["event",{"before":"connect"}]')
        check(ends(c))
        got, = fence(good, viewer)
        equal(got, [])
    gone("nuc_good")


# ---- what is well-formed but not in the contract is passed over ----

# (text, acknowledged; None: either): an ack id is put in
PASSED_OVER = [
    ('["nuc_register"]', False), ('["nuc_register","x"]', False), ('["nuc_register",5]', False),
    ('["nuc_register",[1]]', False), ('["nuc_register",null]', False),
    ('["nuc_register",{"nuc_id":"nuc_m"},1]', False), ('["snapshot"]', False),
    ('["snapshot","x"]', False), ('["snapshot",{"ip":"1"},2]', False), ('["snapshot",[]]', False),
    ('["snapshot_error"]', False), ('["snapshot_error","x"]', False), ('["pong"]', False),
    ('["pong","x"]', False), ('["event"]', False), ('["event",1,2]', False),
    ('["no_existe",{"a":1}]', False), ('[5,{"a":1}]', False), ('["",{"a":1}]', False),
    ('["message","x"]', False), ('["json",{"a":1}]', False),
    ('["capture_snapshot",{"ip":"1.2.3.4"}]', False), ('["snapshot_update",{"ip":"1"}]', False),
    ('["event_update",1]', False), ('["connected",{}]', False), ('["registered",{}]', False),
    ('["nuc_register",{}]', True), ('["nuc_register",{"nuc_id":"no_such"}]', True),
    ('["nuc_register",{"nuc_id":5}]', None), ('["snapshot",{"image":"x"}]', True),
    ('["snapshot",{}]', True), ('["snapshot_error",{}]', True), ('["pong",{}]', True),
    ('["pong",{"nuc_id":"no_such"}]', True), ('["pong",{"nuc_id":[1]}]', None),
]


@case("a payload that is not as agreed is passed over, without an ack where nothing was done")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_m"}) as c:
        for text, acknowledged in PASSED_OVER:
            equal(c.answer("42" + text), [], text)
            got = c.answer("4212" + text)
            check(acknowledged is None or got == (["4312[]"] if acknowledged else []),
                  f"{text} with an id: {got}")
            told, = fence(c, viewer)
            equal(told, [], f"{text}: told to a viewer")
            c.answer()
        equal(nuc_ids(), ["nuc_m"])
    gone("nuc_m")
    equal(get_json(port(), "/api/camaras")["total"], 0)


@case("an ack for nothing is passed over")
def _():
    with SocketIO(port(), {"nuc_id": "nuc_m"}) as c:
        equal(c.answer('431["x"]', "43999999999999999[]", '430[]'), [])
    gone("nuc_m")


@case("reserved event names have no effect")
def _():
    for name in ("connect", "disconnect", "connect_error", "disconnecting"):
        with SocketIO(port(), {"nuc_id": "nuc_m"}) as c:
            try:
                got = c.answer(f'42["{name}",{{"a":1}}]')
                equal(got, [], name)
                equal(nuc_ids(), ["nuc_m"], name)
            except Closed:
                pass  # the protocol's answer
        gone("nuc_m")


# ---- nuc_register ----

@case("nuc_register is answered to the sender alone")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_b"}) as b, \
            SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        a.emit("nuc_register", {"nuc_id": "nuc_a", "camaras": ["192.0.2.1", "cám 2"],
                                "timestamp": "2026-01-02T03:04:05"})
        equal(a.event("registered"), [{"status": "ok", "nuc_id": "nuc_a"}])
        equal(fence(a, viewer, b), [[], []])
        found = {n["nuc_id"]: n["camaras"] for n in get_json(port(), "/api/nucs")["nucs"]}
        equal(found, {"nuc_b": [], "nuc_a": ["192.0.2.1", "cám 2"]})
        a.emit("nuc_register", {"nuc_id": "nuc_a"})
        a.event("registered")
        found = {n["nuc_id"]: n["camaras"] for n in get_json(port(), "/api/nucs")["nucs"]}
        equal(found["nuc_a"], [], "camaras default")
    gone("nuc_a", "nuc_b")


# ---- snapshot ----

OK = jpeg_text(400)
# (what, changes to a good snapshot, what of it the viewer sees or None when ignored)
SNAPSHOTS = [
    ("as agents send it", {}, {}),
    ("100 characters", {"image": jpeg_text(100)}, {}),
    ("96 characters", {"image": jpeg_text(96)}, None),
    ("99 characters", {"image": jpeg_text(100)[:99]}, None),
    ("image missing", {"image": KeyError}, None),
    ("image null", {"image": None}, None),
    ("image empty", {"image": ""}, None),
    ("image number", {"image": 12345}, None),
    ("image true", {"image": True}, None),
    ("image list of 100", {"image": ["x"] * 100}, None),
    ("image object of 100", {"image": {str(i): i for i in range(100)}}, None),
    ("100 characters of two bytes", {"image": "ñ" * 100}, None),
    ("not base64", {"image": "no es base64! " * 8}, None),
    ("base64 with a stray byte", {"image": OK[:200] + "*" + OK[201:]}, None),
    ("data: prefix", {"image": "data:image/jpeg;base64," + OK}, {}),
    ("ip missing", {"ip": KeyError}, None),
    ("ip null", {"ip": None}, None),
    ("ip with blanks and accents", {"ip": "cámara 1"}, {}),
    ("ip with a colon", {"ip": "a:b"}, {}),
    ("estado missing", {"estado": KeyError}, {"estado": "activa"}),
    ("estado null", {"estado": None}, {}),
    ("estado another text", {"estado": "grabando"}, {}),
    ("estado with escapes", {"estado": 'x\ty"\\/ñ✓📷\u0001'}, {}),
    ("timestamp null", {"timestamp": None}, {}),
    ("timestamp number", {"timestamp": 1767323045.5}, {}),
    ("timestamp any text", {"timestamp": "ayer"}, {}),
    ("other fields", {"extra": 1, "calidad": {"a": [1, 2]}, "ip2": "x"},
     {"extra": KeyError, "calidad": KeyError, "ip2": KeyError}),
]
FIELDS = ["nuc_id", "ip", "image", "estado", "timestamp"]


def updates(texts):
    return [args[0] for name, args in events_of(texts) if name == "snapshot_update"]


@case("a snapshot is checked, told to viewers with its five fields in order, and stored")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        for n, (what, changes, seen) in enumerate(SNAPSHOTS):
            sent = snapshot(f"192.0.2.{n}")
            sent.update(changes)
            sent = {k: v for k, v in sent.items() if v is not KeyError}
            got = a.answer("4255" + json.dumps(["snapshot", sent]))
            equal(got, ["4355[]"], f"{what}: answer to the agent")
            told, = fence(a, viewer)
            if seen is None:
                equal(told, [], f"{what}: told")
                r = http(port(), "GET", f"/api/camaras/192.0.2.{n}/snapshot")
                equal(r.status, 404, f"{what}: stored")
                continue
            wanted = {**sent, **seen}
            wanted = {k: wanted[k] for k in FIELDS}
            update, = updates(told)
            equal(update, wanted, what)
            equal(list(update), FIELDS, f"{what}: order of fields")
    gone("nuc_a")


@case("a number as ip is stored and told under its text")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        a.emit("snapshot", snapshot(5))
        told, = fence(a, viewer)
        equal([str(u["ip"]) for u in updates(told)], ["5"])
        equal(http(port(), "GET", "/api/camaras/5/snapshot").status, 200)
    gone("nuc_a")


@case("a snapshot without a timestamp gets the hub's")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        a.emit("snapshot", snapshot("192.0.2.70", timestamp=KeyError))
        told, = fence(a, viewer)
        stamp = updates(told)[0]["timestamp"]
        check(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp), stamp)
        equal(get_json(port(), "/api/camaras/192.0.2.70/snapshot")["timestamp"], stamp)
    gone("nuc_a")


@case("snapshot_update goes to viewers and not back to agents")
def _():
    with SocketIO(port()) as v1, SocketIO(port()) as v2, SocketIO(port(), {"nuc_id": "b"}) as b, \
            SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        a.emit("snapshot", snapshot())
        told = fence(a, v1, v2, b, a)
        equal([len(updates(t)) for t in told], [1, 1, 0, 0])
        equal(told[2] + told[3], [], "told to agents")
        equal(told[0], told[1], "every viewer gets the same bytes")
    gone("nuc_a", "b")


@case("fields of a snapshot may come in any order, with blanks and escapes")
def _():
    image = jpeg_text(400, seed=9)
    escaped = "".join(f"\\u{ord(c):04x}" if i % 50 == 0 else c for i, c in enumerate(image))
    slashes = image.replace("/", "\\/")
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        for body in (f' {{ "image" : "{image}" , "ip" : "192.0.2.71" }} ',
                     f'{{"estado":"activa","image":"{escaped}","x":{{"image":"y"}},'
                     f'"ip":"192.0.2.71","nuc_id":"nuc_a"}}',
                     f'{{"\\u0069p":"192.0.2.71","im\\u0061ge":"{slashes}"}}'):
            a.ws.send(f'42["snapshot",{body}]')
            told, = fence(a, viewer)
            equal([u["image"] == image for u in updates(told)], [True], short(body))
            equal(get_json(port(), "/api/camaras/192.0.2.71/snapshot")["image"],
                  "data:image/jpeg;base64," + image)
    gone("nuc_a")


# ---- event ----

@case("event is told to everybody, the sender included, as it came")
def _():
    values = ["hola", 1.5, True, [1, 2], {}, {"z": 1, "a": {"n": [1, 2.0, 1e3, -0.5, None]}},
              {"n": 12345678901234567890123}, "ñ📷\u2028\u0000x", {"t": "x" * 70000},
              {str(i): i for i in range(2000)}]
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "b"}) as b, \
            SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        for v in values:
            a.ws.send("42" + json.dumps(["event", v]))
            for who in (viewer, b, a):
                equal(who.event("event_update"), [v])
        a.ws.send('42["event",null]')
        for who in (viewer, b, a):
            check(who.event("event_update") in ([], [None]))
        a.ws.send('42["event","\\ud800 alone"]')  # survives, whatever it becomes
        fence(a, viewer)
    gone("nuc_a", "b")


# ---- acks ----

@case("an event with an id is acknowledged after what it causes, with its own id")
def _():
    with SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        equal(a.answer('427["nuc_register",{"nuc_id":"nuc_a","camaras":[]}]'),
              ['42["registered",{"status":"ok","nuc_id":"nuc_a"}]', "437[]"])
        equal(a.answer('428["event",{"a":1}]'), ['42["event_update",{"a":1}]', "438[]"])
        equal(a.answer('429["pong",{"nuc_id":"nuc_a"}]'), ["439[]"])
        equal(a.answer('420["pong",{}]'), ["430[]"])
        equal(a.answer('42999999999999["pong",{}]'), ["43999999999999[]"])
        equal(a.answer('4210["snapshot",{"image":"x"}]'), ["4310[]"])
        equal(a.answer('4211["snapshot_error",{"nuc_id":"nuc_a","ip":"192.0.2.9","error":"x"}]'),
              ["4311[]"])
        equal(a.answer('42/,5["pong",{}]'), ["435[]"])
        order = [f'42{i}["pong",{{}}]' for i in range(200)]
        equal(a.answer(*order), [f"43{i}[]" for i in range(200)])
    gone("nuc_a")


# ---- binary ----

@case("an event with attachments is relayed with them, and others follow in order")
def _():
    blobs = [b"\x00\x01\x02", random.Random(5).randbytes(70000)]
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        a.ws.send('452-["event",{"b":{"_placeholder":true,"num":1},"a":[{"_placeholder":true,'
                  '"num":0}],"t":"between"}]')
        a.ws.send_binary(blobs[0])
        a.ws.send_binary(blobs[1])
        a.ws.send('42["event","next"]')
        for who in (viewer, a):
            text = who.receive()
            match = re.fullmatch(r'452-(\[.*\])', text)
            check(match, text)
            value = json.loads(match[1])
            equal(value[0], "event_update")
            parts = [who.receive(), who.receive()]
            equal(value[1]["t"], "between")
            equal(parts[value[1]["b"]["num"]], blobs[1])
            equal(parts[value[1]["a"][0]["num"]], blobs[0])
            equal(who.event("event_update"), ["next"])
    gone("nuc_a")


@case("a snapshot with JPEG bytes as attachment is stored as text and told")
def _():
    image = jpeg_text(8000, seed=11)
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        a.ws.send('451-13["snapshot",{"nuc_id":"nuc_a","ip":"192.0.2.72","image":'
                  '{"_placeholder":true,"num":0},"timestamp":"x","estado":"activa"}]')
        a.ws.send_binary(base64.b64decode(image))
        equal(a.answer(), ["4313[]"])
        equal(get_json(port(), "/api/camaras/192.0.2.72/snapshot")["image"],
              "data:image/jpeg;base64," + image)
        told, = fence(a, viewer)
        check(any("snapshot_update" in t for t in told if isinstance(t, str)), short(told))
    gone("nuc_a")


@case("zero attachments are an event, and what follows is heard")
def _():
    with SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        a.ws.send('450-["event","zero"]')
        equal(a.event("event_update"), ["zero"])
        equal(a.answer(), [])
    gone("nuc_a")


@case("text where an attachment is due, and bytes where none is, end the connection")
def _():
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "good"}) as good:
        for binary_first in (False, True):
            with SocketIO(port(), {"nuc_id": "bad"}) as c:
                if binary_first:
                    c.ws.send_binary(b"abc")
                else:
                    c.ws.send('451-["event",{"_placeholder":true,"num":0}]')
                    c.ws.send('42["event",1]')
                check(ends(c))
            gone("bad")
            equal(fence(good, viewer), [[]])
    gone("good")


@case("attachments that never come are forgotten with their connection")
def _():
    with SocketIO(port(), {"nuc_id": "bad"}) as c:
        c.ws.send('452-["event",[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]]')
        c.ws.send_binary(b"x" * 100000)
    gone("bad")
    with SocketIO(port()) as c:
        equal(c.answer(), [])


# ---- sizes ----

@case("a picture of 16 million bytes is taken over WebSocket, told and served")
def _():
    image = jpeg_text(15_999_700, seed=12)
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "nuc_a"}) as a:
        check(json.loads(a.open[1:])["maxPayload"] >= 16_000_000)
        a.emit("snapshot", snapshot("192.0.2.73", image))
        told, = fence(a, viewer)
        equal([u["image"] == image for u in updates(told)], [True])
        equal(http(port(), "GET", "/api/camaras/192.0.2.73/snapshot.jpg").body,
              base64.b64decode(image))
    gone("nuc_a")


@case("a message over maxPayload is refused with 1009 on its announced length")
def _():
    from nuchub import frame
    with SocketIO(port()) as viewer, SocketIO(port(), {"nuc_id": "good"}) as good:
        with SocketIO(port(), {"nuc_id": "bad"}) as c:
            limit = json.loads(c.open[1:])["maxPayload"]
            c.ws.c.send(frame(b"42", length=limit + 1))
            try:
                while True:
                    c.receive()
            except Closed as e:
                equal(e.code, 1009)
        gone("bad")
        equal(fence(good, viewer), [[]])
    gone("good")


run_cases()
