"""Our client as a program that is told what to do, and a proxy for it to go through."""

import base64
import json
import os
import select
import signal
import socket
import subprocess
import threading

from nuchub import TIMEOUT, Program, program, temp_dir, wait_for


class Client(Program):
    """test/peer/client_script; `client.say("emit / [...]")`, `client.next("event")`."""

    def __init__(self, url, connect=True, env=None, **options):
        argv = [program("CLIENT_SCRIPT"), url]
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-"), value]
        super().__init__(argv, env)
        self.out_path = os.path.join(temp_dir(), "out")
        self.at = 0
        self.start()
        if connect:
            self.say("connect")

    def start(self):
        with open(self.log_path, "ab") as log, open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=out,
                                            stderr=log, cwd=self.cwd, env=self.env)
        from nuchub import _programs
        if self not in _programs:
            _programs.append(self)
        return self

    def say(self, line):
        self.process.stdin.write((line + "\n").encode())
        self.process.stdin.flush()

    def lines(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as f:
            text = f.read()
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def next(self, *kinds, timeout=TIMEOUT):
        """The next line of one of the kinds; what comes before it is skipped."""
        def look():
            lines = self.lines()
            for i in range(self.at, len(lines)):
                if lines[i][0] in kinds:
                    self.at = i + 1
                    return lines[i]
            return None if self.running() else ["end", self.log()[-500:]]
        got = wait_for(look, f"{' or '.join(kinds)} (so far {self.lines()[-5:]})", timeout)
        if got[0] == "end" and "end" not in kinds:
            raise AssertionError(f"the client ended: {got[1]}")
        return got

    def all(self, kind):
        return [line for line in self.lines() if line[0] == kind]

    def stop(self, sig=signal.SIGTERM):
        """By its own command, so that a leak would be seen."""
        if self.running():
            try:
                self.say("quit")
                self.process.wait(15)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Listener:
    """Accepts on a port of its own; each connection goes to handle in a thread."""

    def __init__(self, handle, context=None, port=0):
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.handle = handle
        self.context = context
        self.n_visits = 0
        self.open = []
        self.ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.ended:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            self.n_visits += 1
            self.open.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        conn.settimeout(TIMEOUT)
        try:
            if self.context:
                conn = self.context.wrap_socket(conn, server_side=True)
            self.handle(conn)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.ended = True
        # shutdown wakes the thread that accepts; close alone does not.
        for s in (self.socket, *self.open):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


def read_head(conn):
    """The bytes of an HTTP head, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = conn.recv(65536)
        if not more:
            raise EOFError
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


class Proxy(Listener):
    """CONNECT to `to` (host, port), whatever name is asked for; login "user:password"."""

    def __init__(self, to, login=None, says=None, port=0):
        self.to = to
        self.login = login
        self.says = says  # function(conn): instead of connecting
        self.asked = []   # heads of all requests
        self.n_bytes = 0  # that went through, both ways
        self.gate = threading.Event()  # cleared: nobody gets through
        self.gate.set()
        super().__init__(self._tunnel, port=port)

    def _tunnel(self, conn):
        head, rest = read_head(conn)
        self.asked.append(head.decode("latin-1"))
        if self.says:
            self.says(conn)
            return
        want = self.login and b"Proxy-Authorization: Basic " + base64.b64encode(
            self.login.encode())
        if not head.startswith(b"CONNECT ") or (want and want not in head.split(b"\r\n")):
            conn.sendall(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
                         b"Content-Length: 0\r\n\r\n")
            return
        self.gate.wait(TIMEOUT)
        with socket.create_connection(self.to) as far:
            self.open.append(far)
            conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if rest:
                far.sendall(rest)
            self._pump(conn, far)

    def cut(self):
        """Ends what goes through, and lets nobody through until gate.set()."""
        self.gate.clear()
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _pump(self, a, b):
        other = {a: b, b: a}
        while True:
            for s in select.select([a, b], [], [])[0]:
                data = s.recv(65536)
                if not data:
                    return
                self.n_bytes += len(data)
                other[s].sendall(data)
