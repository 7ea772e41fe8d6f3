"""The Agents wire through the unmodified openai SDK, and its bytes without it."""

import asyncio
import json
import socket
import urllib.parse

import openai
import pydantic
import pytest
from openai.lib.beta.agents import AgentTurnResultError, function_tool

from conftest import OTHER_KEY, Server, field

MODEL = "test-model"
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def create(client, **options):
    agent = options.pop("agent", {"model": MODEL, "tools": [TOOL]})
    return client.beta.agents.sessions.create(agent=agent, environment={"type": "none"}, **options)


def run(client, session, text, **options):
    with client.beta.agents.sessions.stream(session.id, input=text, **options) as stream:
        return stream.get_final_result()


def message(text):
    content = [{"type": "input_text", "text": text}]
    return {"type": "agent.session.input.message", "input": [{"role": "user", "content": content}]}


def is_idle(frame):
    return field(frame, "event") == "agent.session.idle"


def events_path(session):
    return f"/v1/agents/sessions/{session.id}/events"


# Agents


def test_agents_are_saved_changed_listed_and_removed(client):
    agents = client.beta.agents
    made = agents.create(model=MODEL, name="helper", instructions="Be kind.", tools=[TOOL], metadata={"a": "b"})
    assert made.object == "agent" and made.id.startswith("agent_")
    assert (made.name, made.instructions, made.metadata) == ("helper", "Be kind.", {"a": "b"})
    assert made.tools[0].name == "get_weather" and made.tools[0].defer_loading is False
    assert agents.retrieve(made.id) == made
    changed = agents.update(made.id, name=None, metadata={"c": "d"})
    assert (changed.name, changed.instructions, changed.metadata) == (None, "Be kind.", {"c": "d"})
    assert changed.updated_at >= changed.created_at == made.created_at
    others = [agents.create(model=MODEL, name=str(number)).id for number in range(4)]
    listed = [agent.id for agent in agents.list(limit=2)]
    assert listed[:5] == [*reversed(others), made.id]
    ascending = [agent.id for agent in agents.list(limit=2, order="asc")]
    assert ascending == list(reversed(listed))
    gone = agents.delete(made.id)
    assert gone.deleted and gone.id == made.id and gone.object == "agent.deleted"
    with pytest.raises(openai.NotFoundError):
        agents.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        agents.delete(made.id)


def test_a_session_of_a_saved_agent_takes_its_settings_and_overrides(client):
    agent = client.beta.agents.create(model=MODEL, name="n", instructions="old", reasoning={"effort": "low"})
    session = client.beta.agents.sessions.create(
        agent_id=agent.id, agent={"instructions": "new"}, environment={"type": "none"}
    )
    assert (session.agent.id, session.agent.name, session.agent.instructions) == (agent.id, "n", "new")
    assert session.agent.reasoning.effort == "low"
    assert [found.id for found in client.beta.agents.sessions.list(agent_id=agent.id)] == [session.id]
    client.beta.agents.delete(agent.id)
    assert client.beta.agents.sessions.retrieve(session.id).agent.instructions == "new"
    with pytest.raises(openai.NotFoundError):
        client.beta.agents.sessions.create(agent_id=agent.id, environment={"type": "none"})


# Sessions


def test_a_session_is_made_read_changed_and_removed(client):
    sessions = client.beta.agents.sessions
    session = create(client, metadata={"a": "b"})
    assert (session.object, session.status, session.metadata) == ("agent.session", "idle", {"a": "b"})
    assert session.environment.type == "none" and session.required_actions == [] and session.vault_ids == []
    assert sessions.retrieve(session.id) == session
    changed = sessions.update(session.id, metadata={"c": "d"})
    assert changed.metadata == {"c": "d"}
    assert sessions.retrieve(session.id).metadata == {"c": "d"}
    gone = sessions.delete(session.id)
    assert gone.deleted and gone.object == "agent.session.deleted"
    for ask in (sessions.retrieve, sessions.delete, sessions.items.list, sessions.turns.list):
        with pytest.raises(openai.NotFoundError):
            ask(session.id)


