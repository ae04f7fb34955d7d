#!/usr/bin/python3
"""python-socketio's clients, plain and asyncio, over polling only, WebSocket only, and with
upgrade."""
import asyncio
import os
import queue
import random
import socket
import subprocess
import sys
import threading
import traceback

try:
    import aiohttp  # noqa: F401  pylint: disable=unused-import
    import socketio
except ImportError:
    print("python3-socketio or python3-aiohttp is not installed")
    sys.exit(77)

LIMIT_S = 10
TRANSPORTS = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
}
# Events that no catch-all handler of this version hears.
EVENTS = ("auth", "message", "message-back", "bin", "burst", "answer", "answer-timeout",
          "answers", "hello", "left", "news", "some")


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
    def __init__(self, *options, port=None):
        self.port = port or free_port()
        self.process = subprocess.Popen(
            [os.environ["CONFORMANCE"], "--port", str(self.port), *options],
            stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line.startswith(b"listening"), line

    def stop(self):
        self.process.terminate()
        assert self.process.wait(LIMIT_S) == 0, "the server ended badly"
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT_S)
        self.process.stdout.close()


class Proxy:
    """Forwards TCP to a port, until the connections are cut; then refuses until mended."""

    def __init__(self, to):
        self.to, self.sockets, self.up = to, [], True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start(self.accept)

    @staticmethod
    def start(run, *args):
        threading.Thread(target=run, args=args, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
                if not self.up:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.sockets += [near, far]
            self.start(self.pump, near, far)
            self.start(self.pump, far, near)

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def mend(self):
        self.up = True

    def cut(self):
        self.up = False
        sockets, self.sockets = self.sockets, []
        for s in sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.close()
        self.cut()


class Plain:
    """socketio.Client"""
    make = socketio.Client

    @staticmethod
    def run(result):
        return result


class Asyncio:
    """socketio.AsyncClient in a loop of another thread"""
    loop = asyncio.new_event_loop()

    @staticmethod
    def make(**options):
        async def new():
            return socketio.AsyncClient(**options)
        return Asyncio.run(new())

    @staticmethod
    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, Asyncio.loop).result(3 * LIMIT_S)


threading.Thread(target=Asyncio.loop.run_forever, daemon=True).start()


class Client:
    """Connected; every event that arrives is in events, as (name, arguments)."""

    def __init__(self, kind, port, transports, namespace="/", auth=None, wait=True,
                 others=(), **options):
        self.events = queue.Queue()
        self.namespace = namespace
        self.run = kind.run
        self.sio = kind.make(**{"reconnection": False, **options})
        for name in (*EVENTS, "connect_error"):
            self.sio.on(name, lambda *args, name=name: self.take(name, args),
                        namespace=namespace)
        self.sio.on("question", self.on_question, namespace=namespace)
        self.sio.on("disconnect", lambda *_: self.take("disconnect", ()),
                    namespace=namespace)
        self.run(self.sio.connect(
            f"http://127.0.0.1:{port}", transports=transports, auth=auth,
            namespaces=[namespace, *others], wait=wait, wait_timeout=LIMIT_S))

    def take(self, name, args):
        self.events.put((name, list(args)))

    def on_question(self, *args):
        return ("so",) + args

    def next(self):
        return self.events.get(timeout=LIMIT_S)

    def emit(self, name, *args):
        self.run(self.sio.emit(name, args, namespace=self.namespace))

    def call(self, name, *args, namespace=None, timeout=LIMIT_S):
        return self.run(self.sio.call(name, args, namespace=namespace or self.namespace,
                                      timeout=timeout))

    def close(self):
        self.run(self.sio.disconnect())


class Cell:
    """A kind of client on a transport."""

    def __init__(self, kind, transports, port):
        self.kind, self.transports, self.port = kind, transports, port

    def client(self, port=None, **options):
        return Client(self.kind, port or self.port, self.transports, **options)

    def joined(self, port=None, **options):
        c = self.client(port, **options)
        equal(c.next()[0], "auth")
        return c


def equal(got, wanted):
    assert got == wanted, f"{got!r:.500} is not {wanted!r:.500}"


def connects(cell):
    for namespace in ("/", "/custom"):
        c = cell.client(namespace=namespace, auth={"token": "é"})
        equal(c.next(), ("auth", [{"token": "é"}]))
        equal(c.call("whoami")["transport"],
              "websocket" if "websocket" in cell.transports else "polling")
        c.close()


def events_and_acks(cell):
    c = cell.joined()
    args = [1, "2", {"3": [True, None, -1.5e-7]}, "\u0000\u2028😀", [], {}, 123456789012]
    c.emit("message", *args)
    equal(c.next(), ("message-back", args))
    equal(list(c.call("message-with-ack", *args)), args)
    try:
        c.call("message", 1, timeout=0.1)
        raise AssertionError("an ack that nobody sent")
    except socketio.exceptions.TimeoutError:
        equal(c.next(), ("message-back", [1]))
    c.close()


def binary(cell):
    c = cell.joined()
    args = [b"\x00\x01\xff", {"deep": [bytes(200000), "text", {"x": b""}]}]
    c.emit("message", *args)
    equal(c.next(), ("message-back", args))
    equal(c.call("message-with-ack", b"abc"), b"abc")
    c.emit("binary-out")
    equal(c.next(), ("bin", [{"a": b"\x00\x01\x02",
                              "list": [1, bytes(i & 255 for i in range(1000))],
                              "text": "between"}, b""]))
    c.close()


