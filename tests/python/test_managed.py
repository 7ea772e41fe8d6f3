"""Claude Managed Agents through `anthropic`, unmodified: agents with versions, sessions, events, cursors."""

import json

import anthropic
import pytest
from conftest import PATIENCE_S, field

MODEL = "test-model"
ENVIRONMENT = "env_none"
TOOL = {
    "type": "custom",
    "name": "get_weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def claude(server):
    with anthropic.Anthropic(api_key=server.key, base_url=server.url, timeout=PATIENCE_S, max_retries=0) as client:
        yield client


@pytest.fixture
def beta(claude):
    return claude.beta


@pytest.fixture
def agent(beta):
    return beta.agents.create(name="helper", model=MODEL, system="Be brief.", tools=[TOOL], metadata={"a": "b"})


@pytest.fixture
def session(beta, agent):
    return beta.sessions.create(agent=agent.id, environment_id=ENVIRONMENT)


def say(text):
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def result(event_id, text, **more):
    content = [{"type": "text", "text": text}]
    return {"type": "user.custom_tool_result", "custom_tool_use_id": event_id, "content": content, **more}


def is_idle(event):
    return event.type == "session.status_idle"


def turn(beta, session, *events, **options):
    """Sends events; gives what the stream shows until the session is idle."""
    with beta.sessions.events.stream(session.id, **options) as stream:
        beta.sessions.events.send(session.id, events=list(events))
        found = []
        for event in stream:
            found.append(event)
            if is_idle(event):
                return found
    raise AssertionError("the stream ended before the session was idle")


def types(events):
    return [event.type for event in events]


def history(beta, session, **options):
    return list(beta.sessions.events.list(session.id, **options))


def wait_for(beta, session, kind):
    """Waits until an event of this type is in the history: streams of what is past show it at once."""
    with beta.sessions.events.stream(session.id, extra_query={"after": "0"}) as stream:
        return next(event for event in stream if event.type == kind)


def test_agents_keep_their_versions(beta, agent):
    assert (agent.version, agent.type, agent.archived_at, agent.system) == (1, "agent", None, "Be brief.")
    assert agent.tools[0].name == "get_weather" and agent.tools[0].input_schema.required == ["city"]
    same = beta.agents.update(agent.id, name="helper")
    assert same == agent, "a change that changes nothing makes no version"
    second = beta.agents.update(agent.id, version=1, system=None, metadata={"a": None, "c": "d"}, description="what")
    assert (second.version, second.system, second.metadata, second.description) == (2, None, {"c": "d"}, "what")
    third = beta.agents.update(agent.id, model={"id": "another", "effort": "high"}, tools=[])
    assert (third.version, third.model.id, third.model.effort.type, third.tools) == (3, "another", "high", [])
    with pytest.raises(anthropic.ConflictError) as stale:
        beta.agents.update(agent.id, version=2, name="late")
    assert stale.value.type == "conflict_error"
    assert [beta.agents.retrieve(agent.id, version=number) for number in (1, 2, 3)] == [agent, second, third]
    assert beta.agents.retrieve(agent.id) == third
    assert list(beta.agents.versions.list(agent.id, limit=2)) == [third, second, agent]
    assert list(beta.agents.versions.list(agent.id, limit=100)) == [third, second, agent]
    for number in (4, 2**32 - 1):
        with pytest.raises(anthropic.NotFoundError):
            beta.agents.retrieve(agent.id, version=number)


def test_two_changes_at_once_are_both_kept(server, beta, agent):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        change = lambda number: beta.agents.update(agent.id, metadata={f"k{number}": "v"})
        list(pool.map(change, range(8)))
    last = beta.agents.retrieve(agent.id)
    assert last.version == 9 and set(last.metadata) == {"a", *(f"k{number}" for number in range(8))}


def test_an_archived_agent_takes_no_sessions_and_no_changes(beta, agent):
    archived = beta.agents.archive(agent.id)
    assert archived.archived_at is not None and archived.version == 1
    assert beta.agents.archive(agent.id) == archived
    for attempt in (
        lambda: beta.agents.update(agent.id, name="x"),
        lambda: beta.sessions.create(agent=agent.id, environment_id=ENVIRONMENT),
    ):
        with pytest.raises(anthropic.ConflictError) as refused:
            attempt()
        assert refused.value.error_code == "archived"
    ids = lambda **options: [listed.id for listed in beta.agents.list(**options)]
    assert agent.id not in ids() and agent.id in ids(include_archived=True)


def test_agents_are_listed_newest_first_in_pages(beta, server):
    made = [beta.agents.create(name=f"n{number}", model=MODEL) for number in range(3)]
    page = beta.agents.list(limit=2)
    assert [listed.id for listed in page.data] == [made[2].id, made[1].id] and page.next_page
    assert made[0].id in [listed.id for listed in page.get_next_page().data]
    between = beta.agents.list(created_at_gte=made[1].created_at, created_at_lte=made[1].created_at)
    assert made[1].id in [listed.id for listed in between]
    assert beta.agents.list(created_at_gte="2999-01-01T00:00:00Z").data == []


def test_versions_survive_a_kill(server, beta, agent):
    for number in range(5):
        beta.agents.update(agent.id, system=f"s{number}")
    before = list(beta.agents.versions.list(agent.id))
    server.stop(kill=True)
    server.start()
    with anthropic.Anthropic(api_key=server.key, base_url=server.url, timeout=PATIENCE_S) as client:
        assert list(client.beta.agents.versions.list(agent.id)) == before
        assert client.beta.agents.retrieve(agent.id, version=3).system == "s1"


def test_a_session_pins_its_version_and_may_replace_fields(beta, agent):
    beta.agents.update(agent.id, system="Be long.")
    latest = beta.sessions.create(agent=agent.id, environment_id=ENVIRONMENT, title="t", metadata={"k": "v"})
    assert (latest.agent.version, latest.agent.system, latest.status, latest.title) == (2, "Be long.", "idle", "t")
    first = beta.sessions.create(agent={"type": "agent", "id": agent.id, "version": 1}, environment_id=ENVIRONMENT)
    beta.agents.update(agent.id, system="Be gone.")
    assert (first.agent.version, first.agent.system) == (1, "Be brief.")
    assert beta.sessions.retrieve(first.id).agent.system == "Be brief."
    replaced = {"type": "agent_with_overrides", "id": agent.id, "version": 1, "system": None, "tools": []}
    other = beta.sessions.create(agent=replaced, environment_id=ENVIRONMENT)
    assert (other.agent.system, other.agent.tools, other.agent.version) == (None, [], 1)
    with pytest.raises(anthropic.NotFoundError):
        beta.sessions.create(agent={"type": "agent", "id": agent.id, "version": 9}, environment_id=ENVIRONMENT)
    of_one = beta.sessions.list(agent_id=agent.id, agent_version=1)
    assert {listed.id for listed in of_one} == {first.id, other.id}


def test_a_turn_is_streamed_in_order_and_stays_in_the_history(beta, session):
    events = turn(beta, session, say("hello"))
    assert types(events) == [
        "session.status_running",
        "user.message",
        "span.model_request_start",
        "agent.message",
        "span.model_request_end",
        "session.status_idle",
    ]
    assert events[3].content[0].text == "You said: hello"
    usage = events[4].model_usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == (12, 5, 0)
    assert events[4].model_request_start_id == events[2].id
    assert events[-1].stop_reason.type == "end_turn"
    assert history(beta, session) == events
    after = beta.sessions.retrieve(session.id)
    assert (after.status, after.usage.input_tokens, after.usage.output_tokens) == ("idle", 12, 5)


def test_deltas_are_previews_of_the_event_that_follows(beta, session):
    events = turn(beta, session, say("think"), event_deltas=["agent.message", "agent.thinking"])
    starts = [event for event in events if event.type == "event_start"]
    assert [start.event.type for start in starts] == ["agent.thinking", "agent.message"]
    message = next(event for event in events if event.type == "agent.message")
    deltas = [event for event in events if event.type == "event_delta"]
    assert {delta.event_id for delta in deltas} == {message.id} == {starts[1].event.id}
    assert "".join(delta.delta.content.text for delta in deltas) == message.content[0].text == "42"
    only = turn(beta, session, say("think"), event_deltas=["agent.thinking"])
    assert types(only).count("event_start") == 1 and "event_delta" not in types(only)
    assert not {"event_start", "event_delta"} & set(types(turn(beta, session, say("think"))))


def test_a_custom_tool_is_called_and_answered(beta, session):
    asked = turn(beta, session, say("two calls"))
    calls = [event for event in asked if event.type == "agent.custom_tool_use"]
    assert [call.input for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    assert asked[-1].stop_reason.type == "requires_action"
    assert asked[-1].stop_reason.event_ids == [call.id for call in calls]
    assert beta.sessions.retrieve(session.id).status == "idle"
    half = turn(beta, session, result(calls[0].id, "sun"))
    assert types(half) == ["user.custom_tool_result", "session.status_idle"]
    assert half[-1].stop_reason.event_ids == [calls[1].id]
    rest = turn(beta, session, result(calls[1].id, "no idea", is_error=True))
    assert types(rest)[:2] == ["user.custom_tool_result", "session.status_running"]
    assert rest[0].is_error and rest[0].custom_tool_use_id == calls[1].id
    assert rest[-2].type == "span.model_request_end" and rest[-1].stop_reason.type == "end_turn"
    with pytest.raises(anthropic.BadRequestError):
        beta.sessions.events.send(session.id, events=[result(calls[0].id, "again")])


def test_the_sdks_own_tool_runner_drives_a_session(server, session):
    import asyncio

    @anthropic.beta_async_tool
    async def get_weather(city: str) -> str:
        """The weather.

        Args:
            city: Where.
        """
        return f"sunny in {city}"

    async def run():
        async with anthropic.AsyncAnthropic(api_key=server.key, base_url=server.url, timeout=PATIENCE_S) as client:
            events = client.beta.sessions.events
            await events.send(session.id, events=[say("two calls")])
            return [call async for call in events.tool_runner(session.id, tools=[get_weather], max_idle=0.2)]

    calls = asyncio.run(run())
    assert [(call.name, call.is_error, call.posted) for call in calls] == [("get_weather", False, True)] * 2
    with anthropic.Anthropic(api_key=server.key, base_url=server.url, timeout=PATIENCE_S) as client:
        said = [event for event in client.beta.sessions.events.list(session.id) if event.type == "agent.message"]
        assert said[-1].content[0].text == "Both."


def test_what_was_sent_is_answered_with_its_ids(beta, session):
    sent = beta.sessions.events.send(session.id, events=[say("hello")]).data
    assert [event.type for event in sent] == ["user.message"] and sent[0].processed_at is None
    wait_for(beta, session, "session.status_idle")
    shown = history(beta, session, types=["user.message"])
    assert [event.id for event in shown] == [sent[0].id] and shown[0].processed_at is not None


def test_an_interrupt_ends_the_turn_and_a_message_goes_on(beta, session):
    with beta.sessions.events.stream(session.id, event_deltas=["agent.message"]) as stream:
        beta.sessions.events.send(session.id, events=[say("forever")])
        next(event for event in stream if event.type == "event_delta")
        sent = beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}, say("hello")]).data
        assert [event.type for event in sent] == ["user.interrupt", "user.message"]
        events = []
        while types(events).count("session.status_idle") < 2:
            events.append(next(stream))
    kinds = [kind for kind in types(events) if not kind.startswith("event_")]
    assert kinds[:4] == ["agent.message", "span.model_request_end", "user.interrupt", "session.status_idle"]
    assert events[-1].stop_reason.type == "end_turn"
    assert beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}]).data == []


