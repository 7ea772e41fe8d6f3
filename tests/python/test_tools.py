"""Tools that the runtime runs: MCP servers through the vendors' unmodified SDKs, approvals, what a kill leaves."""

import json
import threading
import time

import openai
import pytest
from conftest import PATIENCE_S, Server
from mcp_server import serve

REPLIES = """
[[reply]]
when = { contains = "pay twice", after_tool = false }
steps = [
  { tool_call = { name = "pay", arguments = { amount = 1 } } },
  { tool_call = { name = "pay", arguments = { amount = 2 } } },
]
[[reply]]
when = { contains = "pay slowly", after_tool = false }
steps = [{ tool_call = { name = "pay", arguments = { amount = 7, slow = 30 } } }]
[[reply]]
when = { contains = "refund slowly", after_tool = false }
steps = [{ tool_call = { name = "refund", arguments = { amount = 7, slow = 2 } } }]
[[reply]]
when = { contains = "pay", after_tool = false }
steps = [{ text = "I will." }, { tool_call = { name = "pay", arguments = { amount = 7 } } }]
[[reply]]
when = { contains = "look", after_tool = false }
steps = [{ tool_call = { name = "look", arguments = {} } }]
[[reply]]
when = { contains = "break it", after_tool = false }
steps = [{ tool_call = { name = "fails", arguments = {} } }]
[[reply]]
when = { contains = "both", after_tool = false }
steps = [
  { tool_call = { name = "look", arguments = {} } },
  { tool_call = { name = "get_weather", arguments = { city = "Paris" } } },
]
[[reply]]
when = { after_tool = true }
steps = [{ text = "All done." }]
"""

CONFIG = """
[egress]
private = ["127.0.0.0/8"]

[[mcp]]
name = "till"
url = "http://127.0.0.1:{port}/mcp"
bearer = {{ file = "{secret}" }}
"""
SECRET = "a-secret-that-nobody-may-see"


class Till:
    """The MCP server, and what it did."""

    def __init__(self, path):
        self.path = path
        self.path.touch()
        self.server = serve(0, path)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def done(self, tool=None):
        entries = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [entry for entry in entries if tool in (None, entry["tool"])]


@pytest.fixture
def till(tmp_path):
    till = Till(tmp_path / "till.jsonl")
    yield till
    till.server.shutdown()


@pytest.fixture
def server(tmp_path, till):
    server = Server(tmp_path, start=False)
    server.say_first(REPLIES)
    secret = tmp_path / "till.secret"
    secret.write_text(SECRET)
    server.config.write_text(server.config.read_text() + CONFIG.format(port=till.port, secret=secret))
    server.start()
    yield server
    server.stop()


def mcp(till, **options):
    return {"type": "mcp", "server_label": "till", "server_url": f"http://127.0.0.1:{till.port}/mcp", **options}


def kinds(response):
    return [item.type for item in response.output]


def test_a_response_lists_tools_calls_them_and_goes_on(server, till):
    with server.client() as client:
        tools = [mcp(till, require_approval="never")]
        response = client.responses.create(model="test-model", input="pay", tools=tools)
        assert kinds(response) == ["mcp_list_tools", "message", "mcp_call", "message"]
        listed, _, call, _ = response.output
        assert [tool.name for tool in listed.tools] == ["pay", "refund", "look", "fails"]
        assert (call.name, call.server_label, call.output, call.error) == ("pay", "till", "pay done", None)
        assert json.loads(call.arguments) == {"amount": 7}
        assert response.output_text == "I will.All done."
        assert client.responses.retrieve(response.id).output == response.output
        again = client.responses.create(
            model="test-model", input="look", tools=tools, previous_response_id=response.id
        )
        assert kinds(again) == ["mcp_call", "message"], "what is pinned is not listed again"
    assert [entry["arguments"] for entry in till.done("pay")] == [{"amount": 7}]


def test_a_stream_shows_the_call_and_replays_the_same(server, till):
    with server.client() as client:
        tools = [mcp(till, require_approval="never")]
        stream = client.responses.create(model="test-model", input="pay", tools=tools, stream=True)
        live = [event.model_dump_json() for event in stream]
        names = [json.loads(event)["type"] for event in live]
        for name in [
            "response.mcp_list_tools.in_progress",
            "response.mcp_list_tools.completed",
            "response.mcp_call.in_progress",
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.completed",
        ]:
            assert names.count(name) == 1, name
        identifier = json.loads(live[0])["response"]["id"]
        for after in range(-1, len(live), 3):
            again = client.responses.retrieve(identifier, stream=True, starting_after=max(after, 0))
            assert [event.model_dump_json() for event in again] == live[max(after, 0) + 1 :]


