"""The Responses wire, through the unmodified openai SDK. Replies come from the scripted provider."""

import json
import os
import subprocess
import sys
import threading
import time

import openai
import pytest
from pydantic import BaseModel

import conftest

SCRIPT = """
[[reply]]
when = { contains = "think" }
steps = [{ reasoning = "Let me see." }, { text = "Thought about it." }]

[[reply]]
when = { contains = "add", after_tool = false }
steps = [
  { text = "Calling." },
  { tool_call = { name = "add", arguments = { a = 1, b = 2 } } },
  { tool_call = { name = "add", arguments = { a = 3, b = 4 } } },
]

[[reply]]
when = { after_tool = true }
steps = [{ text = "It is 3." }]

[[reply]]
when = { contains = "json" }
steps = [{ text = '{"city": "Bern", "people": 3}', split = 4 }]

[[reply]]
when = { contains = "slowly" }
steps = [{ text = "one two three four five six seven eight nine ten", delay_ms = 60 }]

[[reply]]
when = { contains = "forever" }
steps = [{ text = "It begins" }, { hang = true }]

[[reply]]
when = { contains = "weather" }
steps = [{ tool_call = { name = "get_weather", arguments = { location = "San Francisco" } } }]

[[reply]]
when = { contains = "refuse" }
steps = [{ fail = { kind = "invalid_request", message = "the model says no" } }]

[[reply]]
when = { contains = "break" }
steps = [{ text = "half an ans" }, { break = true }]

[[reply]]
when = { contains = "long" }
steps = [{ text = "too long" }, { stop = "max_output_tokens" }, { usage = { input = 9, output = 4, cached_input = 5, reasoning = 2 } }]

[[reply]]
repeat = true
steps = [{ text = "You said: " }, { echo = true }]
"""

ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
    "strict": False,
}
KEYS = """id object created_at completed_at status incomplete_details model previous_response_id instructions output
error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs
temperature reasoning usage max_output_tokens max_tool_calls store background service_tier metadata safety_identifier
prompt_cache_key""".split()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "SCRIPT", SCRIPT)
        server = conftest.Server(tmp_path_factory.mktemp("responses"))
    yield server
    assert server.stop() == 0


def create(client, text, **extra):
    return client.responses.create(model="test-model", input=text, **extra)


def said(response):
    """What the model was asked, told by the echo."""
    return response.output_text.removeprefix("You said: ")


def poll(client, response_id, seconds=30):
    for _ in range(seconds * 20):
        response = client.responses.retrieve(response_id)
        if response.status not in ("queued", "in_progress"):
            return response
        time.sleep(0.05)
    raise AssertionError(f"{response_id} is still {response.status}")


def frames_of(body):
    """The frames of a whole stream as they came over the wire, one by one: (name, data)."""
    *frames, end, nothing = body.decode().split("\n\n")
    assert (end, nothing) == ("data: [DONE]", "")
    found = []
    for frame in frames:
        lines = [line for line in frame.split("\n") if not line.startswith(":")]
        if lines:
            name, data = lines
            assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"
            found.append((name, data))
    return found


def stream_again(raw, response_id, query=""):
    response = raw.get(f"/v1/responses/{response_id}?stream=true{query}")
    assert response.status == 200 and response.headers["content-type"].startswith("text/event-stream")
    return frames_of(response.body)


def param_of(error):
    return error.value.param, error.value.code


def test_sync(client):
    response = create(client, "hello", metadata={"k": "v"}, user="me", instructions="be brief", temperature=0.5)
    assert response.status == "completed"
    assert response.output_text == "You said: hello"
    assert response.id.startswith("resp_") and response.output[0].id.startswith("msg_")
    assert response.model == "test-model" and response.metadata == {"k": "v"} and response.user == "me"
    assert response.instructions == "be brief" and response.temperature == 0.5 and response.store is True
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    for key in KEYS:
        assert key in response.to_dict(), key
    assert client.responses.retrieve(response.id).to_dict() == response.to_dict()


def test_stream(client):
    with client.responses.stream(model="test-model", input="hello there") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 2 and "".join(deltas) == final.output_text == "You said: hello there"
    assert client.responses.retrieve(final.id).output_text == final.output_text