def test_a_failed_turn_is_an_error_and_the_session_goes_on(beta, session):
    events = turn(beta, session, say("refused"))
    assert types(events)[-2:] == ["session.error", "session.status_idle"]
    assert (events[-2].error.type, events[-2].error.retry_status.type) == ("model_request_failed_error", "exhausted")
    assert events[-1].stop_reason.type == "retries_exhausted"
    assert turn(beta, session, say("hello"))[-1].stop_reason.type == "end_turn"


def test_a_retry_is_told_and_its_half_is_no_event(beta, session):
    events = turn(beta, session, say("broken"))
    order = ["span.model_request_end", "session.error", "session.status_rescheduled", "session.status_running"]
    begin = types(events).index("session.error") - 1
    assert types(events)[begin : begin + 4] == order
    assert events[begin + 1].error.retry_status.type == "retrying"
    assert [event.content[0].text for event in events if event.type == "agent.message"] == ["half a loaf"]


def test_history_is_listed_in_pages_both_ways_and_by_type(beta, session):
    for text in ("one", "two", "three"):
        turn(beta, session, say(text))
    everything = history(beta, session)
    assert len(everything) == 18
    for limit in (1, 5, 17, 18):
        assert history(beta, session, limit=limit) == everything
        assert history(beta, session, limit=limit, order="desc") == everything[::-1]
    said = history(beta, session, types=["user.message", "agent.message"], limit=2, order="desc")
    assert types(said) == ["agent.message", "user.message"] * 3
    middle = everything[9].processed_at
    assert history(beta, session, created_at_gt=middle) == [event for event in everything if event.processed_at > middle]
    assert history(beta, session, created_at_lte=middle) == [event for event in everything if event.processed_at <= middle]
    for wrong in ({"types": ["nothing"]}, {"page": "page_x"}, {"page": "page_99999_0"}, {"limit": 0}):
        with pytest.raises(anthropic.BadRequestError):
            beta.sessions.events.list(session.id, extra_query=wrong)


