"""The Responses wire: compaction, counting, parameters for the upstream, and the WebSocket. Through the unmodified openai
SDK where it has the call; the WebSocket by hand, because the SDK's needs a package of its own."""

import base64
import json
import os
import socket
import struct
import urllib.parse

import openai
import pytest

import conftest

SCRIPT = """
[[reply]]
when = { contains = "Write a digest" }
steps = [{ text = "They agreed on Tuesday." }, { usage = { input = 70, output = 6 } }]

[[reply]]
when = { contains = "add", after_tool = false }
steps = [{ tool_call = { name = "add", arguments = { a = 1 } } }]

[[reply]]
when = { contains = "too much" }
repeat = 1
steps = [{ fail = { kind = "context_length", message = "the prompt is too long" } }]

[[reply]]
when = { contains = "far too long" }
steps = [{ fail = { kind = "context_length", message = "the prompt is too long" } }]

[[reply]]
when = { contains = "forever" }
steps = [{ text = "It begins" }, { hang = true }]

[[reply]]
repeat = true
steps = [{ text = "You said: " }, { echo = true }]
"""
ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "SCRIPT", SCRIPT)
        server = conftest.Server(tmp_path_factory.mktemp("responses-more"))
    yield server
    assert server.stop() == 0


def create(client, text, **extra):
    return client.responses.create(model="test-model", input=text, **extra)


def user(text):
    return {"role": "user", "content": text}


def digest(item):
    """The text of a compaction item: it is the client's own and not hidden from it."""
    prefix, text = item.encrypted_content.split(".", 1)
    assert prefix == "mainstay-digest-1"
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


# Compaction


def test_a_conversation_is_compacted_and_gone_on_with(client):
    first = create(client, "Launch on Tuesday?")
    compacted = client.responses.compact(model="test-model", previous_response_id=first.id)
    assert compacted.object == "response.compaction" and compacted.usage.input_tokens == 70
    *kept, last = compacted.output
    assert [item.role for item in kept] == ["user"] and last.type == "compaction"
    assert digest(last).endswith("They agreed on Tuesday.")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(compacted.id)
    items = [item.model_dump(exclude_none=True) for item in compacted.output]
    answer = create(client, [*items, user("When?")])
    assert answer.output_text == "You said: When?"
    assert create(client, "And?", previous_response_id=answer.id).output_text == "You said: And?"


def test_a_compaction_needs_something_to_compact(client):
    for extra, param in [({}, "input"), ({"input": []}, "input")]:
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.compact(model="test-model", **extra)
        assert refused.value.param == param
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_none")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.compact(model="test-model", input="x", extra_body={"stream": True})
    assert refused.value.param == "stream"


def test_a_trigger_at_the_end_gives_exactly_one_compaction(client):
    items = [user("Launch on Tuesday?"), {"role": "assistant", "content": "Yes."}, {"type": "compaction_trigger"}]
    for store in (True, False):
        response = create(client, items, store=store)
        assert [item.type for item in response.output] == ["compaction"] and response.status == "completed"
    with client.responses.stream(model="test-model", input=items) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["compaction"]
    assert kinds.count("response.output_item.done") == 1 and "response.output_text.delta" not in kinds


def test_context_management_compacts_over_its_threshold(client):
    management = [{"type": "compaction", "compact_threshold": 1000}]
    long = "so be it " * 1000
    first = create(client, long, context_management=management)
    assert [item.type for item in first.output] == ["message"], "the newest message is never replaced"
    second = create(client, "And now?", previous_response_id=first.id, context_management=management)
    assert [item.type for item in second.output] == ["compaction", "message"]
    assert second.output_text == "You said: And now?"
    again = client.responses.retrieve(second.id)
    assert again.output == second.output
    reference = {"type": "item_reference", "id": second.output[0].id}
    assert create(client, [reference, user("Well?")]).output_text == "You said: Well?"
    third = create(client, "And then?", previous_response_id=second.id, context_management=management)
    assert [item.type for item in third.output] == ["message"], "it is short now"


def test_a_foreign_compaction_is_refused_by_name(client):
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, [{"type": "compaction", "encrypted_content": "gAAAAABo"}, user("hi")])
    assert refused.value.param == "input[0].encrypted_content"


