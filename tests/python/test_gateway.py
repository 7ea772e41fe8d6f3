"""Stateless inferences: each client family against each upstream family, by the vendors' own SDKs. The upstream checks
what it is sent against the types of the vendors' parameters."""

import base64
import functools
import json

import anthropic
import openai
import pytest
import upstream as fake
from conftest import PATIENCE_S, Server

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def upstream():
    upstream = fake.Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, upstream):
    """A server with one model for each upstream family."""
    server = Server(tmp_path_factory.mktemp("gateway"), start=False)
    fake.place(server, upstream.url)
    server.start()
    yield server
    assert server.stop() == 0, "the server did not drain and exit cleanly"


@pytest.fixture(autouse=True)
def nothing_wrong(upstream):
    upstream.look()
    yield
    _, wrong = upstream.look()
    assert not wrong, wrong


def last_body(upstream):
    """The last body that the upstream saw; it must have found nothing wrong with any."""
    seen, wrong = upstream.look()
    assert not wrong, wrong
    return seen[-1][1]


def cached_of(usage):
    """An upstream may leave out the details, and its own format is passed on as it is."""
    return usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0


class Chat:
    """Chat Completions by the openai SDK. `ask` returns (texts, thoughts, calls, usage)."""

    family = "openai-chat"

    def __init__(self, gateway):
        self.client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, timeout=PATIENCE_S, max_retries=0)

    def say(self, text):
        return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]

    def see(self, text):
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        return [{"role": "user", "content": [{"type": "text", "text": text}, image]}]

    def answer(self, history, reply, result):
        reply = reply.choices[0].message
        call = reply.tool_calls[0]
        message = {"role": "assistant", "content": reply.content, "tool_calls": [call.model_dump()]}
        return [*history, message, {"role": "tool", "tool_call_id": call.id, "content": result}]

    def tools(self):
        function = {"name": "get_weather", "description": "Weather", "parameters": PARAMETERS}
        return {"tools": [{"type": "function", "function": function}]}

    def forced(self, name):
        return {"type": "function", "function": {"name": name}}

    def as_json(self):
        schema = {"name": "answer", "schema": SCHEMA, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}

    def ask(self, model, history, **options):
        return self.client.chat.completions.create(model=model, messages=history, **options)

    def read(self, reply):
        message = reply.choices[0].message
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
        thought = getattr(message, "reasoning_content", None) or ""
        cached = cached_of(reply.usage)
        return message.content or "", thought, calls, (reply.usage.prompt_tokens, cached, reply.usage.completion_tokens)

    def stream(self, model, history, **options):
        text, thought, calls, usage = "", "", {}, None
        options["stream_options"] = {"include_usage": True}
        for chunk in self.ask(model, history, stream=True, **options):
            if chunk.usage:
                cached = cached_of(chunk.usage)
                usage = (chunk.usage.prompt_tokens, cached, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                text += choice.delta.content or ""
                thought += getattr(choice.delta, "reasoning_content", None) or ""
                for call in choice.delta.tool_calls or []:
                    name, arguments = calls.get(call.index, ("", ""))
                    name += call.function.name or ""
                    calls[call.index] = (name, arguments + (call.function.arguments or ""))
        return text, thought, [(name, json.loads(arguments)) for name, arguments in calls.values()], usage


class Responses:
    """Responses with `store: false` by the openai SDK."""

    family = "openai-responses"

    def __init__(self, gateway):
        self.client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, timeout=PATIENCE_S, max_retries=0)

    def say(self, text):
        return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]

    def see(self, text):
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
        return [{"role": "user", "content": [{"type": "input_text", "text": text}, image]}]

    def answer(self, history, reply, result):
        items = [item.model_dump(exclude_none=True) for item in reply.output]
        calls = [item.call_id for item in reply.output if item.type == "function_call"]
        return [*history, *items, *({"type": "function_call_output", "call_id": call, "output": result} for call in calls)]

    def tools(self):
        tool = {"type": "function", "name": "get_weather", "description": "Weather", "parameters": PARAMETERS}
        return {"tools": [{**tool, "strict": False}]}

    def forced(self, name):
        return {"type": "function", "name": name}

    def as_json(self):
        return {"text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}}

    def ask(self, model, history, **options):
        return self.client.responses.create(model=model, input=history, store=False, **options)

    def read(self, reply):
        calls = [(item.name, json.loads(item.arguments)) for item in reply.output if item.type == "function_call"]
        thoughts = [item for item in reply.output if item.type == "reasoning"]
        thought = "".join(part.text for item in thoughts for part in [*(item.content or []), *item.summary])
        usage, details = reply.usage, reply.usage.input_tokens_details
        cached = details.cached_tokens if details else 0
        return reply.output_text, thought, calls, (usage.input_tokens, cached, usage.output_tokens)

    def stream(self, model, history, **options):
        with self.client.responses.stream(model=model, input=history, store=False, **options) as stream:
            for _ in stream:
                pass
            return self.read(stream.get_final_response())


class Messages:
    """Messages by the anthropic SDK."""

    family = "anthropic"

    def __init__(self, gateway):
        self.client = anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, timeout=PATIENCE_S, max_retries=0)

    def say(self, text):
        return [{"role": "user", "content": text}]

    def see(self, text):
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        return [{"role": "user", "content": [{"type": "text", "text": text}, {"type": "image", "source": source}]}]

    def answer(self, history, reply, result):
        blocks = [block.model_dump(exclude_none=True) for block in reply.content]
        calls = [block.id for block in reply.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call, "content": result} for call in calls]
        return [*history, {"role": "assistant", "content": blocks}, {"role": "user", "content": results}]

    def tools(self):
        return {"tools": [{"name": "get_weather", "description": "Weather", "input_schema": PARAMETERS}]}

    def forced(self, name):
        return {"type": "tool", "name": name}

    def as_json(self):
        return {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}

    def ask(self, model, history, **options):
        return self.client.messages.create(model=model, messages=history, max_tokens=500, system="Be brief.", **options)

    def read(self, reply):
        text = "".join(block.text for block in reply.content if block.type == "text")
        thought = "".join(block.thinking for block in reply.content if block.type == "thinking")
        calls = [(block.name, block.input) for block in reply.content if block.type == "tool_use"]
        cached = reply.usage.cache_read_input_tokens or 0
        return text, thought, calls, (reply.usage.input_tokens + cached, cached, reply.usage.output_tokens)

    def stream(self, model, history, **options):
        options = {"max_tokens": 500, "system": "Be brief.", **options}
        with self.client.messages.stream(model=model, messages=history, **options) as stream:
            for _ in stream:
                pass
            return self.read(stream.get_final_message())


