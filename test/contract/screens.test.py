#!/usr/bin/python3
"""The rest of what the frontend's screens ask for: fences, programs, addresses, settings."""

import json
import os
import resource
import sys
from http import client

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nuchub import (SocketIO, case, check, equal, get_json, http, hub, run_cases,  # noqa: E402
                    temp_dir, wait_for)

JSON = {"Content-Type": "application/json"}
IP = "192.0.2.65"

state = temp_dir()
cercas = os.path.join(state, "cercas")
config = os.path.join(temp_dir(), "nuchubd.conf")
script = os.path.join(temp_dir(), "vigilar")
told = os.path.join(temp_dir(), "told")
with open(script, "w") as f:
    f.write(f"""#!/bin/sh
printf '%s|' "$@" >>{told}
env >>{told}
echo >>{told}
[ "$2" = 192.0.2.66 ] || exit 0
exec sleep 300
""")
os.chmod(script, 0o755)
with open(config, "w") as f:
    f.write(f"""
state_dir = {state}
token = un-secreto
run_vigilancia = {script} --camara
[nuc nuc_a]
token = otro-secreto
[camara 192.0.2.65]
nombre = Patio
nuc = nuc_a
[camara 192.0.2.66]
""")

server = hub("--config", config)
server.argv.remove("--state-dir")
server.argv = [a for a in server.argv if not a.startswith("/tmp/nuchub-test-") or a == config]
plain = hub()


def port(which=server):
    if not which.running():
        which.start()
    return which.port


def call(method, target, body=None, which=server, fields=JSON):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    r = http(port(which), method, target, fields, data)
    equal(r.get("Content-Type"), "application/json", target)
    return r


def line(name="LINEA 1", color=0, **more):
    return {"x1": 10.5, "y1": 20, "x2": 30, "y2": 99.9, "nombre": name, "color_index": color, **more}


def names(ip=IP):
    return [c["nombre"] for c in call("GET", f"/api/cercas/{ip}").json()["cercas"]]


@case("fences are read back as they were saved")
def _():
    r = call("GET", f"/api/cercas/{IP}").json()
    equal(r, {"success": True, "camara": IP, "cercas": [], "total": 0})
    lines = [line(), line("LINEA 1", 3), line("Ñandú \"x\" 🐦", 9), line("", -1), line("t", 6)]
    r = call("POST", f"/api/cercas/{IP}", {"lineas": lines, "otro": 1})
    equal((r.status, r.json()),
          (200, {"success": True, "archivo": "config_cercas_192_0_2_65.json",
                 "message": f"Guardadas 5 cercas para cámara {IP}"}))
    r = call("GET", f"/api/cercas/{IP}").json()
    equal([(c["nombre"], c["color_index"], c["color"]) for c in r["cercas"]],
          [("LINEA 1", 0, "Amarillo"), ("LINEA 1", 3, "Cyan"), ("Ñandú \"x\" 🐦", 2, "Magenta"),
           ("", 6, "Azul"), ("t", 6, "Azul")])
    for c in r["cercas"]:
        equal((c["x1"], c["y1"], c["x2"], c["y2"], c["activa"]), (10.5, 20, 30, 99.9, True))
    equal(r["total"], 5)


@case("the file is what the detector reads")
def _():
    call("POST", f"/api/cercas/{IP}", {"lineas": [line("Línea 🐦")]})
    with open(os.path.join(cercas, "config_cercas_192_0_2_65.json"), "rb") as f:
        text = f.read()
    wanted = {"lineas": [[10.5, 20, 30, 99.9, "Línea 🐦", 0]], "camara": IP}
    equal(text.decode("ascii"), json.dumps(wanted, indent=2))
    call("POST", f"/api/cercas/{IP}", {})
    with open(os.path.join(cercas, "config_cercas_192_0_2_65.json")) as f:
        equal(f.read(), json.dumps({"lineas": [], "camara": IP}, indent=2))
    with open(os.path.join(cercas, "config_cercas_192_0_2_65.json.bak")) as f:
        equal(json.load(f), wanted, "the replaced file")
    equal(sorted(os.listdir(cercas)), ["config_cercas_192_0_2_65.json",
                                       "config_cercas_192_0_2_65.json.bak"])


