#!/usr/bin/python3
"""nuchub-emit: a real Redis, our server and one of Node, whose clients get what it sends."""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (FIXTURES, TOP, Server, case, check, equal, free_port, program,  # noqa: E402
                    run_cases, temp_dir, wait_for)
from redisd import Redis  # noqa: E402

if not os.path.exists(os.environ.get("NUCHUB_EMIT", "")):
    print("nuchub-emit was not built")
    sys.exit(77)
if not os.path.isdir(os.path.join(TOP, "test", "node_modules", "@socket.io")):
    print("needs npm ci in test/")
    sys.exit(77)

from listener import Listener  # noqa: E402

PASSWORD = "a secret/with:all@of%it"
QUOTED = "a%20secret%2Fwith%3Aall%40of%25it"
redis = Redis()
servers = {}


def emit(*args, url=None, stdin=None, env=None):
    """Exit status and what it said."""
    e = {"PATH": os.environ["PATH"], "REDIS_URL": redis.url() if url is None else url}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        if name in os.environ:
            e[name] = os.environ[name]
    e.update(env or {})
    if not redis.running():
        redis.start()
    p = subprocess.run([program("NUCHUB_EMIT"), *args], env=e, input=stdin or b"",
                       capture_output=True, timeout=60)
    check(b"Sanitizer" not in p.stderr and b"runtime error" not in p.stderr,
          p.stderr.decode(errors="replace")[-2000:])
    return p.returncode, p.stdout.decode() + p.stderr.decode()


def good(*args, **options):
    equal(emit(*args, **options), (0, ""))


def ours(mode, subscriptions):
    port = free_port()
    return Server([program("CONFORMANCE"), "--port", port, "--redis", redis.url(),
                   "--redis-mode", mode, "--redis-subscriptions", subscriptions,
                   "--redis-key", "socket.io"], port)


def nodes(mode, subscriptions):
    port = free_port()
    return Server(["node", os.path.join(FIXTURES, "cluster_server.mjs"), str(port),
                   redis.url(), mode, "node", subscriptions], port)


def up(server):
    with Listener(server.port) as c:
        wait_for(lambda: c.call("cluster")["up"], "the server to be in the cluster")


def started(kind, mode, subscriptions="dynamic"):
    """A server's port; each is started once."""
    if not redis.running():
        redis.start()
    key = kind, mode, subscriptions
    if key not in servers:
        servers[key] = (ours if kind == "ours" else nodes)(mode, subscriptions).start()
        if kind == "ours":
            up(servers[key])
    return servers[key].port


def options(mode, subscriptions):
    if mode != "sharded":
        return []
    return ["--sharded"] if subscriptions == "dynamic" else ["--subscriptions", subscriptions]


def everything(kind, mode, subscriptions="dynamic"):
    port = started(kind, mode, subscriptions)
    o = options(mode, subscriptions)
    with Listener(port, rooms=["r1"]) as a, Listener(port, rooms=["r2"]) as b, \
            Listener(port, nsp="/custom") as c:
        good(*o, "news", '{"a": [1, null, "\u00f1"]}', "2", "-t", "plain text")
        equal(a.wait("news"), [{"a": [1, None, "\u00f1"]}, 2, "plain text"])
        equal(b.wait("news"), [{"a": [1, None, "\u00f1"]}, 2, "plain text"])
        good(*o, "-r", "r1", "one", "--", "-1")
        equal(a.wait("one"), [-1])
        good(*o, "-r", "r1", "-r", "r2", "two")
        equal(a.wait("two"), [])
        equal(b.wait("two"), [])
        good(*o, "-x", "r1", "but", "1")
        equal(b.wait("but"), [1])
        good(*o, "-r", b.id, "you")
        equal(b.wait("you"), [])
        good(*o, "-n", "/custom", "-r", c.id, "there", '"x"')
        equal(c.wait("there"), ["x"])
        path = os.path.join(temp_dir(), "picture")
        picture = bytes(range(256)) * 800
        with open(path, "wb") as f:
            f.write(picture)
        good(*o, "picture", '{"ip": "192.0.2.7"}', "-b", path, "true")
        equal(a.wait("picture"), [{"ip": "192.0.2.7"}, picture, True])
        good(*o, "--volatile", "piped", "-b", "-", stdin=b"\x00\xff")
        equal(b.wait("piped"), [b"\x00\xff"])
        good(*o, "-r", "r1", "--join", "r3", "--join", "r4")
        # Orders have no answer: asked for until they are carried out.
        wait_for(lambda: {"r3", "r4"} <= set(a.call("rooms")), "the socket to enter rooms")
        good(*o, "--leave", "r4", "-r", "r3")
        wait_for(lambda: "r4" not in a.call("rooms"), "the socket to leave a room")
        good(*o, "--side", "side", '"to"', '"servers"')
        equal(a.wait("side"), ["to", "servers"])
        good(*o, "-r", "r3", "--disconnect")
        a.wait_gone()
        good(*o, "end")
        equal(b.wait("end"), [])
        equal([len(b.all(e)) for e in ("one", "two", "but", "you", "there")], [0, 1, 1, 1, 0])
        equal([len(a.all(e)) for e in ("one", "two", "but", "you")], [1, 1, 0, 0])
        good(*o, "-r", b.id, "--disconnect", "--close")
        b.wait_gone()


