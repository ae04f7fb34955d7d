"""A Redis Cluster of the test's own, with the users of doc/cluster/redis.conf."""

import os
import subprocess

from balancer import FOLDER
from nuchub import check, free_port, make_ca, make_certificate, temp_dir, wait_for
from redisd import Redis, redis

N_SLOTS = 16384
HUBS = ("nuchub", "PASSWORD-OF-HUBS")
EMITTERS = ("emitter", "PASSWORD-OF-EMITTERS")


def configuration():
    path = os.path.join(temp_dir(), "redis.conf")
    with open(os.path.join(FOLDER, "redis.conf")) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text + "user test on >test ~* &* +@all\nmasteruser test\nmasterauth test\n")
    return path


class Tls:
    """Nodes that speak nothing else, with certificates for their address."""

    def __init__(self):
        folder = temp_dir()
        ca = make_ca(folder)
        cert, key = make_certificate(folder, ca, "IP:127.0.0.1",
                                     usage="serverAuth,clientAuth")
        self.ca = ca[0]
        self.options = ["--tls-cluster", "yes", "--tls-replication", "yes", "--tls-cert-file", cert,
                        "--tls-key-file", key, "--tls-ca-cert-file", self.ca,
                        "--tls-auth-clients", "no"]


class Node(Redis):
    def __init__(self, *options, tls=None):
        super().__init__("--cluster-enabled", "yes", "--cluster-port", free_port(),
                         "--cluster-node-timeout", 1000, "--repl-diskless-sync-delay", 0,
                         *options)
        self.argv.insert(1, configuration())
        self.user = self.password = "test"
        self.tls = tls
        if tls:
            self.argv += ["--port", "0", "--tls-port", str(self.port), *tls.options]

    def client(self, db=0):
        more = {"ssl": True, "ssl_ca_certs": self.tls.ca} if self.tls else {}
        return redis.Redis("127.0.0.1", self.port, username=self.user, password=self.password,
                           **more)

    def call(self, *args):
        return self.client().execute_command(*args)

    def id(self):
        return self.call("CLUSTER", "MYID").decode()

    def slots(self):
        """What it knows: (first, last, ports, that of the master first)."""
        return [(r[0], r[1], [n[1] for n in r[2:]]) for r in self.call("CLUSTER", "SLOTS")]

    def n_slots(self):
        return sum(last - first + 1 for first, last, ports in self.slots()
                   if ports[0] == self.port)

    def channels(self):
        return {c.decode() for c in self.call("PUBSUB", "SHARDCHANNELS")}


class RedisCluster:
    def __init__(self, n_masters=3, n_replicas=0, *options, tls=None):
        """n_replicas: of each master."""
        self.n_replicas = n_replicas
        self.tls = tls
        self.nodes = [Node(*options, tls=tls) for _ in range(n_masters * (1 + n_replicas))]

    def start(self):
        for n in self.nodes:
            n.start()
        done = subprocess.run(
            ["redis-cli", "--cluster", "create", *[f"127.0.0.1:{n.port}" for n in self.nodes],
             "--cluster-replicas", str(self.n_replicas), "--cluster-yes", "--user", "test",
             "--pass", "test", *(["--tls", "--cacert", self.tls.ca] if self.tls else [])],
            capture_output=True, text=True, timeout=60)
        check(done.returncode == 0, done.stdout[-2000:] + done.stderr)
        self.wait_whole()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for n in self.nodes:
            n.__exit__(*exc)

    def running(self):
        return [n for n in self.nodes if n.running()]

    def wait_whole(self):
        """Until all agree where all slots are, all of them are served, and replicas have what
        their masters have."""
        def same():
            seen = [sorted(n.slots()) for n in self.running()]
            return (all(s == seen[0] for s in seen) and
                    sum(last - first + 1 for first, last, _ in seen[0]) == N_SLOTS and
                    all(n.call("CLUSTER INFO")["cluster_state"] == "ok" and
                        n.call("INFO")["master_link_status" if n.n_slots() == 0 else "role"]
                        in ("up", "master") for n in self.running()))
        wait_for(same, "all nodes to agree")

    def url(self, i=0, user=HUBS):
        where = f"{user[0]}:{user[1]}@127.0.0.1:{self.nodes[i].port}"
        return f"rediss://{where}?ssl_ca_certs={self.tls.ca}" if self.tls else f"redis://{where}"

    def urls(self):
        """Of the nodes that run: for clients that want more than one."""
        return ",".join(self.url(self.nodes.index(n)) for n in self.running())

    def masters(self):
        return [n for n in self.running() if n.n_slots() > 0]

    def slot(self, key):
        return self.running()[0].call("CLUSTER", "KEYSLOT", key)

    def find_owner(self, key):
        slot = self.slot(key)
        for n in self.running():
            for first, last, ports in n.slots():
                if first <= slot <= last and ports[0] == n.port:
                    return n
        return None

    def owner(self, key):
        """The master that has this key."""
        return wait_for(lambda: self.find_owner(key), f"a master with {key}")

    def replica_of(self, master):
        ports = next(ports for _, _, ports in master.slots() if ports[0] == master.port)
        return next(n for n in self.nodes if n.port in ports[1:])

    def get(self, key):
        """None also where it is not served at the moment."""
        try:
            return self.owner(key).call("GET", key)
        except (redis.ResponseError, redis.ConnectionError):
            return None

    def move(self, key, to, between=lambda: None):
        """The slot of this key, with all that is in it, to another master; between is
        called when its keys are here or there."""
        slot, source = self.slot(key), self.owner(key)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id())
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id())
        for k in source.call("CLUSTER", "GETKEYSINSLOT", slot, 1000):
            source.call("MIGRATE", "127.0.0.1", to.port, k, 0, 5000, "AUTH2", "test", "test")
        between()
        for n in [to, source, *[m for m in self.masters() if m not in (to, source)]]:
            n.call("CLUSTER", "SETSLOT", slot, "NODE", to.id())
