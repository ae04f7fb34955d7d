#!/usr/bin/python3
"""A Redis behind TLS: who is trusted, what is said of who is not, and what is never shown."""

import os
import subprocess
import sys
from urllib.parse import quote

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (Server, SocketIO, case, check, equal, free_port, get_json, hub,  # noqa: E402
                    jpeg_text, make_ca, make_certificate, program, run_cases, snapshot,
                    temp_dir, wait_for)

try:
    import redis
except ImportError:
    print("python3-redis is not installed")
    sys.exit(77)

PASSWORD = "hush"
FOLDER = temp_dir()
CA = make_ca(FOLDER)
OTHER_CA = make_ca(FOLDER, "other")
NAMED = make_certificate(FOLDER, CA, "DNS:localhost")


class Redis(Server):
    """One that speaks TLS, with a certificate for localhost."""

    def __init__(self, *options):
        port = free_port()
        super().__init__(["redis-server", "--port", 0, "--tls-port", port, "--bind", "127.0.0.1",
                          "--dir", temp_dir(), "--save", "", "--requirepass", PASSWORD,
                          "--tls-cert-file", NAMED[0], "--tls-key-file", NAMED[1],
                          "--tls-ca-cert-file", CA[0], "--tls-auth-clients", "no", *options],
                         port)

    def client(self):
        return redis.Redis(host="localhost", port=self.port, db=1, password=PASSWORD, ssl=True,
                           ssl_ca_certs=CA[0])

    def url(self, host="localhost", ca=CA[0], **query):
        query = {**({"ssl_ca_certs": ca} if ca else {}), **query}
        return (f"rediss://:{PASSWORD}@{host}:{self.port}/1?"
                + "&".join(f"{k}={quote(v)}" for k, v in query.items()))


def state(h):
    return get_json(h.port, "/api/status")["redis"]


def connects(url, env=None):
    with hub(env={"REDIS_URL": url, **(env or {})}) as h:
        wait_for(lambda: state(h) == "conectado", "the hub to be connected")
        check(PASSWORD not in h.log(), h.log())


def is_refused(url, why, env=None):
    with hub(env={"REDIS_URL": url, **(env or {})}) as h:
        wait_for(lambda: why in h.log(), f"the hub to say {why}")
        equal(state(h), "desconectado")
        check(PASSWORD not in h.log(), h.log())
        equal(h.log().count("redis store away"), 1, "lines that say so")


@case("pictures go through TLS, and are where other programs find them")
def _():
    with Redis() as r, hub(env={"REDIS_URL": r.url()}) as h:
        wait_for(lambda: state(h) == "conectado", "the hub to be connected")
        nuc = SocketIO(h.port, {"nuc_id": "nuc_a"})
        sent = [jpeg_text(200000, i) for i in range(50)]
        for image in sent:
            nuc.emit("snapshot", snapshot("192.0.2.66", image))
        c = r.client()

        def newest():
            value = c.get("snapshot:192.0.2.66")
            return bool(value) and sent[-1] in value.decode()
        wait_for(newest, "the last picture")
        nuc.close()


@case("hubs speak to each other through TLS, and come together again when it is back")
def _():
    with Redis() as r:
        one, two = (hub("--cluster", "pubsub", "--cluster-name", name,
                        env={"REDIS_URL": r.url(), "NUCHUB_TOKEN": ""}) for name in ("one", "two"))
        with one, two, SocketIO(one.port, {"nuc_id": "nuc_a"}):
            def known(nuc_id):
                return nuc_id in [n["nuc_id"] for n in get_json(two.port, "/api/nucs")["nucs"]]
            wait_for(lambda: known("nuc_a"), "an agent of the other hub")
            r.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            r.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            for h in (one, two):
                wait_for(lambda: h.log().count("redis listener connected") == 2, "the listener")
            with SocketIO(one.port, {"nuc_id": "nuc_b"}):
                wait_for(lambda: known("nuc_b"), "another")
            equal(one.log().count(PASSWORD) + two.log().count(PASSWORD), 0)


@case("trusted: the CA that is named, the system's, and whoever answers where that is wanted")
def _():
    with Redis() as r:
        connects(r.url())
        connects(r.url(ca=None), {"SSL_CERT_FILE": CA[0]})
        connects(r.url("127.0.0.1", ssl_check_hostname="False"))
        connects(r.url("127.0.0.1", ca=None, ssl_cert_reqs="none"))


@case("refused: another CA, another name, nobody's certificate, no TLS")
def _():
    with Redis() as r:
        unknown = "certificate of localhost refused: it is signed by an unknown CA"
        is_refused(r.url(ca=OTHER_CA[0]), unknown)
        is_refused(r.url(ca=None), unknown, {"SSL_CERT_FILE": OTHER_CA[0]})
        is_refused(r.url(ca=OTHER_CA[0], ssl_check_hostname="false"), unknown)
        is_refused(r.url("127.0.0.1"), "certificate of 127.0.0.1 refused: it is for another name")
        is_refused(r.url().replace("rediss", "redis"), "redis store away")
    plain = free_port()
    with Server(["redis-server", "--port", plain, "--bind", "127.0.0.1", "--save", ""], plain):
        is_refused(f"rediss://:{PASSWORD}@localhost:{plain}", "redis store away")


@case("a Redis that wants a certificate of ours gets it")
def _():
    ours = make_certificate(FOLDER, CA, "DNS:hub.test", "ours")
    with open(os.path.join(FOLDER, "ours.ext"), "w") as f:
        f.write("extendedKeyUsage=clientAuth\n")
    subprocess.run(["openssl", "x509", "-req", "-in", os.path.join(FOLDER, "ours.csr"),
                    "-CA", CA[0], "-CAkey", CA[1], "-CAcreateserial", "-days", "2",
                    "-out", ours[0], "-extfile", os.path.join(FOLDER, "ours.ext")],
                   check=True, stderr=subprocess.DEVNULL)
    with Redis("--tls-auth-clients", "yes") as r:
        connects(r.url(ssl_certfile=ours[0], ssl_keyfile=ours[1]))
        # Why it hangs up is known only where its last words come before the reset.
        is_refused(r.url(), "redis store away")


@case("an error at start: files that are not there, words that say nothing")
def _():
    for query, why in [("ssl_ca_certs=/nonexistent/ca.pem", "/nonexistent/ca.pem"),
                       ("ssl_certfile=/nonexistent/c.pem", "/nonexistent/c.pem"),
                       ("ssl_keyfile=/k.pem", "ssl_keyfile without ssl_certfile"),
                       ("ssl_cert_reqs=maybe", "ssl_cert_reqs"),
                       ("ssl_check_hostname=maybe", "ssl_check_hostname")]:
        p = subprocess.run([program("NUCHUBD"), "--port", "0"], stderr=subprocess.PIPE,
                           env={"REDIS_URL": f"rediss://:{PASSWORD}@h?{query}"}, text=True,
                           timeout=20)
        check(p.returncode != 0, query)
        check(why in p.stderr and PASSWORD not in p.stderr, p.stderr)


run_cases()