def test_a_tool_that_fails_and_a_server_that_is_not_there_are_told(server, till):
    with server.client() as client:
        tools = [mcp(till, require_approval="never")]
        response = client.responses.create(model="test-model", input="break it", tools=tools)
        call = next(item for item in response.output if item.type == "mcp_call")
        assert (call.error, call.output, call.status) == ("no money", None, "failed")
        nowhere = {**mcp(till), "server_url": "http://127.0.0.1:9/mcp"}
        response = client.responses.create(model="test-model", input="pay", tools=[nowhere])
        assert response.status == "failed"
        assert "could not be listed" in response.error.message
        assert kinds(response) == ["mcp_list_tools"]
    assert till.done("pay") == []


def test_an_approval_is_asked_given_and_spent_once(server, till):
    with server.client() as client:
        tools = [mcp(till)]
        asked = client.responses.create(model="test-model", input="pay", tools=tools)
        assert kinds(asked) == ["mcp_list_tools", "message", "mcp_approval_request"]
        request = asked.output[-1]
        assert (request.name, json.loads(request.arguments)) == ("pay", {"amount": 7})
        assert till.done() == []
        answer = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
        done = client.responses.create(
            model="test-model", input=[answer], tools=tools, previous_response_id=asked.id
        )
        assert kinds(done) == ["mcp_call", "message"]
        assert done.output[0].approval_request_id == request.id
        for previous in [asked.id, done.id]:
            with pytest.raises(openai.APIStatusError) as refused:
                client.responses.create(
                    model="test-model", input=[answer], tools=tools, previous_response_id=previous
                )
            assert refused.value.code == "approval_not_open", refused.value
    assert len(till.done("pay")) == 1


def test_a_denial_and_no_answer_make_no_call(server, till):
    with server.client() as client:
        tools = [mcp(till)]
        for answer in [True, False]:
            asked = client.responses.create(model="test-model", input="pay", tools=tools)
            denial = {
                "type": "mcp_approval_response",
                "approval_request_id": asked.output[-1].id,
                "approve": False,
                "reason": "too much",
            }
            then = client.responses.create(
                model="test-model",
                input=[denial] if answer else "never mind",
                tools=tools,
                previous_response_id=asked.id,
            )
            assert then.status == "completed"
    assert till.done() == []


def test_what_the_client_runs_ends_the_turn_after_what_the_runtime_runs(server, till):
    weather = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    with server.client() as client:
        tools = [mcp(till, require_approval="never"), weather]
        asked = client.responses.create(model="test-model", input="both", tools=tools)
        assert sorted(kinds(asked)) == ["function_call", "mcp_call", "mcp_list_tools"]
        call = next(item for item in asked.output if item.type == "function_call")
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
        done = client.responses.create(
            model="test-model", input=[output], tools=tools, previous_response_id=asked.id
        )
        assert done.output_text == "All done."
    assert len(till.done("look")) == 1


def test_only_the_tools_that_are_allowed_are_offered(server, till):
    with server.client() as client:
        for allowed in [["look"], {"tool_names": ["look"]}, {"read_only": True}]:
            tools = [mcp(till, allowed_tools=allowed)]
            response = client.responses.create(model="test-model", input="hello", tools=tools)
            names = [tool.name for tool in response.output[0].tools]
            assert names in (["look"], ["look", "fails"]), allowed


@pytest.mark.parametrize(
    "change, param",
    [
        ({"server_url": "ftp://example.com"}, "tools[0].server_url"),
        ({"server_url": None}, "tools[0].server_url"),
        ({"server_label": "a b"}, "tools[0].server_label"),
        ({"authorization": "s3cret"}, "tools[0].authorization"),
        ({"headers": {"Authorization": "s3cret"}}, "tools[0].headers.Authorization"),
        ({"allowed_tools": 5}, "tools[0].allowed_tools"),
        ({"require_approval": "sometimes"}, "tools[0].require_approval"),
        ({"connector_id": "x"}, "tools[0].connector_id"),
    ],
)
def test_a_wrong_declaration_is_refused_by_name(server, till, change, param):
    tools = [{**mcp(till), **change}]
    with server.client(max_retries=0) as client, pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="test-model", input="pay", tools=tools)
    assert refused.value.param == param
    assert "s3cret" not in str(refused.value)


def test_the_operators_secret_is_nowhere_to_be_found(server, till, tmp_path):
    with server.client() as client:
        tools = [{"type": "mcp", "server_label": "till", "connector_id": "till", "require_approval": "never"}]
        response = client.responses.create(model="test-model", input="pay", tools=tools)
        assert response.output_text == "I will.All done."
        assert SECRET not in response.model_dump_json()
    server.stop()
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    server.start()


def open_session(client, till, text, **agent):
    transport = {"type": "http", "server_url": f"http://127.0.0.1:{till.port}/mcp"}
    tools = [{"type": "mcp", "server_label": "till", "transport": transport}]
    return client.beta.agents.sessions.create(
        agent={"model": "test-model", "tools": tools, **agent}, environment={"type": "none"}, input=text
    )


