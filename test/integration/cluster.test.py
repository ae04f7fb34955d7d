#!/usr/bin/python3
"""Three hubs, a server of Node, a Flask process, two emitters, Redis, nginx in front:
clients of every kind are spread over them, and each of these is killed once."""
# TEST_TIMEOUT: 300

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import balancer  # noqa: E402
from cluster import Cluster  # noqa: E402
from fleet import KINDS, Fleet  # noqa: E402
from live import Stream  # noqa: E402
from nuchub import (agent, case, check, equal, get_json, jpeg_text, run_cases,  # noqa: E402
                    snapshot, wait_for)

balancer.need_programs()

N = 20  # events of each publisher
cluster = None
fleet = Fleet()
viewers, agents, strangers = [], [], []  # strangers: clients of the server of Node
real = None                              # an agent of ours, with a camera
tags = iter(range(1, 1000))


def front():
    return f"http://127.0.0.1:{cluster.nginx.port}"


def where(c):
    return c.sid and c.sid.split(".")[0]


def start(mode):
    global cluster, real
    cluster = Cluster(mode).start()
    for kind in KINDS:
        for transport in ("polling", "websocket", "upgrade"):
            viewers.append(fleet.open(kind, front(), transport))
    for i in range(6):
        agents.append(open_agent(i))
    for kind in ("js4", "js2", "aio"):
        strangers.append(fleet.open(kind, f"http://127.0.0.1:{cluster.node.port}"))
    fleet.wait()
    real = agent(front(), "nuc_real", "patio=test://").start()
    cluster.wait_nucs(names())
    check(len({where(c) for c in viewers if where(c)}) == 3, "not all hubs have viewers")


def open_agent(i):
    name = f"nuc_{i}"
    return fleet.open(("js4", "js3", "py")[i % 3], front(), ("websocket", "polling")[i % 2],
                      auth={"nuc_id": name},
                      hello=["nuc_register", {"nuc_id": name, "camaras": []}])


def renew(c):
    """Another client in place of this one."""
    c.close()
    if c in agents:
        i = agents.index(c)
        agents[i] = open_agent(i)
    else:
        viewers[viewers.index(c)] = fleet.open(c.kind, front(), c.transport)


def names():
    return [f"nuc_{i}" for i in range(6)] + (["nuc_real"] if real else [])


def everybody():
    return viewers + agents + strangers


# ---- what is published comes once, and in order ----

def publishers():
    """Name, how it sends a value to everybody, who hears it."""
    all_hubs = viewers + agents
    yield from ((f"agent{i}", lambda v, a=a: a.emit("event", v), everybody())
                for i, a in enumerate(agents[:3]))
    yield "viewer", lambda v: strangers[0].emit("event", v), everybody()
    if cluster.node.pipe.p.poll() is None:
        yield "node", cluster.node.send, everybody()
    if cluster.mode == "pubsub":  # the only one that it knows
        yield "emitter", cluster.emitter.send, everybody()
    yield "nuchub-emit", cluster.ours.send, everybody()
    yield "flask", cluster.flask.send, all_hubs


def heard(c, tag, name):
    got = [v["n"] for (v,) in c.heard("event_update") if (v["tag"], v["by"]) == (tag, name)]
    # python-socketio without asyncio has a thread for each event.
    return sorted(got) if c.kind == "py" else got


def spread(n=N, skip=()):
    """Every publisher sends n values, all at once: each client gets each once, in order."""
    tag = next(tags)
    all_of_them = [p for p in publishers() if p[0] not in skip]
    for i in range(n):
        for name, send, _ in all_of_them:
            send({"tag": tag, "by": name, "n": i})

    def missing():
        return [(c, name, len(heard(c, tag, name))) for name, _, to in all_of_them for c in to
                if c.connected and len(heard(c, tag, name)) < n]
    wait_for(lambda: not missing(), lambda: f"values: {missing()[:6]}")
    fence()
    for name, _, to in all_of_them:
        for c in to:
            equal(heard(c, tag, name), list(range(n)), f"what {c} heard of {name}")


