#!/usr/bin/python3
"""The benchmark program: it compiles without a warning and counts right."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (Server, TOP, case, check, equal, free_port, hub, run_cases,  # noqa: E402
                    temp_dir)

BENCH = os.path.join(TOP, "test", "bench")
folder = temp_dir()


def compiled(name, *sources):
    out = os.path.join(folder, name)
    if not os.path.exists(out):
        subprocess.run([*os.environ.get("CC", "cc").split(), "-O1", "-std=gnu11", "-D_GNU_SOURCE",
                        "-Wall", "-Wextra", "-Werror", "-o", out,
                        *[os.path.join(BENCH, s + ".c") for s in sources]], check=True)
    return out


def bench(server, command, *options):
    out = subprocess.run([compiled("bench", "bench", "broadcast", "echo", "get", "peer", "proc",
                                   "sessions", "start"),
                          command, "--port", str(server.port), "--pid", str(server.pid),
                          *[str(o) for o in options]], stdout=subprocess.PIPE, text=True)
    equal(out.returncode, 0, command)
    return {k: float(v) for k, v in (w.split("=") for w in out.stdout.split())}


def every_command(server, event):
    f = bench(server, "broadcast", "--conns", 4, "--count", 10, "--size", 20000)
    equal((f["pictures"], f["delivered"], f["closed"]), (10, 40, 0))
    check(40 * 20000 <= f["gb"] * 1e9 + 1e6 and f["cpu_s_per_gb"] > 0, f)
    f = bench(server, "echo", "--conns", 5, "--count", 500, "--event", event)
    check(f["messages"] >= 500 and f["cpu_us_per_message"] > 0, f)
    f = bench(server, "connect", "--conns", 5, "--count", 50)
    check(f["connections"] == 50 and f["cpu_us_per_connection"] > 0, f)
    f = bench(server, "idle", "--conns", 50)
    equal(f["sessions"], 50)
    f = bench(server, "get", "--conns", 5, "--count", 500)
    check(f["requests"] >= 500 and f["cpu_us_per_request"] > 0, f)


@case("every benchmark runs against the hub")
def _():
    with hub() as h:
        every_command(h, "pong")
        f = bench(h, "broadcast", "--conns", 2, "--slow", 2, "--count", 10, "--rate", 100)
        equal(f["pictures"], 10)


@case("every benchmark runs against the floor")
def _():
    port = free_port()
    with Server([compiled("limit", "limit"), str(port)], port) as s:
        every_command(s, "x")


run_cases()