@pytest.fixture(scope="module", params=[Chat, Responses, Messages], ids=lambda kind: f"{kind.family}-client")
def family(request, gateway):
    return request.param(gateway)


@pytest.fixture(params=fake.FAMILIES, ids=lambda name: f"{name}-upstream")
def model(request):
    return f"via-{request.param}"


USAGE = (fake.USAGE["input"], fake.USAGE["cached"], fake.USAGE["output"])


def test_text_whole_and_streamed(family, model):
    history = family.say("hello")
    assert family.read(family.ask(model, history)) == ("You said: hello", "", [], USAGE)
    assert family.stream(model, history) == ("You said: hello", "", [], USAGE)


def test_a_tool_round_trip(family, model, upstream):
    history = family.say("weather?")
    reply = family.ask(model, history, **family.tools())
    assert family.read(reply)[2] == [("get_weather", fake.ARGUMENTS)]
    assert family.stream(model, history, **family.tools())[2] == [("get_weather", fake.ARGUMENTS)]
    history = family.answer(history, reply, "sunny")
    assert family.read(family.ask(model, history, **family.tools()))[0] == "It is sunny."
    assert family.stream(model, history, **family.tools())[0] == "It is sunny."


def test_a_picture_arrives(family, model, upstream):
    assert family.read(family.ask(model, family.see("what is it?")))[0] == "I see 1 picture."
    assert PNG in json.dumps(last_body(upstream))


def test_thoughts_are_shown(family, model):
    history = family.say("think")
    text, thought, _, _ = family.read(family.ask(model, history))
    assert (text, thought) == ("42", fake.THOUGHT)
    assert family.stream(model, history)[:2] == ("42", fake.THOUGHT)


def test_structured_output_asks_for_the_schema(family, model, upstream):
    reply = family.ask(model, family.say("as json"), **family.as_json())
    assert json.loads(family.read(reply)[0]) == {"answer": 42}
    # As a parameter, or in words where the upstream's model takes no such parameter.
    sent = json.dumps(last_body(upstream)).replace("\\", "").replace(" ", "")
    assert json.dumps(SCHEMA).replace(" ", "") in sent