def test_sessions_are_listed_page_by_page_and_by_metadata(client):
    made = [create(client, metadata={"batch": "list", "number": str(number)}).id for number in range(5)]
    sessions = client.beta.agents.sessions
    assert [found.id for found in sessions.list(limit=2)][:5] == list(reversed(made))
    assert [found.id for found in sessions.list(limit=2, metadata={"batch": "list"}, order="asc")] == made
    assert [found.id for found in sessions.list(metadata={"batch": "list", "number": "3"})] == [made[3]]


def test_the_streaming_helper_runs_a_turn(client):
    session = create(client)
    result = run(client, session, "hello there")
    assert result.output_text == "You said: hello there"
    assert result.turn.status == "completed" and result.turn.session_id == session.id
    usage = client.beta.agents.sessions.retrieve(session.id).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (12, 5, 17)
    assert run(client, session, "again").output_text == "You said: again"
    assert client.beta.agents.sessions.retrieve(session.id).usage.total_tokens == 34


def test_events_come_in_their_order(client):
    session = create(client)
    with client.beta.agents.sessions.stream(session.id, input="think") as stream:
        events = list(stream)
    kinds = [event.type.removeprefix("agent.session.") for event in events]
    deltas = ["turn.output_text.delta", "turn.reasoning_summary_text.delta"]
    assert [kind for kind in kinds if kind not in deltas] == [
        "turn.created", "turn.in_progress", "in_progress", "turn.item.added",
        "turn.item.added", "turn.reasoning_summary_part.added", "turn.reasoning_summary_text.done",
        "turn.reasoning_summary_part.done", "turn.item.done",
        "turn.item.added", "turn.content_part.added", "turn.output_text.done", "turn.content_part.done",
        "turn.item.done", "turn.completed", "idle",
    ]  # fmt: skip
    assert len({event.event_id for event in events}) == len(events)
    text = "".join(event.delta for event in events if event.type == "agent.session.turn.output_text.delta")
    assert text == "42"
    assert all(event.obfuscation for event in events)


def test_a_session_made_with_input_streams_from_its_creation(client):
    stream = client.beta.agents.sessions.create(
        agent={"model": MODEL}, environment={"type": "none"}, input="hello", stream=True
    )
    events = []
    for event in stream:
        events.append(event)
        if event.type == "agent.session.idle":
            break
    stream.close()
    assert events[0].type == "agent.session.created"
    assert events[-1].session.id == events[0].session.id
    result = client.beta.agents.sessions.create(
        agent={"model": MODEL}, environment={"type": "none"}, input="hi", stream=True
    ).get_final_result()
    assert result.output_text == "You said: hi"


def test_structured_output_is_parsed(client):
    class Answer(pydantic.BaseModel):
        answer: int

    sessions = client.beta.agents.sessions
    text = {"format": {"type": "json_schema", "schema": Answer.model_json_schema()}}
    session = create(client, agent={"model": MODEL, "text": text})
    assert session.agent.text.format.type == "json_schema"
    with sessions.stream(session.id, input="as json", output_type=Answer) as stream:
        assert stream.get_final_result().output_parsed == Answer(answer=42)


# Tools


def test_tool_handlers_are_called_and_answered(client):
    asked = []

    def get_weather(arguments):
        asked.append(arguments)
        return {"sky": "blue"}

    session = create(client)
    result = run(client, session, "the weather?", tool_handlers={"get_weather": get_weather})
    assert result.output_text == "It is sunny."
    assert asked == [{"city": "Paris"}]
    kinds = [item.type for item in client.beta.agents.sessions.items.list(session.id, order="asc")]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output", "message"]


def test_a_turn_stops_at_its_agents_limit_of_steps(client):
    session = create(client, agent={"model": MODEL, "tools": [TOOL], "limits": {"max_steps": 1}})
    sessions = client.beta.agents.sessions
    with sessions.stream(session.id, input="the weather?", tool_handlers={"get_weather": lambda _: "blue"}) as stream:
        stream.until_done()
    turn = next(iter(sessions.turns.list(session.id)))
    assert (turn.status, turn.error.code) == ("failed", "usage_limit_exceeded")
    assert sessions.retrieve(session.id).status == "idle"


