"""The Conversations wire, through the unmodified openai SDK."""

import openai
import pytest

import conftest

# Without a usage of its own, a reply's input tokens tell how much the model was told.
SCRIPT = """
[[reply]]
repeat = true
steps = [{ text = "You said: " }, { echo = true }]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "SCRIPT", SCRIPT)
        server = conftest.Server(tmp_path_factory.mktemp("conversations"))
    yield server
    assert server.stop() == 0

def message(text, role="user"):
    return {"type": "message", "role": role, "content": text}


def texts(items):
    return [item.content[0].text for item in items]


def test_a_life(client):
    conversation = client.conversations.create(metadata={"topic": "x"}, items=[message("a"), message("b", "assistant")])
    assert conversation.id.startswith("conv_") and conversation.object == "conversation"
    assert conversation.metadata == {"topic": "x"}
    assert client.conversations.retrieve(conversation.id) == conversation
    updated = client.conversations.update(conversation.id, metadata={"topic": "y"})
    assert updated.metadata == {"topic": "y"} and updated.created_at == conversation.created_at
    assert client.conversations.retrieve(conversation.id).metadata == {"topic": "y"}
    deleted = client.conversations.delete(conversation.id)
    assert deleted.deleted is True and deleted.object == "conversation.deleted" and deleted.id == conversation.id
    for call in (client.conversations.retrieve, client.conversations.delete, client.conversations.items.list):
        with pytest.raises(openai.NotFoundError):
            call(conversation.id)


def test_an_empty_one(client):
    conversation = client.conversations.create()
    assert conversation.metadata == {}
    page = client.conversations.items.list(conversation.id)
    assert page.data == [] and page.has_more is False
    assert list(page) == []


def test_items(client):
    conversation = client.conversations.create(items=[message("0")])
    added = client.conversations.items.create(
        conversation.id,
        items=[
            message("1"),
            message("2", "assistant"),
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "3"},
        ],
    )
    assert added.object == "list" and added.has_more is False
    assert (added.first_id, added.last_id) == (added.data[0].id, added.data[-1].id)
    assert [item.type for item in added.data] == ["message", "message", "function_call", "function_call_output"]
    assert added.data[1].content[0].type == "output_text" and added.data[0].content[0].type == "input_text"
    for item in added.data:
        assert client.conversations.items.retrieve(item.id, conversation_id=conversation.id) == item
    response = client.responses.create(model="test-model", input="now", conversation=conversation.id)
    oldest_first = list(client.conversations.items.list(conversation.id, order="asc", limit=2))
    assert [item.id for item in oldest_first[1:5]] == [item.id for item in added.data]
    assert [item.id for item in oldest_first][-1] == response.output[0].id
    assert texts(oldest_first[-2:]) == ["now", "You said: now"]
    newest_first = list(client.conversations.items.list(conversation.id, limit=3))
    assert [item.id for item in newest_first] == [item.id for item in reversed(oldest_first)]


def test_a_deleted_item_is_gone(client):
    conversation = client.conversations.create(items=[message("keep"), message("drop")])
    kept, dropped = list(client.conversations.items.list(conversation.id, order="asc"))
    left = client.conversations.items.delete(dropped.id, conversation_id=conversation.id)
    assert left.id == conversation.id and left.object == "conversation"
    assert [item.id for item in client.conversations.items.list(conversation.id)] == [kept.id]
    for call in (client.conversations.items.retrieve, client.conversations.items.delete):
        with pytest.raises(openai.NotFoundError):
            call(dropped.id, conversation_id=conversation.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="test-model", input=[{"type": "item_reference", "id": dropped.id}])
    left = client.responses.create(model="test-model", input="x", conversation=conversation.id)
    same = client.responses.create(model="test-model", input=[message("keep"), message("x")])
    assert left.usage.input_tokens == same.usage.input_tokens, "the model is not told of it any more"


def test_calls_without_a_result_must_be_answered(client):
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    conversation = client.conversations.create(items=[message("go"), call])
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="test-model", input="and?", conversation=conversation.id)
    assert error.value.param == "input"
    output = {"type": "function_call_output", "call_id": "c", "output": "3"}
    response = client.responses.create(model="test-model", input=[output, message("and?")], conversation=conversation.id)
    assert response.output_text == "You said: and?"


def test_what_is_wrong_is_named(client):
    conversation = client.conversations.create()
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve("conv_1")
    response = client.responses.create(model="test-model", input="x")
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as error:
        client.conversations.create(items=[{"type": "message", "role": "boss", "content": "x"}])
    assert error.value.param == "items[0].role"
    with pytest.raises(openai.BadRequestError) as error:
        client.conversations.items.list(conversation.id, after="msg_1").data
    assert error.value.param == "after"
    with pytest.raises(openai.BadRequestError) as error:
        client.conversations.items.list(conversation.id, limit=0).data
    assert error.value.param == "limit"
    with pytest.raises(openai.BadRequestError) as error:
        client.conversations.create(metadata={str(number): "x" for number in range(17)})
    assert error.value.param == "metadata"


def test_idempotency(client):
    key = {"Idempotency-Key": "conversation"}
    one = client.conversations.create(items=[message("a")], extra_headers=key)
    assert client.conversations.create(items=[message("a")], extra_headers=key).id == one.id
    key = {"Idempotency-Key": "items"}
    first = client.conversations.items.create(one.id, items=[message("b")], extra_headers=key)
    again = client.conversations.items.create(one.id, items=[message("b")], extra_headers=key)
    assert first == again
    assert texts(client.conversations.items.list(one.id, order="asc")) == ["a", "b"]
