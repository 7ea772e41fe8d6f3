"""A server of its own for the tests, on a scripted model. The binary: MAINSTAY_BIN, else target/debug/mainstay."""

import http.client
import json
import os
import pathlib
import select
import subprocess
import urllib.parse

import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MAINSTAY_BIN", ROOT / "target/debug/mainstay")).resolve()
# How long to wait for what must come; never how long something may take.
PATIENCE_S = 60

# The first reply whose `when` matches is played; what is not told apart is echoed.
SCRIPT = """
[[reply]]
when = { contains = "weather", after_tool = false }
steps = [
  { reasoning = "I should look." },
  { tool_call = { name = "get_weather", arguments = { city = "Paris" } } },
]
[[reply]]
when = { contains = "weather", after_tool = true }
steps = [{ text = "It is sunny." }, { usage = { input = 30, cached_input = 10, output = 4 } }]
[[reply]]
when = { contains = "two calls", after_tool = false }
steps = [
  { tool_call = { name = "get_weather", arguments = { city = "Paris" } } },
  { tool_call = { name = "get_weather", arguments = { city = "Rome" } } },
]
[[reply]]
when = { contains = "two calls", after_tool = true }
steps = [{ text = "Both." }]
[[reply]]
when = { contains = "slowly" }
steps = [{ text = "one two three four five six seven eight nine ten", delay_ms = 20 }]
[[reply]]
when = { contains = "forever" }
steps = [{ text = "It begins " }, { hang = true }]
[[reply]]
when = { contains = "refused" }
steps = [{ fail = { kind = "invalid_request", message = "the model will not" } }]
[[reply]]
when = { contains = "broken" }
repeat = 1
steps = [{ text = "half a " }, { break = true }]
[[reply]]
when = { contains = "broken" }
steps = [{ text = "half a loaf" }]
[[reply]]
when = { contains = "think" }
steps = [{ reasoning = "hm hm" }, { text = "42" }]
[[reply]]
when = { contains = "as json" }
steps = [{ text = '{"answer": 42}', split = 3 }]
[[reply]]
repeat = true
steps = [{ text = "You said: " }, { echo = true }, { usage = { input = 12, output = 5, reasoning = 1 } }]
"""

CONFIG = """
[[provider]]
name = "script"
kind = "scripted"
script = "{script}"

[[deployment]]
model = "test-model"
provider = "script"

[[key]]
tenant = "other"
principal = "somebody"
key = {{ file = "{other}" }}
"""

OTHER_KEY = "a-key-of-another-tenant"


class Server:
    """A running server; `stop` and `start` go on with the same data."""

    def __init__(self, folder, start=True):
        self.data = folder / "data"
        self.script = folder / "script.toml"
        self.script.write_text(SCRIPT)
        self.config = folder / "mainstay.toml"
        other = folder / "other.key"
        other.write_text(OTHER_KEY)
        self.config.write_text(CONFIG.format(script=self.script, other=other))
        self.process = None
        if start:
            self.start()

    def say_first(self, replies):
        """Replies that come before the others; call it before the start."""
        self.script.write_text(replies + self.script.read_text())

    def start(self):
        command = [BINARY, "serve", "--config", self.config, "--data", self.data, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert select.select([self.process.stdout], [], [], PATIENCE_S)[0], "the server said nothing"
        line = self.process.stdout.readline()
        assert "http://" in line, f"the server did not start: {line!r}"
        self.url = line[line.index("http://") :].strip()
        self.key = self._key()

    def stop(self, kill=False):
        if self.process.poll() is None:
            self.process.kill() if kill else self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return code

    def _key(self):
        command = [BINARY, "key", "--config", self.config, "--data", self.data]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def client(self, **options):
        options.setdefault("api_key", self.key)
        return openai.OpenAI(base_url=f"{self.url}/v1", timeout=PATIENCE_S, **options)

    def raw(self):
        return Raw(self)


if os.environ.get("MAINSTAY_TEST_CLUSTER"):
    import cluster

    Server = cluster.clustered(Server, BINARY)


class Response:
    """A whole response."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]


class Raw:
    """HTTP without any SDK."""

    def __init__(self, server):
        self.server = server

    def open(self, method, path, body=None, headers=None):
        """Sends a request; returns the response with its body unread."""
        parts = urllib.parse.urlsplit(self.server.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_S)
        send = {"Authorization": f"Bearer {self.server.key}", "Content-Type": "application/json"}
        send.update(headers or {})
        send = {name: value for name, value in send.items() if value is not None}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection.request(method, path, body=body, headers=send)
        return connection.getresponse()

    def request(self, method, path, body=None, headers=None):
        response = self.open(method, path, body, headers)
        try:
            return Response(response)
        finally:
            response.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def frames(self, path, until, headers=None, method="GET", body=None):
        """The frames of an event stream as bytes, up to the first for which `until` holds. Comments are dropped."""
        response = self.open(method, path, body, headers)
        assert response.status == 200, response.read()
        found, lines = [], []
        try:
            for line in iter(response.readline, b""):
                if not line.startswith(b":"):
                    lines.append(line)
                if line != b"\n":
                    continue
                frame, lines = b"".join(lines), []
                if frame.strip():
                    found.append(frame)
                    if until(frame):
                        break
            return found
        finally:
            response.close()


def field(frame, name):
    """The value of one field of a frame of an event stream."""
    prefix = f"{name}: ".encode()
    lines = [line for line in frame.split(b"\n") if line.startswith(prefix)]
    return lines[0][len(prefix) :].decode() if lines else None


@pytest.fixture(scope="module")
def unstarted(tmp_path_factory):
    """A server whose configuration may still be added to."""
    return Server(tmp_path_factory.mktemp("mainstay"), start=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mainstay"))
    yield server
    assert server.stop() == 0, "the server did not drain and exit cleanly"


@pytest.fixture
def client(server):
    with server.client(max_retries=0) as client:
        yield client


@pytest.fixture
def raw(server):
    return server.raw()