def fence():
    """What was published before has been heard by now."""
    for send, to in ((cluster.node.send, everybody()),
                     (cluster.flask.send, viewers + agents)):
        mark = {"tag": "fence", "by": "fence", "n": next(tags)}
        send(mark)
        wait_for(lambda: all([mark] in c.heard("event_update") for c in to if c.connected),
                 "the fence")


@case("broadcasts of every publisher reach each client once, in order")
def broadcasts(mode="pubsub"):
    start(mode)
    spread()
    for c in everybody():
        equal((c.reasons, c.refusals), ([], []), f"{c}")


# ---- rooms, questions, orders ----

@case("a server of Node reaches rooms, asks, lists, moves and disconnects clients of the hubs")
def orders():
    node, chosen = cluster.node, [c for c in viewers if c.transport == "polling"]
    node.emit(["viewers"], "only", 1)
    (cluster.emitter if cluster.mode == "pubsub" else node).emit(["viewers"], "only", 2)
    listed = {s["id"]: s["rooms"] for s in node.do("fetch", [])}
    equal({c.socket for c in everybody()} - set(listed), set(), "sockets that are not listed")
    equal(len(listed), len(everybody()) + 1, "sockets, with our agent's")
    for c in viewers:
        check("viewers" in listed[c.socket], f"{c} is in {listed[c.socket]}")
    node.do("join", [c.socket for c in chosen], "chosen")
    wait_for(lambda: {s["id"] for s in node.do("fetch", ["chosen"])} ==
             {c.socket for c in chosen}, "the room")
    node.emit(["chosen"], "only", 3)
    many = node.do("ask", ["viewers"], 20000, "question", "what")
    equal((many["error"], len(many["answers"])), (False, len(viewers + strangers)))
    few = node.do("ask", ["chosen"], 20000, "question", "what")
    equal((few["error"], len(few["answers"])), (False, len(chosen)))
    node.do("leave", ["chosen"], "chosen")
    wait_for(lambda: not node.do("fetch", ["chosen"]), "an empty room")
    node.emit(["chosen"], "only", 4)
    fence()
    for c in everybody():
        wanted = [] if c in agents else [[1], [2], [3]] if c in chosen else [[1], [2]]
        equal(c.heard("only"), wanted, f"{c}")
    node.do("disconnect", [c.socket for c in chosen])
    wait_for(lambda: not any(c.connected for c in chosen), "their end")
    fence()
    equal([c for c in everybody() if c not in chosen and c.reasons], [], "others that were cut")
    for c in chosen:
        renew(c)
    fleet.wait()


# ---- cameras ----

def pictures_of(c, ip):
    return [s["timestamp"] for (s,) in c.heard("snapshot_update") if s["ip"] == ip]


@case("pictures reach the viewers of all hubs; lists, fresh pictures and live view are there too")
def pictures():
    sender = agents[0]
    for i in range(5):
        sender.emit("snapshot", snapshot("cam", jpeg_text(20000, i), "nuc_0", timestamp=f"{i:04}"))
        wait_for(lambda t=f"{i:04}": all(pictures_of(c, "cam")[-1:] == [t] for c in viewers),
                 lambda: f"picture {i}: {[c for c in viewers if len(pictures_of(c, 'cam')) <= i]}")
    for c in viewers:
        equal(pictures_of(c, "cam"), [f"{i:04}" for i in range(5)], f"{c}")
    equal([c for c in agents + strangers if c.heard("snapshot_update")], [])
    lists = [sorted((c["ip"], c["id"], c["nuc_id"])
                    for c in get_json(h.port, "/api/camaras")["camaras"])
             for h in cluster.running()]
    equal(lists, [lists[0]] * 3, "cameras of the hubs")
    equal({c[0] for c in lists[0]}, {"cam", "patio"})
    for h in cluster.running():
        s = get_json(h.port, "/api/camaras/cam/snapshot")
        equal((s["timestamp"], s["image"][-100:]), ("0004", jpeg_text(20000, 4)[-100:]))
        check(get_json(h.port, "/api/camaras/patio/snapshot?fresh=1")["success"])
    for h in cluster.running():
        stream = Stream(h.port, "patio")
        seen = set()
        while len(seen) < 6:
            seen.add(stream.next())
        stream.close()


