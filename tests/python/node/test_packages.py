"""Packages from npm, unmodified. What each must do stands in tests/node, where a failure shows the line."""

import pytest
from client import program

# What a client does with the history that the server kept shows in the number of messages.
BEFORE = """
[[reply]]
when = { contains = "and now", turn = 2 }
steps = [{ text = "As before." }]
"""


@pytest.fixture(scope="module")
def server(unstarted):
    unstarted.say_first(BEFORE)
    unstarted.start()
    yield unstarted
    assert unstarted.stop() == 0, "the server did not drain and exit cleanly"


def test_openai(server):
    program("openai.mjs", OPENAI_BASE_URL=f"{server.url}/v1", OPENAI_API_KEY=server.key)


def test_the_ai_sdk(server):
    program("ai-sdk.mjs", BASE_URL=server.url, KEY=server.key, AI_SDK_LOG_WARNINGS="false")
