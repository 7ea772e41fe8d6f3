"""Requests that Schemathesis makes of our own OpenAPI document, to a live server with real sessions, agents, responses
and conversations: no 5xx, no answer that the document does not describe, nothing taken that it forbids. Short in CI;
`cargo xtask soak schemathesis` asks for more and for every edge of each schema."""

import json
import os
import pathlib
import subprocess
import sys

import jsonschema
import pytest
from conftest import ROOT, field

PINS = pathlib.Path(__file__).parent / "schemathesis/requirements.txt"
ENVIRONMENT = ROOT / "target/schemathesis"
IS_SOAK = "MAINSTAY_SOAK" in os.environ
# Requests of each operation and phase.
EXAMPLES = os.environ.get("MAINSTAY_EXAMPLES", "300" if IS_SOAK else "2")
# The edges of every schema come to some ninety requests of each operation: too many for CI.
PHASES = "examples,coverage,fuzzing" if IS_SOAK else "examples,fuzzing"
SEED = "20261123"
# How long the server may take for an answer that must come, seconds.
ANSWER_S = "30"

# Left out everywhere: the document says what is read, not every rule between fields (a model that exists; `input`
# unless there is a response to go on with; two tools, two names). What is refused is refused with the field's name,
# which the tests of each API hold.
EXCLUDED = ["positive_data_acceptance"]
# Left out where a path answers to more than the document offers: operations of the vendor that are refused by name
# instead of by 405, and `GET /responses`, which is a WebSocket.
UNDOCUMENTED = ["unsupported_method", "allow_header_conformance"]


@pytest.fixture(scope="module")
def schemathesis():
    """The program; installed once, made again when the pins change."""
    stamp, program = ENVIRONMENT / "pins.txt", ENVIRONMENT / "bin/schemathesis"
    if not (program.exists() and stamp.exists() and stamp.read_text() == PINS.read_text()):
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [ENVIRONMENT / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        made = subprocess.run([*pip, "-r", PINS], capture_output=True, text=True)
        if made.returncode != 0:
            why = f"schemathesis cannot be installed here: {made.stderr.strip()[-300:]}"
            print("SKIPPED", why)
            pytest.skip(why)
        stamp.write_text(PINS.read_text())
    return program


def document(folder):
    """Our document with each path written out: a path of its own server, or the first server of all."""
    whole = json.loads((ROOT / "docs/openapi.json").read_text())
    usual = whole.pop("servers")[0]["url"]
    paths = {}
    for path, item in whole["paths"].items():
        base = item.pop("servers", [{"url": usual}])[0]["url"]
        paths[base.rstrip("/") + path] = item
    whole["paths"] = paths
    target = folder / "openapi.json"
    target.write_text(json.dumps(whole))
    return target


def made(raw):
    """One of each thing that has an id: paths, as a pattern, with the ids that stand in them."""

    def post(path, body):
        response = raw.post(path, body)
        assert response.status == 200, response.body
        return response.json()

    agent = post("/v1/agents", {"model": "test-model", "name": "kept"})["id"]
    session = post("/v1/agents/sessions", {"agent_id": agent, "input": "hello"})["id"]
    response = post("/v1/responses", {"model": "test-model", "input": "hello"})["id"]
    conversation = post("/v1/conversations", {"items": [{"type": "message", "role": "user", "content": "hello"}]})["id"]
    item = raw.get(f"/v1/conversations/{conversation}/items").json()["data"][0]["id"]
    managed_agent = post("/anthropic/v1/agents", {"model": "test-model", "name": "kept"})["id"]
    managed = post("/anthropic/v1/sessions", {"agent": managed_agent, "environment_id": "env_none"})["id"]
    thread = raw.get(f"/anthropic/v1/sessions/{managed}/threads").json()["data"][0]["id"]
    return {
        r"^/v1/agents/sessions/": {"session_id": session},
        r"^/v1/agents/\{agent_id\}": {"agent_id": agent},
        r"^/v1/responses/\{": {"response_id": response},
        r"^/v1/conversations/\{": {"conversation_id": conversation, "item_id": item},
        r"^/mainstay/v1/sessions/\{": {"session_id": session},
        r"^/anthropic/v1/agents/\{": {"agent_id": managed_agent},
        r"^/anthropic/v1/sessions/\{": {"session_id": managed, "thread_id": thread},
    }


def configured(folder, ids):
    """Real ids where an operation neither removes the thing nor follows it without end; there, made-up ones."""
    lines = []
    for pattern, parameters in ids.items():
        lines += ["[[operations]]", f"include-path-regex = '{pattern}'", "exclude-method = ['DELETE']"]
        lines += [r"exclude-path-regex = '(/archive|/stream|/sessions/\{session_id\}/events)$'"]
        values = ", ".join(f'"path.{name}" = "{value}"' for name, value in parameters.items())
        lines += [f"parameters = {{ {values} }}", ""]
    target = folder / "schemathesis.toml"
    target.write_text("\n".join(lines))
    return target


def test_the_server_is_what_its_document_says(server, raw, schemathesis, tmp_path):
    configuration = configured(tmp_path, made(raw))
    command = [schemathesis, "--config-file", configuration, "run", document(tmp_path), "--url", server.url]
    command += ["-H", f"Authorization: Bearer {server.key}", "--request-timeout", ANSWER_S, "-w", "1"]
    command += ["--phases", PHASES, "--max-examples", EXAMPLES, "--seed", SEED, "--generation-database", "none"]
    command += ["--checks", "all", "--exclude-checks", ",".join(EXCLUDED + UNDOCUMENTED)]
    command += ["--continue-on-failure", "--no-color", "--warnings", "off"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    print(done.stdout[-20_000:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


# Streams that end with a mark that is no JSON: Schemathesis does not look into their events.
MARKED = [
    ("/v1/responses", {"model": "test-model", "input": "think", "stream": True}, "ResponseEvent"),
    (
        "/v1/chat/completions",
        {"model": "test-model", "messages": [{"role": "user", "content": "think"}], "stream": True},
        "ChatCompletionChunk",
    ),
]


@pytest.mark.parametrize(("path", "body", "schema"), MARKED)
def test_each_frame_is_the_event_that_the_document_says(raw, path, body, schema):
    whole = json.loads((ROOT / "docs/openapi.json").read_text())
    check = jsonschema.Draft202012Validator({**whole, "$ref": f"#/components/schemas/{schema}"})
    frames = [field(frame, "data") for frame in raw.frames(path, is_marked, method="POST", body=body)]
    assert len(frames) > 3
    for frame in frames[:-1]:
        check.validate(json.loads(frame))


def is_marked(frame):
    return field(frame, "data") == "[DONE]"