def test_a_call_of_the_upstreams_own_format_loses_no_field(gateway, upstream):
    raw = gateway.raw()
    cases = [
        ("/v1/chat/completions", "openai-chat", {"messages": [{"role": "user", "content": "hi"}], "logit_bias": {"1": 2}}),
        ("/v1/messages", "anthropic", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "inference_geo": "eu"}),
        ("/v1/responses", "openai-responses", {"input": "hi", "store": False, "moderation": {"model": "m"}}),
    ]
    for path, kind, body in cases:
        body = {"model": f"via-{kind}", **body}
        reply = raw.post(path, body).json()
        assert reply["novel"] == "kept", reply
        sent = last_body(upstream)
        changed = {"model": "up-model", "stream": sent.get("stream", False)}
        assert {**body, **changed} == {"stream": False, **sent}
        frames = raw.frames(path, lambda frame: b"[DONE]" in frame or b"message_stop" in frame, method="POST", body={**body, "stream": True})
        assert any(b'"novel"' in frame for frame in frames), frames


def test_what_a_response_needs_of_this_server_is_put_in(gateway, upstream):
    """Only what is stateless is passed on as it came: a stored file, a key for repeats and a stored response are ours."""
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, timeout=PATIENCE_S, max_retries=0)
    ask = functools.partial(client.responses.create, model="via-openai-responses", store=False)
    assert ask(input="hello").id == "resp_up"
    stored = client.files.create(file=("a.txt", b"the content"), purpose="user_data")
    part = {"type": "input_file", "file_id": stored.id}
    ask(input=[{"role": "user", "content": [{"type": "input_text", "text": "read"}, part]}])
    assert base64.b64encode(b"the content").decode() in json.dumps(last_body(upstream))
    for path, shape in (("/v1/chat/completions", {"type": "file", "file": {"file_id": stored.id}}),
                        ("/v1/messages", {"type": "document", "source": {"type": "file", "file_id": stored.id}})):
        family = "openai-chat" if "chat" in path else "anthropic"
        message = {"role": "user", "content": [{"type": "text", "text": "read"}, shape]}
        body = {"model": f"via-{family}", "messages": [message], "max_tokens": 9}
        assert gateway.raw().post(path, body).status == 200
        assert "the content" in (sent := json.dumps(last_body(upstream))) or base64.b64encode(b"the content").decode() in sent
    keyed = {"Idempotency-Key": "once"}
    assert ask(input="hello", extra_headers=keyed).id != "resp_up"
    with pytest.raises(openai.ConflictError):
        ask(input="hello", extra_headers=keyed)
    first = client.responses.create(model="via-openai-responses", input="hello")
    assert ask(input="again", previous_response_id=first.id).id != "resp_up"
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="via-openai-responses", input="hello", extra_body={"moderation": {"model": "m"}})
    assert refused.value.param == "moderation"


def test_what_another_format_cannot_say_is_refused_by_name(gateway, upstream):
    raw = gateway.raw()
    chat = {"model": "via-anthropic", "messages": [{"role": "user", "content": "hi"}], "logit_bias": {"1": 2}}
    reply = raw.post("/v1/chat/completions", chat)
    assert (reply.status, reply.error["param"]) == (400, "logit_bias")
    message = {"model": "via-openai-chat", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    reply = raw.post("/v1/messages", {**message, "mcp_servers": [{"name": "x"}]})
    assert (reply.status, reply.json()["type"]) == (400, "error")
    assert reply.error["details"]["param"] == "mcp_servers"
    assert upstream.look() == ([], [])


def test_errors_have_the_clients_shape(gateway):
    client = anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0)
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(model="nobody", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    assert unknown.value.body["error"]["type"] == "not_found_error"
    wrong = anthropic.Anthropic(base_url=gateway.url, api_key="wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        wrong.messages.create(model="nobody", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.NotFoundError):
        Chat(gateway).ask("nobody", [{"role": "user", "content": "hi"}])


def test_tokens_are_counted_upstream_where_it_can(gateway):
    client = anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0)
    history = [{"role": "user", "content": "how long is this?"}]
    assert client.messages.count_tokens(model="via-anthropic", messages=history).input_tokens == 11
    assert client.messages.count_tokens(model="via-openai-chat", messages=history).input_tokens > 0


def test_embeddings(gateway):
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    found = client.embeddings.create(model="via-openai-chat", input=["abc", "de"])
    assert [one.embedding for one in found.data] == [[3.0, 0.5], [2.0, 0.5]]
    assert found.usage.prompt_tokens == 3
    floats = client.embeddings.create(model="via-openai-chat", input="abc", encoding_format="float")
    assert floats.data[0].embedding == [3.0, 0.5]
