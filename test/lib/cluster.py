"""Hubs that act as one, a server of Node, an emitter of Node, a Flask process, our own
emitter, Redis with the users of doc/cluster/redis.conf, nginx in front."""

import itertools
import json
import os

from balancer import FOLDER, nginx
from fleet import Pipe
from nuchub import (FIXTURES, TIMEOUT, check, equal, free_port, get_json, hub, program, temp_dir,
                    wait_for)
from redisd import Redis

CHANNEL = "flask-socketio"  # of Python's emitters


def redis_with_users():
    """A Redis with the file of the guide, and a user of the test's."""
    folder = temp_dir()
    with open(os.path.join(FOLDER, "redis.conf")) as f:
        text = f.read()
    path = os.path.join(folder, "redis.conf")
    with open(path, "w") as f:
        f.write(text + "user test on >test ~* &* +@all\n")
    r = Redis()
    r.argv.insert(1, path)
    r.user = r.password = "test"
    return r


def url_of(redis, user, secret):
    return f"redis://{user}:{secret}@127.0.0.1:{redis.port}"


class Worker:
    """A process of another kind that does what it is told to, and can be started again."""

    def __init__(self, argv):
        self.argv = [str(a) for a in argv]
        self.pipe = None
        self.ready = False
        self.answers = {}
        self.said = []
        self.numbers = itertools.count(1)

    def start(self):
        self.ready = False
        self.pipe = Pipe(self.argv, self.on_line)
        wait_for(lambda: self.ready, lambda: f"{self.argv}: {self.pipe.log()}")
        return self

    def on_line(self, line):
        if line["what"] == "ready":
            self.ready = True
        elif line["what"] == "done":
            self.answers[line["id"]] = line
        else:
            self.said.append(line)

    def begin(self, *what):
        n = next(self.numbers)
        self.pipe.write(json.dumps([n, *what]))
        return n

    def end(self, n):
        a = wait_for(lambda: self.answers.get(n), lambda: f"{self.argv}: {self.pipe.log()}")
        check("error" not in a, a.get("error"))
        return a.get("value")

    def do(self, *what):
        return self.end(self.begin(*what))

    def kill(self):
        self.pipe.stop()


class NodeWorker(Worker):
    """test/fixtures/cluster_node.mjs; rooms are lists."""

    def __init__(self, url, mode, port=None, name="node1"):
        self.port = port
        super().__init__(["node", os.path.join(FIXTURES, "cluster_node.mjs"), url, mode] +
                         ([port, name] if port else []))

    def emit(self, rooms, *args):
        self.do("emit", rooms, *args)

    def send(self, value):
        """To everybody, as the hubs' event_update."""
        self.emit([], "event_update", value)


class FlaskWorker(Worker):
    def __init__(self, url):
        super().__init__(["/usr/bin/python3", os.path.join(FIXTURES, "cluster_flask.py"), url,
                          CHANNEL])

    def send(self, value):
        self.do(None, "event_update", value)


class OurEmitter:
    """nuchub-emit, which reads lines."""

    def __init__(self, url, mode):
        self.url, self.mode = url, mode
        self.pipe = None

    def start(self):
        self.pipe = Pipe([program("NUCHUB_EMIT"), "--lines", "event_update"] +
                         (["--sharded"] if self.mode == "sharded" else []), print,
                         env={**os.environ, "REDIS_URL": self.url})
        return self

    def send(self, value):
        self.pipe.write(json.dumps(value))

    def kill(self):
        self.pipe.stop()


class Cluster:
    def __init__(self, mode, n_hubs=3, settings="", others=True, link=None):
        """link: a function that puts something between the hubs and this port."""
        self.mode = mode
        self.redis = redis_with_users()
        self.link = link(self.redis.port) if link else self.redis
        self.url = url_of(self.link, "nuchub", "PASSWORD-OF-HUBS")
        self.hubs = {f"hub{i}": self.hub(f"hub{i}", settings) for i in range(1, n_hubs + 1)}
        emitters = url_of(self.redis, "emitter", "PASSWORD-OF-EMITTERS")
        workers = url_of(self.redis, "worker", "PASSWORD-OF-WORKERS")
        self.node = NodeWorker(self.url, mode, free_port()) if others else None
        self.emitter = NodeWorker(emitters, mode)
        self.flask = FlaskWorker(workers)
        self.ours = OurEmitter(emitters, mode)
        self.nginx = nginx("sid", [h.port for h in self.hubs.values()]) if n_hubs == 3 else None
        self.others = [self.node, self.emitter, self.flask, self.ours] if others else []

    def hub(self, name, settings):
        path = os.path.join(temp_dir(), "nuchubd.conf")
        with open(path, "w") as f:
            f.write(f"allow_eio3 = yes\ntrusted_proxies = 1\ncluster = {self.mode}\n"
                    f"cluster_name = {name}\ncluster_python = {CHANNEL}\n{settings}")
        return hub("--config", path, env={"REDIS_URL": self.url})

    def start(self):
        for p in [*self.hubs.values(), self.redis]:  # in this order, to show that it may be
            p.start()
        for p in [*self.others, *([self.nginx] if self.nginx else [])]:
            p.start()
        self.wait_up()
        return self

    def running(self):
        return [h for h in self.hubs.values() if h.running()]

    def n_servers(self):
        """Servers that listen for others."""
        c = self.redis.client()
        if self.mode == "sharded":
            return c.execute_command("PUBSUB", "SHARDNUMSUB", "socket.io#/#")[1]
        return c.pubsub_numsub("socket.io-request#/#")[0][1]

    def wait_up(self, n_hubs=None):
        """Until all who run know of each other."""
        n = n_hubs or len(self.running())
        for h in self.running():
            wait_for(lambda h=h: self.status(h) == ("conectado", n),
                     lambda h=h: f"{n} hubs: {self.status(h)}")
        node = bool(self.node and self.node.pipe.p.poll() is None)
        wait_for(lambda: self.n_servers() == n + node,
                 lambda: f"{n + node} servers on Redis: {self.n_servers()}")

    @staticmethod
    def status(h):
        s = get_json(h.port, "/api/status")
        return s["cluster"], s["hubs"]

    def nucs(self):
        """What each hub lists."""
        return [[n["nuc_id"] for n in get_json(h.port, "/api/nucs")["nucs"]]
                for h in self.running()]

    def wait_nucs(self, wanted, timeout=TIMEOUT):
        """Until all hubs list these, in one order; nobody is ever listed twice."""
        def same():
            lists = self.nucs()
            for each in lists:
                equal(len(set(each)), len(each), f"entries of {each}")
            return all(sorted(each) == sorted(wanted) and each == lists[0] for each in lists)
        wait_for(same, lambda: f"{wanted} in {self.nucs()}", timeout)

    def stop(self):
        for p in self.others:
            p.kill()
        for p in [self.nginx, *self.hubs.values(), self.redis]:
            if p:
                p.stop()
                p.check_sanitizers()
