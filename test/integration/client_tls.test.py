#!/usr/bin/python3
"""Whom our client trusts over TLS, what it says when it does not, and what it shows."""

import datetime
import os
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from client import Client, Listener  # noqa: E402
from nuchub import (case, check, equal, hub, make_ca, make_certificate, run_cases,  # noqa: E402
                    temp_dir)

FOLDER = temp_dir()
CA = make_ca(FOLDER)
OTHER_CA = make_ca(FOLDER, "other")


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stderr=subprocess.DEVNULL)


def signed(name, days, names="DNS:localhost", ca=CA):
    """A certificate whose time began `days[0]` days from now and ends at `days[1]`."""
    paths = [os.path.join(FOLDER, f"{name}.{kind}") for kind in ("pem", "key", "csr", "cnf")]
    cert, key, request, conf = paths
    database = os.path.join(FOLDER, name + ".db")
    open(database, "w").close()
    with open(conf, "w") as f:
        f.write(f"[ca]\ndefault_ca=x\n[x]\ndatabase={database}\nnew_certs_dir={FOLDER}\n"
                f"rand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n"
                f"[p]\ncommonName=supplied\n[e]\nsubjectAltName={names}\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = ((now + datetime.timedelta(days=d)).strftime("%Y%m%d%H%M%SZ") for d in days)
    openssl("ca", "-config", conf, "-batch", "-notext", "-cert", ca[0], "-keyfile", ca[1],
            "-startdate", begin, "-enddate", end, "-in", request, "-out", cert)
    return cert, key


def self_signed(names="DNS:localhost"):
    cert, key = os.path.join(FOLDER, "self.pem"), os.path.join(FOLDER, "self.key")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
            "-addext", f"subjectAltName={names}")
    return cert, key


def expect_refusal(why, cert, key, host="localhost", **options):
    for transport in ("websocket", "polling", "default"):
        with hub("--tls-cert", cert, "--tls-key", key) as h, \
                Client(f"https://{host}:{h.port}", transport=transport, no_reconnect=1,
                       **options) as client:
            line = client.next("down", "connect")
            equal(line[0], "down", why)
            equal(line[2].removeprefix("poll: "), why)


@case("a certificate of a CA that is trusted, for a name or an address")
def _():
    cert, key = make_certificate(FOLDER, CA, "DNS:localhost,DNS:*.hub.test,IP:127.0.0.1", "good")
    with hub("--tls-cert", cert, "--tls-key", key) as h:
        for host in ("localhost", "127.0.0.1"):
            with Client(f"https://{host}:{h.port}", ca=CA[0]) as client:
                equal(client.next("connect", "down")[0], "connect")
        with Client(f"wss://127.0.0.1:{h.port}", ca=CA[0], tls_name="one.hub.test") as client:
            equal(client.next("connect", "down")[0], "connect")
        for host, name in (("127.0.0.1", "two.one.hub.test"), ("localhost", "hub.test")):
            with Client(f"https://{host}:{h.port}", ca=CA[0], tls_name=name,
                        no_reconnect=1) as client:
                equal(client.next("down")[2],
                      f"certificate of {name} refused: it is for another name")


@case("what is refused unless told otherwise, each in its words")
def _():
    said = "certificate of localhost refused: "
    good = make_certificate(FOLDER, CA, "DNS:localhost", "good2")
    expect_refusal(said + "it is self-signed and not among the trusted ones", *self_signed())
    expect_refusal(said + "it is signed by an unknown CA", *good)
    expect_refusal(said + "it is signed by an unknown CA", *good, ca=OTHER_CA[0])
    expect_refusal(said + "it has expired", *signed("old", (-5, -1)), ca=CA[0])
    expect_refusal(said + "it is not valid yet (is the clock right?)",
                   *signed("young", (1, 5)), ca=CA[0])
    expect_refusal(said + "it is for another name",
                   *make_certificate(FOLDER, CA, "DNS:other.test", "named"), ca=CA[0])
    expect_refusal("certificate of 127.0.0.1 refused: it is for another name", *good,
                   host="127.0.0.1", ca=CA[0])


