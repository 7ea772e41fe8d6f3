"""The `openai-agents` framework, unmodified: tools, streaming, and memory kept by the server: as a conversation, by
compaction, by `previous_response_id`."""

import asyncio

import agents
import openai
import pydantic
import pytest
from agents.memory import OpenAIConversationsSession, OpenAIResponsesCompactionSession
from conftest import PATIENCE_S

# The compaction session takes only names that OpenAI gives; a deployment may have any.
MODEL = "gpt-scripted"
# Said only where what was said before reached the model.
BEFORE = """
[[reply]]
when = { contains = "and now", turn = 2 }
steps = [{ text = "As before." }]
"""
DEPLOYMENT = f'\n[[deployment]]\nmodel = "{MODEL}"\nprovider = "script"\n'


@pytest.fixture(scope="module")
def server(unstarted):
    unstarted.config.write_text(unstarted.config.read_text() + DEPLOYMENT)
    unstarted.say_first(BEFORE)
    unstarted.start()
    yield unstarted
    assert unstarted.stop() == 0, "the server did not drain and exit cleanly"


@pytest.fixture
def scene(server):
    """Runs an async function with a client, an agent and what its tool was asked."""
    agents.set_tracing_disabled(True)

    def play(act):
        async def whole():
            options = {"base_url": f"{server.url}/v1", "api_key": server.key}
            async with openai.AsyncOpenAI(**options, timeout=PATIENCE_S, max_retries=0) as client:
                asked = []

                @agents.function_tool
                def get_weather(city: str) -> str:
                    """The weather in a city."""
                    asked.append(city)
                    return "sunny"

                model = agents.OpenAIResponsesModel(model=MODEL, openai_client=client)
                agent = agents.Agent(name="Guide", instructions="Be brief.", model=model, tools=[get_weather])
                await act(client, agent, asked)

        asyncio.run(whole())

    return play


class Answer(pydantic.BaseModel):
    answer: int


def roles(items):
    """The order of a history, as what each item is or who said it."""
    return [item.get("role") or item["type"] for item in items]


def test_a_tool_runs_and_its_result_is_answered(scene):
    async def act(_, agent, asked):
        result = await agents.Runner.run(agent, "weather?")
        assert (result.final_output, asked) == ("It is sunny.", ["Paris"])
        assert result.context_wrapper.usage.requests == 2
        assert result.context_wrapper.usage.output_tokens >= 4

    scene(act)


def test_a_streamed_run_shows_every_step(scene):
    async def act(_, agent, asked):
        result = agents.Runner.run_streamed(agent, "two calls")
        seen, text = [], ""
        async for event in result.stream_events():
            if event.type == "run_item_stream_event":
                seen.append(event.name)
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                text += event.data.delta
        assert (text, result.final_output) == ("Both.", "Both.")
        assert sorted(asked) == ["Paris", "Rome"]
        assert seen == ["tool_called", "tool_called", "tool_output", "tool_output", "message_output_created"]

    scene(act)


def test_a_typed_answer(scene):
    async def act(_, agent, __):
        typed = agent.clone(output_type=Answer, tools=[])
        assert (await agents.Runner.run(typed, "as json")).final_output == Answer(answer=42)

    scene(act)


def test_a_conversation_session_keeps_the_history(scene):
    async def act(client, agent, _):
        session = OpenAIConversationsSession(openai_client=client)
        await agents.Runner.run(agent, "weather?", session=session)
        assert (await agents.Runner.run(agent, "and now?", session=session)).final_output == "As before."
        items = await session.get_items()
        whole = ["user", "reasoning", "function_call", "function_call_output", "assistant", "user", "assistant"]
        assert roles(items) == whole
        assert items[2]["name"] == "get_weather"
        again = OpenAIConversationsSession(conversation_id=session.session_id, openai_client=client)
        assert roles(await again.get_items(limit=2)) == ["user", "assistant"]
        last = await again.pop_item()
        assert last["content"][0]["text"] == "As before."
        assert roles(await again.get_items()) == whole[:-1]
        session_id = session.session_id
        await again.clear_session()
        with pytest.raises(openai.NotFoundError):
            await client.conversations.retrieve(session_id)

    scene(act)


@pytest.mark.parametrize("mode", ["previous_response_id", "input"])
def test_a_compaction_session_puts_a_digest_in_place_of_history(scene, mode):
    async def act(client, agent, _):
        session = OpenAIResponsesCompactionSession(
            session_id="one",
            underlying_session=agents.SQLiteSession("one"),
            client=client,
            model=MODEL,
            compaction_mode=mode,
            should_trigger_compaction=lambda context: len(context["compaction_candidate_items"]) >= 3,
        )
        plain = agent.clone(tools=[])
        for text in ["one", "two"]:
            await agents.Runner.run(plain, text, session=session)
        assert "compaction" not in roles(await session.get_items())
        await agents.Runner.run(plain, "three", session=session)
        items = await session.get_items()
        assert roles(items).count("compaction") == 1, items
        assert "assistant" not in roles(items), "the digest stands for what was said"
        result = await agents.Runner.run(plain, "four", session=session)
        assert result.final_output == "You said: four"

    scene(act)


def test_the_server_keeps_what_was_said_before(scene):
    async def act(_, agent, asked):
        first = await agents.Runner.run(agent, "weather?")
        again = await agents.Runner.run(agent, "and now?", previous_response_id=first.last_response_id)
        assert (again.final_output, asked) == ("As before.", ["Paris"])

    scene(act)