@case("white space around the body of a POST is no other body")
def _():
    for blank in (b" ", b"\r\n\t"):
        body = blank + json.dumps({"lineas": [line("queda")]}).encode() + blank
        equal(call("POST", f"/api/cercas/{IP}", body).status, 200)
        equal(names(), ["queda"])


@case("deleting a fence by its name")
def _():
    lines = [line("a"), line("Ñ ñ"), line("a"), line("100%")]
    call("POST", f"/api/cercas/{IP}", {"lineas": lines})
    r = call("DELETE", f"/api/cercas/{IP}/%C3%91%20%C3%B1")
    equal((r.status, r.json()),
          (200, {"success": True, "message": f"Cerca Ñ ñ eliminada de cámara {IP}"}))
    equal(names(), ["a", "a", "100%"])
    call("DELETE", f"/api/cercas/{IP}/a")
    equal(names(), ["100%"])
    equal(call("DELETE", f"/api/cercas/{IP}/nadie").json()["success"], True)
    call("DELETE", f"/api/cercas/{IP}/100%")
    equal(names(), [])
    r = call("DELETE", "/api/cercas/192.0.2.99/a")
    equal((r.status, r.json()),
          (404, {"success": False, "error": "Archivo de configuración no encontrado"}))


@case("bad fences are refused, and what was there stays")
def _():
    call("POST", f"/api/cercas/{IP}", {"lineas": [line("queda")]})
    bad = [b"", b"{", b"null", b"[]", b'"x"', b"\xff", {"lineas": {}}, {"lineas": "x"},
           {"lineas": [1]}, {"lineas": [{}]}, {"lineas": [line(x1="1")]}, {"lineas": [line(x1=-1)]},
           {"lineas": [line(y2=100.1)]}, {"lineas": [line(x2=None)]}, {"lineas": [line(nombre=5)]},
           {"lineas": [line(nombre="x" * 300)]}, {"lineas": [line(color="rojo")]},
           {"lineas": [line(color=1.5)]}, {"lineas": [line(color=1e300)]},
           {"lineas": [line()] * 1001}, b'{"lineas":[{"x1":NaN}]}', b"[" * 500]
    for body in bad:
        r = call("POST", f"/api/cercas/{IP}", body)
        equal(r.status, 400, str(body)[:80])
        check(r.json()["success"] is False and r.json()["error"], r)
    equal(call("POST", f"/api/cercas/{IP}", b"x" * 600000).status, 413)
    r = http(port(), "POST", f"/api/cercas/{IP}", {"Content-Type": "text/plain"}, b"{}")
    equal(r.status, 415)
    equal(names(), ["queda"])
    for ip in ("a b", "..", "%2e%2e", "a%2fb", "%00", "a;b", "x" * 300, "-"):
        for method, tail in (("GET", ""), ("POST", ""), ("DELETE", "/x")):
            r = call(method, f"/api/cercas/{ip}{tail}", {"lineas": []} if method == "POST" else None)
            check(r.status in (400, 404), f"{method} {ip}: {r}")


@case("as many fences as can be saved can be read and deleted")
def _():
    # These letters take three times as many bytes in the file.
    lines = [line("ñ" * 125 + f"{i:04}") for i in range(1000)]
    body = json.dumps({"lineas": lines}, ensure_ascii=False).encode()
    equal(call("POST", f"/api/cercas/{IP}", body).status, 200)
    equal(len(names()), 1000)
    call("DELETE", f"/api/cercas/{IP}/" + "%C3%B1" * 125 + "0007")
    equal(len(names()), 999)
    call("POST", f"/api/cercas/{IP}", {"lineas": []})


@case("a hub without free descriptors does not say that there are no fences")
def _():
    call("POST", f"/api/cercas/{IP}", {"lineas": [line("queda")]})
    c = client.HTTPConnection("127.0.0.1", port())
    old = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    try:
        c.request("GET", "/api/status")
        c.getresponse().read()
        n = max(int(fd) for fd in os.listdir(f"/proc/{server.pid}/fd"))
        for limit in range(3, n + 4):  # no room at all, and then a little
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, old[1]))
            c.request("GET", f"/api/cercas/{IP}")
            r = c.getresponse()
            body = json.loads(r.read())
            check(r.status == 500 or len(body["cercas"]) == 1, f"{r.status} {body}")
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, old)
        c.close()
    equal(names(), ["queda"])


