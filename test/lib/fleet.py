"""Clients of every kind, as objects that know what they heard: those of JavaScript and
Python are in two processes (test/fixtures/clients.mjs and clients.py), each of ours is
one (client_script).

To the two processes, one JSON object a line; bytes are {"hex": "..."}:
    {"do": "open", "id", "kind", "url", "nsp", "transports", "source", "cookies", "auth"}
    {"do": "emit", "id", "name", "args", "ack"}      ack: a number, or not there
    {"do": "ask", "id", "name", "args", "n"}         n calls with acks, one after another
    {"do": "close", "id"}
and back:
    {"id", "what": "connect", "sid", "socket", "transport"}, "upgrade", "disconnect",
    "refused", {"what": "event", "name", "args"}, {"what": "ack", "ack", "args"}, "asked"
"""

import atexit
import itertools
import json
import os
import subprocess
import threading

from nuchub import FIXTURES, TIMEOUT, check, program, temp_dir, wait_for

KINDS = ("js4", "js3", "js2", "py", "aio", "c")
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"],
              "upgrade": ["polling", "websocket"]}


class Pipe:
    """A process that is told lines, with a thread that reads its own; ended by its id."""

    def __init__(self, argv, on_line, env=None):
        self.log_path = os.path.join(temp_dir(), "log")
        self.on_line = on_line
        self.lock = threading.Lock()
        with open(self.log_path, "w") as log:
            self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=log, text=True, env=env)
        atexit.register(self.stop)
        threading.Thread(target=self.read, daemon=True).start()

    def log(self):
        with open(self.log_path) as f:
            return f.read()[-2000:]

    def read(self):
        for line in self.p.stdout:
            self.on_line(json.loads(line))

    def write(self, line):
        with self.lock:
            self.p.stdin.write(line + "\n")
            self.p.stdin.flush()

    def stop(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()


class Process(Pipe):
    """One of the two."""

    def __init__(self, argv):
        self.clients = {}
        self.ready = threading.Event()
        super().__init__(argv, self.said)
        check(self.ready.wait(TIMEOUT), lambda: f"{argv}: {self.log()}")

    def said(self, what):
        if what["what"] == "ready":
            self.ready.set()
        elif what["id"] in self.clients:
            self.clients[what["id"]].take(what)

    def tell(self, **what):
        self.write(json.dumps(what))


class Client:
    """What one client did and heard; all lists only grow."""

    def __init__(self, fleet, process, client_id, kind, transport):
        self.fleet, self.process, self.id = fleet, process, client_id
        self.kind, self.transport = kind, transport
        self.connected = False
        self.sid = self.socket = self.now = None  # now: the transport that is used
        self.sids = []
        self.reasons = []
        self.refusals = []
        self.events = []  # (name, [args])
        self.acks = {}
        self.n_asked = 0
        self.hello = None  # [name, args...] to be sent at each connection
        self.numbers = itertools.count()

    def __repr__(self):
        return f"<{self.id} {self.transport} {self.sid} {self.reasons[-2:]}>"

    def take(self, said):
        what = said["what"]
        if what == "event":
            self.events.append((said["name"], said["args"]))
        elif what == "ack":
            self.acks[said["ack"]] = said["args"]
        elif what == "asked":
            self.n_asked += said["n"]
        elif what == "connect":
            self.sid, self.socket, self.now = said["sid"], said["socket"], said["transport"]
            self.sids.append(self.sid)
            self.connected = True
            if self.hello:
                self.emit(*self.hello)
        elif what == "upgrade":
            self.now = said["transport"]
        elif what == "disconnect":
            self.connected = False
            self.reasons.append(said["reason"])
        elif what == "refused":
            self.refusals.append(said["message"])

    def emit(self, name, *args):
        self.process.tell(do="emit", id=self.id, name=name, args=args)

    def begin(self, name, *args):
        """Emits with an ack; its number, for answer()."""
        n = next(self.numbers)
        self.process.tell(do="emit", id=self.id, name=name, args=args, ack=n)
        return n

    def answer(self, n, timeout=TIMEOUT):
        return wait_for(lambda: self.acks.get(n, False) is not False and [self.acks[n]],
                        lambda: f"an ack at {self}", timeout)[0]

    def call(self, name, *args):
        return self.answer(self.begin(name, *args))

    def ask(self, name, *args, n):
        """n calls, one after another; n_asked counts those that were answered."""
        self.process.tell(do="ask", id=self.id, name=name, args=args, n=n)

    def heard(self, name):
        return [args for n, args in list(self.events) if n == name]

    def close(self):
        self.fleet.clients.remove(self)
        self.process.tell(do="close", id=self.id)


class OurClient(Client):
    """client_script; it tells no sid and no upgrade, and answers with the arguments."""

    def __init__(self, fleet, client_id, url, transport, hello, auth=None, nsp="/"):
        super().__init__(fleet, None, client_id, "c", transport)
        self.hello = hello
        self.nsp = nsp
        self.order = []  # acks that are awaited; None: one of ask()
        argv = [program("CLIENT_SCRIPT"), url, "--transport", transport, "--delay", "50",
                "--delay-max", "300"]
        self.pipe = Pipe(argv + (["--auth", json.dumps(auth)] if auth else []), self.said)
        if nsp != "/":
            self.pipe.write(f"add {nsp}")
        self.pipe.write("connect")

    def said(self, line):
        what, *more = line
        if what == "connect" and more[0] == self.nsp:
            self.take({"what": what, "sid": None, "socket": more[1], "transport": more[3]})
        elif what == "disconnect" and more[0] == self.nsp:
            self.take({"what": what, "reason": more[1]})
        elif what == "event" and more[0] == self.nsp:
            self.take({"what": what, "name": more[1], "args": more[2]})
        elif what == "ack":
            n = self.order.pop(0)
            if n is None:
                self.n_asked += len(more) > 1
            else:
                self.acks[n] = more[1] if len(more) > 1 else more[0]

    def emit(self, name, *args):
        self.pipe.write(f"emit {self.nsp} {json.dumps([name, *args])}")

    def begin(self, name, *args, n=0):
        n = next(self.numbers) if n == 0 else n
        self.order.append(n)
        self.pipe.write(f"ack {self.nsp} {int(TIMEOUT * 1000)} {json.dumps([name, *args])}")
        return n

    def ask(self, name, *args, n):
        for i in range(n):  # all at once
            self.begin(name, *args, i, n=None)

    def close(self):
        self.fleet.clients.remove(self)
        self.pipe.stop()


class Fleet:
    """All clients."""

    def __init__(self):
        self.processes = {}
        self.clients = []
        self.numbers = itertools.count(1)

    def process(self, kind):
        name = "clients.mjs" if kind.startswith("js") else "clients.py"
        if name not in self.processes:
            program = "node" if kind.startswith("js") else "/usr/bin/python3"
            self.processes[name] = Process([program, os.path.join(FIXTURES, name)])
        return self.processes[name]

    def open(self, kind, url, transport="upgrade", hello=None, **more):
        """Begins to connect; see wait()."""
        if kind == "c":
            more = {k: more[k] for k in more if k in ("auth", "nsp")}
            c = OurClient(self, f"c-{next(self.numbers)}", url, transport, hello, **more)
            self.clients.append(c)
            return c
        process = self.process(kind)
        c = Client(self, process, f"{kind}-{next(self.numbers)}", kind, transport)
        c.hello = hello
        process.clients[c.id] = c
        self.clients.append(c)
        process.tell(do="open", id=c.id, kind=kind, url=url, transports=TRANSPORTS[transport],
                     **more)
        return c

    def wait(self, clients=None, timeout=TIMEOUT):
        """Until all are connected, and upgraded where that is wanted."""
        def missing():
            return [c for c in clients or self.clients
                    if not c.connected or (c.transport == "upgrade" and
                                           c.now != "websocket" and c.kind != "c")]
        wait_for(lambda: not missing(), lambda: f"connections: {missing()}", timeout)

    def close(self):
        for c in list(self.clients):
            c.close()

    def stop(self):
        for p in self.processes.values():
            p.stop()
