"""Stored prompts by id, and service tiers, on the Responses wire. A prompt is a saved agent: one vendor's SDK makes and
changes it, `prompt` of the other API names it."""

import json

import openai
import pytest

import conftest

SCRIPT = """
[[reply]]
when = { instructions = "In French, please." }
steps = [{ text = "Bien." }]

[[reply]]
when = { instructions = "In {{language}}, please." }
steps = [{ text = "What language?" }]

[[reply]]
when = { instructions = "Shout in Welsh." }
steps = [{ text = "DA IAWN" }]

[[reply]]
when = { contains = "quickly" }
steps = [{ text = "At once." }, { report = { service_tier = "priority" } }]

[[reply]]
repeat = true
steps = [{ text = "You said: " }, { echo = true }]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "SCRIPT", SCRIPT)
        server = conftest.Server(tmp_path_factory.mktemp("prompts"))
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def prompt(server):
    """A prompt with two versions."""
    agents = server.client().beta.agents
    made = agents.create(model="test-model", instructions="In {{language}}, please.", service_tier="flex")
    agents.update(made.id, instructions="Shout in {{language}}.")
    return made.id


def refused(error):
    return error.value.param, error.value.code


def test_a_prompt_is_filled_and_shown(client, prompt):
    french = {"id": prompt, "version": "1", "variables": {"language": "French"}}
    response = client.responses.create(prompt=french, input="hello")
    assert (response.output_text, response.model) == ("Bien.", "test-model")
    assert response.instructions == "In French, please."
    assert response.prompt.to_dict() == french
    assert client.responses.retrieve(response.id).prompt.to_dict() == french
    with client.responses.stream(model="test-model", prompt=french, input="hello") as stream:
        first = next(iter(stream))
        assert first.response.prompt.to_dict() == french
        assert stream.get_final_response().output_text == "Bien."


def test_the_latest_version_is_taken_and_named(client, prompt):
    welsh = {"id": prompt, "variables": {"language": {"type": "input_text", "text": "Welsh"}}}
    response = client.responses.create(prompt=welsh, input="hello", store=False)
    assert response.output_text == "DA IAWN"
    assert response.prompt.to_dict() == {**welsh, "version": "2"}
    own = client.responses.create(prompt=welsh, input="hello", instructions="Say nothing.")
    assert (own.output_text, own.instructions) == ("You said: hello", "Say nothing.")


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"id": "pmpt_1"}, "prompt.id", "prompt_not_found"),
        ({"version": "3"}, "prompt.version", "prompt_not_found"),
        ({"version": "last"}, "prompt.version", "prompt_not_found"),
        ({"variables": {}}, "prompt.variables.language", "missing_required_parameter"),
        ({"variables": {"language": "x", "tone": "y"}}, "prompt.variables.tone", "invalid_value"),
        (
            {"variables": {"language": {"type": "input_image", "image_url": "https://x", "detail": "auto"}}},
            "prompt.variables.language",
            "unsupported_parameter",
        ),
    ],
)
def test_what_is_unknown_is_refused_by_name(client, prompt, change, param, code):
    named = {"id": prompt, "version": "1", "variables": {"language": "French"}, **change}
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(prompt=named, input="hello")
    assert refused(error) == (param, code)


def test_prompts_of_others_and_of_the_past_are_none(server, client, raw):
    agents = client.beta.agents
    gone = agents.create(model="test-model", instructions="x").id
    agents.delete(gone)
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(prompt={"id": gone}, input="hello")
    assert refused(error) == ("prompt.id", "prompt_not_found")
    kept = agents.create(model="test-model", instructions="x").id
    with pytest.raises(openai.BadRequestError) as error:
        server.client(api_key=conftest.OTHER_KEY).responses.create(prompt={"id": kept}, input="hello")
    assert refused(error) == ("prompt.id", "prompt_not_found")
    theirs = {"anthropic-version": "2023-06-01"}
    assert raw.post(f"/v1/agents/{kept}/archive", {}, headers=theirs).status == 200
    with pytest.raises(openai.ConflictError) as error:
        client.responses.create(prompt={"id": kept}, input="hello")
    assert refused(error) == ("prompt.id", "archived")


@pytest.mark.parametrize("path", ["compact", "input_tokens"])
def test_where_the_api_knows_no_prompt_it_is_refused(raw, prompt, path):
    body = {"model": "test-model", "input": "x", "prompt": {"id": prompt, "variables": {"language": "x"}}}
    answer = raw.post(f"/v1/responses/{path}", body)
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, "prompt", "unsupported_parameter")


def test_the_tier_that_served_is_told_and_kept(client, raw):
    with client.responses.stream(model="test-model", input="quickly", service_tier="flex") as stream:
        tiers = [event.response.service_tier for event in stream if hasattr(event, "response")]
        response = stream.get_final_response()
    assert (tiers[0], tiers[-1], response.service_tier) == ("flex", "priority", "priority")
    assert client.responses.retrieve(response.id).service_tier == "priority"
    plain = client.responses.create(model="test-model", input="hello", service_tier="priority")
    assert plain.service_tier == "default", "a provider that reports no tier is taken for its default"
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="test-model", input="x", service_tier="warp")
    assert refused(error) == ("service_tier", "invalid_value")


def test_the_tier_stands_in_the_receipt(client, raw):
    session = client.beta.agents.sessions.create(
        agent={"model": "test-model", "service_tier": "flex"}, environment={"type": "none"}, input="quickly"
    )
    assert session.agent.service_tier == "flex"
    for _ in range(conftest.PATIENCE_S * 20):
        journal = raw.get(f"/mainstay/v1/sessions/{session.id}/journal").json()["data"]
        if any(event["type"] == "turn_ended" for event in journal):
            break
    assert '"reported": {"service_tier": "priority"}' in json.dumps(journal)