def test_every_cursor_replays_the_same_bytes_also_after_a_kill(server, raw, beta, session):
    turn(beta, session, say("think"))
    turn(beta, session, say("two calls"))
    path = f"/anthropic/v1/sessions/{session.id}/events/stream?event_deltas[]=agent.message&event_deltas[]=agent.thinking"
    last = history(beta, session)[-1].id
    until = lambda frame: field(frame, "id") == last
    whole = raw.frames(f"{path}&after=0", until)
    assert len(whole) > 15
    for frame in whole:
        body = json.loads(field(frame, "data"))
        assert body["type"] == field(frame, "event")
        assert body.get("id", field(frame, "id")) == field(frame, "id")
    server.stop(kill=True)
    server.start()
    for index, frame in enumerate(whole[:-1]):
        headers = {"Last-Event-ID": field(frame, "id")}
        assert raw.frames(path, until, headers=headers) == whole[index + 1 :], field(frame, "id")
    foreign = f"sevt_{'0' * 40}"
    for wrong in ("x", foreign, "sevt_at_x", last.replace("sevt_at_", "sevt_")):
        assert raw.get(path, headers={"Last-Event-ID": wrong}).status == 400, wrong


def test_a_session_is_changed_archived_and_deleted(beta, agent, session):
    changed = beta.sessions.update(session.id, title="t", metadata={"a": "1", "b": "2"}, agent={"tools": []})
    assert (changed.title, changed.metadata, changed.agent.tools) == ("t", {"a": "1", "b": "2"}, [])
    changed = beta.sessions.update(session.id, metadata={"a": None}, title=None)
    assert (changed.title, changed.metadata) == (None, {"b": "2"})
    updates = history(beta, session, types=["session.updated"])
    assert [update.title for update in updates if "title" in update.model_fields_set] == ["t", None]
    assert [update.agent.tools for update in updates if update.agent] == [[]]
    archived = beta.sessions.archive(session.id)
    assert archived.status == "terminated" and archived.archived_at is not None
    for attempt in (
        lambda: beta.sessions.events.send(session.id, events=[say("hello")]),
        lambda: beta.sessions.update(session.id, title="x"),
    ):
        with pytest.raises(anthropic.ConflictError):
            attempt()
    assert types(history(beta, session))[-1] == "session.status_terminated"
    ids = lambda **options: [listed.id for listed in beta.sessions.list(agent_id=agent.id, **options)]
    assert ids() == [] and ids(include_archived=True) == [session.id]
    assert ids(include_archived=True, statuses=["terminated"]) == [session.id]
    assert ids(include_archived=True, statuses=["idle", "running"]) == []
    gone = beta.sessions.delete(session.id)
    assert (gone.id, gone.type) == (session.id, "session_deleted")
    with pytest.raises(anthropic.NotFoundError):
        beta.sessions.retrieve(session.id)