def test_typed_tools_work_and_a_failing_one_is_told_to_the_model(client):
    failures = []

    @function_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        raise RuntimeError("secret")

    session = create(client, agent={"model": MODEL, "tools": [get_weather.definition]})
    result = run(
        client, session, "the weather?", tool_handlers={"get_weather": get_weather}, on_tool_error=failures.append
    )
    assert result.output_text == "It is sunny."
    assert [failure.stage for failure in failures] == ["execution"]
    items = client.beta.agents.sessions.items.list(session.id, order="asc")
    outputs = [item for item in items if item.type == "function_call_output"]
    assert (outputs[0].status, outputs[0].error) == ("failed", "Tool handler failed.")


def test_the_async_client_runs_async_handlers(server):
    async def get_weather(arguments):
        return f"sunny in {arguments['city']}"

    async def talk():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
            sessions = client.beta.agents.sessions
            session = await sessions.create(agent={"model": MODEL, "tools": [TOOL]}, environment={"type": "none"})
            handlers = {"get_weather": get_weather}
            async with sessions.stream(session.id, input="weather", tool_handlers=handlers) as stream:
                return await stream.get_final_result(), [item async for item in sessions.items.list(session.id)]

    result, items = asyncio.run(talk())
    assert result.output_text == "It is sunny."
    assert [item.output for item in items if item.type == "function_call_output"] == ["sunny in Paris"]


def test_a_call_without_a_handler_is_a_required_action(client):
    sessions = client.beta.agents.sessions
    session = create(client)
    with pytest.raises(AgentTurnResultError) as raised:
        run(client, session, "two calls")
    assert raised.value.reason == "requires_action"
    actions = raised.value.required_actions
    assert [action.arguments for action in actions] == [{"city": "Paris"}, {"city": "Rome"}]
    waiting = sessions.retrieve(session.id)
    assert waiting.status == "requires_action" and len(waiting.required_actions) == 2
    assert sessions.turns.retrieve(actions[0].turn_id, session_id=session.id).status == "waiting"

    def result(action):
        kind = "agent.session.input.tool_result"
        return {"type": kind, "turn_id": action.turn_id, "call_id": action.call_id, "success": True, "output": "dry"}

    with sessions.events.stream(session.id) as stream:
        sessions.events.create(session.id, events=[result(action) for action in actions])
        for event in stream:
            if event.type == "agent.session.idle":
                break
    newest = next(iter(sessions.items.list(session.id)))
    assert newest.output_text == "Both."
    with pytest.raises(openai.BadRequestError) as refused:
        sessions.events.create(session.id, events=[result(actions[0])])
    assert refused.value.code == "invalid_request_error"
    assert refused.value.body["message"] == f"Unknown pending tool call: {actions[0].call_id}"


# Events


def test_an_idempotency_key_makes_a_retry_harmless(client, raw):
    session = create(client)
    path, headers = events_path(session), {"Idempotency-Key": "once"}
    body = {"events": [message("hello")]}
    for _ in range(3):
        response = raw.post(path, body, headers=headers)
        assert (response.status, response.body) == (202, b"")
    other = raw.post(path, {"events": [message("other")]}, headers=headers)
    assert other.status == 409 and other.headers["x-should-retry"] == "false"
    assert other.error["code"] == "idempotency_key_reused"
    run(client, wait_until_idle(client, session), "and again")
    users = [item for item in client.beta.agents.sessions.items.list(session.id) if item.type == "message"]
    assert [item.content[0].text for item in users if item.role == "user"] == ["and again", "hello"]
    made = {raw.post("/v1/agents/sessions", {"agent": {"model": MODEL}}, headers=headers).json()["id"] for _ in "ab"}
    assert len(made) == 1


