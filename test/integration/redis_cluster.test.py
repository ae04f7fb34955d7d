#!/usr/bin/python3
"""Hubs, a server of Node (createCluster) and emitters on a Redis Cluster: keys and channels
at every node, slots that move, masters that die with and without a replica."""
# TEST_TIMEOUT: 600

import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import NodeWorker, OurEmitter  # noqa: E402
from fleet import Fleet  # noqa: E402
from hubs import Hubs  # noqa: E402
from nuchub import (SocketIO, case, check, equal, free_port, get_json, jpeg_text,  # noqa: E402
                    run_cases, snapshot, wait_for)
from rediscluster import EMITTERS, RedisCluster, Tls  # noqa: E402

CAMERAS = [f"192.0.2.{i}" for i in range(1, 10)]  # at all of three nodes
VIEWERS = "socket.io#/#viewers#"
ALL = "socket.io#/#"
fleet = Fleet()


class World(Hubs):
    """Two hubs, a server of Node, an agent at hub 1, viewers at both and at Node."""

    def __init__(self, redis, mode, node=True):
        self.cluster = redis
        self.mode = mode
        super().__init__(2, mode=mode, redis=redis)
        self.node = NodeWorker(redis.urls(), mode, free_port()) if node else None
        self.n = 0

    def __enter__(self):
        super().__enter__()
        ports = [h.port for h in self.hubs]
        if self.node:
            self.node.start()
            ports.append(self.node.port)
        self.viewers = [fleet.open("js4", f"http://127.0.0.1:{port}") for port in ports]
        fleet.wait()
        self.agent = SocketIO(self.hubs[0].port, {"nuc_id": "nuc_a"})
        self.agent.emit("nuc_register", {"nuc_id": "nuc_a", "camaras": CAMERAS,
                                         "timestamp": "t"})
        self.agent.event("registered")
        return self

    def __exit__(self, *exc):
        self.agent.close()
        fleet.close()
        if self.node:
            self.node.kill()
        super().__exit__(*exc)
        for h in self.hubs:
            check("PASSWORD" not in h.log(), "a password is in the log")

    def leave_node(self):
        """createCluster of the npm package redis 4 listens no more where a slot has moved."""
        self.viewers = self.viewers[:2]

    def hears_all(self):
        """Each viewer hears each other: what is sent while a channel moves may be lost, so it
        is sent again."""
        for sender in self.viewers:
            def heard():
                self.n += 1
                mark = f"mark {self.n}"
                sender.emit("event", mark)
                try:
                    wait_for(lambda: all([mark] in v.heard("event_update")
                                         for v in self.viewers), mark, 1)
                except AssertionError:
                    return False
                return True
            wait_for(heard, lambda: f"everybody to hear {sender}: {self.missing()}")

    def missing(self):
        """Who did not hear the last one."""
        return [v for v in self.viewers if [f"mark {self.n}"] not in v.heard("event_update")]

    def send(self, ip, text):
        self.agent.emit("snapshot", snapshot(ip, jpeg_text(4000, self.n), "nuc_a",
                                             timestamp=text))
        self.agent.answer()  # the hub goes on at once, whatever Redis does

    def stored(self, ip):
        value = self.cluster.get(f"snapshot:{ip}")
        return json.loads(value)["timestamp"] if value else None

    def send_all(self, text):
        for ip in CAMERAS:
            self.send(ip, text)

    def wait_stored(self, text):
        wait_for(lambda: [self.stored(ip) for ip in CAMERAS] == [text] * len(CAMERAS),
                 lambda: f"{text} in Redis: {[self.stored(ip) for ip in CAMERAS]}")

    def see_all(self, text):
        """The viewer at the other hub gets each picture."""
        wait_for(lambda: {s["ip"] for (s,) in self.viewers[1].heard("snapshot_update")
                          if s["timestamp"] == text} == set(CAMERAS), f"pictures of {text}")
        for ip in CAMERAS:
            equal(get_json(self.hubs[1].port, f"/api/camaras/{ip}/snapshot")["timestamp"], text)

    def wait_up(self):
        self.wait_together()
        for h in self.hubs:
            wait_for(lambda: get_json(h.port, "/api/status")["redis"] == "conectado",
                     lambda: f"the store: {h.log()[-2000:]}")


def everything(mode):
    with RedisCluster().start() as redis, World(redis, mode) as w:
        masters = redis.masters()
        equal(len({redis.owner(f"snapshot:{ip}") for ip in CAMERAS}), 3, "nodes with pictures")
        w.hears_all()
        w.send_all("first")
        w.wait_stored("first")
        w.see_all("first")
        equal(sorted(c["ip"] for c in get_json(w.hubs[1].port, "/api/camaras")["camaras"]),
              CAMERAS)
        # All servers are counted, and answer.
        answers = w.node.do("ask", [], 5000, "message-with-ack", "question")
        equal(answers["error"], True, "pages do not answer")
        listed = w.node.do("fetch", [])
        equal(len(listed), len(w.viewers) + 1, "clients of all servers")
        ours = OurEmitter(redis.url(0, EMITTERS), mode).start()
        ours.send("of ours")
        wait_for(lambda: all(["of ours"] in v.heard("event_update") for v in w.viewers),
                 "nuchub-emit")
        ours.kill()
        # What another program has put is found, wherever it is.
        for i in range(20, 40):
            key = f"snapshot:192.0.2.{i}"
            redis.owner(key).call("SET", key, snapshot_text(f"192.0.2.{i}"), "EX", 300)
        wait_for(lambda: len(get_json(w.hubs[1].port, "/api/camaras/detectar")["camaras"]) == 29,
                 lambda: get_json(w.hubs[1].port, "/api/camaras/detectar"))
        equal(masters, redis.masters())