def test_a_stream_replays_byte_for_byte_from_every_place(raw):
    body = {"model": "test-model", "input": "think slowly", "stream": True}
    live = frames_of(raw.post("/v1/responses", body).body)
    response_id = json.loads(live[0][1].removeprefix("data: "))["response"]["id"]
    assert stream_again(raw, response_id) == live
    for after in range(len(live)):
        assert stream_again(raw, response_id, f"&starting_after={after}") == live[after + 1 :]
    encrypted = stream_again(raw, response_id, "&include[]=reasoning.encrypted_content")
    assert [name for name, _ in encrypted] == [name for name, _ in live]


def test_a_running_stream_is_joined_and_resumed(client):
    stream = create(client, "count slowly", stream=True, background=True)
    seen = []
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    stream.close()
    response_id, last = seen[0].response.id, seen[-1].sequence_number
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=last))
    assert [event.sequence_number for event in seen + rest] == list(range(last + 1 + len(rest)))
    assert rest[-1].type == "response.completed"
    whole = list(client.responses.retrieve(response_id, stream=True))
    assert [event.to_dict() for event in seen + rest] == [event.to_dict() for event in whole]


def test_a_client_that_leaves_changes_nothing(client):
    stream = create(client, "go on slowly", stream=True)
    response_id = next(iter(stream)).response.id
    stream.close()
    assert poll(client, response_id).output_text == "one two three four five six seven eight nine ten"


def test_reasoning_is_shown(client):
    with client.responses.stream(model="test-model", input="think", reasoning={"effort": "low"}) as stream:
        events = list(stream)
        final = stream.get_final_response()
    deltas = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert "".join(deltas) == "Let me see."
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert final.output[0].content[0].text == "Let me see." and final.output_text == "Thought about it."
    assert final.reasoning.effort == "low" and final.usage.output_tokens_details.reasoning_tokens > 0


def test_background(client):
    response = create(client, "wait slowly", background=True)
    assert response.status in ("queued", "in_progress") and response.background is True
    done = poll(client, response.id)
    assert done.status == "completed" and done.output_text.endswith("ten")
    kinds = [event.type for event in client.responses.retrieve(response.id, stream=True)]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    with pytest.raises(openai.BadRequestError) as error:
        create(client, "x", background=True, store=False)
    assert param_of(error)[0] == "background"


def test_cancel(client):
    response = create(client, "go forever", background=True)
    stream = client.responses.retrieve(response.id, stream=True)
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    cancelled = client.responses.cancel(response.id)
    assert cancelled.status == "cancelled" and cancelled.output[0].status == "incomplete"
    assert client.responses.cancel(response.id).to_dict() == cancelled.to_dict()
    rest = [event.type for event in stream]
    assert rest[-2:] == ["response.output_item.done", "response.cancelled"]
    done = create(client, "hello", background=True)
    finished = poll(client, done.id)
    assert client.responses.cancel(done.id).to_dict() == finished.to_dict()
    sync = create(client, "hello")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(sync.id)


def test_store_false_leaves_nothing(client):
    response = create(client, "secret", store=False)
    assert response.store is False and said(response) == "secret"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as error:
        create(client, "more", previous_response_id=response.id)
    assert param_of(error) == ("previous_response_id", "previous_response_not_found")
    with client.responses.stream(model="test-model", input="secret", store=False) as stream:
        assert stream.get_final_response().output_text == "You said: secret"


def test_previous_response(client):
    one = create(client, "one", instructions="speak up")
    two = create(client, "two", previous_response_id=one.id)
    assert two.previous_response_id == one.id and two.instructions is None
    usage = two.usage.input_tokens
    alone = create(client, "two")
    assert usage > alone.usage.input_tokens, "the first turn is part of the context"
    left = create(client, "left", previous_response_id=one.id)
    assert left.previous_response_id == one.id and said(left) == "left"
    unstored = create(client, "three", previous_response_id=two.id, store=False)
    assert unstored.usage.input_tokens > usage
    assert [item.content[0].text for item in client.responses.input_items.list(two.id)] == ["two"]