# ---- one after another dies ----

def come_back():
    fleet.wait()
    cluster.wait_up()
    cluster.wait_nucs(names())


@case("each hub is killed: its clients and agents are at others soon, listed once")
def _():
    for name in cluster.hubs:
        hit = [c for c in viewers + agents if where(c) == name]
        check(hit, f"nobody is at {name}")
        others = [c for c in everybody() if where(c) not in (name, None)]
        before = {c: len(c.reasons) for c in others}
        cluster.hubs[name].kill()
        wait_for(lambda: all(c.connected and where(c) != name for c in hit),
                 lambda: f"other hubs: {hit}")
        come_back()
        spread(5)
        equal([c for c in others if len(c.reasons) != before[c]], [], "others that were cut")
        cluster.hubs[name].start()
        cluster.wait_up(3)
        # So that somebody is there.
        for c in [c for c in viewers if c.kind == "js4"]:
            renew(c)
        come_back()
        spread(5)


@case("a hub that is stopped says so: its agents leave the lists before they would be missed")
def _():
    name, h = next(iter(cluster.hubs.items()))
    hit = [c for c in viewers + agents if where(c) == name]
    h.stop()
    begun = time.monotonic()
    wait_for(lambda: all(cluster.status(o)[1] == 2 for o in cluster.running()), "two hubs")
    for c in hit:
        # To python-socketio a close packet, which comes by a poll, is the end: agents get
        # none.
        if c in viewers and c.kind in ("py", "aio") and c.transport == "polling":
            renew(c)
    wait_for(lambda: not [c for c in viewers + agents if where(c) == name], "other hubs")
    come_back()
    print(f"  {time.monotonic() - begun:.1f} s to two hubs with all agents")
    h.start()
    come_back()
    spread(5)


@case("the server of Node, the Flask process and the emitters are killed: others go on")
def _():
    n_before = len(everybody())
    for c in strangers:
        c.close()
    gone, strangers[:] = list(strangers), []
    cluster.node.kill()
    for p in (cluster.flask, cluster.emitter, cluster.ours):
        p.kill()
    tag = next(tags)
    for i in range(5):
        agents[i % 3].emit("event", {"tag": tag, "by": "alone", "n": i})
    wait_for(lambda: all(sorted(heard(c, tag, "alone")) == list(range(5))
                         for c in viewers + agents), "what the hubs say to each other")
    for p in (cluster.node, cluster.flask, cluster.emitter, cluster.ours):
        p.start()
    strangers.extend(fleet.open(c.kind, f"http://127.0.0.1:{cluster.node.port}") for c in gone)
    come_back()
    spread(5)
    equal(len(everybody()), n_before)


@case("nginx is restarted: clients come back by it, and are listed once")
def _():
    before = {c: len(c.reasons) for c in viewers if c.transport == "websocket"}
    cluster.nginx.stop()  # a kill would leave its workers
    wait_for(lambda: all(len(c.reasons) > n for c, n in before.items()),
             "the end of what went through it")
    cluster.nginx.start()
    come_back()
    spread(5)


@case("Redis is killed: each hub goes on by itself, and all are one again when it is back")
def _():
    cluster.redis.kill()
    wait_for(lambda: all(cluster.status(h)[0] == "desconectado" for h in cluster.running()),
             "the hubs to notice")
    tag = next(tags)
    for i in range(3):
        agents[0].emit("event", {"tag": tag, "by": "local", "n": i})
    here = [c for c in viewers + agents if where(c) == where(agents[0])]
    wait_for(lambda: all(heard(c, tag, "local") == [0, 1, 2] for c in here), "the local clients")
    cluster.wait_nucs(names())
    cluster.redis.start()
    come_back()
    spread(5)


@case("all end in good order")
def end():
    global real
    fleet.close()
    for group in (viewers, agents, strangers):
        group.clear()
    real.stop()
    real.check_sanitizers()
    real = None
    cluster.stop()


@case("with sharded channels: broadcasts, orders, pictures")
def _():
    broadcasts("sharded")
    orders()
    pictures()
    end()


if __name__ == "__main__":
    run_cases()
