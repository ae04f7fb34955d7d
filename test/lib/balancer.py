"""The balancers of doc/cluster, run as they are there but for addresses and ports."""

import os
import shutil
import sys

from nuchub import TOP, Server, check, free_port, temp_dir

FOLDER = os.path.join(TOP, "doc", "cluster")
VARIANTS = ("sid", "cookie", "address")


def need_programs():
    missing = [p for p in ("nginx", "haproxy") if not find(p)]
    if missing:
        print("not installed:", ", ".join(missing))
        sys.exit(77)


def find(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def filled_in(name, replacements):
    with open(os.path.join(FOLDER, name)) as f:
        text = f.read()
    for old, new in replacements.items():
        check(old in text, f"{name} has no {old!r}")
        text = text.replace(old, new)
    return text


def put(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def hubs(ports):
    return {f"192.0.2.1{i}:8080": f"127.0.0.1:{port}" for i, port in enumerate(ports, 1)}


NGINX = """\
daemon off;
worker_processes 2;
pid nginx.pid;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include conf.d/*.conf;
}}
"""


def nginx(variant, ports, port=None):
    """nginx in front of three servers, not started yet."""
    port = port or free_port()
    folder = temp_dir()
    os.mkdir(os.path.join(folder, "conf.d"))
    put(folder, "nginx.conf", NGINX.format(user="user root;" if os.geteuid() == 0 else ""))
    put(folder, "conf.d/nuchub.conf",
        filled_in("nginx-server.conf", {"listen 80;": f"listen 127.0.0.1:{port};"}))
    put(folder, "conf.d/hubs.conf", filled_in(f"nginx-{variant}.conf", hubs(ports)))
    return Server([find("nginx"), "-e", "stderr", "-p", folder, "-c", "nginx.conf"], port)


def haproxy(variant, ports, port=None):
    port = port or free_port()
    folder = temp_dir()
    files = [put(folder, "haproxy.cfg",
                 filled_in("haproxy.cfg", {"bind :80": f"bind 127.0.0.1:{port}"})),
             put(folder, "hubs.cfg", filled_in(f"haproxy-{variant}.cfg", hubs(ports)))]
    return Server([find("haproxy"), "-db", "-f", files[0], "-f", files[1]], port)