@case("clients of our server get what is sent")
def _():
    everything("ours", "pubsub")


@case("clients of our server with sharded channels get what is sent")
def _():
    everything("ours", "sharded")


@case("clients of a server of Node get what is sent")
def _():
    everything("node", "pubsub")


@case("clients of a server of Node with the sharded adapter get what is sent")
def _():
    everything("node", "sharded")


@case("clients of servers with other subscription modes get what is sent")
def _():
    for kind in ("ours", "node"):
        for subscriptions in ("static", "dynamic-private"):
            everything(kind, "sharded", subscriptions)


@case("an event for each line, as lines come")
def _():
    port = started("ours", "pubsub")
    with Listener(port) as a:
        lines = "".join(f'[{i}, "x"]\n' for i in range(3000))
        good("--lines", "row", stdin=lines.encode())
        a.wait("row", 3000)
        equal(a.all("row"), [[i, "x"] for i in range(3000)])
        good("-l", "value", stdin=b'{"a": 1}\r\n\n  \n"last"')
        equal([a.wait("value"), a.wait("value", 2)], [[{"a": 1}], ["last"]])
        equal(emit("-l", "some", stdin=b'1\nnone\n[2'),
              (2, "nuchub-emit: line 2: not JSON\nnuchub-emit: line 3: not JSON\n"))
        equal(a.wait("some"), [1])

        # A line is sent when it is there, not at the end of the input.
        p = subprocess.Popen([program("NUCHUB_EMIT"), "--lines", "slow"],
                             env={**os.environ, "REDIS_URL": redis.url()},
                             stdin=subprocess.PIPE)
        p.stdin.write(b"1\n2")
        p.stdin.flush()
        equal(a.wait("slow"), [1])
        p.stdin.write(b"2\n")
        p.stdin.flush()
        equal(a.wait("slow", 2), [22])
        p.stdin.close()
        equal(p.wait(30), 0)


@case("large input is held back, not kept")
def _():
    port = started("ours", "pubsub")
    with Listener(port, rooms=["large"]) as a:
        row = '"' + "x" * 100000 + '"\n'
        good("-l", "-r", "large", "row", stdin=(row * 60).encode())
        a.wait("row", 60)
        equal(len(a.all("row")), 60)
        good("-r", "large", "at once", "-b", "-", stdin=bytes(3 << 20))
        equal(len(a.wait("at once")[0]), 3 << 20)


@case("one connection is enough to send")
def _():
    with Redis() as alone:
        client = alone.client()
        before = client.info("stats")["total_connections_received"]
        good("x", url=alone.url())
        equal(client.info("stats")["total_connections_received"] - before, 1)
        client.close()