def test_a_conversation_still_lists_everything_after_a_compaction(client):
    conversation = client.conversations.create(items=[user("so be it " * 1000)])
    management = [{"type": "compaction", "compact_threshold": 1000}]
    response = create(client, "And now?", conversation=conversation.id, context_management=management)
    assert [item.type for item in response.output] == ["compaction", "message"]
    listed = client.conversations.items.list(conversation.id, order="asc").data
    assert [item.type for item in listed] == ["message", "message", "compaction", "message"]


def test_truncation_drops_the_oldest_where_it_may(client):
    first = create(client, "one")
    answer = create(client, "too much", previous_response_id=first.id, truncation="auto")
    assert (answer.output_text, answer.truncation) == ("You said: too much", "auto")
    failed = create(client, "far too long", previous_response_id=first.id)
    assert (failed.status, failed.error.code) == ("failed", "context_length_exceeded")
    failed = create(client, "far too long", previous_response_id=first.id, truncation="auto")
    assert failed.error.code == "context_length_exceeded", "there is nothing left to drop"


# Parameters


def test_input_tokens_are_counted_without_a_response(client):
    def count(**extra):
        counted = client.responses.input_tokens.count(model="test-model", **extra)
        assert counted.object == "response.input_tokens"
        return counted.input_tokens

    short, long = count(input="hi"), count(input="hi " * 400)
    assert 0 < short < long
    first = create(client, "hi " * 400)
    assert count(input="more", previous_response_id=first.id) > long
    with pytest.raises(openai.BadRequestError) as refused:
        count(input="hi", previous_response_id="resp_none")
    assert refused.value.code == "previous_response_not_found"


def test_pictures_and_files_are_taken_and_shown_again(client):
    parts = [
        {"type": "input_text", "text": "what is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
    ]
    response = create(client, [{"role": "user", "content": parts}])
    assert response.output_text == "You said: what is it?"
    shown = client.responses.input_items.list(response.id).data[0].content
    assert [part.to_dict(mode="json") for part in shown] == parts


def test_log_probabilities_may_be_asked_for(client):
    response = create(client, "hi", top_logprobs=2, include=["message.output_text.logprobs"])
    assert response.top_logprobs == 2
    logprobs = response.output[0].content[0].logprobs
    assert "".join(entry.token for entry in logprobs) == response.output_text
    assert all(len(entry.top_logprobs) == 2 and entry.logprob < 0 for entry in logprobs)
    again = client.responses.retrieve(response.id, include=["message.output_text.logprobs"])
    assert again.output == response.output
    with client.responses.stream(model="test-model", input="hi", top_logprobs=1) as stream:
        deltas = [event for event in stream if event.type == "response.output_text.delta"]
    assert [event.logprobs[0].token for event in deltas] == [event.delta for event in deltas]
    assert create(client, "hi").output[0].content[0].logprobs == []


# The WebSocket


class Socket:
    """Text messages over a WebSocket, as little as it takes."""

    def __init__(self, server, key=None, path="/v1/responses"):
        parts = urllib.parse.urlsplit(server.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=conftest.PATIENCE_S)
        nonce = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {nonce}", f"Authorization: Bearer {key or server.key}"]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline() not in (b"\r\n", b""):
            pass

    def send(self, message, opcode=1):
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        size = len(body)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))
        self.socket.sendall(head + mask + masked)

    def receive(self):
        """The next text message; a close is `None`."""
        while True:
            head = self.file.read(2)
            if len(head) < 2 or head[0] & 0x0F == 8:
                return None
            size = head[1] & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", self.file.read(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self.file.read(8))
            body = self.file.read(size)
            if head[0] & 0x0F == 1:
                return json.loads(body)

    def create(self, text, **extra):
        """The events of one Response, up to its terminal one."""
        self.send({"type": "response.create", "model": "test-model", "input": text, **extra})
        events = []
        while True:
            events.append(self.receive())
            if events[-1]["type"] in ("response.completed", "response.failed", "response.incomplete", "error"):
                return events

    def close(self):
        self.socket.close()


@pytest.fixture
def ws(server):
    ws = Socket(server)
    assert ws.status == 101
    yield ws
    ws.close()


def text_of(events):
    assert events[-1]["type"] == "response.completed", events[-1]
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def test_a_socket_answers_one_message_after_another(ws, raw):
    for text in ("one", "two", "x" * 70_000):
        events = ws.create(text, stream=True)
        assert text_of(events) == f"You said: {text}"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
    stored = raw.get(f"/v1/responses/{events[-1]['response']['id']}").json()
    assert stored == events[-1]["response"]


