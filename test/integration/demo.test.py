#!/usr/bin/python3
"""The demo command: shows a picture, and leaves nothing behind when it is stopped."""
# TEST_TIMEOUT: 400

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request

TOP = os.environ["TOP"]


def default_signals():
    """What a terminal's programs start with, whatever this one was started with."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(tmp):
    env = dict(os.environ, PORT="0", TMPDIR=tmp)
    return subprocess.Popen([os.path.join(TOP, "demo")], env=env, cwd="/", text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            start_new_session=True, preexec_fn=default_signals)


def read_address(demo):
    for line in demo.stdout:
        sys.stdout.write(line)
        match = re.search(r"http://localhost:(\d+)/", line)
        if match:
            return int(match.group(1))
    raise SystemExit("the demo ended without an address")


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
        return reply.headers["Content-Type"], reply.read()


def main():
    with tempfile.TemporaryDirectory() as tmp:
        demo = start(tmp)
        try:
            port = read_address(demo)
            kind, picture = get(port, "/api/camaras/demo/snapshot.jpg")
            assert kind == "image/jpeg" and picture[:2] == b"\xff\xd8", kind
            kind, page = get(port, "/")
            assert kind.startswith("text/html") and b"<html" in page.lower(), kind
            os.killpg(demo.pid, signal.SIGINT)  # as the terminal does for Ctrl-C
            assert demo.wait(timeout=20) == 0, demo.returncode
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGKILL)
        assert os.listdir(tmp) == [], os.listdir(tmp)
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0, "the hub still listens"
    print("1 passed, 0 failed")


main()
