"""The inbox: what people are asked across sessions, over HTTP and on the command line."""

import json
import subprocess

import pytest
from conftest import BINARY
from test_tools import mcp, open_session, server, till, until  # noqa: F401


def run(server, *arguments, code=0):
    environment = {"MAINSTAY_URL": server.url, "MAINSTAY_API_KEY": server.key, "PATH": "", "HOME": str(server.data)}
    command = [BINARY, *arguments, "--url", server.url]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == code, ended
    return ended.stdout


def inbox(server, what="approvals", **options):
    return server.raw().get(f"/mainstay/v1/{what}", **options).json()["data"]


def test_the_inbox_holds_what_waits_in_all_sessions_and_takes_answers(server, till):  # noqa: F811
    with server.client() as client:
        sessions = [open_session(client, till, "pay").id for _ in range(3)]
        for session in sessions:
            until(client, session, lambda found: found.status == "requires_action")
        asked = inbox(server)
        assert [question["session_id"] for question in asked] == sessions
        first = asked[0]
        assert (first["kind"], first["tool"], first["arguments"], first["class"]) == ("approval", "pay", {"amount": 7}, "once")
        assert inbox(server, headers={"Authorization": "Bearer a-key-of-another-tenant"}) == []
        other = server.raw().post(
            f"/mainstay/v1/approvals/{first['id']}",
            {"decision": "approve"},
            headers={"Authorization": "Bearer a-key-of-another-tenant"},
        )
        assert other.status == 404
        answer = {"decision": "approve", "reason": "it is due"}
        keyed = {"Idempotency-Key": "once"}
        answers = [
            server.raw().post(f"/mainstay/v1/approvals/{first['id']}", answer, headers=keyed) for _ in range(2)
        ]
        assert [answer.status for answer in answers] == [200, 200]
        again = server.raw().post(f"/mainstay/v1/approvals/{first['id']}", answer)
        assert (again.status, again.error["code"]) == (409, "approval_not_open")
        until(client, sessions[0], lambda found: found.status == "idle")
        denial = server.raw().post(f"/mainstay/v1/approvals/{asked[1]['id']}", {"decision": "deny"})
        assert denial.status == 200
        until(client, sessions[1], lambda found: found.status == "idle")
        assert [question["session_id"] for question in inbox(server)] == sessions[2:]
    assert len(till.done("pay")) == 1


@pytest.mark.parametrize(
    "body, param",
    [
        ({}, "decision"),
        ({"decision": "maybe"}, "decision"),
        ({"decision": "delegate"}, "to"),
        ({"decision": "delegate", "to": [5]}, "to[0]"),
        ({"decision": "approve", "arguments": 5}, "arguments"),
        ({"decision": "approve", "sure": True}, "sure"),
    ],
)
def test_a_wrong_answer_is_refused_by_name(server, till, body, param):  # noqa: F811
    with server.client() as client:
        session = open_session(client, till, "pay").id
        until(client, session, lambda found: found.status == "requires_action")
    [question] = inbox(server)
    refused = server.raw().post(f"/mainstay/v1/approvals/{question['id']}", body)
    assert (refused.status, refused.error["param"]) == (400, param)
    assert inbox(server) == [question]


def test_the_command_line_lists_approves_and_denies(server, till):  # noqa: F811
    with server.client() as client:
        sessions = [open_session(client, till, "pay").id for _ in range(2)]
        for session in sessions:
            until(client, session, lambda found: found.status == "requires_action")
        shown = run(server, "approvals", "list")
        assert "till/pay" in shown and "0 of 1" in shown
        listed = json.loads(run(server, "approvals", "list", "--json"))["data"]
        assert "approved" in run(server, "approvals", "approve", listed[0]["id"], "--reason", "due")
        assert "denied" in run(server, "approvals", "deny", listed[1]["id"][-9:])
        for session in sessions:
            until(client, session, lambda found: found.status == "idle")
        assert run(server, "approvals", "list") == ""
    assert len(till.done("pay")) == 1


