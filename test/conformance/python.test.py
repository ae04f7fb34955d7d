#!/usr/bin/python3
"""python-socketio's client over polling only, WebSocket only, and with upgrade."""
import os
import queue
import random
import socket
import subprocess
import sys
import traceback

try:
    import socketio
except ImportError:
    print("python3-socketio is not installed")
    sys.exit(77)

LIMIT_S = 10
TRANSPORTS = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
}


def free_port():
    """Below the range that the kernel gives to clients."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Server:
    def __init__(self, *options):
        self.port = free_port()
        self.process = subprocess.Popen(
            [os.environ["CONFORMANCE"], "--port", str(self.port), *options],
            stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line.startswith(b"listening"), line

    def stop(self):
        self.process.terminate()
        assert self.process.wait(LIMIT_S) == 0, "the server ended badly"
        self.process.stdout.close()


class Client:
    """Connected; every event that arrives is in events, as (name, arguments)."""

    def __init__(self, server, transports, namespace="/", auth=None):
        self.events = queue.Queue()
        self.namespace = namespace
        self.sio = socketio.Client(reconnection=False)
        self.sio.on("*", lambda name, *args: self.take(name, args), namespace=namespace)
        for name in ("auth", "message", "message-back", "bin", "burst", "answer",
                     "answer-timeout", "hello", "left"):
            self.sio.on(name, lambda *args, name=name: self.take(name, args),
                        namespace=namespace)
        self.sio.on("question", self.on_question, namespace=namespace)
        self.sio.on("disconnect", lambda *_: self.take("disconnect", ()),
                    namespace=namespace)
        self.sio.connect(f"http://127.0.0.1:{server.port}", transports=transports,
                         auth=auth, namespaces=[namespace], wait_timeout=LIMIT_S)

    def take(self, name, args):
        self.events.put((name, list(args)))

    def on_question(self, *args):
        return ("so",) + args

    def next(self):
        return self.events.get(timeout=LIMIT_S)

    def emit(self, name, *args):
        self.sio.emit(name, args, namespace=self.namespace)

    def call(self, name, *args):
        return self.sio.call(name, args, namespace=self.namespace, timeout=LIMIT_S)

    def close(self):
        self.sio.disconnect()


def equal(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


def connects(server, transports):
    for namespace in ("/", "/custom"):
        c = Client(server, transports, namespace, {"token": "é"})
        equal(c.next(), ("auth", [{"token": "é"}]))
        equal(c.call("whoami")["transport"],
              "websocket" if "websocket" in transports else "polling")
        c.close()


def events_and_acks(server, transports):
    c = Client(server, transports)
    equal(c.next(), ("auth", [{}]))
    args = [1, "2", {"3": [True, None, -1.5]}, "\u0000😀", [], {}]
    c.emit("message", *args)
    equal(c.next(), ("message-back", args))
    equal(list(c.call("message-with-ack", *args)), args)
    c.close()


def binary(server, transports):
    c = Client(server, transports)
    c.next()
    args = [b"\x00\x01\xff", {"deep": [bytes(200000), "text", b""]}]
    c.emit("message", *args)
    equal(c.next(), ("message-back", args))
    equal(c.call("message-with-ack", b"abc"), b"abc")
    c.emit("binary-out")
    equal(c.next(), ("bin", [{"a": b"\x00\x01\x02",
                              "list": [1, bytes(i & 255 for i in range(1000))],
                              "text": "between"}, b""]))
    c.close()


def server_asks(server, transports):
    c = Client(server, transports)
    c.next()
    c.emit("ask", 1, "two")
    equal(c.next(), ("answer", ["so", 1, "two"]))
    c.close()


def burst(server, transports):
    c = Client(server, transports)
    c.next()
    c.emit("burst", 200, 100)
    for i in range(200):
        equal(c.next(), ("burst", [i, "x" * 100]))
    c.close()


def rooms(server, transports):
    a, b = Client(server, transports), Client(server, transports)
    a.next()
    b.next()
    b.call("join", "py")
    a.emit("to-room", ["py"], "hello", b"x")
    equal(b.next(), ("hello", [b"x"]))
    a.close()
    b.close()


def refusals(server, transports):
    for namespace in ("/nowhere", "/restricted"):
        try:
            Client(server, transports, namespace).close()
        except socketio.exceptions.ConnectionError:
            continue
        raise AssertionError(f"{namespace} was joined")


def reasons(server, transports):
    watcher = Client(server, ["websocket"])
    watcher.next()
    for act, reason in ((lambda c: c.close(), None),
                        (lambda c: c.emit("kick"), "server namespace disconnect"),
                        (lambda c: c.emit("kick-close"), "forced server close")):
        c = Client(server, transports)
        c.next()
        name = c.sio.get_sid("/")
        equal(watcher.call("watch", name), True)
        act(c)
        left = watcher.next()
        equal(left[1][0], name)
        if reason:
            equal(left[1][1], reason)
            equal(c.next(), ("disconnect", []))
    watcher.close()


def main():
    passed = failed = 0
    server = Server("--ping-interval", "1000", "--ping-timeout", "2000")
    for name, transports in TRANSPORTS.items():
        for test in (connects, events_and_acks, binary, server_asks, burst, rooms,
                     refusals, reasons):
            try:
                test(server, transports)
                passed += 1
                print(f"ok {passed + failed} - {name}: {test.__name__}", flush=True)
            except Exception:  # pylint: disable=broad-except
                failed += 1
                print(f"not ok {passed + failed} - {name}: {test.__name__}")
                print(traceback.format_exc(), flush=True)
    try:
        server.stop()
    except Exception:  # pylint: disable=broad-except
        failed += 1
        print(traceback.format_exc(), flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    os._exit(1 if failed else 0)  # clients' threads are not waited for


if __name__ == "__main__":
    main()
