"""LangChain, unmodified: `ChatOpenAI` by Responses and by Chat Completions, `ChatAnthropic` by Messages; each with
tools, streaming and a typed answer."""

import pytest
from conftest import PATIENCE_S
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def by_responses(server, **options):
    return by_chat(server, use_responses_api=True, **options)


def by_chat(server, **options):
    options = {"timeout": PATIENCE_S, "max_retries": 0, "stream_usage": True, **options}
    return ChatOpenAI(model="test-model", base_url=f"{server.url}/v1", api_key=server.key, **options)


def by_messages(server, **options):
    options = {"timeout": PATIENCE_S, "max_retries": 0, "max_tokens": 500, **options}
    return ChatAnthropic(model="test-model", base_url=server.url, api_key=server.key, **options)


@pytest.fixture(params=[by_responses, by_chat, by_messages], ids=lambda made: made.__name__)
def model(request, server):
    return request.param(server)


def streamed(model, history):
    """The message that the chunks add up to, and how many carried text."""
    whole, texts = None, 0
    for chunk in model.stream(history):
        texts += bool(chunk.text)
        whole = chunk if whole is None else whole + chunk
    return whole, texts


def test_text_whole_and_streamed(model):
    whole = model.invoke("hello")
    assert whole.text == "You said: hello"
    assert (whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]) == (12, 5)
    told, texts = streamed(model, "hello there, all of you")
    assert (told.text, texts > 1) == ("You said: hello there, all of you", True)
    assert told.usage_metadata["output_tokens"] == 5


def test_a_tool_round_trip(model):
    able = model.bind_tools([get_weather])
    history = [HumanMessage("weather?")]
    for ask in (able.invoke, lambda messages: streamed(able, messages)[0]):
        call = ask(history)
        assert [(made["name"], made["args"]) for made in call.tool_calls] == [("get_weather", {"city": "Paris"})]
        result = get_weather.invoke(call.tool_calls[0])
        assert isinstance(result, ToolMessage) and result.content == "sunny in Paris"
        assert ask([*history, call, result]).text == "It is sunny."


def test_two_calls_at_once(model):
    call, _ = streamed(model.bind_tools([get_weather]), "two calls")
    assert [made["args"]["city"] for made in call.tool_calls] == ["Paris", "Rome"]
    results = [get_weather.invoke(made) for made in call.tool_calls]
    assert model.invoke([HumanMessage("two calls"), call, *results]).text == "Both."


class Answer(BaseModel):
    """An answer."""

    answer: int


@pytest.mark.parametrize("made", [by_responses, by_chat], ids=lambda made: made.__name__)
def test_a_typed_answer(server, made):
    assert made(server).with_structured_output(Answer, method="json_schema").invoke("as json") == Answer(answer=42)


def test_a_typed_answer_by_messages(server):
    able = by_messages(server).with_structured_output(Answer, method="json_schema")
    assert able.invoke("as json") == Answer(answer=42)


def test_thoughts_are_shown(server):
    told = by_responses(server, output_version="responses/v1", reasoning={"effort": "low"}).invoke("think")
    assert told.text == "42"
    assert "hm hm" in str(told.content), told.content
    told = by_messages(server, thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000).invoke("think")
    assert [block["type"] for block in told.content] == ["thinking", "text"]


def test_the_server_keeps_what_was_said_before(server):
    model = by_responses(server, use_previous_response_id=True)
    able = model.bind_tools([get_weather])
    call = able.invoke("weather?")
    history = [HumanMessage("weather?"), call, get_weather.invoke(call.tool_calls[0])]
    told = able.invoke(history)
    assert told.text == "It is sunny."
    first = server.client().responses.retrieve(told.response_metadata["id"])
    assert first.previous_response_id == call.response_metadata["id"]


def test_a_refusal_is_an_error_of_the_sdk(server):
    import openai

    with pytest.raises(openai.BadRequestError, match="the model will not"):
        by_chat(server).invoke("refused")
