"""A python-socketio client that keeps what it hears, in order, and answers what it is
asked.  All are on one loop, in a thread of their own.  (The plain client, not AsyncClient,
has a thread for each event, and so no order.)
"""

import asyncio
import threading

import socketio

from nuchub import TIMEOUT, wait_for

_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, daemon=True).start()


def _run(work):
    return asyncio.run_coroutine_threadsafe(work, _loop).result(TIMEOUT)


class Listener:
    def __init__(self, port, nsp="/", rooms=(), answer=None):
        self.nsp = nsp
        self.answer = answer
        self.heard = []  # [event, args...]; only grows
        self.gone = False
        _run(self.connect(f"http://127.0.0.1:{port}"))
        self.id = self.sio.get_sid(nsp)
        for room in rooms:
            self.call("join", room)

    async def connect(self, url):
        self.sio = socketio.AsyncClient(reconnection=False)
        self.sio.on("*", self.on_any, namespace=self.nsp)
        self.sio.on("disconnect", self.on_disconnect, namespace=self.nsp)
        await self.sio.connect(url, namespaces=[self.nsp], transports=["websocket"],
                               wait_timeout=TIMEOUT)

    async def on_any(self, event, *args):
        self.heard.append([event, *args])
        return self.answer

    async def on_disconnect(self):
        self.gone = True

    def call(self, *args):
        return _run(self.sio.call(args[0], args[1:], namespace=self.nsp, timeout=TIMEOUT))

    def all(self, event):
        return [h[1:] for h in list(self.heard) if h[0] == event]

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
        _run(self.sio.disconnect())
