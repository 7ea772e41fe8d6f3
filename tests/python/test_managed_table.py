"""docs/reference/managed-agents.md is what the SDK can ask and what the server answers, found by asking.

With MAINSTAY_WRITE_DOCS=1 in the environment the page is written instead of compared."""

import ast
import inspect
import os
import pathlib
import re
import typing

import anthropic
import pytest
from anthropic.resources.beta import Beta
from anthropic.types.beta.sessions import BetaManagedAgentsEventParams, BetaManagedAgentsStreamSessionEvents
from conftest import PATIENCE_S, ROOT

PAGE = ROOT / "docs/reference/managed-agents.md"
RESOURCES = pathlib.Path(inspect.getfile(Beta)).parent
# The vendor's API for those who administer an organization is another one.
ELSEWHERE = ("organization",)
VERBS = {"_get": "GET", "_get_api_list": "GET", "_post": "POST", "_delete": "DELETE"}
# Codes that say that the operation itself is refused, whatever its arguments are.
REFUSED = ("unsupported_operation", "primary_thread")

HEAD = """# Claude Managed Agents

What the `anthropic` SDK {version} can ask for, and what this server answers. Base URL: the server's, or
`…/anthropic`. Operations under `/v1` are this vendor's where the request has the header `anthropic-version`, which its
clients always send; under `/anthropic/v1` they are so without it. This page is written by
`tests/python/test_managed_table.py`, which asks for each of them.

A session is the same one that the Agents API shows: `sesn_X` here is `sess_X` there, a custom tool is a function, and
`sevt_X` of an `agent.custom_tool_use` is the call `call_X`. What is refused is refused by name: 400 with
`error.details.error_code` as below. Parameters that would change what an agent does and that are not served are refused
as well: `mcp_servers`, `skills`, `multiagent`, `tools` other than `custom`, `budget`, `resources`, `vault_ids`,
`inference_geo`, `speed: fast`.

The only environment is `env_none`: nothing runs on the server, the client executes the agent's custom tools.

Beyond the vendor: `GET …/events/stream` takes the header `Last-Event-ID` or `?after=` with the `id` of any event, or the
SSE `id` of any delta, and goes on right after it, at any age of the session, with the same bytes as live; `?after=0`
begins with the first event. To resume costs time in proportion to the turn, not to the session.

## Operations

| operation | request | state |
|---|---|---|
"""

EVENTS = """
## Events

*Taken* is what a client may send. *Sent* is what streams and lists show. The vendor's other types stand for what is not
here: server-side tools, MCP, outcomes, subagents, workflows.

| event | taken | sent |
|---|---|---|
"""


def operations():
    """Every operation of the SDK's beta: (name, method, path)."""
    found = set()
    for file in RESOURCES.rglob("*.py"):
        name = file.relative_to(RESOURCES)
        if name.parts[0] in ELSEWHERE or name.name in ("__init__.py", "beta.py"):
            continue
        folders = [*name.parts[:-1]] if name.stem in name.parts[:-1] else [*name.parts[:-1], name.stem]
        for scope in ast.parse(file.read_text()).body:
            if isinstance(scope, ast.ClassDef) and not scope.name.startswith("Async") and "With" not in scope.name:
                for method in scope.body:
                    if isinstance(method, ast.FunctionDef):
                        found.update((".".join([*folders, method.name]), *call) for call in calls(method))
    return sorted(found)


def calls(method):
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VERBS:
            path = re.search(r"'(/v1/[^'?]*)", ast.unparse(node))
            if path:
                yield VERBS[node.func.attr], path.group(1)


def types_of(union):
    """The `type` of each member of a union of the SDK."""
    members = typing.get_args(typing.get_args(union)[0] if typing.get_origin(union) is typing.Annotated else union)
    return {typing.get_args(type_of(member))[0] for member in members}


def type_of(member):
    fields = getattr(member, "model_fields", None)
    return fields["type"].annotation if fields else typing.get_type_hints(member)["type"]


@pytest.fixture
def claude(server):
    with anthropic.Anthropic(api_key=server.key, base_url=server.url, timeout=PATIENCE_S, max_retries=0) as client:
        yield client