@case("what other programs wrote is shown as far as it can be")
def _():
    def write(name, text):
        with open(os.path.join(cercas, name), "w") as f:
            f.write(text)
    write("config_cercas_10_0_0_1.json", ' \n{"lineas": [[1,2,3,4,"cinco"], [1,2], [1,2,3,4,"seis",-8]]}')
    write("config_cercas_10_0_0_2.json", "{broken")
    write("config_cercas_a.txt", "{}")
    r = call("GET", "/api/cercas/10.0.0.1").json()
    equal([(c["nombre"], c["color_index"]) for c in r["cercas"]], [("cinco", 0), ("seis", 6)])
    r = call("GET", "/api/cercas/10.0.0.2")
    equal((r.status, r.json()["success"]), (500, False))
    r = call("GET", "/api/cercas").json()
    equal({(c["camara"], c["archivo"], c["total_cercas"]) for c in r["configuraciones"]},
          {(IP, "config_cercas_192_0_2_65.json", 1), ("10.0.0.1", "config_cercas_10_0_0_1.json", 2)})
    equal(r["total_camaras"], 2)
    r = call("POST", "/api/cercas/10.0.0.2", {"lineas": []})
    equal(r.status, 200, "a broken file can be replaced")


@case("a folder that cannot be written to: an error, and the old fences")
def _():
    call("POST", f"/api/cercas/{IP}", {"lineas": [line("queda")]})
    hidden = os.path.join(cercas, ".config_cercas_192_0_2_65.json.tmp")
    os.mkdir(hidden)  # even root cannot write this file now
    r = call("POST", f"/api/cercas/{IP}", {"lineas": []})
    equal((r.status, r.json()["success"]), (500, False))
    os.rmdir(hidden)
    equal(names(), ["queda"])


@case("a full disk: an error, and the old fences")
def _():
    h = hub()  # a limit on the size of files fails a write in the same way
    h.argv = ["/bin/sh", "-c", 'ulimit -f 8; exec "$0" "$@"', *h.argv]
    with h:
        target = f"/api/cercas/{IP}"
        equal(call("POST", target, {"lineas": [line("queda")]}, h).status, 200)
        r = call("POST", target, {"lineas": [line(str(i)) for i in range(500)]}, h)
        equal((r.status, r.json()["success"]), (500, False))
        equal([c["nombre"] for c in call("GET", target, which=h).json()["cercas"]], ["queda"])


@case("a program is started with one checked argument, without the hub's secrets")
def _():
    r = call("POST", "/api/ejecutar/vigilancia/192.0.2.65", b"")
    equal((r.status, r.json()),
          (200, {"success": True, "message": "Vigilancia iniciada para cámara 192.0.2.65"}))
    text = wait_for(lambda: os.path.exists(told) and open(told).read().endswith("\n\n") and
                    open(told).read(), "the program's words")
    check(text.startswith("--camara|192.0.2.65|"), text)
    check("secreto" not in text and "CERCAS_DIR=" + cercas in text, text)
    for ip in ("a;b", "$(id)", "`id`", "--help", "-x", "a%20b", "..%2f", "%00"):
        r = call("POST", f"/api/ejecutar/vigilancia/{ip}", b"")
        check(r.status in (400, 404), f"{ip}: {r}")
    for what in ("detectar-camaras", "configurar-cercas", "monitoreo", "monitoreo-cercas"):
        r = call("POST", f"/api/ejecutar/{what}", b"{}")
        equal((r.status, r.json()["success"]), (501, False), what)
    equal(call("POST", "/api/ejecutar/otro", b"").status, 404)
    equal(call("GET", "/api/ejecutar/monitoreo").status, 405)