@case("verification is off only where asked")
def _():
    cert, key = self_signed("DNS:other.test")
    with hub("--tls-cert", cert, "--tls-key", key) as h, \
            Client(f"https://localhost:{h.port}", insecure=1) as client:
        equal(client.next("connect", "down")[0], "connect")


@case("a server without TLS, and TLS where none is expected")
def _():
    with hub() as h, Client(f"https://localhost:{h.port}", no_reconnect=1) as client:
        equal(client.next("down")[2],
              "TLS handshake with localhost: the peer does not speak TLS here")
    cert, key = self_signed()
    with hub("--tls-cert", cert, "--tls-key", key) as h, \
            Client(f"http://localhost:{h.port}", no_reconnect=1) as client:
        client.next("down")


def context(cert, key):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(cert, key)
    return c


@case("the server is told which name is wanted, and TLS 1.3 can be demanded")
def _():
    cert, key = make_certificate(FOLDER, CA, "DNS:hub.test", "sni")
    names = []
    c = context(cert, key)
    c.sni_callback = lambda s, name, ctx: names.append(name)
    with Listener(lambda conn: conn.sendall(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"),
                  c) as server, \
            Client(f"https://127.0.0.1:{server.port}", ca=CA[0], tls_name="hub.test",
                   transport="polling", no_reconnect=1) as client:
        client.next("down")
        equal(names, ["hub.test"])
    c = context(cert, key)
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    with Listener(lambda conn: None, c) as server, \
            Client(f"https://127.0.0.1:{server.port}", ca=CA[0], tls_name="hub.test",
                   no_reconnect=1, **{"tls-1.3": 1}) as client:
        equal(client.next("down")[2],
              "TLS handshake with hub.test: the two have no version of TLS in common")


@case("a client's certificate is shown, and asked for in clear words")
def _():
    cert, key = make_certificate(FOLDER, CA, "DNS:localhost", "asks")
    mine, my_key = signed("client", (-1, 5), "DNS:client.test", OTHER_CA)
    both = os.path.join(FOLDER, "both.pem")
    with open(both, "w") as f:
        for part in (mine, my_key):
            with open(part) as p:
                f.write(p.read())
    shown = []

    def serve(conn):
        shown.append(dict(x[0] for x in conn.getpeercert()["subject"])["commonName"])
        conn.recv(65536)
        conn.sendall(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")

    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        c = context(cert, key)
        c.verify_mode = ssl.CERT_REQUIRED
        c.load_verify_locations(OTHER_CA[0])
        c.minimum_version = c.maximum_version = version
        with Listener(serve, c) as server:
            url = f"https://localhost:{server.port}"
            for how in ({"cert": mine, "key": my_key}, {"cert": both}):
                with Client(url, ca=CA[0], no_reconnect=1, transport="polling", **how) as client:
                    equal(client.next("down")[2], "poll: the server answered with status 503")
            # In TLS 1.3 the request may cross with the alert, and the reset that it provokes
            # may overtake that: then why is not known.
            for _i in range(20):
                with Client(url, ca=CA[0], no_reconnect=1, transport="polling") as client:
                    why = client.next("down")[2]
                if "reset by peer" not in why and "Broken pipe" not in why:
                    break
            if version == ssl.TLSVersion.TLSv1_3:
                check("the peer wants a certificate of ours" in why, why)
            else:
                check("TLS" in why, why)
    equal(shown, ["client"] * 4)


@case("files that are not what they should be are told at once")
def _():
    cert, key = self_signed()
    for options, why in (({"ca": "/nonexistent"}, "CA file /nonexistent"),
                         ({"ca": key}, "CA file"),
                         ({"cert": "/nonexistent"}, "certificate /nonexistent"),
                         ({"cert": cert, "key": CA[1]}, "is not that of certificate")):
        client = Client("https://localhost:1", connect=False, **options)
        check(why in client.next("end")[1], client.log())


run_cases()