def wait_until_idle(client, session):
    """The session when nothing runs in it any more."""
    with client.beta.agents.sessions.events.stream(session.id) as stream:
        found = client.beta.agents.sessions.retrieve(session.id)
        if found.status == "idle":
            return found
        for event in stream:
            if event.type == "agent.session.idle":
                return event.session
    raise AssertionError("the stream ended")


def test_several_events_are_taken_together_or_not_at_all(client):
    session = create(client)
    wrong = {"type": "agent.session.input.tool_result", "turn_id": "turn_x", "call_id": "c", "success": True}
    unknown = {**wrong, "turn_id": None}
    for event in (wrong, unknown):
        with pytest.raises(openai.BadRequestError):
            client.beta.agents.sessions.events.create(session.id, events=[message("one"), event])
    assert list(client.beta.agents.sessions.items.list(session.id)) == []


def test_a_turn_is_cancelled(client):
    sessions = client.beta.agents.sessions
    session = create(client)
    with sessions.stream(session.id, input="forever") as stream:
        kinds = []
        for event in stream:
            kinds.append(event.type)
            if event.type == "agent.session.turn.output_text.delta" and "cancelled" not in kinds:
                sessions.events.create(session.id, events=[{"type": "agent.session.input.cancel"}])
                kinds.append("cancelled")
    assert kinds[-2:] == ["agent.session.turn.cancelled", "agent.session.idle"]
    newest = next(iter(sessions.items.list(session.id)))
    assert newest.status == "incomplete" and newest.output_text.startswith("It")
    with pytest.raises(openai.ConflictError):
        sessions.events.create(session.id, events=[{"type": "agent.session.input.cancel"}])
    assert run(client, session, "on").output_text == "You said: on"


def test_a_message_while_busy_steers_the_turn(client):
    sessions = client.beta.agents.sessions
    session = create(client)
    with sessions.stream(session.id, input="slowly") as stream:
        said = False
        for event in stream:
            if event.type == "agent.session.turn.output_text.delta" and not said:
                sessions.events.create(session.id, events=[message("and more")])
                said = True
    texts = [item.content[0].text for item in sessions.items.list(session.id, order="asc")]
    assert texts[0] == "slowly" and texts[2:] == ["and more", "You said: and more"]
    assert len(list(sessions.turns.list(session.id))) == 1


def test_a_failed_turn_says_why_and_the_session_goes_on(client):
    session = create(client)
    with pytest.raises(AgentTurnResultError) as raised:
        run(client, session, "refused")
    assert raised.value.reason == "failed"
    turn = client.beta.agents.sessions.turns.retrieve(raised.value.turn_id, session_id=session.id)
    assert (turn.status, turn.error.code) == ("failed", "invalid_request")
    assert run(client, session, "on").output_text == "You said: on"


def test_an_inference_that_breaks_off_leaves_an_incomplete_item(client):
    session = create(client)
    assert run(client, session, "broken").output_text == "half a loaf"
    items = client.beta.agents.sessions.items.list(session.id, order="asc")
    assert [(item.status, item.content[0].text) for item in items][1:] == [
        ("incomplete", "half a "),
        ("completed", "half a loaf"),
    ]


# Resuming


def all_frames(raw, session_id, query=""):
    """A session's stream from its beginning to the end of its first turn."""
    path = f"/v1/agents/sessions/{session_id}/events{query}"
    return raw.frames(path, is_idle, headers={"Last-Event-ID": f"evt_{session_id.removeprefix('sess_')}_0_0_0"})