@case("one program for a camera at a time; it ends with the hub")
def _():
    for _ in range(3):
        equal(call("POST", "/api/ejecutar/vigilancia/192.0.2.66", b"").json()["success"], True)
    text = wait_for(lambda: "|192.0.2.66|" in open(told).read() and open(told).read(), "the program")
    equal(text.count("--camara|192.0.2.66|"), 1)
    path = f"/proc/{server.pid}/task/{server.pid}/children"
    pid = wait_for(lambda: [p for p in open(path).read().split()
                            if open(f"/proc/{p}/comm").read() == "sleep\n"], "the child")[0]
    server.stop()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}") or
             open(f"/proc/{pid}/stat").read().split()[2] == "Z", "the end of the child")


@case("programs that cannot be run are an error at start")
def _():
    for value in ("vigilar", "/nonexistent", "/bin/true " + "x " * 20):
        path = os.path.join(temp_dir(), "bad.conf")
        with open(path, "w") as f:
            f.write(f"run_vigilancia = {value}\n")
        p = hub("--config", path)
        try:
            p.start()
            raise AssertionError(f"it started with {value}")
        except AssertionError as e:
            check("run_vigilancia" in str(e), str(e))


@case("addresses, cameras and settings")
def _():
    r = call("GET", "/api/ip").json()
    equal(set(r), {"success", "ips", "ip_recomendada", "url_recomendada", "timestamp"})
    equal(set(r["ips"]), {"local", "publica", "tailscale", "wireguard", "zerotier"})
    if r["ip_recomendada"]:
        equal(r["url_recomendada"], f"http://{r['ip_recomendada']}:{port()}")
    r = call("GET", "/api/camaras/configuradas").json()
    equal(r, {"success": True, "camaras_configuradas": ["192.0.2.65", "192.0.2.66"],
              "camaras_detalladas": [{"ip": "192.0.2.65", "nombre": "Patio", "nuc": "nuc_a"},
                                     {"ip": "192.0.2.66", "nombre": "Cámara 192.0.2.66", "nuc": None}],
              "modo": "configurado", "total": 2, "usando_config_file": True})
    text = call("GET", "/api/configuracion").body.decode()
    check("secreto" not in text, text)
    r = json.loads(text)
    equal((r["modo"], r["usando_config_file"], r["camaras"]["total"], r["nucs"]["total"]),
          ("configurado", True, 2, 1))
    equal(call("GET", "/api/camaras/configuradas", which=plain).json(),
          {"success": True, "camaras_configuradas": [], "camaras_detalladas": [],
           "modo": "automatico", "total": 0, "usando_config_file": False})
    equal(call("GET", "/api/configuracion", which=plain).json(),
          {"success": True, "camaras": {"configuradas": [], "total": 0},
           "nucs": {"nucs": [], "total": 0}, "modo": "variables_entorno",
           "usando_config_file": False})
    equal(call("GET", "/api/test/nuc").status, 400)


@case("detectar names the networks that agents told of")
def _():
    def networks():
        r = get_json(port(plain), "/api/camaras/detectar")
        return r["ip_local"], r["red"], r["total_dispositivos"]
    equal(networks(), ("", "", 0))
    with SocketIO(port(plain), {"nuc_id": "nuc_a"}) as a, SocketIO(plain.port, {"nuc_id": "nuc_b"}) as b:
        a.emit("nuc_register", {"nuc_id": "nuc_a", "camaras": [], "ip_local": "192.168.77.10",
                                "red": "192.168.77.0/24", "capacidades": ["stream", 5]}, ack=1)
        a.until(lambda t: t == "431[]")
        equal(networks()[:2], ("192.168.77.10", "192.168.77.0/24"))
        b.emit("nuc_register", {"nuc_id": "nuc_b", "camaras": [], "ip_local": "192.168.78.10",
                                "red": {"a": 1}, "capacidades": {}}, ack=1)
        b.until(lambda t: t == "431[]")
        equal(networks()[:2], ("192.168.77.10, 192.168.78.10", "192.168.77.0/24"))
        a.emit("nuc_register", {"nuc_id": "nuc_a", "camaras": [], "ip_local": "x" * 100,
                                "red": "a\nb"}, ack=2)
        a.until(lambda t: t == "432[]")
        equal(networks()[:2], ("192.168.78.10", ""))
    wait_for(lambda: networks() == ("", "", 0), "the agents' end")


run_cases()
