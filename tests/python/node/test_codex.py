"""Codex CLI, unmodified: a real command in a real shell asked for by the model, the session resumed, its history
compacted; over HTTP and over a socket, and with each family of upstream."""

import json

import pytest
import upstream as fake
from client import native, run
from conftest import Server
from tap import Tap

CONFIG = """
model = "{model}"
model_provider = "mainstay"
sandbox_mode = "danger-full-access"
approval_policy = "never"
check_for_update_on_startup = false
{more}

[analytics]
enabled = false

[model_providers.mainstay]
name = "{name}"
base_url = "{url}/v1"
env_key = "MAINSTAY_KEY"
wire_api = "responses"
supports_websockets = {sockets}
request_max_retries = 0
stream_max_retries = 0
"""
# What it prints is written nowhere: a shell has to have run it.
COMMAND = json.dumps({"cmd": "echo mark-$((6 * 7)) | tee made.txt"})
ORDER = f"Please call exec_command with {COMMAND}"


@pytest.fixture(scope="module")
def upstream():
    upstream = fake.Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def gateway(unstarted, upstream):
    fake.place(unstarted, upstream.url)
    unstarted.start()
    yield unstarted
    assert unstarted.stop() == 0, "the server did not drain and exit cleanly"


@pytest.fixture
def tap(gateway):
    tap = Tap(gateway.url)
    yield tap
    tap.close()


class Codex:
    """A home of its own and an empty folder to work in."""

    def __init__(self, folder, key):
        self.home, self.work, self.key = folder / "home", folder / "work", key
        self.home.mkdir()
        self.work.mkdir()
        self.program = native("@openai/codex", "vendor/*/bin/codex")

    def configure(self, tap, model, sockets=False, name="Mainstay", more=""):
        values = {"model": model, "sockets": str(sockets).lower(), "name": name, "more": more}
        (self.home / "config.toml").write_text(CONFIG.format(url=tap.url, **values))

    def exec(self, *arguments):
        """The events that it prints."""
        command = [self.program, "exec", "--skip-git-repo-check", "--json", *arguments]
        told = run(command, self.work, CODEX_HOME=str(self.home), MAINSTAY_KEY=self.key, RUST_LOG="error")
        return [json.loads(line) for line in told.splitlines()]


@pytest.fixture
def codex(tmp_path, gateway):
    return Codex(tmp_path, gateway.key)


def items(events, kind):
    done = [event["item"] for event in events if event["type"] == "item.completed"]
    return [item for item in done if item["type"] == kind]


def is_socket(tap):
    assert tap.began, "nobody came"
    return {line.split()[0] for line in tap.began if "/responses" in line} == {"GET"}


@pytest.mark.parametrize("sockets", [False, True], ids=["http", "socket"])
@pytest.mark.parametrize("family", fake.FAMILIES)
def test_a_command_runs_and_the_session_resumes(codex, tap, upstream, family, sockets):
    codex.configure(tap, f"via-{family}", sockets)
    upstream.look()
    events = codex.exec(ORDER)
    assert items(events, "agent_message")[-1]["text"] == "It is done.", events
    (ran,) = items(events, "command_execution")
    assert (ran["exit_code"], ran["aggregated_output"].strip()) == (0, "mark-42")
    assert (codex.work / "made.txt").read_text() == "mark-42\n"
    assert events[-1]["type"] == "turn.completed" and events[-1]["usage"]["input_tokens"] > 0
    events = codex.exec("resume", "--last", "What was it?")
    assert items(events, "agent_message")[-1]["text"] == "You said: What was it?", events
    seen, wrong = upstream.look()
    assert not wrong, wrong
    assert len(seen) == 3
    told = json.dumps(seen[-1][1])
    assert "mark-42" in told and "It is done." in told, "what the resumed session sent is its whole history"
    assert is_socket(tap) == sockets, tap.began


@pytest.mark.parametrize("sockets", [False, True], ids=["http", "socket"])
def test_a_long_session_is_compacted(codex, tap, upstream, sockets):
    """It asks its provider for a digest only where that calls itself OpenAI, and when the limit is reached."""
    codex.configure(tap, "via-openai-chat", sockets, name="OpenAI", more="model_auto_compact_token_limit = 20")
    codex.exec("hello")
    upstream.look()
    events = codex.exec("resume", "--last", "And now?")
    assert items(events, "agent_message")[-1]["text"].endswith("And now?"), events
    seen, wrong = upstream.look()
    assert not wrong, wrong
    digested, answered = [body["messages"] for _, body, _ in seen]
    assert digested[-1]["content"].startswith("Write a digest"), digested[-1]
    assert "assistant" in [message["role"] for message in digested]
    assert "assistant" not in [message["role"] for message in answered], "the digest stands for what was said"
    assert "You said: Write a digest" in json.dumps(answered), answered
    assert is_socket(tap) == sockets, tap.began