def test_a_stream_resumes_after_any_event_byte_for_byte(client, raw):
    session = create(client)
    path = events_path(session)
    run(client, session, "the weather?", tool_handlers={"get_weather": lambda arguments: "sunny"})
    whole = all_frames(raw, session.id)
    assert field(whole[0], "event") == "agent.session.created"
    for frame in whole:
        body = json.loads(field(frame, "data"))
        assert field(frame, "id") == body["event_id"] and field(frame, "event") == body["type"]
    for index, frame in enumerate(whole[:-1]):
        headers = {"Last-Event-ID": field(frame, "id")}
        assert raw.frames(path, is_idle, headers=headers) == whole[index + 1 :]
    by_query = f"{path}?after={urllib.parse.quote(field(whole[3], 'id'))}"
    assert raw.frames(by_query, is_idle) == whole[4:]
    bare = all_frames(raw, session.id, "?include_obfuscation=false")
    assert [field(frame, "id") for frame in bare] == [field(frame, "id") for frame in whole]
    assert all("obfuscation" not in json.loads(field(frame, "data")) for frame in bare)


def streamed(raw, text, until=is_idle, headers=None):
    """Makes a session that streams its first turn; its id and the frames up to `until`."""
    body = {"agent": {"model": MODEL}, "input": text, "stream": True}
    frames = raw.frames("/v1/agents/sessions", until, method="POST", body=body, headers=headers)
    return json.loads(field(frames[0], "data"))["session"]["id"], frames


def test_what_was_seen_live_is_what_is_replayed_also_by_the_next_process(tmp_path):
    server = Server(tmp_path)
    try:
        session_id, live = streamed(server.raw(), "slowly")
        assert all_frames(server.raw(), session_id) == live
        assert server.stop(kill=True) != 0
        server.start()
        assert all_frames(server.raw(), session_id) == live
    finally:
        server.stop()


def test_a_killed_server_goes_on_with_the_turn_and_what_was_shown_stays(tmp_path):
    server = Server(tmp_path)
    try:
        seen = []

        def is_third_delta(frame):
            seen.append(frame)
            return sum(field(frame, "event") == "agent.session.turn.output_text.delta" for frame in seen) == 3

        session_id, live = streamed(server.raw(), "slowly", until=is_third_delta)
        server.stop(kill=True)
        server.start()
        whole = all_frames(server.raw(), session_id)
        assert whole[: len(live)] == live
        kinds = [field(frame, "event") for frame in whole]
        assert kinds[-2:] == ["agent.session.turn.completed", "agent.session.idle"]
    finally:
        server.stop()


def test_a_stream_opened_in_mid_turn_shows_the_item_that_is_being_written_whole(client, raw):
    session = create(client)
    with client.beta.agents.sessions.stream(session.id, input="slowly") as stream:
        for event in stream:
            if event.type == "agent.session.turn.output_text.delta":
                break
        late = raw.frames(events_path(session), is_idle)
    whole = all_frames(raw, session.id)
    assert whole[-len(late) :] == late
    assert "agent.session.turn.item.added" in [field(frame, "event") for frame in late]


def test_a_create_that_is_repeated_streams_the_same_session_again(raw):
    headers = {"Idempotency-Key": "a streamed create"}
    first, again = (streamed(raw, "hello", headers=headers) for _ in range(2))
    assert first == again


def test_a_stream_ends_with_its_session_and_with_the_server(tmp_path):
    server = Server(tmp_path)
    with server.client(max_retries=0) as client:
        session, other = create(client), create(client)
        gone, open_one = (client.beta.agents.sessions.events.stream(one.id) for one in (session, other))
        client.beta.agents.sessions.delete(session.id)
        assert list(gone) == []
        assert server.stop() == 0
        # Ends in order: a torn body would raise.
        assert list(open_one) == []


def test_a_cursor_of_elsewhere_is_refused(client, raw):
    session, other = create(client), create(client)
    bad = ["x", "evt_", "evt_x_1_0_0", f"evt_{other.id.removeprefix('sess_')}_1_0_0", "é", "a" * 5_000]
    bad.append(f"evt_{session.id.removeprefix('sess_')}_99_0_0")
    for cursor in bad:
        response = raw.get(f"{events_path(session)}?after={urllib.parse.quote(cursor)}")
        assert response.status == 400 and response.error["param"] in ("after", "Last-Event-ID"), cursor


# Lists