@case("over TLS: each node's certificate is checked for its own address")
def _():
    with RedisCluster(tls=Tls()).start() as redis, World(redis, "sharded", node=False) as w:
        w.send_all("first")
        w.wait_stored("first")
        w.see_all("first")
        w.hears_all()
        redis.move(ALL, next(m for m in redis.masters() if m is not redis.owner(ALL)))
        w.wait_up()
        w.hears_all()


def snapshot_text(ip):
    return json.dumps(snapshot(ip, jpeg_text(4000, 1), "nuc_x", timestamp="other"))


@case("sharded: pictures, lists, broadcasts, questions and emitters at all nodes")
def _():
    everything("sharded")


@case("pubsub: pictures, lists, broadcasts, questions and emitters at all nodes")
def _():
    everything("pubsub")


@case("a slot moves while clients are subscribed, and while pictures are written")
def _():
    with RedisCluster().start() as redis, World(redis, "sharded") as w:
        w.hears_all()
        w.send_all("first")
        w.wait_stored("first")
        w.leave_node()
        for channel in (VIEWERS, ALL):
            old = redis.owner(channel)
            new = next(m for m in redis.masters() if m is not old)
            check(channel in old.channels())
            redis.move(channel, new)
            wait_for(lambda: channel in new.channels(), f"{channel} at its new node")
            w.wait_up()
            w.hears_all()
            w.send_all(f"after {channel}")
            w.see_all(f"after {channel}")
        key = f"snapshot:{CAMERAS[0]}"
        new = next(m for m in redis.masters() if m is not redis.owner(key))
        redis.move(key, new, lambda: w.send_all("between"))
        w.send_all("moved")
        w.wait_stored("moved")
        w.see_all("moved")
        equal(redis.owner(key), new)
        equal([get_json(h.port, "/api/status")["redis"] for h in w.hubs], ["conectado"] * 2)


def fail_over(mode):
    with RedisCluster(3, 1).start() as redis, World(redis, mode) as w:
        w.hears_all()
        w.send_all("first")
        w.wait_stored("first")
        w.leave_node()
        for i, key in enumerate((ALL, f"snapshot:{CAMERAS[0]}", f"snapshot:{CAMERAS[1]}")):
            victim = redis.owner(key)
            victim.kill()
            w.send_all(f"killed {i}")
            for ip in CAMERAS:
                equal(get_json(w.hubs[0].port, f"/api/camaras/{ip}/snapshot")["timestamp"],
                      f"killed {i}")
            redis.wait_whole()
            w.wait_stored(f"killed {i}")
            w.wait_up()
            w.hears_all()
            w.send_all(f"after {i}")
            w.wait_stored(f"after {i}")
            w.see_all(f"after {i}")
            victim.start()
            redis.wait_whole()
        # A switch without a loss: all listen at the new master, where they are counted.
        old = redis.owner(ALL)
        replica = redis.replica_of(old)
        replica.call("CLUSTER", "FAILOVER")
        wait_for(lambda: redis.find_owner(ALL) is replica, "the replica to be a master")
        redis.wait_whole()
        w.send_all("switched")
        w.wait_stored("switched")
        if mode == "sharded":
            wait_for(lambda: ALL in replica.channels() and ALL not in old.channels(),
                     "the channel at its new master")
        w.wait_up()
        w.hears_all()


@case("sharded: masters are killed one after another, and replicas take over")
def _():
    fail_over("sharded")


@case("pubsub: masters are killed one after another, and replicas take over")
def _():
    fail_over("pubsub")


@case("a master without a replica hangs and dies: the others go on, and all is written when it is back")
def _():
    redis = RedisCluster(3, 0, "--cluster-require-full-coverage", "no").start()
    with redis, World(redis, "pubsub", node=False) as w:
        w.send_all("first")
        w.wait_stored("first")
        victim = redis.owner(f"snapshot:{CAMERAS[0]}")
        for sig in (signal.SIGSTOP, signal.SIGKILL):
            others = [ip for ip in CAMERAS if redis.owner(f"snapshot:{ip}") is not victim]
            victim.process.send_signal(sig)
            wait_for(lambda: get_json(w.hubs[0].port, "/api/status")["redis"] == "desconectado",
                     "the loss to be seen")
            text = f"without {sig}"
            w.send_all(text)
            wait_for(lambda: all(get_text(redis, victim, ip) == text for ip in others),
                     "pictures at the other nodes")
            w.hears_all()
            if sig == signal.SIGSTOP:
                victim.process.send_signal(signal.SIGCONT)
            else:
                victim.process.wait()
                victim.start()
            redis.wait_whole()
            w.wait_stored(text)
            w.wait_up()


def get_text(redis, victim, ip):
    """As World.stored, without asking a node that does not answer."""
    for n in redis.nodes:
        if n is victim:
            continue
        try:
            value = n.call("GET", f"snapshot:{ip}")
        except Exception:  # it is at another node
            continue
        return json.loads(value)["timestamp"] if value else None


@case("all nodes are killed and started again: hubs go on, and come back by themselves")
def _():
    with RedisCluster().start() as redis, World(redis, "sharded", node=False) as w:
        w.send_all("first")
        w.wait_stored("first")
        for n in redis.nodes:
            n.kill()
        for h in w.hubs:
            wait_for(lambda: get_json(h.port, "/api/status")["cluster"] == "desconectado",
                     "the loss to be seen")
        w.send_all("alone")
        for n in redis.nodes:
            n.start()
        redis.wait_whole()
        w.wait_up()
        w.wait_stored("alone")
        w.hears_all()
        w.send_all("again")
        w.see_all("again")


if __name__ == "__main__":
    run_cases()
