#!/usr/bin/python3
"""Our client against servers that say what no server may say.

Each case is a list of sessions with what goes wrong in them.  The client must end each
for the reason that is given, come back, and get on with the first server that behaves.
"""

import base64
import hashlib
import json
import os
import re
import socket
import struct
import sys
import threading
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from client import Client, Listener  # noqa: E402
from nuchub import TIMEOUT, case, check, run_cases  # noqa: E402

OK = b"HTTP/1.1 200 OK\r\n"
JOINED = '40{"sid":"x"}'


def opening(**fields):
    """An open packet; fields replace its own, None takes one away."""
    o = {"sid": "s", "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000,
         "maxPayload": 1000000}
    o.update(fields)
    return "0" + json.dumps({k: v for k, v in o.items() if v is not None})


def reply(body, head=OK):
    body = body if isinstance(body, bytes) else body.encode()
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def frame(payload, opcode=1, fin=True, rsv=0, mask=None, length=None):
    payload = payload if isinstance(payload, bytes) else payload.encode()
    n = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask is not None else 0
    if n < 126:
        head = bytes([first, bit | n])
    elif n < 65536:
        head = bytes([first, bit | 126]) + struct.pack(">H", n)
    else:
        head = bytes([first, bit | 127]) + struct.pack(">Q", n)
    return head + (mask or b"") + payload


class Bad:
    """A session that goes wrong, and the reason that the client must give."""

    def __init__(self, why, raw=None, open=None, packets=(), frames=b"", handshake=None,
                 post=None):
        self.why = why
        self.raw = raw              # to the first request, instead of HTTP; bytes, function
        self.open = open            # the open packet
        self.packets = packets      # after the namespace is joined
        self.frames = frames        # the same, as they are; bytes or function
        self.handshake = handshake  # instead of the right 101
        self.post = post            # the reply to the second POST