def test_a_running_session_is_not_archived_and_ends_its_stream_when_deleted(beta, session):
    with beta.sessions.events.stream(session.id) as stream:
        beta.sessions.events.send(session.id, events=[say("forever")])
        next(event for event in stream if event.type == "span.model_request_start")
        assert beta.sessions.retrieve(session.id).status == "running"
        with pytest.raises(anthropic.ConflictError):
            beta.sessions.archive(session.id)
        beta.sessions.delete(session.id)
        assert types(list(stream))[-1] == "session.deleted"


def test_sessions_are_listed_in_pages(beta, agent):
    made = [beta.sessions.create(agent=agent.id, environment_id=ENVIRONMENT).id for _ in range(5)]
    newest = [listed.id for listed in beta.sessions.list(agent_id=agent.id, limit=2)]
    assert newest == made[::-1]
    assert [listed.id for listed in beta.sessions.list(agent_id=agent.id, limit=2, order="asc")] == made


def test_initial_events_start_the_first_turn(beta, agent):
    initial = [say("hello"), say("you")]
    session = beta.sessions.create(agent=agent.id, environment_id=ENVIRONMENT, initial_events=initial)
    wait_for(beta, session, "session.status_idle")
    shown = history(beta, session, types=["user.message", "agent.message"])
    assert types(shown) == ["user.message", "user.message", "agent.message"]


