"""What goes to Anthropic's Messages, as the golden files of the encoder hold it, has the shape that its SDK sends."""

import json
from pathlib import Path

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

GOLDEN = Path(__file__).parents[2] / "crates/providers/tests/golden/anthropic/encode"
BODIES = sorted(GOLDEN.glob("*.json"))

# Taken by models up to 4.6 under the API's version before the SDK's.
OLDER_FIELDS = {"temperature", "top_p", "top_k"}

SHAPE = TypeAdapter(MessageCreateParamsStreaming)


def check(body):
    """Refuses wrong types and unknown fields, at every depth: lists are validated as they are read."""
    read(SHAPE.validate_python(body, extra="forbid"))


def read(value):
    if isinstance(value, dict):
        for inner in value.values():
            read(inner)
    elif not isinstance(value, (str, int, float, bool, type(None))):
        for inner in value:
            read(inner)


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_a_golden_body_has_the_shape_of_the_sdk(path):
    body = json.loads(path.read_text())["body"]
    check({name: value for name, value in body.items() if name not in OLDER_FIELDS})


def test_the_golden_bodies_are_there():
    assert len(BODIES) >= 50


@pytest.mark.parametrize("block", [{"type": "text", "text": 5}, {"type": "tool_result"}, {"type": "text", "text": "a", "x": 1}])
def test_a_wrong_block_is_noticed(block):
    body = {"model": "m", "max_tokens": 1, "stream": True, "messages": [{"role": "user", "content": [block]}]}
    with pytest.raises(ValidationError):
        check(body)