def state(raw, claude, method, path):
    """Asks for an operation on objects that exist, as far as such objects can."""
    agent = claude.beta.agents.create(name="n", model="test-model")
    session = claude.beta.sessions.create(agent=agent.id, environment_id="env_none").id
    known = {
        "agent_id": agent.id,
        "session_id": session,
        "thread_id": session.replace("sesn_", "sthr_"),
        "environment_id": "env_none",
        "model_id": "test-model",
    }
    path = re.sub(r"\{(\w+)\}", lambda name: known.get(name.group(1), "x"), path)
    response = raw.open(method, path, "{}" if method == "POST" else None, {"anthropic-version": "2023-06-01"})
    with response:
        if response.status < 300:
            return "served"
        code = claude_code(response)
    assert code not in ("unknown_url", "method_not_allowed"), f"{method} {path}: {code}"
    if code in REFUSED:
        return f"{response.status} `{code}`"
    return "404: there is none" if code == "not_found" else "served"


def claude_code(response):
    import json

    error = json.loads(response.read())
    assert error["type"] == "error" and error["request_id"] == response.headers["request-id"], error
    return error["error"]["details"]["error_code"]


def taken(claude, kind):
    """Whether a client may send an event of this type. `None` where the vendor's client may not."""
    if kind not in types_of(BetaManagedAgentsEventParams):
        return ""
    agent = claude.beta.agents.create(name="n", model="test-model")
    session = claude.beta.sessions.create(agent=agent.id, environment_id="env_none").id
    content = [{"type": "text", "text": "hello"}]
    event = {"type": kind, "content": content, "tool_use_id": "x", "custom_tool_use_id": "x", "result": "allow"}
    events = [{"type": "user.message", "content": content}, event] if kind == "system.message" else [event]
    try:
        claude.beta.sessions.events.send(session, events=events)
    except anthropic.BadRequestError as refused:
        if refused.error_code == "unsupported_parameter":
            return "400 `unsupported_parameter`"
        return "yes" if kind == "user.custom_tool_result" else "400: no such tool use waits"
    return "yes"


def sent(claude):
    """The types of all events of sessions in which everything happens that happens here."""
    # Compaction is asked for by the other wire; it has tests of its own.
    seen = {"agent.thread_context_compacted"}
    tool = {"type": "custom", "name": "get_weather", "description": "", "input_schema": {"type": "object"}}
    agent = claude.beta.agents.create(name="n", model="test-model", tools=[tool])
    sessions = claude.beta.sessions
    session = sessions.create(agent=agent.id, environment_id="env_none").id
    previews = ["agent.message", "agent.thinking"]

    def collect(*events):
        with sessions.events.stream(session, event_deltas=previews) as stream:
            sessions.events.send(session, events=list(events))
            last = None
            for event in stream:
                seen.add(event.type)
                last = event if event.type == "agent.custom_tool_use" else last
                if event.type == "session.status_idle":
                    return last

    say = lambda text: {"type": "user.message", "content": [{"type": "text", "text": text}]}
    call = collect(say("weather"))
    collect({"type": "user.custom_tool_result", "custom_tool_use_id": call.id})
    for text in ("think", "refused", "broken"):
        collect(say(text))
    collect(say("hello"), {"type": "system.message", "content": [{"type": "text", "text": "hm"}]})
    collect(say("forever"), {"type": "user.interrupt"})
    sessions.update(session, title="t")
    sessions.archive(session)
    with sessions.events.stream(session, extra_query={"after": "0"}) as stream:
        sessions.delete(session)
        seen.update(event.type for event in stream)
    return seen


def test_the_page_says_what_is_served(raw, claude):
    rows = [f"| `{name}` | `{method} {path}` | {state(raw, claude, method, path)} |" for name, method, path in operations()]
    assert len(rows) > 100
    everything = types_of(BetaManagedAgentsStreamSessionEvents) | types_of(BetaManagedAgentsEventParams)
    shown = sent(claude)
    assert shown <= everything
    events = [f"| `{kind}` | {taken(claude, kind)} | {'yes' if kind in shown else ''} |" for kind in sorted(everything)]
    head = HEAD.format(version=anthropic.__version__)
    page = head + "\n".join(rows) + "\n" + EVENTS + "\n".join(events) + "\n"
    if os.environ.get("MAINSTAY_WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "write it anew with MAINSTAY_WRITE_DOCS=1"