@pytest.fixture(scope="module")
def long_session(server):
    with server.client() as client:
        session = create(client)
        for number in range(7):
            run(client, session, f"number {number}")
            client.beta.agents.sessions.update(session.id, metadata={"number": str(number)})
        run(client, session, "the weather?", tool_handlers={"get_weather": lambda arguments: "sunny"})
        return session


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 19, 100])
def test_items_and_turns_page_the_same_at_every_size(client, long_session, limit):
    sessions = client.beta.agents.sessions
    items = [item.id for item in sessions.items.list(long_session.id, limit=limit, order="asc")]
    assert len(items) == len(set(items)) == 19
    assert [item.id for item in sessions.items.list(long_session.id, limit=limit)] == items[::-1]
    turns = list(sessions.turns.list(long_session.id, limit=limit, order="asc"))
    assert len(turns) == 8 and {turn.status for turn in turns} == {"completed"}
    assert list(sessions.turns.list(long_session.id, limit=limit)) == turns[::-1]
    assert sessions.turns.retrieve(turns[3].id, session_id=long_session.id) == turns[3]
    of_turn = [item.id for item in sessions.turns.items.list(turns[3].id, session_id=long_session.id, order="asc")]
    assert of_turn == items[6:8]
    of_last = sessions.turns.items.list(turns[-1].id, session_id=long_session.id, order="asc", limit=limit)
    assert [item.id for item in of_last] == items[14:]


def test_lists_of_what_a_session_cannot_have_are_empty(client, long_session):
    sessions = client.beta.agents.sessions
    for part in (sessions.subagents, sessions.artifacts):
        assert list(part.list(long_session.id)) == []
    with pytest.raises(openai.NotFoundError):
        sessions.subagents.retrieve("x", session_id=long_session.id)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=x", "before=x", "after=msg_0"])
def test_wrong_pages_are_refused(raw, long_session, query):
    for part in ("items", "turns"):
        response = raw.get(f"/v1/agents/sessions/{long_session.id}/{part}?{query}")
        assert response.status == 400, query
        assert response.error["param"] == query.split("=")[0]


# Errors


def test_errors_have_the_wires_shape(client, raw):
    session = create(client)
    no_key, bad_key = {"Authorization": None}, {"Authorization": "Bearer sk-wrong"}
    turn = f"/v1/agents/sessions/{session.id}/turns/turn_x"
    deep = '{"agent":' + "[" * 500 + "]" * 500 + "}"
    cases = [
        ("GET", "/v1/agents", None, no_key, 401, "invalid_api_key"),
        ("GET", "/v1/agents", None, bad_key, 401, "invalid_api_key"),
        ("POST", "/v1/agents/sessions", b"x" * 1_000_000, no_key, 401, "invalid_api_key"),
        ("GET", "/v1/nowhere", None, {}, 404, "unknown_url"),
        ("PATCH", "/v1/agents", None, {}, 405, "method_not_allowed"),
        ("GET", "/v1/agents/agent_x", None, {}, 404, "not_found"),
        ("GET", "/v1/agents/sessions/sess_x", None, {}, 404, "not_found"),
        ("GET", f"/v1/agents/sessions/{session.id.replace('sess_', 'conv_')}", None, {}, 404, "not_found"),
        ("GET", turn, None, {}, 404, "not_found"),
        ("GET", "/v1/agents/sessions/%ff", None, {}, 400, None),
        ("POST", "/v1/agents/sessions", b"{", {}, 400, "invalid_json"),
        ("POST", "/v1/agents/sessions", b"[]", {}, 400, "invalid_json"),
        ("POST", "/v1/agents/sessions", b"\xff", {}, 400, "invalid_json"),
        ("POST", "/v1/agents/sessions", deep, {}, 400, "invalid_json"),
        ("POST", "/v1/agents/sessions", {}, {}, 400, "missing_required_parameter"),
        ("POST", events_path(session), {"events": [{}]}, {}, 400, "missing_required_parameter"),
        ("POST", events_path(session), {"events": [message("x")]}, {"Idempotency-Key": "k" * 300}, 400, None),
        ("POST", "/v1/agents/environments", {}, {}, 400, "unsupported_operation"),
        ("GET", "/v1/agents/environments/x/files", None, {}, 400, "unsupported_operation"),
        ("DELETE", "/v1/vaults/x", None, {}, 400, "unsupported_operation"),
    ]
    for method, path, body, headers, status, code in cases:
        response = raw.request(method, path, body, headers)
        assert response.status == status, (method, path, response.body)
        assert response.error["code"] == code, (method, path, response.body)
        assert set(response.error) == {"message", "type", "param", "code"} and response.error["message"]
        assert response.headers["x-request-id"]


