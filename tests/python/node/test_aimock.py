"""Each client family against each upstream family once more, with an upstream that others wrote: `@copilotkit/aimock`.
What it answers is in tests/node/aimock.json; what is not there it refuses."""

import json
import select
import subprocess

import anthropic
import openai
import pytest
import upstream as fake
from client import CLIENTS, MODULES, NODE
from conftest import PATIENCE_S, ROOT
from test_gateway import Chat, Messages, Responses

HELLO = "Hello to you, in more than one piece."


@pytest.fixture(scope="module")
def aimock():
    cli = MODULES / "@copilotkit/aimock/dist/cli.js"
    fixtures = ROOT / "tests/node/aimock.json"
    command = [NODE, cli, "--port", "0", "--strict", "--chunk-size", "5", "--fixtures", fixtures]
    process = subprocess.Popen(command, cwd=CLIENTS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while True:
        assert select.select([process.stdout], [], [], PATIENCE_S)[0], "aimock said nothing"
        line = process.stdout.readline()
        assert line, "aimock ended"
        if "http://" in line:
            break
    yield line[line.index("http://") :].split()[0].rstrip("/")
    process.terminate()
    process.wait(PATIENCE_S)
    process.stdout.close()


@pytest.fixture(scope="module")
def gateway(unstarted, aimock):
    fake.place(unstarted, aimock)
    unstarted.start()
    yield unstarted
    assert unstarted.stop() == 0, "the server did not drain and exit cleanly"


@pytest.fixture(scope="module", params=[Chat, Responses, Messages], ids=lambda kind: f"{kind.family}-client")
def family(request, gateway):
    return request.param(gateway)


@pytest.fixture(params=fake.FAMILIES, ids=lambda name: f"{name}-upstream")
def model(request):
    return f"via-{request.param}"


def test_text_whole_and_streamed(family, model):
    history = family.say("hello")
    for text, thought, calls, usage in (family.read(family.ask(model, history)), family.stream(model, history)):
        assert (text, thought, calls) == (HELLO, "", [])
        assert usage == (20, 0, 6)


def test_a_tool_round_trip(family, model):
    history = family.say("weather?")
    reply = family.ask(model, history, **family.tools())
    assert family.read(reply)[2] == [("get_weather", {"city": "Paris"})]
    assert family.stream(model, history, **family.tools())[2] == [("get_weather", {"city": "Paris"})]
    history = family.answer(history, reply, "sunny")
    assert family.read(family.ask(model, history, **family.tools()))[0] == "It is sunny."
    assert family.stream(model, history, **family.tools())[0] == "It is sunny."


def test_thoughts_are_shown(family, model):
    history = family.say("think")
    for text, thought, _, _ in (family.read(family.ask(model, history)), family.stream(model, history)):
        assert (text, thought) == ("42", "I should think.")


def test_structured_output(family, model):
    reply = family.ask(model, family.say("as json"), **family.as_json())
    assert json.loads(family.read(reply)[0]) == {"answer": 42}


def test_a_picture(family, model):
    assert family.read(family.ask(model, family.see("a picture")))[0] == "I see it."


def test_the_upstreams_limit_is_the_clients_error(family, model):
    history = family.say("too often")
    # Passed on as it came, the upstream's refusal is the client's; a session of ours tells of it in its Response.
    if isinstance(family, Responses) and model != "via-openai-responses":
        told = family.ask(model, history)
        assert (told.status, told.error.code) == ("failed", "rate_limit_exceeded")
        return
    with pytest.raises(anthropic.RateLimitError if isinstance(family, Messages) else openai.RateLimitError):
        family.ask(model, history)