def test_an_unknown_outcome_is_listed_and_resolved(server, till):  # noqa: F811
    with server.client() as client:
        session = open_session(client, till, "pay slowly").id
        until(client, session, lambda found: found.status == "requires_action")
        [question] = inbox(server)
        run(server, "approvals", "approve", question["id"])
        while not till.done("pay"):
            pass
    server.stop(kill=True)
    server.start()
    with server.client() as client:
        until(client, session, lambda found: found.status == "requires_action")
        assert inbox(server) == []
        [unknown] = inbox(server, "effects")
        assert unknown["idempotency_key"] == till.done("pay")[0]["key"]
        assert "till/pay" in run(server, "effects", "list")
        refused = server.raw().post(f"/mainstay/v1/effects/{unknown['id']}", {"decision": "approve"})
        assert (refused.status, refused.error["param"]) == (400, "decision")
        outcome = ["--as", "happened", "--output", "paid, as the bank says", "--reason", "I asked the bank"]
        assert "resolved" in run(server, "effects", "resolve", unknown["id"], *outcome)
        until(client, session, lambda found: found.status == "idle")
        items = list(client.beta.agents.sessions.items.list(session, order="asc"))
        call = next(item for item in items if item.type == "mcp_call")
        assert (call.status, call.output) == ("completed", "paid, as the bank says")
        assert inbox(server, "effects") == []
    assert len(till.done("pay")) == 1


POLICY = """
@id("payments-need-two")
@verdict("ask")
@reason("Payments need two people.")
@quorum("2")
@edit("allow")
forbid (principal, action == Action::"call_tool", resource == Tool::"mcp:till/pay");

@id("no-refunds")
@reason("Nobody pays back.")
forbid (principal, action == Action::"call_tool", resource == Tool::"mcp:till/refund");
"""

KEY = """
[policy]
files = ["{policy}"]

[[key]]
tenant = "default"
principal = "second"
key = {{ file = "{second}" }}
"""


def test_the_operators_policy_asks_two_people_whatever_the_client_says(server, till, tmp_path):  # noqa: F811
    server.stop()
    policy, second = tmp_path / "payments.cedar", tmp_path / "second.key"
    policy.write_text(POLICY)
    second.write_text("the-second-persons-key")
    server.config.write_text(server.config.read_text() + KEY.format(policy=policy, second=second))
    server.start()
    with server.client() as client:
        tools = [mcp(till, require_approval="never")]
        asked = client.responses.create(model="test-model", input="pay", tools=tools)
        assert asked.output[-1].type == "mcp_approval_request"
        [question] = inbox(server)
        assert (question["message"], question["quorum"], question["policies"]) == (
            "Payments need two people.",
            2,
            ["payments-need-two"],
        )
        path, answer = f"/mainstay/v1/approvals/{question['id']}", {"decision": "approve", "arguments": {"amount": 5}}
        assert server.raw().post(path, answer).status == 200
        assert server.raw().post(path, answer).status == 400, "one person counts once"
        assert till.done() == []
        other = {"Authorization": "Bearer the-second-persons-key"}
        assert server.raw().post(path, {"decision": "approve"}, headers=other).status == 200
        done = client.responses.create(
            model="test-model", input="and?", tools=tools, previous_response_id=asked.id
        )
        assert done.status == "completed"
        denied = client.responses.create(model="test-model", input="refund slowly", tools=tools)
        call = next(item for item in denied.output if item.type == "mcp_call")
        assert call.status == "failed" and "Nobody pays back." in call.error
    assert [entry["arguments"] for entry in till.done()] == [{"amount": 5}], "what was agreed to is what was sent"


def test_a_policy_that_is_wrong_is_refused_with_its_place(server, tmp_path):  # noqa: F811
    server.stop()
    policy = tmp_path / "wrong.cedar"
    policy.write_text("permit (principal, action, resource);\n\nforbid (principal, action == Action::\"fly\", resource);\n")
    server.config.write_text(server.config.read_text() + f'\n[policy]\nfiles = ["{policy}"]\n')
    command = [BINARY, "serve", "--config", server.config, "--data", server.data, "--listen", "127.0.0.1:0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "wrong.cedar:3" in ended.stderr and "fly" in ended.stderr, ended.stderr
    server.config.write_text(server.config.read_text().replace("[policy]", "[policy]\nstandard = true\n#"))
    policy.write_text("")
    server.start()
