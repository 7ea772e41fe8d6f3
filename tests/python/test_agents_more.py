"""What the Agents API has besides sessions, through `openai`, unmodified: automations, traces, changes of a session's
agent, and the webhooks that tell of it."""

import base64
import http.server
import json
import threading
import time

import openai
import pytest
from conftest import PATIENCE_S, Server

MODEL = "test-model"
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ok!").decode()
TOOL = {"type": "function", "name": "get_weather", "description": "", "parameters": {"type": "object"}}
HOOK = """
[[webhook]]
name = "all"
url = "{url}"
secret = {{ file = "{secret}" }}
events = ["agent.session.created", "agent.session.in_progress", "agent.session.action_required", "agent.session.idle",
          "response.completed", "response.failed", "response.cancelled", "response.incomplete"]
"""


def eventually(look):
    """What `look` gives once it gives something."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")


@pytest.fixture
def agents(client):
    return client.beta.agents


def new_session(**more):
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
    return {"type": "new_session", "agent": {"model": MODEL}, "environment": {"type": "none"}, "input": [message], **more}


def periodic(agents, **more):
    options = {"name": "daily", "expression": "0 9 * * *", "timezone": "Europe/Berlin", "target": new_session(), **more}
    return agents.automations.create(type="periodic", **options)


def idle(agents, session_id):
    return eventually(lambda: (s := agents.sessions.retrieve(session_id)).status == "idle" and s)


def delivered(agents, automation_id):
    return eventually(lambda: [i for i in agents.automations.invocations.list(automation_id) if i.status == "completed"])


def test_an_automation_is_made_changed_paused_and_deleted(agents):
    made = periodic(agents, metadata={"a": "b"})
    assert (made.object, made.status, made.type, made.created_by.type) == ("agent.automation", "active", "periodic", "developer")
    assert (made.expression, made.timezone, made.metadata) == ("0 9 * * *", "Europe/Berlin", {"a": "b"})
    assert (made.target.agent.model, made.target.environment.type, made.target.agent_id) == (MODEL, "none", None)
    assert made.target.input[0].content[0].text == "hello"
    assert agents.automations.retrieve(made.id) == made
    changed = agents.automations.update(made.id, expression="30 8 * * mon-fri", name="working days")
    assert (changed.expression, changed.name, changed.metadata) == ("30 8 * * mon-fri", "working days", {"a": "b"})
    assert agents.automations.pause(made.id).status == "paused"
    assert agents.automations.resume(made.id).status == "active"
    assert made.id in [automation.id for automation in agents.automations.list()]
    assert agents.automations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        agents.automations.retrieve(made.id)
    assert made.id not in [automation.id for automation in agents.automations.list()]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("expression", {"expression": "61 * * * *"}),
        ("timezone", {"timezone": "Middle/Earth"}),
        ("name", {"name": ""}),
        ("target.agent", {"target": new_session(agent={})}),
        ("target.input", {"target": {**new_session(), "input": []}}),
        ("target.vault_ids", {"target": new_session(vault_ids=["v"])}),
        ("target.environment.type", {"target": new_session(environment={"type": "openai_hosted"})}),
    ],
)
def test_what_is_wrong_with_an_automation_is_named(agents, field, change):
    with pytest.raises(openai.BadRequestError) as refused:
        periodic(agents, **change)
    assert refused.value.param.startswith(field), refused.value.param


def test_a_delivery_begins_a_session_and_another_goes_to_one_that_is_there(agents):
    saved = agents.create(model=MODEL, name="helper")
    target = new_session(agent_id=saved.id, metadata={"from": "automation"})
    del target["agent"]
    made = periodic(agents, target=target)
    asked = agents.automations.invocations.create(made.id)
    assert (asked.source.type, asked.scheduled_at) == ("manual", None)
    (done,) = delivered(agents, made.id)
    assert agents.automations.invocations.retrieve(done.id, automation_id=made.id).session_id == done.session_id
    session = idle(agents, done.session_id)
    assert (session.metadata, session.agent.id) == ({"from": "automation"}, saved.id)
    target = {"type": "existing_session", "session_id": session.id, "instructions": "Tell more."}
    other = periodic(agents, target=target)
    assert [found.id for found in agents.automations.list(session_id=session.id)] == [other.id]
    agents.automations.invocations.create(other.id)
    (told,) = delivered(agents, other.id)
    assert told.session_id == session.id
    idle(agents, session.id)
    texts = [i.content[0].text for i in agents.sessions.items.list(session.id, order="asc") if i.type == "message"]
    assert texts[2] == "Tell more."


def test_one_time_fires_and_is_over(agents):
    made = agents.automations.create(type="once", name="soon", run_at=int(time.time()) + 2, target=new_session())
    (done,) = delivered(agents, made.id)
    assert (done.scheduled_at, done.source.type) == (made.run_at, "automation")
    assert done.source.automation.run_at == made.run_at
    assert agents.automations.retrieve(made.id).status == "completed"
    with pytest.raises(openai.BadRequestError):
        agents.automations.create(type="once", name="late", run_at=int(time.time()) - 10, target=new_session())


def test_a_turn_is_a_trace_without_content(agents):
    session = agents.sessions.create(agent={"model": MODEL, "tools": [TOOL]}, environment={"type": "none"}, input="weather")
    waiting = eventually(lambda: (s := agents.sessions.retrieve(session.id)).required_actions and s)
    call = waiting.required_actions[0]
    result = {"type": "agent.session.input.tool_result", "call_id": call.call_id, "success": True, "output": "secret sun"}
    agents.sessions.events.create(session.id, events=[result])
    idle(agents, session.id)
    (trace,) = agents.sessions.traces.list(session.id)
    (turn,) = agents.sessions.turns.list(session.id)
    assert (trace.id, trace.object, trace.session_id) == (turn.id, "agent.session.trace", session.id)
    (resource,) = trace.otlp["resourceSpans"]
    spans = resource["scopeSpans"][0]["spans"]
    assert [span["name"] for span in spans] == [
        "chat test-model",
        "execute_tool get_weather",
        "chat test-model",
        "invoke_agent",
    ]
    root = spans[-1]
    assert root["parentSpanId"] == "" and all(span["parentSpanId"] == root["spanId"] for span in spans[:-1])
    assert len({span["spanId"] for span in spans}) == 4 and len({span["traceId"] for span in spans}) == 1
    assert all(int(root["startTimeUnixNano"]) <= int(s["startTimeUnixNano"]) <= int(s["endTimeUnixNano"]) for s in spans)
    text = json.dumps(trace.otlp)
    assert "sunny" not in text and "secret" not in text and "Paris" not in text
    assert list(agents.sessions.traces.list(session.id)) == [trace], "a trace is the same every time"


def test_a_session_goes_on_with_another_agent(agents):
    session = agents.sessions.create(agent={"model": MODEL, "instructions": "Be brief."}, environment={"type": "none"})
    changed = agents.sessions.update(session.id, agent={"reasoning": {"effort": "low"}, "tools": [TOOL]})
    assert (changed.agent.reasoning.effort, changed.agent.tools[0].name) == ("low", "get_weather")
    assert changed.agent.instructions == "Be brief."
    assert agents.sessions.update(session.id, agent={"tools": None}).agent.tools == []
    with pytest.raises(openai.BadRequestError):
        agents.sessions.update(session.id, agent={"instructions": "Be long."})


class Receiver:
    """A webhook receiver that refuses whatever comes until it is told to take it."""

    def __init__(self):
        self.taken, self.refused, self.takes = [], [], True
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                (receiver.taken if receiver.takes else receiver.refused).append((dict(self.headers), body))
                self.send_response(204 if receiver.takes else 500)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self, client):
        """What was taken, each verified by the SDK."""
        return [client.webhooks.unwrap(body, headers, secret=SECRET) for headers, body in self.taken]


@pytest.fixture
def told(tmp_path):
    receiver = Receiver()
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    server = Server(tmp_path, start=False)
    url = f"http://127.0.0.1:{receiver.server.server_port}/hook"
    server.config.write_text(server.config.read_text() + HOOK.format(url=url, secret=secret))
    server.start()
    yield server, receiver
    server.stop(kill=True)
    receiver.server.shutdown()


def kinds_of(events, subject):
    return {event.type for event in events if event.data.id == subject}


def test_webhooks_tell_of_sessions_and_background_responses(told):
    server, receiver = told
    with server.client() as client:
        options = {"agent": {"model": MODEL, "tools": [TOOL]}, "environment": {"type": "none"}}
        session = client.beta.agents.sessions.create(input="weather", **options).id
        wanted = {"agent.session.created", "agent.session.in_progress", "agent.session.action_required"}
        eventually(lambda: kinds_of(receiver.events(client), session) == wanted)
        client.beta.agents.sessions.events.create(session, events=[{"type": "agent.session.input.cancel"}])
        eventually(lambda: "agent.session.idle" in kinds_of(receiver.events(client), session))
        client.responses.create(model=MODEL, input="hello")
        done = client.responses.create(model=MODEL, input="hello", background=True).id
        failed = client.responses.create(model=MODEL, input="refused", background=True).id
        hanging = client.responses.create(model=MODEL, input="forever", background=True).id
        client.responses.cancel(hanging)
        ends = {done: "response.completed", failed: "response.failed", hanging: "response.cancelled"}
        for response, kind in ends.items():
            eventually(lambda response=response, kind=kind: kinds_of(receiver.events(client), response) == {kind})
        events = receiver.events(client)
        assert {e.data.id for e in events if e.type.startswith("response.")} == set(ends), "not the one that was waited for"
        assert len({event.id for event in events}) == len(events), "each came once"
        body = receiver.taken[0][1]
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(body + b" ", receiver.taken[0][0], secret=SECRET)


def test_a_webhook_survives_a_kill_and_keeps_its_id(told):
    server, receiver = told
    receiver.takes = False
    with server.client() as client:
        response = client.responses.create(model=MODEL, input="hello", background=True).id
        eventually(lambda: receiver.refused)
    ids = {headers["webhook-id"] for headers, _ in receiver.refused}
    server.stop(kill=True)
    receiver.takes = True
    server.start()
    with server.client() as client:
        (event,) = eventually(lambda: receiver.events(client))
        assert (event.type, event.data.id, {event.id}) == ("response.completed", response, ids)


def test_an_automation_fires_once_however_often_the_server_is_killed(told):
    server, _ = told
    with server.client() as client:
        at = int(time.time()) + 2
        target = new_session(metadata={"of": "once"})
        made = client.beta.agents.automations.create(type="once", name="n", run_at=at, target=target)
    for _ in range(6):
        time.sleep(0.5)
        server.stop(kill=True)
        server.start()
    with server.client() as client:
        (done,) = delivered(client.beta.agents, made.id)
        sessions = list(client.beta.agents.sessions.list(extra_query={"metadata[of]": "once"}))
        assert [session.id for session in sessions] == [done.session_id]


# Where a firing can be cut off: two fire at once, each with its delivery; the counts are of one process's life.
CUTS = [
    *[("OutcomeDecided", count) for count in (1, 2, 3, 4)],
    *[("OutcomeCommitted", count) for count in (1, 2, 3, 4)],
    *[("CommandDecided", count) for count in (1, 2)],
    *[("CommandCommitted", count) for count in (1, 2)],
    ("IntentCommitted", 1),
]


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A server that is killed at a named point of a commit, and the session that one of its automations tells."""
    server = Server(tmp_path_factory.mktemp("cut"))
    with server.client() as client:
        session = client.beta.agents.sessions.create(agent={"model": MODEL}, environment={"type": "none"}, input="hello")
        idle(client.beta.agents, session.id)
    yield server, session.id
    assert server.stop() == 0


