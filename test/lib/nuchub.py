"""Helpers of the tests: programs, raw HTTP, WebSocket, Engine.IO and Socket.IO clients.

Nothing here waits for a fixed time: wait_for polls a condition up to a deadline, and
clients read up to one.  Ports are below the range that the kernel gives to clients.
"""

import atexit
import base64
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

TIMEOUT = 40.0  # of anything that is awaited; much more than it takes
TOP = os.environ.get("TOP", os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
FIXTURES = os.path.join(TOP, "test", "fixtures")


# ---- cases ----

_cases = []


def case(name):
    """Decorator: a test with a sentence for its name."""
    def add(function):
        _cases.append((name, function))
        return function
    return add


def check(condition, why="condition is false"):
    if not condition:
        raise AssertionError(why() if callable(why) else why)


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what + ': ' if what else ''}got {short(got)}, "
                             f"wanted {short(wanted)}")


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]}... ({len(text)} characters)"


def run_cases():
    """Runs all cases whose name contains an argument of the command line; exits."""
    words = sys.argv[1:]
    passed = failed = 0
    for name, function in _cases:
        if words and not any(w in name for w in words):
            continue
        try:
            begun = time.monotonic()
            function()
            passed += 1
            seconds = time.monotonic() - begun
            print(f"ok {name}" + (f" ({seconds:.0f} s)" if seconds >= 1 else ""), flush=True)
        except Exception as e:  # one failed case must not hide the others
            failed += 1
            why = " ".join(str(e).split()) or type(e).__name__
            if not isinstance(e, AssertionError):
                why = f"{type(e).__name__}: {why}"
            where = traceback.extract_tb(e.__traceback__)
            lines = [f.lineno for f in where if f.filename.endswith(os.path.basename(sys.argv[0]))]
            print(f"not ok {name}: {why[:600]} (line {lines[-1] if lines else '?'})", flush=True)
            if os.environ.get("VERBOSE"):
                traceback.print_exc()
    for p in _programs:
        try:
            p.stop()
            p.check_sanitizers()
        except AssertionError as e:
            failed += 1
            print(f"not ok {os.path.basename(p.argv[0])} ends in good order: {e}", flush=True)
    stop_all()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def wait_for(condition, what, timeout=TIMEOUT):
    """Returns the first true value of condition()."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s in vain for "
                                 f"{what() if callable(what) else what}")
        time.sleep(0.02)


# ---- programs ----

_programs = []
_folders = []
_given_ports = set()


def free_port(host="127.0.0.1"):
    first, last = map(int, os.environ.get("TEST_PORTS", "20000-31999").split("-"))
    for _ in range(2000):
        port = random.randint(first, last)
        if port in _given_ports:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, port))
            except OSError:
                continue
        _given_ports.add(port)
        return port
    raise AssertionError("no free port")


def temp_dir():
    path = tempfile.mkdtemp(prefix="nuchub-test-")
    _folders.append(path)
    return path


def _environment(extra):
    """Only what a program needs: no setting of the caller's reaches it."""
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "ASAN_OPTIONS",
            "UBSAN_OPTIONS", "LSAN_OPTIONS", "PYTHONPATH")
    env = {k: v for k, v in os.environ.items() if k in keep}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env.update(extra or {})
    return env


class Program:
    """A process with its output in a file.  It is ended by its own id."""

    def __init__(self, argv, env=None, cwd=None):
        self.argv = [str(a) for a in argv]
        self.cwd = cwd or temp_dir()
        self.env = _environment(env)
        self.log_path = os.path.join(temp_dir(), "log")
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.cwd,
                                            env=self.env)
        if self not in _programs:
            _programs.append(self)
        return self

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def wait_log(self, pattern, timeout=TIMEOUT):
        return wait_for(lambda: re.search(pattern, self.log()),
                        f"{pattern!r} in the log of {os.path.basename(self.argv[0])}", timeout)

    def wait_exit(self, timeout=TIMEOUT):
        wait_for(lambda: not self.running(), f"the end of {self.argv[0]}", timeout)
        return self.process.returncode

    def stop(self, sig=signal.SIGTERM):
        """Ends the program; its exit status."""
        if self.process is None:
            return None
        if self.running():
            self.process.send_signal(sig)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                if sig == signal.SIGTERM and not self.argv[0].startswith("/usr/bin/python"):
                    raise AssertionError(f"{self.argv[0]} does not end on SIGTERM")
        return self.process.returncode

    def kill(self):
        return self.stop(signal.SIGKILL)

    def __enter__(self):
        return self if self.running() else self.start()

    def __exit__(self, *exc):
        self.stop()
        self.check_sanitizers()

    def check_sanitizers(self):
        text = self.log()
        if "ERROR: AddressSanitizer" in text or "runtime error:" in text or \
                "ERROR: LeakSanitizer" in text:
            raise AssertionError("sanitizer report: " + text[-2000:])
        status = self.process.returncode if self.process else 0
        ours = os.path.basename(self.argv[0]) in ("nuchubd", "nuchub-agent")
        if ours and status in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS):
            raise AssertionError(f"signal {-status}: " + text[-1000:])


