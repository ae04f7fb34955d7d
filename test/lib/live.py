"""Viewers of live view: what an <img> does, on raw HTTP."""

import re
import threading
import time

from nuchub import Connection, check, wait_for
from pictures import now_ms

PART = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"


class Stream:
    """A viewer's <img>: the pictures that a browser would have shown."""

    def __init__(self, port, ip, cookie=None, agent="Test/1", query="?t=1", host="127.0.0.1",
                 **fields):
        self.c = Connection(port, host=host)
        fields = {"User-Agent": agent, "Referer": "https://app.example/", **fields}
        if cookie:
            fields["Cookie"] = f"a=b; visor={cookie}"
        self.c.request("GET", f"/api/camaras/{ip}/stream{query}", fields)
        self.head = self.c.until(b"\r\n\r\n").decode()
        check(" 200 " in self.head, self.head)
        self.data = b""
        self.ended = False

    def field(self, name):
        m = re.search(rf"(?im)^{name}: (.*?)\r?$", self.head)
        return m and m[1]

    def cookie(self):
        return re.match(r"visor=([^;]+)", self.field("Set-Cookie"))[1]

    def pump(self):
        """Reads one chunk; False at the end.  A last chunk (a proper end) is an error."""
        try:
            size = int(self.c.until(b"\r\n"), 16)
            check(size > 0, "the stream was ended properly")
            self.data += self.c.exactly(size)
            self.c.until(b"\r\n")
            return True
        except (AssertionError, OSError) as e:
            if "properly" in str(e) or isinstance(e, TimeoutError):
                raise
            self.ended = True
            return False

    def next(self):
        """The next picture, as soon as the part behind it has begun."""
        while True:
            parts = self.data.split(PART)
            if len(parts) >= 3:
                self.data = PART + PART.join(parts[2:])
                return parts[1].removesuffix(b"\r\n")
            if not self.pump():
                raise AssertionError("the stream ended")

    def until(self, wanted):
        while True:
            p = self.next()
            if wanted(p):
                return p

    def wait_cut(self):
        while self.pump():
            pass

    def close(self):
        self.c.close()


class Watcher:
    """Somebody who looks: a thread that reads all pictures.  With a decoder it also knows
    how old each was when it had come."""

    def __init__(self, port, ip, decoder=None, **kw):
        self.stream = Stream(port, ip, **kw)
        self.decoder = decoder
        self.pictures = 0
        self.moving = 0  # pictures of the camera
        self.newest = None
        self.still = None  # the hub's own picture, if that is shown now
        self.stills = 0  # such pictures, or damaged ones
        self.stamp = None
        self.ages = []
        self.failed = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while True:
                p = self.stream.next()
                at = now_ms()
                stamp = self.decoder.stamp(p) if self.decoder else None
                if stamp is not None:
                    if stamp != self.stamp:
                        self.moving += 1
                        self.ages.append((at - stamp) % (1 << 24))
                    self.stamp = stamp
                self.still = p if stamp is None else None
                self.stills += stamp is None
                self.newest = p
                self.pictures += 1
        except (AssertionError, OSError, ValueError) as e:
            self.failed = e

    def wait_moving(self, n=3, what="moving pictures", **kw):
        """Until n further pictures of the camera have come."""
        wanted = self.moving + n

        def enough():
            if self.moving < wanted and self.failed:
                raise AssertionError(f"{what}: {self.failed}")
            return self.moving >= wanted
        wait_for(enough, what, **kw)

    def rate(self, seconds):
        """Pictures of the camera in a second, over so many."""
        begun, n = time.monotonic(), self.moving
        time.sleep(seconds)
        return (self.moving - n) / (time.monotonic() - begun)

    def close(self):
        self.stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