@case("a password is for the environment")
def _():
    with Redis("--requirepass", PASSWORD) as secret:
        secret.password = PASSWORD
        with_password = f"redis://:{QUOTED}@127.0.0.1:{secret.port}"
        listener = secret.client().pubsub()
        listener.subscribe("socket.io#/#")
        wait_for(lambda: listener.get_message(), "the subscription")
        equal(emit("-u", with_password, "x"),
              (2, "nuchub-emit: --url: a password is for REDIS_URL, where others do not see "
                  "it\n"))
        equal(emit("--heard", "x", url=with_password), (0, ""))
        equal(wait_for(lambda: listener.get_message(), "the message")["type"], "message")
        status, said = emit("-w", "1", "x", url=secret.url())
        equal(status, 1)
        check("has not taken it in time" in said and "NOAUTH" in said, said)
        check(PASSWORD not in said, said)
        listener.close()


@case("a Redis that does not want it")
def _():
    with Redis() as strict:
        strict.client().execute_command("ACL", "SETUSER", "worker", "on", ">pw", "+@all",
                                        "resetchannels", "&other*")
        url = f"redis://worker:pw@127.0.0.1:{strict.port}"
        status, said = emit("x", url=url)
        equal(status, 1)
        check("Redis refuses it" in said and "NOPERM" in said, said)
        equal(emit("-k", "other", "x", url=url), (0, ""))


@case("no Redis, a Redis that hangs, one that comes late")
def _():
    port = free_port()
    begun = time.monotonic()
    status, said = emit("-w", "0.5", "x", url=f"redis://127.0.0.1:{port}")
    check(time.monotonic() - begun >= 0.5, "it did not wait")
    equal(status, 1)
    check(f"127.0.0.1:{port}" in said and "refused" in said, said)
    with Redis() as hangs:
        os.kill(hangs.pid, signal.SIGSTOP)
        equal(emit("-w", "0.5", "x", url=hangs.url())[0], 1)
        os.kill(hangs.pid, signal.SIGCONT)
    late = Redis(port=port)
    p = subprocess.Popen([program("NUCHUB_EMIT"), "-w", "60", "x"],
                         env={**os.environ, "REDIS_URL": late.url()})
    with late:
        equal(p.wait(60), 0)


@case("whether a server listens")
def _():
    started("ours", "pubsub")
    equal(emit("--heard", "x"), (0, ""))
    equal(emit("--heard", "-k", "another", "x"), (3, "nuchub-emit: no server listens there\n"))
    equal(emit("--heard", "-n", "/none", "x"), (3, "nuchub-emit: no server listens there\n"))


@case("what is wrong is told, and nothing is sent")
def _():
    before = None
    for args, words in [
            ([], "which event"),
            (["disconnect"], "protocol's own"),
            (["e", "text"], "argument 1 is not JSON"),
            (["e", "1", "{'a': 1}"], "argument 2 is not JSON"),
            (["e", b"\xff"], "argument 1 is not JSON"),
            (["e", "-t", b"\xff"], "argument 1 is not UTF-8"),
            ([b"\xff"], "name is not UTF-8"),
            (["-t", "x", "e"], "comes before"),
            (["e", "-b", "/nonexistent"], "/nonexistent: No such file"),
            (["-n", "chat", "e"], "--namespace"),
            (["--join", "r", "e"], "no event goes with this"),
            (["--join", "r", "--disconnect"], "exclude"),
            (["--close", "e"], "--close"),
            (["--side", "-r", "r", "e"], "--side"),
            (["-l", "e", "1"], "--lines"),
            (["--subscriptions", "some", "e"], "dynamic-private"),
            (["-w", "0", "e"], "--wait"),
            (["-w", "1x", "e"], "--wait"),
            (["-w"], "-w needs a value"),
            (["--frob"], "unknown option --frob"),
            (["-u", "http://127.0.0.1", "e"], "--url: begins with none of"),
            (["--side", "e", "-b", "/dev/null"], "bytes cannot be sent")]:
        status, said = emit(*args)
        equal(status, 2, f"{args}: {said}")
        check(words in said and said.startswith("nuchub-emit: ") and said.count("\n") == 1,
              f"{args}: {said}")
        commands = redis.client().info("commandstats").get("cmdstat_publish", {}).get("calls", 0)
        before = commands if before is None else before
        equal(commands, before)


@case("help and version")
def _():
    status, said = emit("--help")
    equal(status, 0)
    check(said.startswith("Usage: nuchub-emit") and "--sharded" in said, said)
    status, said = emit("--version", "whatever")
    equal(status, 0)
    check(said.startswith("nuchub-emit "), said)


run_cases()