def sanitized(p):
    """True when the program was built with AddressSanitizer: its memory tells nothing."""
    with open(f"/proc/{p.pid}/maps") as f:
        text = f.read()
    with open(p.argv[0], "rb") as f:
        return "libasan" in text or b"__asan_init" in f.read()


def stop_all():
    for p in _programs:
        try:
            p.stop()
        except AssertionError:
            pass
    for f in _folders:
        shutil.rmtree(f, ignore_errors=True)
    _folders.clear()


atexit.register(stop_all)


def listening(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


class Server(Program):
    """A program that is up when it accepts on its port."""

    def __init__(self, argv, port, env=None, cwd=None, host="127.0.0.1"):
        super().__init__(argv, env, cwd)
        self.port = port
        self.host = host

    def start(self):
        super().start()
        wait_for(lambda: not self.running() or listening(self.port, self.host),
                 f"{self.argv[0]} on port {self.port}")
        if not self.running():
            raise AssertionError(f"{self.argv[0]} ended: {self.log()[-1000:]}")
        return self


def program(variable):
    path = os.environ.get(variable)
    if not path:
        raise AssertionError(f"{variable} is not set")
    return os.path.abspath(path)


def hub(*options, env=None, port=None):
    """nuchubd, not started yet."""
    port = port or free_port()
    argv = [program("NUCHUBD"), "--port", port, "--state-dir", temp_dir(), *options]
    return Server(argv, port, env)


def agent(server_url, nuc_id, cameras, env=None, **settings):
    """nuchub-agent, configured as the agents in use are: by the environment."""
    e = {"SERVER_URL": server_url, "NUC_ID": nuc_id, "CAMARAS_IPS": cameras,
         "INTERVALO_SNAPSHOT": "1"}
    e.update(settings)
    e.update(env or {})
    return Program([program("NUCHUB_AGENT")], e)


def python_fixture(name, *options, port=None, env=None, host="127.0.0.1"):
    return Server(["/usr/bin/python3", os.path.join(FIXTURES, name), *options], port, env,
                  host=host)


# ---- HTTP ----

class Reply:
    def __init__(self, status, reason, fields, body):
        self.status, self.reason, self.fields, self.body = status, reason, fields, body

    def all(self, name):
        return [v for k, v in self.fields if k.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def json(self):
        return json.loads(self.body.decode())

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}>"


class Connection:
    """One TCP connection that speaks HTTP as it is told to."""

    def __init__(self, port, host="127.0.0.1", timeout=TIMEOUT, context=None, name=None):
        self.sock = socket.create_connection((host, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=name or host)
        self.rest = b""

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def receive(self):
        data = self.sock.recv(262144)
        self.rest += data
        return bool(data)

    def until(self, mark):
        while mark not in self.rest:
            if not self.receive():
                raise AssertionError(f"connection ended within a head: {self.rest[:200]!r}")
        head, self.rest = self.rest.split(mark, 1)
        return head

    def exactly(self, n):
        while len(self.rest) < n:
            if not self.receive():
                raise AssertionError(f"connection ended {n - len(self.rest)} bytes early")
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def request(self, method, target, fields=(), body=None, host="hub.example.test"):
        head = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        head += [f"{k}: {v}" for k, v in dict(fields).items()]
        if body is not None and "transfer-encoding" not in [k.lower() for k in dict(fields)]:
            head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(head).encode() + b"\r\n\r\n" + (body or b""))

    def reply(self, head_only=False):
        while True:
            lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            match = re.match(r"HTTP/1\.[01] (\d\d\d) ?(.*)", lines[0])
            check(match, f"no status line: {lines[0]!r}")
            status = int(match[1])
            if status != 100:
                break
        fields = [tuple(s.strip() for s in line.split(":", 1)) for line in lines[1:]]
        r = Reply(status, match[2], fields, b"")
        if head_only or status in (101, 204, 304):
            return r
        if (r.get("Transfer-Encoding") or "").lower() == "chunked":
            while True:
                n = int(self.until(b"\r\n").split(b";")[0], 16)
                r.body += self.exactly(n)
                check(self.until(b"\r\n") == b"", "no line end behind a chunk")
                if n == 0:
                    break
        elif r.get("Content-Length") is not None:
            r.body = self.exactly(int(r.get("Content-Length")))
        else:
            while self.receive():
                pass
            r.body, self.rest = self.rest, b""
        return r

    def closed(self):
        """True when the peer ends the connection (and sends nothing more)."""
        try:
            return not self.receive()
        except ConnectionResetError:
            return True

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def http(port, method, target, fields=(), body=None):
    """One request on a connection of its own."""
    with Connection(port) as c:
        c.request(method, target, fields, body)
        return c.reply(head_only=method == "HEAD")


def get_json(port, target):
    r = http(port, "GET", target)
    check(r.get("Content-Type") == "application/json", f"{target}: {r}")
    return r.json()


# ---- WebSocket ----

class Closed(Exception):
    """The peer closed: code (None without one) and reason."""

    def __init__(self, code, reason=b""):
        super().__init__(f"closed with {code} {reason!r}")
        self.code, self.reason = code, reason


def frame(payload, opcode=1, fin=True, masked=True, rsv=0, length=None):
    """A client's frame; length overrides the announced one."""
    n = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if n < 126:
        head = struct.pack("!BB", first, bit | n)
    elif n < 65536:
        head = struct.pack("!BBH", first, bit | 126, n)
    else:
        head = struct.pack("!BBQ", first, bit | 127, n)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    if payload:
        size = len(payload)
        whole = (mask * (size // 4 + 1))[:size]
        payload = (int.from_bytes(payload, "big") ^
                   int.from_bytes(whole, "big")).to_bytes(size, "big")
    return head + mask + payload


class WebSocket:
    """Speaks raw Engine.IO over WebSocket."""

    def __init__(self, port, query="EIO=4&transport=websocket", fields=(), context=None,
                 name=None, path="/socket.io/"):
        self.c = Connection(port, context=context, name=name)
        key = base64.b64encode(os.urandom(16)).decode()
        self.c.request("GET", f"{path}?{query}", {
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13", **dict(fields)})
        self.reply = self.c.reply()
        if self.reply.status != 101:
            self.c.close()
            raise AssertionError(f"no upgrade: {self.reply}")

    def send(self, text, **kw):
        self.c.send(frame(text.encode() if isinstance(text, str) else text, **kw))

    def send_binary(self, data):
        self.c.send(frame(data, opcode=2))

    def read_frame(self):
        try:
            head = self.c.exactly(2)
            n = head[1] & 0x7f
            check(not head[1] & 0x80, "a server's frame is masked")
            check(not head[0] & 0x70, "RSV bits without an extension")
            if n == 126:
                n = struct.unpack("!H", self.c.exactly(2))[0]
                check(n > 125, "length not in its shortest form")
            elif n == 127:
                n = struct.unpack("!Q", self.c.exactly(8))[0]
                check(n > 65535, "length not in its shortest form")
            return head[0] & 0x0f, bool(head[0] & 0x80), self.c.exactly(n)
        except (AssertionError, ConnectionResetError) as e:
            if isinstance(e, ConnectionResetError) or "ended" in str(e):
                raise Closed(None) from e
            raise

    def receive(self):
        """The next message: str or bytes.  Raises Closed."""
        parts, kind = [], None
        while True:
            opcode, fin, data = self.read_frame()
            if opcode == 8:
                raise Closed(struct.unpack("!H", data[:2])[0] if data else None, data[2:])
            if opcode in (9, 10):
                continue
            kind = opcode if opcode else kind
            parts.append(data)
            if fin:
                data = b"".join(parts)
                return data.decode() if kind == 1 else data

    def close(self):
        self.c.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def events_of(texts):
    """(name, arguments) of each event among packets' texts."""
    out = []
    for t in texts:
        if isinstance(t, str) and t.startswith("42"):
            args = json.loads(t[2:])
            out.append((args[0], args[1:]))
    return out


class SocketIO:
    """A Socket.IO client on raw WebSocket: everything that arrives stays in order."""

    def __init__(self, port, auth=None, query="", raw_connect=None, **kw):
        self.ws = WebSocket(port, "EIO=4&transport=websocket" + query, **kw)
        self.open = self.ws.receive()
        check(self.open[:1] == "0", f"open packet: {self.open!r}")
        self.log = []
        self.n_fences = 0
        self.ws.send(raw_connect if raw_connect is not None else
                     "40" if auth is None else "40" + json.dumps(auth))
        # Until both came: the CONNECT reply and the event (in either order).
        self.greeting = []
        if raw_connect is None:
            while len(self.greeting) < 2:
                self.greeting.append(self.receive())

    def receive(self):
        while True:
            text = self.ws.receive()
            if text == "2":
                self.ws.send("3")
                continue
            return text

    def send(self, text):
        self.ws.send(text)

    def emit(self, event, *args, ack=""):
        self.ws.send(f"42{ack}" + json.dumps([event, *args], separators=(",", ":"),
                                             ensure_ascii=False))

    def until(self, wanted):
        """All packets up to and with the first that wanted() accepts."""
        got = []
        while True:
            got.append(self.receive())
            if wanted(got[-1]):
                return got

    def event(self, name):
        """Arguments of the next event of that name; others are passed over."""
        got = self.until(lambda t: isinstance(t, str) and t.startswith(f'42["{name}"'))
        return json.loads(got[-1][2:])[1:]

    def answer(self, *texts):
        """Sends texts; all that came back before the answer to a probe behind them."""
        self.n_fences += 1
        for t in texts:
            self.ws.send(t)
        ident = 777000 + self.n_fences
        self.ws.send(f'42{ident}["pong",{{}}]')
        got = self.until(lambda t: t == f"43{ident}[]")
        return got[:-1]

    def close(self):
        self.ws.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def fence(sender, *receivers):
    """What each receiver got before an event that sender broadcasts now."""
    mark = f"fence-{random.getrandbits(48):x}"
    echo = f'42["event_update","{mark}"]'
    sender.emit("event", mark)
    got = [r.until(lambda t: t == echo)[:-1] for r in receivers]
    if sender not in receivers:  # it is told as well
        sender.until(lambda t: t == echo)
    return got


# ---- Engine.IO polling ----

class Polling:
    def __init__(self, port, query="", open_now=True, path="/socket.io/"):
        self.port, self.path = port, path
        self.sid = None
        if open_now:
            r = http(port, "GET", f"{path}?EIO=4&transport=polling{query}")
            check(r.status == 200, f"open: {r}")
            text = r.body.decode()
            check(text[:1] == "0" and "\x1e" not in text, f"open packet: {text!r}")
            self.handshake = json.loads(text[1:])
            self.sid = self.handshake["sid"]

    def target(self):
        return f"{self.path}?EIO=4&transport=polling&sid={self.sid}"

    def get(self):
        return http(self.port, "GET", self.target())

    def post(self, body, fields=()):
        body = body if isinstance(body, bytes) else body.encode()
        return http(self.port, "POST", self.target(),
                    {"Content-Type": "text/plain;charset=UTF-8", **dict(fields)}, body)

    def packets(self):
        """Packets of one poll; pings are answered and left out."""
        r = self.get()
        check(r.status == 200, f"poll: {r}")
        out = [p for p in r.body.decode().split("\x1e") if p]
        check(len(out) <= 16, f"{len(out)} packets in one reply")
        if "2" in out:
            self.post("3")
        return [p for p in out if p != "2"]

    def until(self, wanted):
        got = []
        while not any(wanted(p) for p in got):
            got += self.packets()
        return got

    def connect(self, auth=None):
        self.post("40" if auth is None else "40" + json.dumps(auth))
        return self.until(lambda p: p.startswith('42["connected"'))


def waiting_poll(p):
    """A GET that is under way: its connection; read its reply later."""
    c = Connection(p.port)
    c.request("GET", p.target())
    return c


# ---- pictures ----


def jpeg_text(n=None, seed=0):
    """Base64 text that begins like a JPEG, n characters (a multiple of 4)."""
    n = n or 400
    check(n % 4 == 0)
    r = random.Random(seed)
    raw = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + r.randbytes(n // 4 * 3 - 14) + b"\xff\xd9"
    return base64.b64encode(raw[:n // 4 * 3]).decode()


def snapshot(ip="192.0.2.65", image=None, nuc_id="nuc_a", **more):
    s = {"nuc_id": nuc_id, "ip": ip, "image": image or jpeg_text(),
         "timestamp": "2026-01-02T03:04:05.678901", "estado": "activa"}
    s.update(more)
    return {k: v for k, v in s.items() if v is not KeyError}


# ---- certificates ----

def make_ca(folder, name="ca"):
    """A certification authority of the test's own: (certificate, key) files."""
    cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                    "-subj", f"/CN={name}", "-days", "2",
                    "-addext", "basicConstraints=critical,CA:TRUE",
                    "-addext", "keyUsage=critical,keyCertSign"],
                   check=True, stderr=subprocess.DEVNULL)
    return cert, key


def make_certificate(folder, ca, names, name="server", usage="serverAuth"):
    """A server's certificate and key files, signed by ca, for subjectAltName names."""
    cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    request, extensions = os.path.join(folder, name + ".csr"), os.path.join(folder, name + ".ext")
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}"],
                   check=True, stderr=subprocess.DEVNULL)
    with open(extensions, "w") as f:
        f.write(f"subjectAltName={names}\nextendedKeyUsage={usage}\n")
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1],
                    "-CAcreateserial", "-days", "2", "-out", cert, "-extfile", extensions],
                   check=True, stderr=subprocess.DEVNULL)
    return cert, key