def test_two_children_of_one_parent_do_not_see_each_other(client):
    parent = create(client, "parent")
    results = {}

    def child(name):
        results[name] = create(client, name, previous_response_id=parent.id)

    threads = [threading.Thread(target=child, args=(f"child {index}",)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert {response.usage.input_tokens for response in results.values()} == {results["child 0"].usage.input_tokens}
    assert all(said(response) == name for name, response in results.items())


def test_previous_that_is_not_there(client):
    running = create(client, "go forever", background=True)
    with pytest.raises(openai.BadRequestError) as error:
        create(client, "x", previous_response_id=running.id)
    assert param_of(error) == ("previous_response_id", "previous_response_in_progress")
    client.responses.cancel(running.id)
    gone = create(client, "x")
    client.responses.delete(gone.id)
    for name in ["resp_1", gone.id, "conv_x"]:
        with pytest.raises(openai.BadRequestError) as error:
            create(client, "x", previous_response_id=name)
        assert param_of(error) == ("previous_response_id", "previous_response_not_found")


def test_function_tools(client):
    first = create(client, "add please", tools=[ADD], parallel_tool_calls=True)
    calls = [item for item in first.output if item.type == "function_call"]
    assert first.status == "completed" and first.output_text == "Calling."
    assert [json.loads(call.arguments) for call in calls] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert first.tools[0].to_dict() == ADD
    with pytest.raises(openai.BadRequestError) as error:
        create(client, "never mind", previous_response_id=first.id)
    assert calls[0].call_id in str(error.value) and error.value.param == "input"
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "3"} for call in calls]
    with pytest.raises(openai.BadRequestError):
        create(client, outputs[:1], previous_response_id=first.id)
    second = create(client, outputs, previous_response_id=first.id)
    assert second.output_text == "It is 3."
    listed = client.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in listed] == ["function_call_output"] * 2
    again = create(client, outputs, previous_response_id=first.id)
    assert again.output_text == "It is 3.", "a fork takes the results too"


def test_function_tools_without_stored_state(client):
    first = create(client, "add please", tools=[ADD], store=False)
    calls = [item for item in first.output if item.type == "function_call"]
    history = [{"role": "user", "content": "add please"}, *[item.to_dict() for item in first.output]]
    history += [{"type": "function_call_output", "call_id": call.call_id, "output": "3"} for call in calls]
    assert create(client, history, tools=[ADD], store=False).output_text == "It is 3."


def test_tool_choice(client):
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]}
    response = create(client, "hi", tools=[ADD, {"type": "web_search"}], tool_choice=allowed)
    assert [tool.type for tool in response.tools] == ["function", "web_search"]
    assert response.tool_choice.to_dict() == allowed
    with pytest.raises(openai.BadRequestError) as error:
        create(client, "hi", tools=[ADD], tool_choice={"type": "function", "name": "sub"})
    assert error.value.param == "tool_choice"


def test_structured_text(client):
    class City(BaseModel):
        city: str
        people: int

    parsed = client.responses.parse(model="test-model", input="json please", text_format=City)
    assert parsed.output_parsed == City(city="Bern", people=3)
    assert parsed.text.format.type == "json_schema" and parsed.text.format.strict is True


def test_failures_are_told(client):
    failed = create(client, "refuse")
    assert failed.status == "failed" and failed.error.message == "the model says no"
    assert client.responses.retrieve(failed.id).error.code == failed.error.code == "invalid_prompt"
    events = list(create(client, "refuse", stream=True))
    assert events[-1].type == "response.failed"
    broken = create(client, "break")
    assert broken.status == "incomplete" and broken.output[0].status == "incomplete"
    assert broken.output_text == "half an ans"
    long = create(client, "long")
    assert long.status == "incomplete" and long.incomplete_details.reason == "max_output_tokens"
    usage = long.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (9, 4, 13)
    assert usage.input_tokens_details.cached_tokens == 5 and usage.output_tokens_details.reasoning_tokens == 2


def test_input_items(client):
    given = [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": [
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        ]},
        {"role": "assistant", "content": "yes", "phase": "commentary"},
        {"type": "custom_tool_call", "call_id": "x", "name": "n", "input": "i"},
        {"role": "user", "content": "so?"},
    ]
    response = create(client, given)
    listed = list(client.responses.input_items.list(response.id, order="asc", limit=2))
    assert [item.type for item in listed] == ["message", "message", "message", "custom_tool_call", "message"]
    assert listed[1].content[1].image_url == "data:image/png;base64,AA==" and listed[2].phase == "commentary"
    assert all(item.id and item.status == "completed" for item in listed)
    newest_first = list(client.responses.input_items.list(response.id, limit=2))
    assert [item.id for item in newest_first] == [item.id for item in reversed(listed)]
    after = client.responses.input_items.list(response.id, order="asc", after=listed[2].id).data
    assert [item.id for item in after] == [item.id for item in listed[3:]]


