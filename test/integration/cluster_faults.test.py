#!/usr/bin/python3
"""Hubs that act as one, under load, while their Redis fails in every way: viewers of the
agent's hub notice nothing, no request waits longer than a read may, and afterwards
everything is the same everywhere."""
# TEST_TIMEOUT: 300

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import Cluster  # noqa: E402
from nuchub import case, check, equal, run_cases, wait_for  # noqa: E402
from redis_faults import CAMERAS, Faults, Load, SlowLink, state  # noqa: E402

READ_S = 2.0  # the deadline of a read
SLOW_S = 1.0  # what a busy machine may add to it

cluster = Cluster("pubsub", n_hubs=2, others=False, link=SlowLink)
faults = Faults(cluster.redis, cluster.link)
near, far = cluster.hubs.values()


def wait_state(wanted):
    for h in (near,) if wanted == "rechaza" else (near, far):  # only who writes can know
        wait_for(lambda h=h: state(h) == wanted, lambda h=h: f"{wanted}: {state(h)}")


def in_order(load):
    """Of each camera: only newer pictures, and here every one of them, or a newer one."""
    for seen in (load.here, load.there):
        for ip in CAMERAS:
            numbers = [n for _, _, i, n in seen if i == ip]
            equal(numbers, sorted(set(numbers)), f"pictures of {ip}")


def run(name, begin, end, says):
    if not near.running():
        cluster.start()
    wait_state("conectado")
    load = Load(near, far)
    load.goes_on()
    begin()
    load.goes_on(there=False)
    if says:
        wait_state(says)
    load.goes_on(there=not says)
    end()
    wait_state("conectado")
    cluster.wait_up(2)
    load.goes_on()
    load.end()
    load.is_stored(cluster.redis)
    in_order(load)
    slowest, target, at = max((d, t, at) for at, asked in (("here", load.asked_here),
                                                           ("there", load.asked_there))
                              for _, d, t in asked)
    print(f"  slowest request {slowest * 1000:.0f} ms ({target} {at}); {len(load.here)} pictures "
          f"here, {len(load.there)} there")
    # A list is two reads: of the names, and of those that memory lacks.
    check(slowest < READ_S + SLOW_S, f"{target} {at} took {slowest:.1f} s")


for fault in faults.all:
    case(f"a Redis that fails: {fault[0]}")(lambda f=fault: run(*f))


@case("all end in good order")
def _():
    cluster.stop()


if __name__ == "__main__":
    run_cases()