def until(client, session, holds):
    """The session once this holds for it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = client.beta.agents.sessions.retrieve(session)
        if holds(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"it never came to that: {found}")


def approve(client, session, request, decision="approve"):
    answer = {
        "type": "agent.session.input.mcp_approval_request_result",
        "request_id": request,
        "response": {"type": "mcp_tool_call", "decision": decision},
    }
    return client.beta.agents.sessions.events.create(session, events=[answer])


def test_an_agent_waits_for_its_approval_across_a_kill_and_pays_once(server, till):
    with server.client() as client:
        session = open_session(client, till, "pay").id
        waiting = until(client, session, lambda found: found.status == "requires_action")
        [action] = waiting.required_actions
        assert (action.type, action.request.name, action.request.arguments) == (
            "mcp_approval_request",
            "pay",
            {"amount": 7},
        )
    server.stop(kill=True)
    server.start()
    with server.client(max_retries=0) as client:
        answers = []

        def answer():
            try:
                answers.append(approve(client, session, action.request_id))
            except openai.APIStatusError as refused:
                answers.append(refused.code)

        threads = [threading.Thread(target=answer) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        until(client, session, lambda found: found.status == "idle")
        assert answers.count("approval_not_open") == 7, answers
        items = list(client.beta.agents.sessions.items.list(session, order="asc"))
        call = next(item for item in items if item.type == "mcp_call")
        assert (call.status, call.output, call.name, call.server_label) == ("completed", "pay done", "pay", "till")
    assert len(till.done("pay")) == 1


def test_what_changes_nothing_is_not_asked(server, till):
    with server.client() as client:
        session = open_session(client, till, "look").id
        found = until(client, session, lambda found: found.status == "idle")
        assert found.required_actions == []
    assert len(till.done("look")) == 1


def test_a_kill_during_a_call_is_owned_up_to_or_repeated_under_the_same_key(server, till):
    with server.client() as client:
        unknown = open_session(client, till, "pay slowly").id
        waiting = until(client, unknown, lambda found: found.status == "requires_action")
        approve(client, unknown, waiting.required_actions[0].request_id)
        again = open_session(client, till, "refund slowly").id
        waiting = until(client, again, lambda found: found.status == "requires_action")
        approve(client, again, waiting.required_actions[0].request_id)
        deadline = time.monotonic() + PATIENCE_S
        while len(till.done()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    server.stop(kill=True)
    server.start()
    with server.client(max_retries=0) as client:
        until(client, again, lambda found: found.status == "idle")
        waiting = until(client, unknown, lambda found: found.status == "requires_action")
        [action] = waiting.required_actions
        assert "nobody knows" in action.request.message
        assert len(till.done("pay")) == 1, "never again without somebody's word"
        refunds = till.done("refund")
        assert len(refunds) == 2 and len({entry["key"] for entry in refunds}) == 1
        approve(client, unknown, action.request_id, "deny")
        until(client, unknown, lambda found: found.status == "idle")
        items = list(client.beta.agents.sessions.items.list(unknown, order="asc"))
        call = next(item for item in items if item.type == "mcp_call")
        assert call.status == "failed" and "unknown" in call.error
    assert len(till.done("pay")) == 1


def test_an_approval_of_another_tenant_or_session_is_not_found(server, till):
    with server.client(max_retries=0) as client, server.client(api_key="a-key-of-another-tenant", max_retries=0) as other:
        first, second = (open_session(client, till, "pay").id for _ in range(2))
        waiting = until(client, first, lambda found: found.status == "requires_action")
        until(client, second, lambda found: found.status == "requires_action")
        request = waiting.required_actions[0].request_id
        with pytest.raises(openai.NotFoundError):
            approve(other, first, request)
        with pytest.raises(openai.APIStatusError) as refused:
            approve(client, second, request)
        assert refused.value.code == "approval_not_open"
        assert till.done("pay") == []
        approve(client, first, request)
        until(client, first, lambda found: found.status == "idle")
    assert len(till.done("pay")) == 1


def test_a_conversation_shows_a_call_as_one_item(server, till):
    with server.client() as client:
        conversation = client.conversations.create()
        tools = [mcp(till, require_approval="never")]
        client.responses.create(model="test-model", input="pay", tools=tools, conversation=conversation.id)
        items = list(client.conversations.items.list(conversation.id, order="asc"))
        assert [item.type for item in items] == ["message", "message", "mcp_call", "message"]
        assert (items[2].output, items[2].status) == ("pay done", "completed")


def test_nothing_is_kept_of_a_call_where_nothing_may_be_kept(server, till):
    with server.client() as client:
        tools = [mcp(till, require_approval="never")]
        response = client.responses.create(model="test-model", input="pay", tools=tools, store=False)
        assert response.output_text == "I will.All done."
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(response.id)
    assert len(till.done("pay")) == 1


def test_a_fork_before_an_answer_asks_for_nothing(server, till):
    with server.client() as client:
        tools = [mcp(till)]
        asked = client.responses.create(model="test-model", input="pay", tools=tools)
        for _ in range(2):
            other = client.responses.create(
                model="test-model", input="hello", tools=tools, previous_response_id=asked.id
            )
            assert other.status == "completed"
    assert till.done() == []
