#!/usr/bin/python3
"""Figures of hubs that act as one, printed: test/bench/cluster.py BUILD-DIR [WORD]...

    cost        CPU of a picture: no Redis, a store, a cluster, and at another hub
    deliveries  a second, through 1, 2 and 3 hubs, and through as many servers of Node
    memory      of a hub, of each NUC that another one has, of each other hub
    notice      time until a dead hub and its agents have left the lists
    faults      latency of deliveries and requests before, while and after Redis fails

Only loopback; CPU is user and system of the servers.  Of three measurements the least
disturbed one counts.  Figures of one run are to be compared with each other and with
nothing else.
"""

import os
import re
import subprocess
import sys
import time

build = os.path.abspath(sys.argv[1])
words = sys.argv[2:]
for name, path in (("NUCHUBD", "nuchubd"), ("NUCHUB_EMIT", "nuchub-emit")):
    os.environ.setdefault(name, os.path.join(build, path))
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from cluster import Cluster, NodeWorker, url_of  # noqa: E402
from nuchub import SocketIO, free_port, get_json, hub, temp_dir, wait_for  # noqa: E402
from redis_faults import Faults, Load, SlowLink, state  # noqa: E402
from redisd import Redis  # noqa: E402

PICTURE = 100000  # characters


def compiled():
    out = os.path.join(temp_dir(), "bench")
    subprocess.run([*os.environ.get("CC", "cc").split(), "-O2", "-std=gnu11", "-D_GNU_SOURCE",
                    "-o", out, *[os.path.join(HERE, f"{s}.c") for s in (
                        "bench", "broadcast", "echo", "get", "peer", "proc", "sessions",
                        "start")]], check=True)
    return out


bench = compiled()


def broadcast(ports, pids, **options):
    """The best figures of the bench's broadcast, three times."""
    runs = [broadcast_once(ports, pids, **options) for _ in range(3)]
    return {k: min(r[k] for r in runs) for k in runs[0]}


def broadcast_once(ports, pids, **options):
    argv = [bench, "broadcast", "--port", ",".join(map(str, ports)),
            "--pid", ",".join(map(str, pids))]
    for key, value in options.items():
        argv += ["--" + key, str(value)]
    out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {k: float(v) for k, v in (w.split("=") for w in out.split())}


def say(text):
    print(text, flush=True)