def more_than_a_megabyte(cell):
    c = cell.joined()
    for large in ("é😀" * 100000, b"abc" * 500000):
        equal(list(c.call("message-with-ack", large, 1)), [large, 1])
    c.close()


def server_asks(cell):
    c = cell.joined()
    c.emit("ask", 1, "two", b"3")
    equal(c.next(), ("answer", ["so", 1, "two", b"3"]))
    c.close()


def burst(cell):
    c = cell.joined()
    c.emit("burst", 200, 100)
    for i in range(200):
        equal(c.next(), ("burst", [i, "x" * 100]))
    c.close()


def rooms_and_broadcasts(cell):
    a, b, c = (cell.joined() for _ in range(3))
    for client in (a, b, c):
        client.call("join", "py")
    c.call("join", "but")
    a.emit("to-room", ["py", "nobody"], "hello", b"x")
    a.emit("to-except", "py", "but", "some", 1)
    a.emit("broadcast", "news", 2)
    for client, wanted in ((b, ["hello", "some", "news"]), (c, ["hello", "news"])):
        equal([client.next()[0] for _ in wanted], wanted)
    a.emit("in-room", "py", "hello", 3)
    equal([client.next() for client in (a, b, c)], [("hello", [3])] * 3)
    equal(len(a.call("fetch", "py")), 3)
    a.emit("ask-room", "py", 5000)
    equal(a.next(), ("answers", [None, ["so"] * 3]))
    c.call("leave", "py")
    a.emit("disconnect-room", "py")
    equal(b.next(), ("disconnect", []))
    equal(c.call("message-with-ack", "still"), "still")
    for client in (a, b, c):
        client.close()


def namespaces_share_a_connection(cell):
    c = cell.joined(others=["/custom"])
    equal(c.call("message-with-ack", 1), 1)
    equal(c.call("message-with-ack", 2, namespace="/custom"), 2)
    c.emit("kick")
    equal(c.next(), ("disconnect", []))
    equal(c.call("message-with-ack", 3, namespace="/custom"), 3)
    c.close()


def refusals(cell):
    for namespace, wanted in (
            ("/nowhere", {"message": "Invalid namespace"}),
            ("/restricted", {"message": "unauthorized", "data": {"code": "E_AUTH"}})):
        c = cell.client(namespace=namespace, wait=False)
        equal(c.next(), ("connect_error", [wanted]))
        c.close()
    cell.joined(namespace="/restricted", auth={"token": "secret"}).close()


def reasons(cell):
    watcher = cell.joined()
    for act, reason in ((lambda c: c.close(), None),
                        (lambda c: c.emit("kick"), "server namespace disconnect"),
                        (lambda c: c.emit("kick-close"), "forced server close")):
        c = cell.joined()
        name = c.sio.get_sid("/")
        equal(watcher.call("watch", name), True)
        act(c)
        left = watcher.next()
        equal(left[1][0], name)
        if reason:
            equal(left[1][1], reason)
            equal(c.next(), ("disconnect", []))
    watcher.close()


def comes_back(cell, port, interrupt, mend=lambda: None):
    """After an interruption the client is there again, as another socket."""
    c = cell.joined(port, reconnection=True, reconnection_delay=0.05,
                    reconnection_delay_max=0.2)
    before = c.sio.get_sid("/")
    interrupt()
    equal(c.next(), ("disconnect", []))
    mend()
    while (event := c.next())[0] == "connect_error":
        pass  # the server is not there yet
    equal(event, ("auth", [{}]))
    assert c.sio.get_sid("/") != before, "the same id"
    equal(c.call("message-with-ack", "back"), "back")
    c.close()


def comes_back_after_a_cut(cell):
    proxy = Proxy(cell.port)
    comes_back(cell, proxy.port, proxy.cut, proxy.mend)
    proxy.stop()


def finds_the_server_again(cell):
    servers = [Server()]

    def restart():
        # Over polling this version takes the end that a server announces for its own.
        if cell.transports == ["polling"]:
            servers[0].kill()
        else:
            servers[0].stop()
        servers[0] = Server(port=servers[0].port)
    comes_back(cell, servers[0].port, restart)
    servers[0].stop()


CASES = (connects, events_and_acks, binary, more_than_a_megabyte, server_asks, burst,
         rooms_and_broadcasts, namespaces_share_a_connection, refusals, reasons,
         comes_back_after_a_cut, finds_the_server_again)


def main():
    passed = failed = 0
    words = sys.argv[1:]
    server = Server("--ping-interval", "1000", "--ping-timeout", "20000",
                    "--max-payload", "4000000")
    for kind in (Plain, Asyncio):
        for transport, transports in TRANSPORTS.items():
            for test in CASES:
                name = f"{kind.__name__} {transport}: {test.__name__}"
                if words and not any(w in name for w in words):
                    continue
                try:
                    test(Cell(kind, transports, server.port))
                    passed += 1
                    print(f"ok {passed + failed} - {name}", flush=True)
                except Exception:  # pylint: disable=broad-except
                    failed += 1
                    print(f"not ok {passed + failed} - {name}")
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