class Server(Listener):
    def __init__(self, sessions):
        self.sessions = list(sessions)
        self.lock = threading.Condition()
        self.live = {}
        self.n = 0
        super().__init__(self._talk)

    def _begin(self):
        with self.lock:
            bad = self.sessions.pop(0) if self.sessions else Bad(None)
            self.n += 1
            sid = f"s{self.n}"
            self.live[sid] = {"bad": bad, "posts": 0, "replies": [], "ended": False}
            return sid, bad

    def _talk(self, conn):
        rest = b""
        while True:
            data = rest
            while b"\r\n\r\n" not in data:
                more = conn.recv(65536)
                if not more:
                    return
                data += more
            head, _, rest = data.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            n = int(length[1]) if length else 0
            while len(rest) < n:
                rest += conn.recv(65536)
            body, rest = rest[:n], rest[n:]
            if not self._request(conn, head.decode("latin-1"), body):
                return

    def _request(self, conn, head, body):
        sid = re.search(r"[?&]sid=(\w+)", head)
        if not sid:
            sid, bad = self._begin()
            if bad.raw is not None:
                self._say(conn, bad.raw)
                self._drain(conn)
                return False
            if "transport=websocket" in head:
                self._websocket(conn, head, bad)
                return False
            conn.sendall(reply(bad.open if bad.open is not None else opening(sid=sid)))
            return True
        session = self.live.get(sid[1])
        if not session:  # of an open packet that was not ours
            return False
        if head.startswith("POST"):
            with self.lock:
                session["posts"] += 1
                if session["posts"] == 1:
                    session["replies"].append(JOINED)
                    session["replies"] += session["bad"].packets
                self.lock.notify_all()
            if session["posts"] == 2 and session["bad"].post:
                conn.sendall(session["bad"].post)
            else:
                conn.sendall(reply("ok"))
            return True
        with self.lock:
            self.lock.wait_for(lambda: session["replies"] or self.ended, TIMEOUT)
            if not session["replies"]:
                return False
            packet = session["replies"].pop(0)
        conn.sendall(packet if isinstance(packet, bytes) else reply(packet))
        return True

    def _websocket(self, conn, head, bad):
        key = re.search(r"Sec-WebSocket-Key: (\S+)", head)[1]
        accept = base64.b64encode(hashlib.sha1(
            (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        if bad.handshake is not None:
            self._say(conn, bad.handshake.replace(b"ACCEPT", accept))
        else:
            conn.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n"
                         b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            conn.sendall(frame(bad.open if bad.open is not None else opening()))
            if not conn.recv(65536):
                return
            conn.sendall(frame(JOINED) + b"".join(
                p if isinstance(p, bytes) else frame(p) for p in bad.packets))
            self._say(conn, bad.frames)
        self._drain(conn)

    @staticmethod
    def _say(conn, what):
        if callable(what):
            what(conn)
        elif what:
            conn.sendall(what)

    @staticmethod
    def _drain(conn):
        while conn.recv(65536):
            pass


def then_close(data):
    def say(conn):
        conn.sendall(data)
        conn.shutdown(socket.SHUT_WR)
    return say


def survive(sessions, **options):
    sessions = list(sessions)
    options.setdefault("transport", "polling")
    with Server(sessions) as server, Client(
            f"http://127.0.0.1:{server.port}", delay=1, delay_max=2, **options) as client:
        for i, bad in enumerate(sessions):
            line = client.next("down")
            check(bad.why in line[2], f"session {i}: {line[2]!r}, not {bad.why!r}")
            check(line[3] > 0, "it does not come back")
        client.next("up")
        client.next("connect")
        # An attempt with little time may end in vain on a busy machine, too.
        more = client.all("down")[len(sessions):]
        check("timeout" in options or not more, client.lines())


@case("replies that are not HTTP, or not for us")
def _():
    survive([
        Bad("not HTTP", raw=b"\x00\x01\x02\x03\r\n\r\n"),
        Bad("not HTTP", raw=b"SSH-2.0-x\r\n"),
        Bad("not HTTP", raw=b"HTTP/1.1 20 OK\r\n\r\n"),
        Bad("not HTTP", raw=b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        Bad("not HTTP", raw=OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n0"),
        Bad("not HTTP", raw=OK + b"Content-Length: -1\r\n\r\n0"),
        Bad("not HTTP", raw=OK + b"Content-Length: 99999999999999999999999\r\n\r\n"),
        Bad("not HTTP", raw=OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Bad("not HTTP", raw=OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        Bad("not HTTP", raw=OK + b"Transfer-Encoding: chunked\r\n\r\n"
                                 b"ffffffffffffffffffff\r\n"),
        Bad("not HTTP", raw=OK + b" folded: x\r\n\r\n"),
        Bad("not HTTP", raw=OK + b"A\x00b: c\r\n\r\n"),
        Bad("too large", raw=OK + b"Content-Length: 999999999999\r\n\r\n"),
        Bad("without a whole reply", raw=then_close(OK)),
        Bad("without a whole reply", raw=then_close(OK + b"Content-Length: 9\r\n\r\n0{")),
        Bad("without a whole reply", raw=then_close(b"")),
        Bad("without a whole reply",
            raw=then_close(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n0")),
        Bad("status 204", raw=reply(b"", b"HTTP/1.1 204 No\r\n")),
        Bad("status 404", raw=reply(b"x", b"HTTP/1.1 404 No\r\n")),
        Bad("status 502", raw=reply(b"<html>", b"HTTP/1.1 502 No\r\n")),
        Bad("redirects to https://elsewhere.test/, which is not followed",
            raw=reply(b"", b"HTTP/1.1 302 X\r\nLocation: https://elsewhere.test/\r\n")),
        Bad("status 301", raw=reply(b"", b"HTTP/1.1 301 X\r\n")),
        Bad("without being asked",
            raw=b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        Bad("compressed, which was not asked for",
            raw=reply(b"\x1f\x8b\x08" + b"\x00" * 50, OK + b"Content-Encoding: gzip\r\n")),
    ])


@case("replies without an end")
def _():
    def forever(begin, more):
        def say(conn):
            conn.sendall(begin)
            while True:
                conn.sendall(more)
        return say

    survive([
        Bad("too large", raw=forever(OK, b"A: b\r\n" * 100)),
        Bad("too large", raw=forever(OK + b"A: ", b"x" * 1000)),
        Bad("too large", raw=forever(b"HTTP/1.1 200 ", b"x" * 1000)),
        Bad("too large", raw=forever(OK + b"\r\n", b"4" * 10000)),
        Bad("too large", raw=forever(OK + b"Transfer-Encoding: chunked\r\n\r\n",
                                     b"3e8\r\n" + b"4" * 1000 + b"\r\n")),
        Bad("too large", raw=forever(OK + b"Transfer-Encoding: chunked\r\n\r\n1;",
                                     b"x" * 1000)),
        Bad("interim", raw=forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    ], max_message=100000)


@case("a slow drip and silence end with the time that an attempt has")
def _():
    def drip(data):
        def say(conn):
            for c in data:
                conn.sendall(bytes([c]))
                time.sleep(0.02)
        return say

    survive([
        Bad("in time", raw=drip(OK + b"A: b\r\n" * 1000)),
        Bad("in time", raw=drip(OK + b"Content-Length: 2000\r\n\r\n" + b"0" * 2000)),
        Bad("in time", raw=b""),
    ], timeout=300)
    survive([Bad("in time", raw=drip(b"HTTP/1.1 101 X\r\n" + b"A: b\r\n" * 1000))],
            transport="websocket", timeout=300)


OPENS = [
    opening(sid=None), opening(sid=""), opening(sid=7), opening(sid=["a"]),
    opening(sid="a b"), opening(sid="a\r\nX: y"), opening(sid="x" * 10000),
    opening(sid="\u00e1"), opening(upgrades="websocket"), opening(upgrades=7),
    opening(upgrades={}), opening(pingInterval=None), opening(pingInterval=0),
    opening(pingInterval=-1), opening(pingInterval="25000"), opening(pingInterval=1e99),
    opening(pingInterval=[]), opening(pingTimeout=None), opening(pingTimeout=-5),
    opening(pingTimeout=2 ** 40), opening(pingTimeout={}), opening(maxPayload=-1),
    opening(maxPayload=2 ** 64), opening(maxPayload="x"), "0", "0{", "0[]", "0null", "0\"s\"",
    "0{}" + " " * 10 + "x", "0" + "[" * 10000, opening()[:-1],
]


@case("open packets with missing, negative, huge and foreign fields")
def _():
    for transport in ("polling", "websocket"):
        survive([Bad("open packet is not valid", open=o) for o in OPENS],
                transport=transport)
    survive([
        Bad("without a packet", open=""),
        Bad("not valid", open="9"),
        Bad("not valid", open="\x1e"),
        Bad("did not begin with an open packet", open="4hello"),
        Bad("did not begin with an open packet", open="2"),
        Bad("did not begin with an open packet", open="bAAAA"),
        Bad("opened the session twice", open=opening() + "\x1e" + opening()),
        Bad("closed the session", open=opening() + "\x1e1"),
        Bad("not valid", open=opening() + "\x1e"),
    ])


PACKETS = [
    ("not valid", ["4"]), ("not valid", ["47"]), ("not valid", ["4x"]),
    ("not valid", ["42"]), ("not valid", ["42{}"]), ("not valid", ["42[]"]),
    ("not valid", ["42["]), ("not valid", ['42["a"'] ), ("not valid", ['42["a",]']),
    ("not valid", ['42[{"a":1}]']), ("not valid", ['42["a"]x']),
    ("not valid", ['42["connect"]']), ("not valid", ['42["disconnect"]']),
    ("not valid", ['42["connect_error"]']), ("not valid", ['43"x"']),
    ("not valid", ["431{}"]), ("not valid", ["44[]"]),
    ("not valid", ["44"]), ("not valid", ["447"]), ("not valid", ["40[]"]),
    ("not valid", ['41{"a":1}']), ("not valid", ["4299999999999999999999999999[\"a\"]"]),
    ("not valid", ['42["x",' + "[" * 5000 + "]" * 5000 + "]"]),
    ("not valid", ["42[\"a\",1e]"]), ("not valid", ["42[\"\\x\"]"]),
    ("a namespace twice", [JOINED]), ("a namespace twice", ["40{}"]),
    ("where an attachment was due",
     ['451-["x",{"_placeholder":true,"num":0}]', '42["y"]']),
    ("not valid", ['451-["x",{"_placeholder":true,"num":1}]']),
    ("not valid", ['451-["x",{"_placeholder":true,"num":-1}]']),
    ("not valid", ['451-["x",{"_placeholder":true,"num":0.5}]']),
    ("not valid", ['451-["x",{"_placeholder":true,"num":"0"}]']),
    ("not valid", ['451-["x",{"_placeholder":true}]']),
    ("not valid", ['455000-["x"]']), ("not valid", ['4599999999999999999999-["x"]']),
    ("not valid", ['45-["x"]']), ("not valid", ['45["x"]']), ("not valid", ['45-1-["x"]']),
    ("not valid", ['455000-["x",' + ",".join(
        '{"_placeholder":true,"num":%d}' % i for i in range(5000)) + "]"]),
]


@case("packets that break the protocol, and what is harmless")
def _():
    for transport in ("polling", "websocket"):
        survive([Bad(why, packets=p) for why, p in PACKETS], transport=transport)
    harmless = ['43[]', '43987654[]', '4312345678901234567[1]', '43/none,1[]', '42/none,["x"]',
                '41/none,', '44/none,{"message":"x"}', '40/none,{"sid":"y"}', "6", "3",
                '42["\\ud800"]', '42["x",{"_placeholder":true,"num":9}]', '42[7]']
    for transport in ("polling", "websocket"):
        survive([Bad("closed the session", packets=[*harmless, "1"])], transport=transport)


@case("attachments that nobody announced, that never come, or by the thousand")
def _():
    header = '453-["x",' + ",".join('{"_placeholder":true,"num":%d}' % i
                                    for i in range(3)) + "]"
    survive([
        Bad("belong to no packet", packets=["bAAAA"]),
        Bad("not base64", packets=["b!"]),
        Bad("not base64", packets=["bAAA"]),
        Bad("opened the session twice", packets=[header, "bAAAA\x1ebAAAA\x1e" + opening()]),
        Bad("belong to no packet", packets=["\x1e".join([header] + ["bAAAA"] * 5000)]),
    ])
    survive([
        Bad("belong to no packet", frames=frame(b"x", 2)),
        Bad("belong to no packet", packets=[header], frames=frame(b"x", 2) * 5000),
        Bad("the server ended the connection", packets=[header],
            frames=then_close(frame(b"x", 2) * 2)),
        Bad("valid", packets=[header], frames=frame(b"x" * 40000, 2) * 3),
    ], transport="websocket", max_message=100000)


@case("a refusal without an object, and a socket id that is none")
def _():
    for packet, why in (("40", "no socket id"), ("40{}", "no socket id"),
                        ('40{"sid":7}', "no socket id"), ('40{"sid":""}', "no socket id"),
                        ('40{"sid":"' + "x" * 5000 + '"}', "no socket id"),
                        ("44", "not valid"), ("44[1]", "not valid"), ("44null", "not valid")):
        survive([Bad(why, open=opening() + "\x1e" + packet)])
    for packet, message, data in (('44{"message":"no"}', "no", None), ("44{}", "", None),
                                  ('44{"message":7,"data":[1]}', "", [1]),
                                  ('44"bare"', "", None)):
        with Server([Bad(None, open=opening() + "\x1e" + packet)]) as server, \
                Client(f"http://127.0.0.1:{server.port}", transport="polling") as client:
            check(client.next("refused")[2:] == [message, data], client.lines())


@case("handshakes of WebSocket that are not what was asked for")
def _():
    good = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    accept = b"Sec-WebSocket-Accept: ACCEPT\r\n"
    survive([
        Bad("key is wrong", handshake=good + b"\r\n"),
        Bad("key is wrong", handshake=good + b"Sec-WebSocket-Accept: x\r\n\r\n"),
        Bad("key is wrong", handshake=good + b"Sec-WebSocket-Accept: "
                                             b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"),
        Bad("another protocol", handshake=good.replace(b": websocket", b": h2c") + accept +
            b"\r\n"),
        Bad("without being asked", handshake=b"HTTP/1.1 101 X\r\n" + accept + b"\r\n"),
        Bad("extension that was not offered", handshake=good + accept +
            b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        Bad("protocol that was not offered", handshake=good + accept +
            b"Sec-WebSocket-Protocol: x\r\n\r\n"),
        Bad("status 200", handshake=reply("hello")),
        Bad("status 400", handshake=reply("no", b"HTTP/1.1 400 X\r\n")),
        Bad("redirects to http://x.test/", handshake=reply(
            "", b"HTTP/1.1 307 X\r\nLocation: http://x.test/\r\n")),
        Bad("status 426", handshake=reply("", b"HTTP/1.1 426 X\r\n")),
    ], transport="websocket")


@case("frames that break RFC 6455, and frames cut anywhere")
def _():
    protocol = "broke the WebSocket protocol, code 1002"
    survive([
        Bad(protocol, frames=frame("2", mask=b"abcd")),
        Bad(protocol, frames=frame("2", rsv=4)),
        Bad(protocol, frames=frame("2", rsv=2)),
        Bad(protocol, frames=frame("2", opcode=3)),
        Bad(protocol, frames=frame("2", opcode=11)),
        Bad(protocol, frames=frame("x" * 126, opcode=9)),
        Bad(protocol, frames=frame("x", opcode=9, fin=False)),
        Bad(protocol, frames=frame("x", opcode=0)),
        Bad(protocol, frames=frame("2", fin=False) + frame("2")),
        Bad("1002", frames=frame(b"\x03", opcode=8)),
        Bad("1002", frames=frame(b"\x00\x05", opcode=8)),
        Bad("1007", frames=frame(b"\x03\xe8\xff", opcode=8)),
        Bad("not UTF-8, code 1007", frames=frame(b"42[\"\xff\"]")),
        Bad("not UTF-8, code 1007", frames=frame(b"42[\"\xe2", fin=False) + frame(b"x\"]", 0)),
        Bad("too large, code 1009", frames=frame("4", length=200000)),
        Bad("1002", frames=bytes([0x81, 127]) + b"\xff" * 8),
        Bad("too large, code 1009",
            frames=frame("4" * 60000, fin=False) + frame("4" * 60000, 0)),
        Bad("1008", frames=frame("4", fin=False) + frame("", 0, fin=False) * 20000),
        Bad("code 1005", frames=frame("", opcode=8)),
        Bad("the server closed the WebSocket, code 1011", frames=frame(b"\x03\xf3", opcode=8)),
        Bad("not valid", frames=frame("")),
        Bad("not valid", frames=frame("7")),
        Bad("opened the session twice", frames=frame(opening())),
        Bad("closed the session", frames=frame("1")),
    ], transport="websocket", max_message=100000)
    whole = frame('42["cut",{"_placeholder":true}]') + frame("x" * 130, opcode=2)
    survive([Bad("", frames=then_close(whole[:n])) for n in range(len(whole) - 131)],
            transport="websocket")


@case("replies to a POST that are none")
def _():
    for post, why in ((b"x\r\n\r\n", "POST: the reply is not HTTP"),
                      (reply("no", b"HTTP/1.1 400 X\r\n"), "POST: the server answered with "
                                                            "status 400"),
                      (reply("x" * 100000), "POST: the reply is too large"),
                      (reply("", b"HTTP/1.1 302 X\r\nLocation: /x\r\n"), "redirects")):
        with Server([Bad(why, post=post)]) as server, \
                Client(f"http://127.0.0.1:{server.port}", transport="polling", delay=1) as client:
            client.next("connect")
            client.say('emit / ["x"]')
            check(why in client.next("down")[2], client.lines())
            client.next("connect")


@case("compressed messages: broken, bombs, and an answer that was not agreed to")
def _():
    def packed(data, level=9):
        z = zlib.compressobj(level, zlib.DEFLATED, -15)
        return (z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]

    good = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
           b"Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Extensions: "
    start = frame(packed(opening().encode()), rsv=4) + frame(packed(JOINED.encode()), rsv=4)

    def after(data):
        # Frames are read one after the other, whatever was asked for in between.
        return good + b"permessage-deflate; server_no_context_takeover\r\n\r\n" + start + data

    survive([
        Bad("not what was offered", handshake=good + b"x-other\r\n\r\n"),
        Bad("not what was offered", handshake=good + b"permessage-deflate; x=1\r\n\r\n"),
        Bad("not what was offered",
            handshake=good + b"permessage-deflate; server_max_window_bits=99\r\n\r\n"),
        Bad("not what was offered",
            handshake=good + b"permessage-deflate, permessage-deflate\r\n\r\n"),
        Bad("code 1002", handshake=after(frame("2", rsv=2))),
        Bad("code 100", handshake=after(frame(b"\xff\xff\xff\xff", rsv=4))),
        Bad("code 1009", handshake=after(frame(packed(b"4" * 50_000_000), rsv=4))),
        Bad("code 1009", handshake=after(
            frame(packed(b"4" * 50_000_000)[:20000], rsv=4, fin=False))),
    ], transport="websocket", deflate="on", max_message=100000)


run_cases()