def test_item_reference(client):
    one = create(client, "refer to me")
    item = client.responses.input_items.list(one.id).data[0]
    referred = [{"type": "item_reference", "id": item.id}, {"type": "item_reference", "id": one.output[0].id}]
    two = create(client, [*referred, {"role": "user", "content": "and?"}])
    shown = client.responses.input_items.list(two.id, order="asc").data
    assert [item.content[0].text for item in shown] == ["refer to me", "You said: refer to me", "and?"]
    client.responses.delete(one.id)
    for gone in ["msg_1", item.id, one.output[0].id, one.id, item.id[:-1] + "z"]:
        with pytest.raises(openai.BadRequestError) as error:
            create(client, [{"type": "item_reference", "id": gone}])
        assert param_of(error) == ("input[0].id", "item_not_found")


def test_delete(client):
    response = create(client, "forget me")
    child = create(client, "child", previous_response_id=response.id)
    client.responses.delete(response.id)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            call(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.input_items.list(response.id)
    assert client.responses.retrieve(child.id).output_text == child.output_text
    running = create(client, "go forever", background=True)
    client.responses.delete(running.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(running.id)


def test_conversation(client):
    conversation = client.conversations.create(items=[{"role": "user", "content": "before"}])
    one = create(client, "one", conversation=conversation.id)
    assert one.conversation.id == conversation.id
    two = create(client, "two", conversation={"id": conversation.id})
    assert two.usage.input_tokens > one.usage.input_tokens
    fork = create(client, "aside", previous_response_id=two.id)
    assert fork.conversation is None
    texts = [item.content[0].text for item in client.conversations.items.list(conversation.id, order="asc")]
    assert texts == ["before", "one", "You said: one", "two", "You said: two"]
    running = create(client, "go forever", conversation=conversation.id, background=True)
    with pytest.raises(openai.ConflictError) as error:
        client.with_options(max_retries=0).responses.create(model="test-model", input="x", conversation=conversation.id)
    assert param_of(error) == ("conversation", "conversation_locked")
    client.responses.cancel(running.id)
    assert said(create(client, "three", conversation=conversation.id)) == "three"
    with pytest.raises(openai.BadRequestError):
        create(client, "x", conversation=conversation.id, previous_response_id=one.id)
    with pytest.raises(openai.NotFoundError) as error:
        create(client, "x", conversation=conversation.id.replace("conv_0", "conv_1"))
    assert error.value.code == "conversation_not_found"


def test_idempotency(client):
    key = {"Idempotency-Key": "the same"}
    one = create(client, "once", extra_headers=key)
    assert create(client, "once", extra_headers=key).to_dict() == one.to_dict()
    with pytest.raises(openai.ConflictError):
        client.with_options(max_retries=0).responses.create(model="test-model", input="other", extra_headers=key)
    key = {"Idempotency-Key": "a stream"}
    first = [event.to_dict() for event in create(client, "once slowly", stream=True, extra_headers=key)]
    assert [event.to_dict() for event in create(client, "once slowly", stream=True, extra_headers=key)] == first
    key = {"Idempotency-Key": "a fork"}
    children = [create(client, "child", previous_response_id=one.id, extra_headers=key) for _ in range(2)]
    assert children[0].to_dict() == children[1].to_dict()
    key = {"Idempotency-Key": "in the background"}
    running = create(client, "once slowly", background=True, extra_headers=key)
    assert create(client, "once slowly", background=True, extra_headers=key).id == running.id


@pytest.mark.parametrize(
    "parameter",
    [
        {"moderation": {"model": "x"}},
        {"seed": 3},
    ],
)
def test_what_is_not_served_is_refused_by_name(client, parameter):
    with pytest.raises(openai.BadRequestError) as error:
        create(client, "x", extra_body=parameter)
    assert param_of(error) == (next(iter(parameter)), "unsupported_parameter")


def test_errors_have_the_vendors_shape(client):
    for body, param in [({"input": "x"}, "model"), ({"model": "test-model"}, "input"), ({"model": "test-model", "input": 3}, "input")]:
        with pytest.raises(openai.BadRequestError) as error:
            client.post("/responses", body=body, cast_to=object)
        assert error.value.param == param and error.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="unknown", input="x")
    assert param_of(error) == ("model", "model_not_found")
    for path in ["/responses/compact", "/responses/input_tokens"]:
        with pytest.raises(openai.BadRequestError) as error:
            client.post(path, body={"input": "x"}, cast_to=object)
        assert param_of(error) == ("model", "missing_required_parameter")
    for call in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError):
            call("resp_of_someone_else")