def test_the_field_that_is_wrong_is_named(raw):
    content = [{"type": "input_text", "text": "a"}, {"type": "video"}]
    body = {"agent": {"model": MODEL}, "input": [{"role": "user", "content": content}]}
    assert raw.post("/v1/agents/sessions", body).error["param"] == "input[0].content[1].type"
    body = {"agent": {"model": MODEL}, "spend_control": {"limit": 5}}
    assert raw.post("/v1/agents/sessions", body).error["param"] == "spend_control"


def test_a_body_of_50_mb_is_answered_and_the_server_stays_well(raw):
    body = b'{"agent":{"model":"' + b"x" * 50_000_000 + b'"}}'
    response = raw.post("/v1/agents/sessions", body)
    assert response.status == 413 and response.error["code"] == "request_too_large"
    early = raw.request("GET", "/healthz")
    assert early.status == 200


def test_what_another_tenant_owns_does_not_exist(client, server):
    session = create(client)
    agent = client.beta.agents.create(model=MODEL)
    with server.client(max_retries=0, api_key=OTHER_KEY) as other:
        agents, sessions = other.beta.agents, other.beta.agents.sessions
        assert list(agents.list()) == [] and list(sessions.list()) == []
        cancel = {"type": "agent.session.input.cancel"}
        asks = [
            lambda: agents.retrieve(agent.id),
            lambda: agents.update(agent.id, name="x"),
            lambda: agents.delete(agent.id),
            lambda: create(other, agent_id=agent.id, agent={}),
            lambda: sessions.retrieve(session.id),
            lambda: sessions.update(session.id, metadata={}),
            lambda: sessions.delete(session.id),
            lambda: sessions.items.list(session.id),
            lambda: sessions.events.stream(session.id),
            lambda: sessions.events.create(session.id, events=[cancel]),
        ]
        for ask in asks:
            with pytest.raises(openai.NotFoundError):
                ask()
    assert client.beta.agents.sessions.retrieve(session.id) == session
    assert client.beta.agents.retrieve(agent.id) == agent


def test_models_and_health_need_what_they_say(client, raw, server):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "script"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    for path in ("/healthz", "/readyz"):
        assert raw.get(path, headers={"Authorization": None}).status == 200
    assert raw.get("/v1/models", headers={"Authorization": None, "x-api-key": server.key}).status == 200
    assert raw.get("/openai/v1/agents").status == 200


def test_abandoned_streams_leave_the_server_well(client, raw, server):
    session = create(client)
    parts = urllib.parse.urlsplit(server.url)
    head = f"GET {events_path(session)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n\r\n"
    for _ in range(200):
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(head.encode())
            assert connection.recv(12) == b"HTTP/1.1 200"
    assert run(client, session, "well?").output_text == "You said: well?"


def test_slow_clients_are_cut_off(raw, server):
    parts = urllib.parse.urlsplit(server.url)
    head = f"POST /v1/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
    starts = [b"GE", b"GET / HTTP/1.1\r\nHost: x\r\n", f'{head}Content-Length: 99\r\n\r\n{{"model"'.encode()]
    slow = []
    for start in starts * 20:
        connection = socket.create_connection((parts.hostname, parts.port), timeout=60)
        connection.sendall(start)
        slow.append(connection)
    assert raw.get("/v1/agents").status == 200
    for connection in slow:
        # An answer that says so, or none; then the end.
        while connection.recv(65_536):
            pass
        connection.close()
