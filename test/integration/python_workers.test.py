#!/usr/bin/python3
"""Flask-SocketIO processes emit to the clients of our server, through their own channel.

Debian's python-socketio writes pickle there, which is never read; the fixture's manager
writes the JSON of later versions.
"""
# TEST_TIMEOUT: 300

import itertools
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (FIXTURES, Server, case, check, equal, free_port, program,  # noqa: E402
                    run_cases, sanitized, temp_dir, wait_for)
from redisd import Redis  # noqa: E402
from listener import Listener  # noqa: E402

CHANNEL = "flask-socketio"


class Worker:
    """test/fixtures/python_worker.py"""

    def __init__(self, url, form="json", channel=CHANNEL):
        self.port = free_port()
        self.said = []
        self.numbers = itertools.count()
        self.log_path = os.path.join(temp_dir(), "log")
        with open(self.log_path, "w") as log:
            self.p = subprocess.Popen(
                ["/usr/bin/python3", os.path.join(FIXTURES, "python_worker.py"),
                 str(self.port), url, channel, form],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        wait_for(lambda: {"what": "ready"} in self.said or self.p.poll() is not None,
                 "the worker")
        check(self.p.poll() is None, self.log())

    def read(self):
        for line in self.p.stdout:
            self.said.append(json.loads(line))

    def log(self):
        with open(self.log_path) as f:
            return f.read()[-2000:]

    def find(self, number, what):
        return [s for s in list(self.said) if s.get("id") == number and s["what"] == what]

    def do(self, method, **keywords):
        """Returns the call's number once it is made."""
        def plain(value):
            return {"hex": value.hex()}
        number = next(self.numbers)
        self.p.stdin.write(json.dumps([number, method, keywords], default=plain) + "\n")
        self.p.stdin.flush()
        done = wait_for(lambda: self.find(number, "done"),
                        lambda: f"{method} of the worker: {self.log()}")
        check("error" not in done[0], lambda: f"{method}: {done}")
        return number

    def emit(self, event, *args, **keywords):
        data = {"tuple": args} if len(args) != 1 else args[0]
        return self.do("emit", event=event, data=data, **keywords)

    def answer(self, number):
        return wait_for(lambda: self.find(number, "answer"),
                        lambda: f"the answer to {number}: {self.log()}")[0]["args"]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.p.kill()
        self.p.wait()


class World:
    """A Redis, our server, and what is asked of both."""

    def __init__(self, *more):
        self.redis = Redis().start()
        self.server = self.one(*more)
        self.client = self.redis.client()

    def one(self, *more):
        port = free_port()
        server = Server([program("CONFORMANCE"), "--port", port, "--redis",
                         self.redis.url(), "--python-channel", CHANNEL, *more], port).start()
        with Listener(port) as c:
            wait_for(lambda: c.call("cluster")["up"], "the server to be in the cluster")
        return server

    def listener(self, **keywords):
        return Listener(self.server.port, **keywords)

    def publish(self, message):
        if not isinstance(message, bytes):
            message = json.dumps(message).encode()
        self.client.publish(CHANNEL, message)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.stop()
        self.server.check_sanitizers()
        self.redis.stop()


@case("a worker emits to everybody, to rooms, to one, but not to some")
def _():
    with World() as w, Worker(w.redis.url()) as flask, w.listener(rooms=["r1"]) as a, \
            w.listener(rooms=["r2"]) as b, w.listener(nsp="/custom") as c:
        flask.emit("all", {"a": [1, None, "ñ\u2028\""]}, 2.5)
        equal(a.wait("all"), [{"a": [1, None, "ñ\u2028\""]}, 2.5])
        equal(b.wait("all"), [{"a": [1, None, "ñ\u2028\""]}, 2.5])
        flask.emit("nothing")
        equal(a.wait("nothing"), [])
        flask.emit("list", [1, 2])
        equal(a.wait("list"), [[1, 2]])
        flask.emit("one", 1, to="r1")
        equal(a.wait("one"), [1])
        flask.emit("two", 1, to=["r1", "r2"])
        equal([a.wait("two"), b.wait("two")], [[1], [1]])
        flask.emit("you", 1, to=b.id)
        equal(b.wait("you"), [1])
        flask.emit("but", 1, skip_sid=a.id)
        equal(b.wait("but"), [1])
        flask.emit("neither", 1, skip_sid=[a.id, b.id])
        flask.emit("there", 1, namespace="/custom")
        equal(c.wait("there"), [1])
        flask.emit("bytes", {"x": bytes(range(256)), "y": [b""]}, b"\xff")
        equal(a.wait("bytes"), [{"x": bytes(range(256)), "y": [b""]}, b"\xff"])
        flask.emit("large", b"\x5a" * 2000000)
        equal(b.wait("large"), [b"\x5a" * 2000000])
        flask.emit("nowhere", 1, namespace="/none")
        flask.emit("end")
        a.wait("end")
        b.wait("end")
        for event in ("one", "but", "you", "neither", "there", "nowhere"):
            equal([len(a.all(event)), len(b.all(event))],
                  {"one": [1, 0], "but": [0, 1], "you": [0, 1]}.get(event, [0, 0]), event)
        equal(a.call("cluster")["rejected"], 0)


@case("each server of ours does it once, for its own clients")
def _():
    with World() as w, Worker(w.redis.url()) as flask, w.one() as other, \
            w.listener() as a, Listener(other.port) as b:
        for i in range(20):
            flask.emit("n", i)
        flask.emit("end")
        a.wait("end")
        b.wait("end")
        equal([a.all("n"), b.all("n")], [[[i] for i in range(20)]] * 2)


@case("a client answers a worker's callback, wherever it is")
def _():
    with World() as w, Worker(w.redis.url()) as flask, \
            w.listener(answer=("ok", {"n": [1]})) as a, w.one() as other, \
            Listener(other.port, answer="other") as b:
        n = flask.emit("ask", 1, to=a.id, callback=True)
        equal(flask.answer(n), ["ok", {"n": [1]}])
        equal(a.wait("ask"), [1])
        equal(flask.answer(flask.emit("ask", 2, to=b.id, callback=True)), ["other"])
        # Its own clients are as before.
        with Listener(flask.port, answer="own") as own:
            equal(flask.answer(flask.emit("ask", 3, to=own.id, callback=True)), ["own"])
            flask.emit("all", 4)
            equal([a.wait("all"), b.wait("all")], [[4]] * 2)
            own.wait("all")  # with a list around it: 5.7 does not know the later form
        numbers = [flask.emit("ask", i, to=a.id, callback=True) for i in range(50)]
        for n in numbers:
            equal(flask.answer(n), ["ok", {"n": [1]}])
            equal(len(flask.find(n, "answer")), 1)


@case("an answer of bytes is none, as with Python's own servers")
def _():
    with World() as w, Worker(w.redis.url()) as flask, w.listener(answer=b"\x00") as a:
        n = flask.emit("ask", 1, to=a.id, callback=True)
        a.wait("ask")
        flask.emit("end")
        a.wait("end")
        equal(a.call("cluster")["sent"], 0)
        equal(flask.find(n, "answer"), [])


@case("a process moves clients between rooms, and disconnects them")
def _():
    def order(w, method, **more):  # those for rooms Debian's version does not have
        w.publish({"method": method, "namespace": "/", **more, "host_id": "9b4c"})
    with World() as w, Worker(w.redis.url()) as flask, w.listener() as a, \
            w.listener(nsp="/custom") as b:
        order(w, "enter_room", sid=a.id, room="r")
        order(w, "enter_room", sid=b.id, room="r", namespace="/custom")
        flask.emit("in", 1, to="r")
        flask.emit("in", 2, to="r", namespace="/custom")
        equal([a.wait("in"), b.wait("in")], [[1], [2]])
        order(w, "leave_room", sid=a.id, room="r")
        order(w, "enter_room", sid=a.id, room="s")
        flask.emit("in", 3, to="r")
        flask.emit("in", 4, to="s")
        equal(a.wait("in", 2), [4])
        flask.do("close_room", room="s")
        flask.emit("in", 5, to="s")
        flask.emit("end")
        a.wait("end")
        equal(a.all("in"), [[1], [4]])
        flask.do("disconnect", sid=a.id)
        a.wait_gone()
        check(not b.gone, "the wrong one was disconnected")
        flask.do("disconnect", sid=b.id, namespace="/custom")
        b.wait_gone()


@case("pickle is counted and never read")
def _():
    with World() as w, Worker(w.redis.url(), "pickle") as old, \
            Worker(w.redis.url()) as flask, w.listener() as a:
        for i in range(5):
            old.emit("pickled", i)
        old.do("disconnect", sid=a.id)
        wait_for(lambda: a.call("cluster")["rejected"] == 6, "six to be counted")
        flask.emit("json", 1)
        equal(a.wait("json"), [1])
        equal([a.all("pickled"), a.gone], [[], False])


@case("rubbish on the channel hurts nobody")
def _():
    emit = {"method": "emit", "event": "bad", "data": [1], "namespace": "/"}
    bad = [b"", b"{", b"\x80\x04N.", b"[]", b"null", b'{"method":"emit"}', b"{" * 100000,
           b'{"method":"emit","event":"bad","data":' + b"[" * 5000 + b"]" * 5000 + b"}",
           b'{"method":"emit","event":"\xff","data":[]}',
           {**emit, "room": []}, {**emit, "room": [None]}, {**emit, "room": {}},
           {**emit, "room": False}, {**emit, "event": "disconnect"},
           {**emit, "event": "a\0b"}, {**emit, "event": None},
           {**emit, "data": [[{"_placeholder": True, "num": 3}]],
            "binary": True},
           {**emit, "data": [[], "!"], "binary": True},
           {"method": "disconnect"}, {"method": "enter_room", "sid": []},
           {"method": "close_room", "room": None}, {"method": "exec", "data": "1"},
           {**emit, "room": ["x"] * 20000}, {**emit, "host_id": "x" * 1000},
           b'{"method":"emit","event":"bad","data":"' + b"x" * (6 << 20) + b'"}']
    with World() as w, Worker(w.redis.url()) as flask, w.listener() as a:
        for message in bad:
            w.publish(message)
        wait_for(lambda: a.call("cluster")["rejected"] == len(bad),
                 lambda: f"{len(bad)} to be counted: {a.call('cluster')}")
        # Nothing of ours, nothing wrong.
        w.publish({**emit, "namespace": "/none"})
        w.publish({"method": "callback", "host_id": "x", "sid": "y", "id": 1, "args": []})
        w.publish({**emit, "room": "nobody"})
        w.publish({"method": "disconnect", "sid": "nobody"})
        flask.emit("end")
        a.wait("end")
        equal(a.all("bad"), [])
        equal(a.call("cluster")["rejected"], len(bad))


@case("a callback that nobody answers costs no memory for long")
def _():
    with World() as w, w.listener() as a:
        def allocated():
            return a.call("stats")["allocated"]
        ask = {"method": "emit", "event": "ask", "data": ["x" * 1000], "namespace": "/",
               "callback": ["r", "/", 1], "host_id": "h"}
        for i in range(300):  # nobody is there
            w.publish({**ask, "room": f"room{i}"})
        w.publish({**ask, "event": "end", "callback": None})
        a.wait("end")
        before = allocated()
        for i in range(3000):
            w.publish({**ask, "room": f"room{i}"})
        w.publish({**ask, "event": "end", "callback": None})
        a.wait("end", 2)
        if not sanitized(w.server):
            check(allocated() - before < 50000, f"{allocated() - before} bytes more")


@case("a Redis that goes and comes back")
def _():
    with World() as w, w.listener() as a:
        with Worker(w.redis.url()) as flask:
            flask.emit("n", 1)
            equal(a.wait("n"), [1])
        w.redis.stop()
        wait_for(lambda: not a.call("cluster")["up"], "the server to see that Redis is away")
        w.redis.start()
        wait_for(lambda: a.call("cluster")["up"], "the server to be in the cluster again")
        with Worker(w.redis.url()) as flask:
            flask.emit("n", 2)
            equal(a.wait("n", 2), [2])


@case("many emits of a worker")
def _():
    with World() as w, Worker(w.redis.url()) as flask, w.listener() as a:
        begun = time.monotonic()
        pipe = w.redis.client().pipeline(transaction=False)
        for i in range(20000):
            pipe.publish(CHANNEL, json.dumps({
                "method": "emit", "event": "n", "data": [i], "binary": False,
                "namespace": "/", "room": "nobody" if i % 20 else None, "skip_sid": None,
                "callback": None, "host_id": "h"}))
        pipe.execute()
        flask.emit("end")
        a.wait("end")
        print(f"  20000 messages in {time.monotonic() - begun:.2f} s")
        equal(a.all("n"), [[i] for i in range(0, 20000, 20)])


run_cases()
