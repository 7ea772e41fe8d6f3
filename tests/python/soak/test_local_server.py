"""A real model: one server with the embedded engine, and in front of it another that reaches it by each of the three
upstream families; each client family asks through both. A small model says what it likes, so what is asserted is what
no model decides: that text comes, in pieces; that a schema is kept to; that usage is counted; that a call asked for by
name is made."""

import json
import os
import pathlib

import conftest
import pytest
import upstream as fake
from conftest import ROOT, Server
from test_gateway import Chat, Messages, Responses

ENGINE = pathlib.Path(os.environ.get("MAINSTAY_ENGINE_BIN", ROOT / "target/release/mainstay"))
# The one that the soak installs; whoever has another names its file.
INSTALLED = ROOT / "target/tmp/local-server/models/smollm2-135m-instruct.gguf"
MODEL = os.environ.get("MAINSTAY_ENGINE_MODEL", INSTALLED)
CONFIG = f"""
[[provider]]
name = "engine"
kind = "local"

[[deployment]]
model = "up-model"
provider = "engine"
upstream_model = "{MODEL}"
"""
PATIENCE_S = 300


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The server that computes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "BINARY", ENGINE)
        server = Server(tmp_path_factory.mktemp("engine"), start=False)
        server.config.write_text(server.config.read_text() + CONFIG)
        server.start()
    yield server
    assert server.stop() == 0, "the server did not drain and exit cleanly"


@pytest.fixture(scope="module")
def gateway(unstarted, engine):
    fake.place(unstarted, engine.url, engine.key)
    unstarted.start()
    yield unstarted
    assert unstarted.stop() == 0, "the server did not drain and exit cleanly"


class Rambling(Responses):
    """Of a model that may write to its limit: the end is a completed response or an incomplete one."""

    def stream(self, model, history, **options):
        with self.client.responses.stream(model=model, input=history, store=False, **options) as stream:
            *_, last = stream
        assert last.type in ("response.completed", "response.incomplete"), last
        return self.read(last.response)


@pytest.fixture(scope="module", params=[Chat, Rambling, Messages], ids=lambda kind: f"{kind.family}-client")
def family(request, gateway):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("test_gateway.PATIENCE_S", PATIENCE_S)
        return request.param(gateway)


@pytest.fixture(params=fake.FAMILIES, ids=lambda name: f"{name}-upstream")
def model(request):
    return f"via-{request.param}"


def test_text_whole_and_streamed(family, model):
    history = family.say("What is the capital of France?")
    for text, thought, calls, usage in (family.read(family.ask(model, history)), family.stream(model, history)):
        assert text.strip() and not thought and not calls
        assert usage[0] > 5 and usage[2] > 0, usage


def test_a_schema_is_kept_to(family, model):
    """The engine holds an answer to its schema wherever the schema arrives as a parameter: seven of the nine pairs. To a
    model that is not Claude the anthropic codec tells it in words, which nothing makes a small model obey: there only the
    exchange is looked at. A client of Messages sends the parameter itself."""
    told, _, _, usage = family.read(family.ask(model, family.say("What is six times seven?"), **family.as_json()))
    if model == "via-anthropic" and family.family != "anthropic":
        assert told.strip() and usage[0] > 5 and usage[2] > 0, usage
        return
    answer = json.loads(told)
    assert list(answer) == ["answer"] and isinstance(answer["answer"], int)


def test_a_call_and_its_result(family, model):
    history = family.say("What is the weather in Paris?")
    forced = {"tools": family.tools()["tools"], "tool_choice": family.forced("get_weather")}
    reply = family.ask(model, history, **forced)
    calls = family.read(reply)[2]
    assert {name for name, _ in calls} == {"get_weather"}, calls
    assert isinstance(calls[0][1]["city"], str)
    assert {name for name, _ in family.stream(model, history, **forced)[2]} == {"get_weather"}
    answered = family.ask(model, family.answer(history, reply, "sunny"), **family.tools())
    assert family.read(answered)[3][2] > 0
