"""A Redis of the test's own, with nothing in it."""

import os
import sys

from nuchub import Server, free_port, temp_dir

try:
    import redis
except ImportError:
    print("python3-redis is not installed")
    sys.exit(77)


class Redis(Server):
    def __init__(self, *options, port=None):
        port = port or free_port()
        self.folder = temp_dir()
        self.socket = os.path.join(self.folder, "redis.sock")
        super().__init__(["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir",
                          self.folder, "--save", "", "--unixsocket", self.socket, *options],
                         port)
        self.user = self.password = None

    def client(self, db=0):
        return redis.Redis(port=self.port, db=db, username=self.user, password=self.password)

    def url(self, db=""):
        return f"redis://127.0.0.1:{self.port}{db}"
