"""docs/reference/agents-api.md is what the SDK can ask of the Agents API and what the server answers, found by asking.

With MAINSTAY_WRITE_DOCS=1 in the environment the page is written instead of compared."""

import ast
import json
import os
import pathlib
import re
import time

import openai
import openai.resources.beta.agents as resources
from conftest import ROOT
from openai.types.beta.agent_session_event import AgentSessionEvent
from test_managed_table import types_of

PAGE = ROOT / "docs/reference/agents-api.md"
RESOURCES = pathlib.Path(resources.__file__).parent
VERBS = {"_get": "GET", "_get_api_list": "GET", "_post": "POST", "_delete": "DELETE"}
MODEL = "test-model"
TOOL = {"type": "function", "name": "get_weather", "description": "", "parameters": {"type": "object"}}
# What the vendor's API is said to have in this version.
OPERATIONS, EVENTS = 57, 34

HEAD = """# OpenAI's Agents API

What the `openai` SDK {version} can ask for under `client.beta.agents`, and what this server answers. Base path: `/v1` or
`/openai/v1`. This page is written by `tests/python/test_agents_table.py`, which asks for each of them.

What is refused is refused by name: 400 with the `code` below. So are parameters that would change what an agent does and
that are not served: environments but `none`, `vault_ids`, `spend_control`, `review: auto_review`, `multi_agent`, tools but
functions.

- Automations: a schedule is a crontab's five fields in a time zone. A time of day that a clock set forward leaves out
  comes as much later, one that comes twice counts the first time; an interval (`*` in the hours) goes by the clock on the
  wall. Occurrences that passed while no server ran are one delivery, as soon as one runs; those that passed during a
  pause are none. While a delivery is under way, an occurrence is recorded as `skipped`. A delivery that a crash cut off
  is made again and finds what it made before: one session for each. An automation whose session takes no input any more
  pauses with `target_session_failed`.
- Traces: a trace per turn, a span per attempt of an inference and per call of a tool, in OTLP's JSON. No content.
- Webhooks are configured by the operator (`[[webhook]]`, [the configuration](configuration.md)), and signed as the SDK's
  `client.webhooks.unwrap` verifies them. What is to be told is committed with what happened and posted under one id,
  after a second and then twice as long each time up to an hour, until it is answered by 2xx or three days have passed.
  Types: {webhooks}.

## Operations

| operation | request | state |
|---|---|---|
"""

MIDDLE = """
## Events

*Sent* is what a session's stream shows. The others stand for what is not here: environments, commands in them,
subagents, budgets.

| event | sent |
|---|---|
"""


def operations():
    """Every operation of the SDK's beta: (name, method, path)."""
    found = set()
    for file in RESOURCES.rglob("*.py"):
        name = file.relative_to(RESOURCES)
        folders = list(name.parts[:-1]) if name.stem in name.parts[:-1] else [*name.parts[:-1], name.stem]
        for scope in ast.parse(file.read_text()).body:
            if isinstance(scope, ast.ClassDef) and not scope.name.startswith("Async") and "With" not in scope.name:
                for method in scope.body:
                    if isinstance(method, ast.FunctionDef):
                        found.update((".".join([*folders, method.name]), *call) for call in calls(method))
    return sorted(found)


def calls(method):
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VERBS:
            path = re.search(r"'(/(?:agents|vaults)[^'?]*)", ast.unparse(node))
            if path:
                yield VERBS[node.func.attr], path.group(1)


def known(client):
    """Objects of the kinds that can exist, anew for each operation: some delete them."""
    agents = client.beta.agents
    agent = agents.create(model=MODEL).id
    session = agents.sessions.create(agent_id=agent, environment={"type": "none"}, input="hello").id
    turn = agents.sessions.turns.list(session).data[0].id
    target = {"type": "existing_session", "session_id": session, "instructions": "Go on."}
    options = {"name": "n", "expression": "0 9 * * *", "timezone": "UTC", "target": target}
    automation = agents.automations.create(type="periodic", **options).id
    invocation = agents.automations.invocations.create(automation).id
    ids = {"agent_id": agent, "session_id": session, "turn_id": turn}
    return {**ids, "automation_id": automation, "invocation_id": invocation}


def state(raw, client, method, path):
    ids = known(client)
    path = re.sub(r"\{(\w+)\}", lambda name: ids.get(name.group(1), "x"), path)
    with raw.open(method, f"/v1{path}", "{}" if method == "POST" else None) as response:
        if response.status < 300:
            return "served"
        error = json.loads(response.read())["error"]
    code = error["code"]
    assert code not in ("unknown_url", "method_not_allowed"), f"{method} {path}: {code}"
    if code == "unsupported_operation":
        return f"{response.status} `{code}`"
    # An empty body lacks what it must have: the operation is there.
    return "404: there is none" if response.status == 404 else "served"


def sent(client, raw):
    """The types of all events of a session in which everything happens that happens here."""
    agents = client.beta.agents
    options = {"agent": {"model": MODEL, "tools": [TOOL]}, "environment": {"type": "none"}}
    session = agents.sessions.create(input="weather", **options)

    def wait(status):
        while (now := agents.sessions.retrieve(session.id)).status != status:
            time.sleep(0.02)
        return now

    say = lambda text: {"type": "agent.session.input.message", "input": text}
    call = wait("requires_action").required_actions[0].call_id
    result = {"type": "agent.session.input.tool_result", "call_id": call, "success": True, "output": "sun"}
    agents.sessions.events.create(session.id, events=[result])
    wait("idle")
    for text in ("think", "refused"):
        agents.sessions.events.create(session.id, events=[say(text)])
        wait("idle")
    agents.sessions.events.create(session.id, events=[say("forever")])
    agents.sessions.events.create(session.id, events=[{"type": "agent.session.input.cancel"}])
    wait("idle")
    first = f"evt_{session.id.removeprefix('sess_')}_0_0_0"
    path = f"/v1/agents/sessions/{session.id}/events?after={first}"
    is_last = lambda frame: b"event: agent.session.turn.cancelled" in frame
    frames = raw.frames(path, is_last)
    return {json.loads(frame.split(b"data: ", 1)[1])["type"] for frame in frames}


def webhook_types():
    """The types that the configuration takes, from the sources that check them."""
    text = (ROOT / "crates/wire/src/webhook.rs").read_text()
    return re.findall(r'"((?:agent|response)\.[a-z._]+)"', text.split("pub const TYPES", 1)[1].split("];", 1)[0])


def test_the_page_says_what_is_served(raw, client):
    found = operations()
    assert len(found) == OPERATIONS
    rows = [f"| `{name}` | `{method} {path}` | {state(raw, client, method, path)} |" for name, method, path in found]
    everything, shown = types_of(AgentSessionEvent), sent(client, raw)
    assert len(everything) == EVENTS and shown <= everything
    events = [f"| `{kind}` | {'yes' if kind in shown else ''} |" for kind in sorted(everything)]
    hooks = ", ".join(f"`{kind}`" for kind in webhook_types())
    head = HEAD.format(version=openai.__version__, webhooks=hooks)
    page = head + "\n".join(rows) + "\n" + MIDDLE + "\n".join(events) + "\n"
    if os.environ.get("MAINSTAY_WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "write it anew with MAINSTAY_WRITE_DOCS=1"