def test_a_plain_get_is_answered_at_once(raw):
    for headers in ({}, {"Authorization": None}):
        response = raw.get("/v1/responses", headers=headers)
        assert response.status == 405 and response.headers["allow"] == "POST"


def test_a_socket_needs_a_key(server):
    ws = Socket(server, key="wrong")
    assert ws.status == 401
    ws.close()


def test_what_is_not_stored_is_remembered_by_its_connection_alone(server, ws):
    first = ws.create("one", store=False)[-1]["response"]
    events = ws.create("two", store=False, previous_response_id=first["id"])
    assert events[-1]["response"]["previous_response_id"] == first["id"]
    second = events[-1]["response"]["id"]
    assert ws.create("x", store=False, previous_response_id=first["id"])[-1]["error"]["code"] == "previous_response_not_found"
    other = Socket(server)
    missing = other.create("three", store=False, previous_response_id=second)
    assert (missing[-1]["status"], missing[-1]["error"]["code"]) == (400, "previous_response_not_found")
    other.close()
    assert text_of(ws.create("three", store=False, previous_response_id=second)) == "You said: three"


def test_calls_are_answered_over_a_socket(ws):
    first = ws.create("add", store=False, tools=[ADD])[-1]["response"]
    call = first["output"][0]
    assert call["type"] == "function_call"
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "3"}
    events = ws.create([result, user("so?")], store=False, tools=[ADD], previous_response_id=first["id"])
    assert text_of(events) == "You said: so?"


def test_a_failed_turn_evicts_what_it_named(ws):
    first = ws.create("one", store=False)[-1]["response"]["id"]
    result = {"type": "function_call_output", "call_id": "call_none", "output": "?"}
    assert ws.create([result], store=False, previous_response_id=first)[-1]["type"] == "error"
    again = ws.create("two", store=False, previous_response_id=first)
    assert again[-1]["error"]["code"] == "previous_response_not_found"
    assert text_of(ws.create("three")) == "You said: three", "the connection goes on"


def test_nothing_is_generated_for_a_warm_up(ws):
    events = ws.create("one", generate=False, store=False)
    warm = events[-1]["response"]
    assert (warm["status"], warm["output"], warm["usage"]["total_tokens"]) == ("completed", [], 0)
    assert text_of(ws.create("two", store=False, previous_response_id=warm["id"])) == "You said: two"


def test_one_response_at_a_time(ws):
    ws.send({"type": "response.create", "model": "test-model", "input": "forever"})
    while ws.receive()["type"] != "response.output_text.delta":
        pass
    ws.send({"type": "response.create", "model": "test-model", "input": "two"})
    while (refused := ws.receive())["type"] != "error":
        pass
    assert refused["error"]["code"] == "response_in_progress"


def test_strange_messages_are_refused_by_name(ws):
    cases = [
        ({"type": "response.cancel"}, "type"),
        ({"type": "response.create", "input": "x"}, "model"),
        ({"type": "response.create", "model": "test-model", "input": "x", "background": True}, "background"),
        ({"type": "response.create", "model": "test-model", "input": "x", "stream_id": "a"}, "stream_id"),
        ({"type": "response.create", "model": "test-model", "input": "x", "generate": "no"}, "generate"),
        (b"{", None),
        (b"[]", None),
    ]
    for message, param in cases:
        ws.send(message)
        refused = ws.receive()
        assert (refused["type"], refused["status"], refused["error"]["param"]) == ("error", 400, param), message
    ws.send(b"{}", opcode=2)
    assert ws.receive()["error"]["code"] == "invalid_json"
    assert text_of(ws.create("still here")) == "You said: still here"


def test_a_message_beyond_the_limit_ends_the_connection(server):
    ws = Socket(server)
    # The head of a frame of 4 GiB; nothing of it has to follow.
    ws.socket.sendall(bytes([0x81, 0x80 | 127]) + struct.pack(">Q", 1 << 32) + bytes(4))
    assert ws.receive() is None
    ws.close()


def test_a_server_that_stops_says_goodbye(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "SCRIPT", SCRIPT)
        server = conftest.Server(tmp_path_factory.mktemp("goodbye"))
    ws = Socket(server)
    assert text_of(ws.create("one")) == "You said: one"
    assert server.stop() == 0
    assert ws.receive() is None
    ws.close()