def test_strange_paths_and_queries_are_refused_in_shape(client, raw):
    response = create(client, "x")
    one = f"/v1/responses/{response.id}"
    cases = [
        (404, "GET", "/v1/responses/%00"),
        (404, "GET", "/v1/responses/" + "r" * 5_000),
        (404, "GET", one.replace("resp_0", "resp_1")),
        (404, "GET", one[:-1]),
        (404, "GET", one + "0"),
        (404, "POST", one[:-1] + "/cancel"),
        (404, "GET", "/v1/responses/conv_x/input_items"),
        (404, "GET", "/v1/conversations/" + response.id),
        (405, "GET", "/v1/responses"),
        (400, "GET", one + "?stream=maybe"),
        (400, "GET", one + "?starting_after=3"),
        (400, "GET", one + "?stream=true&starting_after=-1"),
        (400, "GET", one + "?stream=true&starting_after=18446744073709551615"),
        (400, "GET", one + "?include[]=everything"),
        (400, "GET", one + "/input_items?limit=101"),
        (400, "GET", one + "/input_items?order=up"),
        (400, "GET", one + "/input_items?after=" + response.id),
    ]
    if os.environ.get("MAINSTAY_TEST_CLUSTER"):
        # The balancer refuses it.
        cases.remove((404, "GET", "/v1/responses/%00"))
    for status, method, path in cases:
        answer = raw.request(method, path)
        assert (answer.status, path) == (status, path)
        assert answer.error["message"] and answer.error["type"], path
    assert raw.get(one + "?include=&include[]=").status == 200, "empty values count as absent"
    beyond = raw.get(one + "?stream=true&starting_after=18446744073709551614")
    assert beyond.body == b"data: [DONE]\n\n"
    assert client.responses.retrieve(response.id).status == "completed"


def test_the_suite_of_open_responses_passes(server):
    suite = [sys.executable, "-c", "from llm_comply.cli import main; main()"]
    where = ["-u", f"{server.url}/v1", "-k", server.key, "-m", "test-model", "--format", "open-responses", "--json"]
    done = subprocess.run([*suite, *where], capture_output=True, text=True, timeout=conftest.PATIENCE_S)
    results = json.loads(done.stdout)["results"]
    failed = [result for result in results if result["status"] not in ("passed", "skipped")]
    assert (failed, len(results)) == ([], 13)


def test_everything_is_there_after_a_restart(server, raw):
    client = server.client(max_retries=0)
    one = create(client, "remember")
    events = stream_again(raw, one.id)
    conversation = client.conversations.create(metadata={"a": "b"})
    create(client, "in it", conversation=conversation.id)
    assert server.stop() == 0
    server.start()
    client = server.client(max_retries=0)
    assert client.responses.retrieve(one.id).to_dict() == one.to_dict()
    assert stream_again(raw, one.id) == events
    assert create(client, "and now", previous_response_id=one.id).status == "completed"
    assert len(client.conversations.items.list(conversation.id).data) == 2


def test_a_stream_outlives_the_process(server):
    client = server.client(max_retries=0)
    stream = create(client, "on and on slowly", stream=True, background=True)
    seen = []
    for event in stream:
        seen.append(event.to_dict())
        if event.type == "response.output_text.delta" and "four" in event.delta:
            break
    server.stop(kill=True)
    server.start()
    client = server.client(max_retries=0)
    response_id = seen[0]["response"]["id"]
    whole = [event.to_dict() for event in client.responses.retrieve(response_id, stream=True)]
    assert whole[: len(seen)] == seen, "nothing that was shown is unsaid"
    assert whole[-1]["type"] == "response.incomplete"
    assert whole[-1]["response"]["incomplete_details"] == {"reason": "interrupted"}
    assert [event["sequence_number"] for event in whole] == list(range(len(whole)))


def test_a_repeated_key_finds_its_result_although_what_it_named_is_gone(client):
    first = client.responses.create(model="test-model", input="one")
    again = dict(model="test-model", input="two", previous_response_id=first.id, extra_headers={"Idempotency-Key": "gone"})
    second = client.responses.create(**again)
    client.responses.delete(first.id)
    assert client.responses.create(**again).id == second.id