def test_a_system_message_goes_with_a_message(beta, session):
    system = {"type": "system.message", "content": [{"type": "text", "text": "In French."}]}
    events = turn(beta, session, say("hello"), system)
    assert types(events)[1:3] == ["user.message", "system.message"]


def test_the_only_thread_is_the_session(beta, session):
    turn(beta, session, say("hello"))
    threads = list(beta.sessions.threads.list(session.id))
    assert [thread.session_id for thread in threads] == [session.id]
    thread = beta.sessions.threads.retrieve(threads[0].id, session_id=session.id)
    assert (thread.parent_thread_id, thread.status, thread.usage.output_tokens) == (None, "idle", 5)
    assert list(beta.sessions.threads.events.list(thread.id, session_id=session.id)) == history(beta, session)
    query = {"after": "0"}
    with beta.sessions.threads.events.stream(thread.id, session_id=session.id, extra_query=query) as stream:
        assert next(iter(stream)).type == "session.status_running"
    with pytest.raises(anthropic.BadRequestError):
        beta.sessions.threads.archive(thread.id, session_id=session.id)
    with pytest.raises(anthropic.NotFoundError):
        beta.sessions.threads.retrieve(thread.id + "0", session_id=session.id)


def test_the_one_environment_and_the_models_are_there(beta):
    assert [environment.id for environment in beta.environments.list()] == [ENVIRONMENT]
    assert beta.environments.retrieve(ENVIRONMENT).config.type == "self_hosted"
    assert [model.id for model in beta.models.list()] == [MODEL]
    assert beta.models.retrieve(MODEL).display_name == MODEL