def rss(p):
    with open(f"/proc/{p.pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def two(n_hubs=2, **more):
    return Cluster("pubsub", n_hubs=n_hubs, others=False, **more).start()


# ---- what a picture costs ----

def cost():
    say(f"cost: one agent, one viewer, {PICTURE} characters a picture, the next when it has "
        "arrived; us of CPU a picture")
    options = {"conns": 1, "count": 1000, "size": PICTURE}

    def line(what, f):
        say(f"  {what:44} {f['us_per_picture']:6.0f} us, {f['latency_p50_us'] / 1000:.2f} ms "
            "to the viewer (median)")
    with hub() as h:
        line("no Redis", broadcast([h.port], [h.pid], **options))
    with Redis() as r, hub(env={"REDIS_URL": r.url()}) as h:
        wait_for(lambda: state(h) == "conectado", "Redis")
        line("store", broadcast([h.port], [h.pid], **options))
    for pictures in ("hubs", "all"):
        c = two(settings=f"cluster_pictures = {pictures}\n")
        a, _ = c.hubs.values()
        line(f"cluster ({pictures}), the viewer at the agent's hub",
             broadcast([a.port], [a.pid], **options))
        c.stop()
    c = two()
    a, b = c.hubs.values()
    both = {**options, "conns": 2}
    ports = [a.port, b.port]
    for what, p in (("agent's hub", a), ("other hub", b)):
        line(f"cluster, a viewer at each hub: the {what}", broadcast(ports, [p.pid], **both))
    c.stop()


# ---- deliveries ----

def deliveries():
    viewers, size = 300, 1000
    say(f"deliveries: `event` of {size} characters from one client to {viewers} viewers spread "
        "over the servers, the next when all have it")
    options = {"conns": viewers, "count": 400, "size": size, "event": "event"}

    def line(what, f):
        rate = f["delivered"] / f["wall_s"]
        say(f"  {what:20} {rate:8.0f} a second, {f['us_per_delivery']:5.2f} us of CPU each, "
            f"{f['latency_p50_us'] / 1000:.2f} ms (median), {f['latency_p99_us'] / 1000:.2f} ms "
            "(99 %)")
        return rate, f["us_per_delivery"]
    ours, theirs = {}, {}
    for n in (1, 2, 3):
        c = two(n)
        hubs = list(c.hubs.values())
        ours[n] = line(f"{n} hub" + "s" * (n > 1),
                       broadcast([h.port for h in hubs], [h.pid for h in hubs], **options))
        nodes = [NodeWorker(url_of(c.redis, "nuchub", "PASSWORD-OF-HUBS"), "pubsub", free_port(),
                            f"node{i}").start() for i in range(n)]
        for h in hubs:
            h.stop()
        wait_for(lambda: c.n_servers() == n, "the servers of Node")
        theirs[n] = line(f"{n} of Node", broadcast([x.port for x in nodes],
                                                   [x.pipe.p.pid for x in nodes], **options))
        for x in nodes:
            x.kill()
        c.stop()
    for n in ours:
        say(f"  hubs to Node, {n}: {ours[n][0] / theirs[n][0]:.1f} times the deliveries, "
            f"1/{theirs[n][1] / ours[n][1]:.1f} of the CPU each")


# ---- memory ----

def memory():
    n = 500
    c = two(1)
    a, = c.hubs.values()
    alone = rss(a)
    b = c.hub("hub2", "").start()
    c.hubs["hub2"] = b
    c.wait_up(2)
    after = rss(a)
    agents = []
    for i in range(n):
        s = SocketIO(b.port, {"nuc_id": f"nuc_{i}"})
        s.emit("nuc_register", {"nuc_id": f"nuc_{i}", "camaras": ["192.0.2.1", "192.0.2.2"]})
        agents.append(s)
    wait_for(lambda: get_json(a.port, "/api/nucs")["total"] == n, "the NUCs")
    with_nucs, there = rss(a), rss(b)
    say(f"memory: a hub {alone} kB, {after - alone} kB more with another one, "
        f"{1024 * (with_nucs - after) / n:.0f} bytes for each of {n} NUCs at the other one "
        f"(which has {1024 * (there - after) / n:.0f} bytes for each, with its connection)")
    for s in agents:
        s.close()
    c.stop()


# ---- a hub that dies ----

def notice():
    times = []
    c = two(3)
    for _ in range(3):
        first, victim, _ = c.hubs.values()
        with SocketIO(victim.port, {"nuc_id": "nuc_x"}):
            c.wait_nucs(["nuc_x"])
            victim.kill()
            begun = time.monotonic()
            wait_for(lambda: get_json(first.port, "/api/nucs")["total"] == 0, "its agent to go")
            times.append(time.monotonic() - begun)
        victim.start()
        c.wait_up(3)
    first, victim, _ = c.hubs.values()
    with SocketIO(victim.port, {"nuc_id": "nuc_x"}):
        c.wait_nucs(["nuc_x"])
        victim.process.terminate()
        begun = time.monotonic()
        wait_for(lambda: get_json(first.port, "/api/nucs")["total"] == 0, "its agent to go")
        said = time.monotonic() - begun
    c.stop()
    say(f"notice: killed, its agents have left the lists of the others after "
        f"{', '.join(f'{t:.1f}' for t in times)} s; stopped, after {said * 1000:.0f} ms")


# ---- Redis fails ----

def spread(values):
    v = sorted(d for _, d, *_ in values)
    if not v:
        return "       -        "
    return f"{1000 * v[len(v) // 2]:5.1f} /{1000 * v[int(len(v) * .99)]:7.1f}  "


def fault_lines():
    c = two(link=SlowLink)
    near, far = c.hubs.values()
    say("faults: 50 pictures of 20 kB a second; ms, median / 99 %")
    say(f"  {'':24}{'':8}picture here    picture there   request here    request there")
    for name, begin, end, says in Faults(c.redis, c.link).all:
        load = Load(near, far)
        load.goes_on(50)
        marks = [time.monotonic()]

        def phase(seconds=2.0):
            time.sleep(seconds)
            marks.append(time.monotonic())
        phase()
        begin()
        marks.append(time.monotonic())
        phase(4)
        end()
        for h in (near, far):
            wait_for(lambda h=h: state(h) == "conectado", "Redis")
        c.wait_up(2)
        marks.append(time.monotonic())
        phase()
        load.end()
        load.is_stored(c.redis)
        for i, when in ((0, "before"), (2, "while"), (4, "after")):
            row = [spread([x for x in out if marks[i] <= x[0] < marks[i + 1]])
                   for out in (load.here, load.there, load.asked_here, load.asked_there)]
            say(f"  {name if i == 0 else '':24}{when:8}" + "".join(row))
        slowest = max(d for out in (load.asked_here, load.asked_there) for _, d, *_ in out)
        say(f"  {'':24}slowest request {slowest * 1000:.0f} ms; back "
            f"{1000 * (marks[4] - marks[3]):.0f} ms after it ended")
    c.stop()


ALL = {"cost": cost, "deliveries": deliveries, "memory": memory, "notice": notice,
       "faults": fault_lines}

for word, function in ALL.items():
    if not words or word in words:
        function()
