"""The same server as two nodes on one PostgreSQL behind nginx, which hands each request to the next of them: half of
all requests arrive at a node that does not drive the session. With MAINSTAY_TEST_CLUSTER the whole suite runs so."""

import atexit
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time

PROGRAMS = pathlib.Path(os.environ.get("MAINSTAY_POSTGRES_15", "/usr/lib/postgresql/15/bin"))
NGINX_PROGRAM = os.environ.get("MAINSTAY_NGINX", "nginx")
NODES = 2
# How long to wait for what must come; never how long something may take.
PATIENCE_S = 60

CONFIG = """
[store]
url = "{store}"
lease_ms = 2000
shards = 16

[keys]
url = "{keys}"
master_key = {{ file = "{master}" }}
"""

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_max_body_size 512m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream nodes {{ {nodes} keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 600s;
      proxy_next_upstream off;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Postgres:
    """A private server of this test run; PostgreSQL refuses root, so that it then runs as another user."""

    instance = None

    @classmethod
    def of_this_run(cls):
        if cls.instance is None:
            cls.instance = cls()
            atexit.register(cls.instance.stop)
        return cls.instance

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mainstay-postgres-"))
        self.port = free_port()
        self.count = 0
        self.user = None
        if os.getuid() == 0:
            self.user = "postgres" if "postgres" in {user.pw_name for user in pwd.getpwall()} else "nobody"
            shutil.chown(self.folder, self.user)
        data = self.folder / "data"
        self.run(PROGRAMS / "initdb", "-A", "trust", "-U", "owner", "-E", "UTF8", "--locale=C", "-D", data)
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200"
        self.run(PROGRAMS / "pg_ctl", "-w", "-D", data, "-l", self.folder / "log", "-o", options, "start")
        self.sql("CREATE ROLE mainstay LOGIN")

    def run(self, *command):
        command = [str(word) for word in command]
        options = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", **options)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def sql(self, text):
        return self.run(PROGRAMS / "psql", "-h", "127.0.0.1", "-p", self.port, "-U", "owner", "-d", "postgres", "-c", text)

    def database(self):
        """The address of a new database that belongs to the servers' role."""
        self.count += 1
        self.sql(f"CREATE DATABASE d{self.count} OWNER mainstay")
        return f"postgres://mainstay@127.0.0.1:{self.port}/d{self.count}"

    def stop(self):
        self.run(PROGRAMS / "pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


def clustered(single, binary):
    """A class like `single`, a server, that is several nodes."""

    class Cluster(single):
        def __init__(self, folder, start=True):
            postgres = Postgres.of_this_run()
            self.folder = folder
            self.ports = [free_port() for _ in range(NODES)]
            self.port = free_port()
            self.processes = []
            super().__init__(folder, start=False)
            master = folder / "master.key"
            subprocess.run([binary, "keys", "draw", master], stdout=subprocess.DEVNULL, check=True)
            settings = CONFIG.format(store=postgres.database(), keys=postgres.database(), master=master)
            self.config.write_text(self.config.read_text() + settings)
            if start:
                self.start()

        def start(self):
            self.url = f"http://127.0.0.1:{self.port}"
            self.processes = [self._node(number) for number in range(NODES)]
            for port in [*self.ports]:
                _until_open(port)
            self.process = self._proxy()
            _until_open(self.port)
            self.key = self._key()

        def _node(self, number):
            command = [binary, "serve", "--config", self.config, "--data", self._data(number)]
            command += ["--listen", f"127.0.0.1:{self.ports[number]}"]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL)

        def _data(self, number):
            return self.folder / f"node-{number}"

        def _proxy(self):
            folder = self.folder / "nginx"
            folder.mkdir(exist_ok=True)
            nodes = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in self.ports)
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, nodes=nodes, port=self.port))
            return subprocess.Popen([NGINX_PROGRAM, "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"])

        def stop(self, kill=False):
            codes = [_end(process, kill) for process in self.processes]
            _end(self.process, kill=False)
            return max(codes, key=abs)

        def _key(self):
            command = [binary, "key", "--config", self.config, "--data", self._data(0)]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    return Cluster


def _end(process, kill):
    if process.poll() is None:
        process.kill() if kill else process.terminate()
    return process.wait(PATIENCE_S)


def _until_open(port):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on port {port}"
            time.sleep(0.05)
