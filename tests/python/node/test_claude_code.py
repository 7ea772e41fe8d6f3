"""Claude Code, unmodified, by itself (`-p`) and offline: a real command in a real shell asked for by the model, and the
session resumed, with each family of upstream."""

import json

import pytest
import upstream as fake
from client import native, run

COMMAND = json.dumps({"command": "echo mark-$((6 * 7)) | tee made.txt", "description": "Counts"})
ORDER = f"Please call Bash with {COMMAND}"
# Nothing but the inferences themselves leaves the machine.
QUIET = ["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "DISABLE_AUTOUPDATER"]


@pytest.fixture(scope="module")
def upstream():
    upstream = fake.Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def gateway(unstarted, upstream):
    fake.place(unstarted, upstream.url)
    unstarted.start()
    yield unstarted
    assert unstarted.stop() == 0, "the server did not drain and exit cleanly"


@pytest.fixture
def claude(gateway, tmp_path):
    """Asks it once and returns the events that it prints."""
    program = native("@anthropic-ai/claude-code", "claude")

    def ask(model, prompt, *options):
        command = [program, "-p", prompt, "--model", model, "--output-format", "stream-json", "--verbose", *options]
        known = {name: "1" for name in QUIET}
        known.update(ANTHROPIC_BASE_URL=gateway.url, ANTHROPIC_API_KEY=gateway.key, ANTHROPIC_SMALL_FAST_MODEL=model)
        return [json.loads(line) for line in run(command, tmp_path, **known).splitlines()]

    return ask


def blocks(events, role, kind):
    found = [event["message"]["content"] for event in events if event["type"] == role]
    return [block for content in found if not isinstance(content, str) for block in content if block["type"] == kind]


@pytest.mark.parametrize("family", fake.FAMILIES)
def test_a_command_runs_and_the_session_resumes(claude, upstream, tmp_path, family):
    upstream.look()
    events = claude(f"via-{family}", ORDER, "--allowedTools", "Bash")
    last = events[-1]
    assert (last["type"], last["is_error"], last["result"]) == ("result", False, "It is done."), last
    assert [block["name"] for block in blocks(events, "assistant", "tool_use")] == ["Bash"]
    assert [block["content"] for block in blocks(events, "user", "tool_result")] == ["mark-42"]
    assert (tmp_path / "made.txt").read_text() == "mark-42\n"
    assert last["usage"]["output_tokens"] == 2 * fake.USAGE["output"]
    events = claude(f"via-{family}", "What was it?", "--resume", last["session_id"])
    assert events[-1]["result"] == "You said: What was it?", events[-1]
    seen, wrong = upstream.look()
    assert not wrong, wrong
    told = json.dumps(seen[-1][1])
    assert "mark-42" in told and "It is done." in told, "what the resumed session sent is its whole history"