def test_errors_have_the_vendors_shape(server, raw, beta, session):
    with pytest.raises(anthropic.NotFoundError) as missing:
        beta.sessions.retrieve("sesn_x")
    assert missing.value.type == "not_found_error" and missing.value.request_id.startswith("req_")
    assert missing.value.body["request_id"] == missing.value.request_id
    with anthropic.Anthropic(api_key="wrong", base_url=server.url, max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            stranger.beta.agents.list()
    assert refused.value.type == "authentication_error"
    waits = {"type": "user.tool_confirmation", "tool_use_id": "sevt_x", "result": "allow"}
    with pytest.raises(anthropic.BadRequestError) as nothing:
        beta.sessions.events.send(session.id, events=[waits])
    assert "No tool use with this id waits" in nothing.value.api_message
    assert nothing.value.body["error"]["details"]["param"] == "events[0].tool_use_id"
    for method, path, status in (
        ("GET", "/anthropic/v1/nothing", 404),
        ("PUT", "/anthropic/v1/agents", 405),
        ("POST", "/anthropic/v1/agents", 400),
    ):
        answer = raw.request(method, path, "{" if method == "POST" else None)
        assert answer.status == status and answer.json()["type"] == "error", path


def test_the_header_tells_the_vendors_apart(raw):
    theirs = raw.get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
    ours = raw.get("/v1/models").json()
    assert theirs["data"][0]["type"] == "model" and ours["data"][0]["object"] == "model"
    keyed = {"Authorization": None, "x-api-key": raw.server.key}
    assert raw.get("/anthropic/v1/models", headers=keyed).json() == theirs


def test_nothing_is_seen_across_tenants(server, agent, session):
    from conftest import OTHER_KEY

    with anthropic.Anthropic(api_key=OTHER_KEY, base_url=server.url, max_retries=0) as other:
        for attempt in (
            lambda: other.beta.agents.retrieve(agent.id),
            lambda: other.beta.agents.retrieve(agent.id, version=1),
            lambda: other.beta.agents.versions.list(agent.id),
            lambda: other.beta.agents.update(agent.id, name="x"),
            lambda: other.beta.agents.archive(agent.id),
            lambda: other.beta.sessions.create(agent=agent.id, environment_id=ENVIRONMENT),
            lambda: other.beta.sessions.retrieve(session.id),
            lambda: other.beta.sessions.events.list(session.id),
            lambda: other.beta.sessions.events.send(session.id, events=[say("hello")]),
        ):
            with pytest.raises(anthropic.NotFoundError):
                attempt()
        assert other.beta.sessions.list(include_archived=True).data == []
        assert other.beta.agents.list(include_archived=True).data == []


def test_a_kill_in_the_middle_of_a_message_changes_nothing_that_was_shown(server, raw, beta, session):
    path = f"/anthropic/v1/sessions/{session.id}/events/stream?event_deltas[]=agent.message"
    stream = raw.open("GET", f"{path}&after=0")
    beta.sessions.events.send(session.id, events=[say("slowly")])
    shown, lines = [], []
    while sum(field(frame, "event") == "event_delta" for frame in shown) < 4:
        lines.append(stream.readline())
        if lines[-1] == b"\n":
            shown.append(b"".join(lines))
            lines = []
    server.stop(kill=True)
    stream.close()
    server.start()
    until = lambda frame: field(frame, "event") == "session.status_idle"
    rest = raw.frames(path, until, headers={"Last-Event-ID": field(shown[-1], "id")})
    whole = raw.frames(f"{path}&after=0", until)
    assert whole == shown + rest
    said = [json.loads(field(frame, "data")) for frame in whole if field(frame, "event") == "agent.message"]
    assert [event["content"][0]["text"] for event in said] == ["one two three four five six seven eight nine ten"]


def test_who_comes_in_the_middle_of_a_message_sees_all_of_it(beta, session):
    options = {"event_deltas": ["agent.message"]}
    with beta.sessions.events.stream(session.id, **options) as first:
        beta.sessions.events.send(session.id, events=[say("slowly")])
        next(event for event in first if event.type == "event_delta")
        with beta.sessions.events.stream(session.id, **options) as second:
            events = []
            while not (events and is_idle(events[-1])):
                events.append(next(second))
    assert types(events)[0] == "event_start" and "user.message" not in types(events)
    said = next(event for event in events if event.type == "agent.message").content[0].text
    assert said == "".join(event.delta.content.text for event in events if event.type == "event_delta")


def test_an_idempotency_key_makes_a_retry_harmless(raw, beta, agent, session):
    headers = {"Idempotency-Key": "once"}
    made = [raw.post("/anthropic/v1/sessions", {"agent": agent.id}, headers=headers).json()["id"] for _ in "ab"]
    assert made[0] == made[1]
    path, body = f"/anthropic/v1/sessions/{session.id}/events", {"events": [say("hello")]}
    sent = [raw.post(path, body, headers=headers).json()["data"] for _ in "abc"]
    assert sent[0] == sent[1] == sent[2] and len(sent[0]) == 1
    wait_for(beta, session, "session.status_idle")
    assert types(history(beta, session)).count("user.message") == 1
    other = raw.post(path, {"events": [say("other")]}, headers=headers)
    assert other.status == 409 and other.error["details"]["error_code"] == "idempotency_key_reused"
    update = [raw.post(f"/anthropic/v1/agents/{agent.id}", {"system": "x"}, headers=headers).json() for _ in "ab"]
    assert update[0] == update[1] and update[0]["version"] == 2