@pytest.mark.parametrize(("point", "count"), CUTS, ids=str)
def test_an_automation_delivers_once_wherever_it_is_cut_off(cut, monkeypatch, point, count):
    server, told = cut
    name = f"{point}-{count}"
    with server.client() as client:
        automations, at = client.beta.agents.automations, int(time.time()) + 1
        targets = [
            new_session(metadata={"of": name}),
            {"type": "existing_session", "session_id": told, "instructions": f"told at {name}"},
        ]
        made = [automations.create(type="once", name="n", run_at=at, target=target) for target in targets]
    assert server.stop() == 0
    monkeypatch.setenv("MAINSTAY_FAULT_KILL", f"{point}:{count}")
    server.start()
    assert server.process.wait(PATIENCE_S) == -9, "it was not cut off"
    server.stop()
    monkeypatch.delenv("MAINSTAY_FAULT_KILL")
    server.start()
    with server.client() as client:
        agents = client.beta.agents
        ((begun,), (said,)) = [delivered(agents, automation.id) for automation in made]
        sessions = list(agents.sessions.list(extra_query={"metadata[of]": name}))
        assert [session.id for session in sessions] == [begun.session_id]
        assert said.session_id == told
        for session in (begun.session_id, told):
            idle(agents, session)
        items = [list(agents.sessions.items.list(session, limit=100)) for session in (begun.session_id, told)]
        asked = [item for item in items[0] if getattr(item, "role", None) == "user"]
        assert len(asked) == 1, "an input is there once"
        said = json.dumps([item.to_dict(mode="json") for item in items[1] if getattr(item, "role", None) == "user"])
        assert said.count(f'"told at {name}"') == 1, "a session is told once"
