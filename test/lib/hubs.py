"""Several hubs that act as one: programs, what they list, and their Redis."""

import os
import signal
import threading
import time

import redisd
from nuchub import check, get_json, hub, temp_dir, wait_for

LISTS = ["/api/nucs", "/api/camaras", "/api/camaras/detectar", "/api/camaras/configuradas"]


class Redis(redisd.Redis):
    """One that can hang."""

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def __exit__(self, *exc):
        if self.running():
            self.thaw()
        super().__exit__(*exc)


def cluster_hub(url, name, *options, mode="pubsub", port=None):
    """nuchubd as one of many, not started yet."""
    return hub("--cluster", mode, "--cluster-name", name, *options, port=port,
               env={"REDIS_URL": url})


class Hubs:
    """n hubs on one Redis, which all know each other."""

    def __init__(self, n=3, *options, mode="pubsub", settings="", redis=None):
        """redis: another one than its own, running."""
        self.redis = redis or Redis().start()
        if settings:
            path = os.path.join(temp_dir(), "nuchubd.conf")
            with open(path, "w") as f:
                f.write(settings)
            options = (*options, "--config", path)
        self.hubs = [cluster_hub(self.redis.url(), f"h{i + 1}", *options, mode=mode)
                     for i in range(n)]

    def __enter__(self):
        for h in self.hubs:
            h.start()
        self.wait_together()
        return self

    def __exit__(self, *exc):
        try:
            for h in self.hubs:
                h.stop()
                h.check_sanitizers()
        finally:
            self.redis.__exit__()

    def __getitem__(self, i):
        return self.hubs[i]

    def ports(self):
        return [h.port for h in self.hubs if h.running()]

    def wait_together(self):
        n = len(self.ports())
        for port in self.ports():
            wait_for(lambda: together(port, n), f"{n} hubs to know each other")

    def same_lists(self):
        """What all of them list, if that is the same; else None."""
        seen = [lists(port) for port in self.ports()]
        return seen[0] if all(s == seen[0] for s in seen) else None

    def wait_lists(self, wanted, what, **kw):
        """Until all list the same, and wanted(lists) is true."""
        def good():
            same = self.same_lists()
            return same if same and wanted(same) else None
        try:
            return wait_for(good, what, **kw)
        except AssertionError as e:
            raise AssertionError(f"{e}: {differences([lists(p) for p in self.ports()])}")


def differences(all_lists):
    """What is not the same in lists of several hubs, or all of it."""
    first = all_lists[0]
    other = {k: [x[k] for x in all_lists] for k in first if any(x[k] != first[k]
                                                                for x in all_lists)}
    return other or first


def together(port, n):
    s = get_json(port, "/api/status")
    return s["cluster"] == "conectado" and s["hubs"] == n


def lists(port):
    """All lists, without the times that differ by the way."""
    out = {}
    for target in LISTS:
        data = get_json(port, target)
        data.pop("timestamp", None)
        for nuc in data.get("nucs", []):
            nuc.pop("last_heartbeat")
        out[target] = data
    out["nucs_conectados"] = get_json(port, "/api/status")["nucs_conectados"]
    return out


def nucs(port):
    return [n["nuc_id"] for n in get_json(port, "/api/nucs")["nucs"]]


class NeverTwice:
    """Looks at all hubs all the time: no NUC may be listed twice, and one that has to be
    there (always) may not be missing."""

    def __init__(self, ports, always=()):
        self.ports, self.always = ports, set(always)
        self.stop = False
        self.fault = None
        self.n = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop and not self.fault:
            for port in list(self.ports):
                try:
                    seen = nucs(port)
                except (AssertionError, OSError):
                    continue  # a hub that ends
                if len(seen) != len(set(seen)):
                    self.fault = f"listed twice on {port}: {seen}"
                if not self.always <= set(seen):
                    self.fault = f"missing on {port}: {seen}"
                self.n += 1
            time.sleep(0.005)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop = True
        self.thread.join(20)
        if exc[0] is None:
            check(not self.fault, self.fault)
            check(self.n > 0, "nothing was looked at")
