"""Pictures with the time in them: drawn by cameras of the tests, read by their viewers.

The time is that of CLOCK_MONOTONIC in ms, which is the same for all processes of a
machine; black and white blocks in the bottom rows hold its low bits, highest first, and
the number of those that are set, which tells damage.
"""

import threading
import time

BITS = 24
CHECK_BITS = 5
BLOCKS = BITS + CHECK_BITS + 3  # white, black, white in front
WRAP = 1 << BITS
BLACK, WHITE = 30, 220


def now_ms():
    return time.monotonic_ns() // 1000000


def _blocks(stamp):
    bits = f"101{stamp:0{BITS}b}{stamp.bit_count():0{CHECK_BITS}b}"
    return [WHITE if b == "1" else BLACK for b in bits]


def _rows(height):
    return max(8, height // 18)


def draw(width, height, n):
    """Picture n of a camera, of this moment: I420 as bytes."""
    stamp = now_ms() % WRAP
    row = bytearray(width)
    for i, level in enumerate(_blocks(stamp)):
        a, b = i * width // BLOCKS, (i + 1) * width // BLOCKS
        row[a:b] = bytes([level]) * (b - a)
    bottom = _rows(height)
    middle = height // 3
    light = bytes([60 + n * 37 % 120]) * (width * middle)
    # Something for the encoder: bars that move.
    bars = bytes((70 + (x + n * 8) % 64 * 2) for x in range(width)) * (height - middle - bottom)
    chroma = (width + 1) // 2 * ((height + 1) // 2)
    colour = bytes([90 + n * 53 % 70]) * chroma + bytes([90 + n * 29 % 70]) * chroma
    return light + bars + bytes(row) * bottom + colour


def size_of(jpeg):
    """Width and height in the frame header."""
    i = 2
    while jpeg[i + 1] not in (0xc0, 0xc1, 0xc2):
        i += 2 + int.from_bytes(jpeg[i + 2:i + 4], "big")
    return (int.from_bytes(jpeg[i + 7:i + 9], "big"), int.from_bytes(jpeg[i + 5:i + 7], "big"))


class Decoder:
    """JPEGs to grey levels."""

    def __init__(self):
        import gi
        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        from gi.repository import Gst, GstApp  # noqa: F401
        Gst.init(None)
        self.gst = Gst
        self.lock = threading.Lock()
        self.pipeline = Gst.parse_launch(
            "appsrc name=in caps=image/jpeg,framerate=1/1 ! jpegdec ! videoconvert ! "
            "video/x-raw,format=GRAY8 ! appsink name=out sync=false")
        self.source = self.pipeline.get_by_name("in")
        self.sink = self.pipeline.get_by_name("out")
        self.pipeline.set_state(Gst.State.PLAYING)

    def grey(self, jpeg):
        """(width, height, levels, bytes of a row)"""
        with self.lock:
            self.source.emit("push-buffer", self.gst.Buffer.new_wrapped(bytes(jpeg)))
            sample = self.sink.emit("try-pull-sample", 20 * self.gst.SECOND)
        if not sample:
            raise AssertionError("a JPEG that cannot be decoded")
        width, height = size_of(jpeg)
        buffer = sample.get_buffer()
        return width, height, buffer.extract_dup(0, buffer.get_size()), (width + 3) // 4 * 4

    def stamp(self, jpeg):
        """The time in the picture, or None: it has none (the hub's own pictures)."""
        width, height, levels, stride = self.grey(jpeg)
        y = height - max(2, _rows(height) // 2)
        at = [y * stride + (2 * i + 1) * width // (2 * BLOCKS) for i in range(BLOCKS)]
        bits = "".join("1" if levels[i] > (BLACK + WHITE) / 2 else "0" for i in at)
        stamp = int(bits[3:3 + BITS], 2)
        good = bits[:3] == "101" and stamp.bit_count() == int(bits[3 + BITS:], 2)
        return stamp if good else None

    def age_ms(self, jpeg, at_ms=None):
        """How old the picture is (or was at at_ms), or None."""
        stamp = self.stamp(jpeg)
        return None if stamp is None else ((at_ms or now_ms()) - stamp) % WRAP
