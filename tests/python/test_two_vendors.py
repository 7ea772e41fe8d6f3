"""One session, two vendors' SDKs: opened by `openai`, gone on by `anthropic`, answered by `openai`, killed in between."""

import json

import anthropic
import pytest
from conftest import PATIENCE_S, field

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def claude(server):
    return anthropic.Anthropic(api_key=server.key, base_url=server.url, timeout=PATIENCE_S, max_retries=0)


def open_by_openai(server):
    """Opens a session and reads its first turn; gives the session's id without a prefix, and the events' ids."""
    with server.client(max_retries=0) as client:
        stream = client.beta.agents.sessions.create(
            agent={"model": "test-model", "tools": [TOOL]},
            environment={"type": "none"},
            input="hello",
            stream=True,
        )
        ids, session = [], None
        for event in stream:
            ids.append(event.event_id)
            session = event.session.id if event.type == "agent.session.created" else session
            if event.type == "agent.session.idle":
                return session.removeprefix("sess_"), ids
    raise AssertionError("the stream ended before the session was idle")


def say(text):
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def go_on_by_anthropic(server, session, *events):
    with claude(server) as client:
        sessions = client.beta.sessions
        with sessions.events.stream(f"sesn_{session}", event_deltas=["agent.message"]) as stream:
            sessions.events.send(f"sesn_{session}", events=list(events))
            found = []
            for event in stream:
                found.append(event)
                if event.type == "session.status_idle":
                    return found
    raise AssertionError("the stream ended before the session was idle")


def seen_by_openai(server, session):
    """What was said and called, in order, with the place of each in the journal."""
    with server.client() as client:
        items = list(client.beta.agents.sessions.items.list(f"sess_{session}", order="asc"))
    seen = []
    for item in items:
        if item.type == "message":
            seen.append((place(item.id), item.role, item.content[0].text))
        elif item.type == "function_call":
            seen.append((place(item.id), "call", item.arguments))
        elif item.type == "function_call_output":
            seen.append((place(item.id), "result", item.output))
    return seen


def seen_by_anthropic(server, session):
    with claude(server) as client:
        events = list(client.beta.sessions.events.list(f"sesn_{session}"))
    seen = []
    for event in events:
        if event.type in ("user.message", "agent.message"):
            role = "user" if event.type == "user.message" else "assistant"
            seen.append((place(event.id), role, event.content[0].text))
        elif event.type == "agent.custom_tool_use":
            seen.append((place(event.id), "call", event.input))
        elif event.type == "user.custom_tool_result":
            seen.append((place(event.id), "result", event.content[0].text))
    return seen


def place(text):
    return text.rsplit("_", 1)[-1]


def kill(server):
    server.stop(kill=True)
    server.start()


@pytest.fixture
def opened(server):
    return open_by_openai(server)


def test_a_session_is_opened_by_one_gone_on_by_the_other_and_answered_by_the_first(server, raw, opened):
    session, first_ids = opened
    kill(server)
    asked = go_on_by_anthropic(server, session, say("weather"))
    use = next(event for event in asked if event.type == "agent.custom_tool_use")
    assert asked[-1].stop_reason.event_ids == [use.id] and use.input == {"city": "Paris"}
    kill(server)
    answer = {
        "type": "agent.session.input.tool_result",
        "call_id": f"call_{place(use.id)}",
        "success": True,
        "output": "sunny",
    }
    with server.client(max_retries=0) as client:
        sessions = client.beta.agents.sessions
        assert [call.call_id for call in sessions.retrieve(f"sess_{session}").required_actions] == [answer["call_id"]]
        with sessions.events.stream(f"sess_{session}") as stream:
            sessions.events.create(f"sess_{session}", events=[answer])
            last_ids = []
            for event in stream:
                last_ids.append(event.event_id)
                if event.type == "agent.session.idle":
                    break
    kill(server)
    theirs = seen_by_openai(server, session)
    assert theirs == seen_by_anthropic(server, session)
    told = [(role, text) for _, role, text in theirs]
    assert told == [
        ("user", "hello"),
        ("assistant", "You said: hello"),
        ("user", "weather"),
        ("call", {"city": "Paris"}),
        ("result", "sunny"),
        ("assistant", "It is sunny."),
    ]
    resumed_by_openai(raw, session, (first_ids[3], last_ids[-1]))
    resumed_by_anthropic(raw, session, asked)


def resumed_by_openai(raw, session, ids):
    first, last = ids
    path = f"/v1/agents/sessions/sess_{session}/events"
    until = lambda frame: field(frame, "id") == last
    once = raw.frames(path, until, headers={"Last-Event-ID": first})
    kill(raw.server)
    assert raw.frames(path, until, headers={"Last-Event-ID": first}) == once
    kinds = [json.loads(field(frame, "data"))["type"] for frame in once]
    assert kinds.count("agent.session.idle") == 2 and kinds.count("agent.session.requires_action") == 1


def resumed_by_anthropic(raw, session, asked):
    """Each event that the SDK showed is a cursor of its own stream."""
    path = f"/v1/sessions/sesn_{session}/events/stream"
    version = {"anthropic-version": "2023-06-01"}
    with claude(raw.server) as client:
        events = list(client.beta.sessions.events.list(f"sesn_{session}"))
    until = lambda frame: field(frame, "id") == events[-1].id
    whole = raw.frames(f"{path}?after=0", until, headers=version)
    assert [field(frame, "id") for frame in whole] == [event.id for event in events]
    kill(raw.server)
    for event in (event for event in asked if event.type not in ("event_start", "event_delta")):
        index = [known.id for known in events].index(event.id)
        rest = raw.frames(f"{path}?after={event.id}", until, headers=version)
        assert rest == whole[index + 1 :], event.id


def test_a_call_that_one_asked_for_is_answered_by_the_other(server, opened):
    session, _ = opened
    with server.client(max_retries=0) as client:
        sessions = client.beta.agents.sessions
        message = {"type": "agent.session.input.message", "input": "weather"}
        with sessions.events.stream(f"sess_{session}") as stream:
            sessions.events.create(f"sess_{session}", events=[message])
            next(event for event in stream if event.type == "agent.session.requires_action")
        call = sessions.retrieve(f"sess_{session}").required_actions[0]
    kill(server)
    result = {
        "type": "user.custom_tool_result",
        "custom_tool_use_id": f"sevt_{place(call.call_id)}",
        "content": [{"type": "text", "text": "sunny"}],
    }
    answered = go_on_by_anthropic(server, session, result)
    assert [event.content[0].text for event in answered if event.type == "agent.message"] == ["It is sunny."]
    assert seen_by_openai(server, session) == seen_by_anthropic(server, session)


def test_an_agent_of_one_has_sessions_of_the_other(server):
    with claude(server) as theirs, server.client() as ours:
        agent = theirs.beta.agents.create(name="n", model="test-model", system="Be brief.")
        shown = ours.beta.agents.retrieve(agent.id)
        assert (shown.id, shown.name, shown.instructions) == (agent.id, "n", "Be brief.")
        ours.beta.agents.update(agent.id, instructions="Be long.")
        assert theirs.beta.agents.retrieve(agent.id).version == 2
        assert theirs.beta.agents.retrieve(agent.id, version=1).system == "Be brief."
        session = ours.beta.agents.sessions.create(agent_id=agent.id, environment={"type": "none"})
        pinned = theirs.beta.sessions.retrieve(f"sesn_{place(session.id)}").agent
        assert (pinned.id, pinned.version, pinned.system) == (agent.id, 2, "Be long.")
