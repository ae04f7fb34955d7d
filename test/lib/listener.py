"""A python-socketio client that keeps what it hears, and answers what it is asked."""

import threading

import socketio

from nuchub import TIMEOUT, wait_for


class Listener:
    def __init__(self, port, nsp="/", rooms=(), answer=None):
        self.nsp = nsp
        self.heard = []  # [event, args...]
        self.lock = threading.Lock()
        self.sio = socketio.Client(reconnection=False)
        self.gone = False

        def on_any(event, *args):
            with self.lock:
                self.heard.append([event, *args])
            return answer

        def on_disconnect():
            self.gone = True
        self.sio.on("*", on_any, namespace=nsp)
        self.sio.on("disconnect", on_disconnect, namespace=nsp)
        self.sio.connect(f"http://127.0.0.1:{port}", namespaces=[nsp],
                         transports=["websocket"], wait_timeout=TIMEOUT)
        self.id = self.sio.get_sid(nsp)
        for room in rooms:
            self.call("join", room)

    def call(self, *args):
        return self.sio.call(args[0], args[1:], namespace=self.nsp, timeout=TIMEOUT)

    def all(self, event):
        with self.lock:
            return [h[1:] for h in self.heard if h[0] == event]

    def wait(self, event, n=1):
        """The arguments of the n-th one."""
        wait_for(lambda: len(self.all(event)) >= n,
                 lambda: f"{n} {event} (so far {self.heard[-5:]})")
        return self.all(event)[n - 1]

    def wait_gone(self):
        wait_for(lambda: self.gone, "the client to be disconnected")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sio.disconnect()
