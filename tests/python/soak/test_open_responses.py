"""The Open Responses suite, from a checkout that MAINSTAY_OPEN_RESPONSES names; nothing of it is kept here."""

import json
import os
import pathlib
import subprocess

from conftest import ROOT

MODULES = ROOT / "target/node/open-responses/node_modules"
PATIENCE_S = 600
# How many tests the version of 2026-04-24 has; 7 of them by WebSocket.
TESTS = 17


def test_every_test_of_the_suite_passes(server):
    bun = next(MODULES.glob("@oven/bun-*/bin/bun"))
    suite = pathlib.Path(os.environ["MAINSTAY_OPEN_RESPONSES"])
    command = [bun, "run", suite / "bin/compliance-test.ts", "--json"]
    command += ["--base-url", f"{server.url}/v1", "--api-key", server.key, "--model", "test-model"]
    known = {**os.environ, "NODE_PATH": str(MODULES)}
    done = subprocess.run(command, cwd=suite, env=known, capture_output=True, text=True, timeout=PATIENCE_S)
    results = json.loads(done.stdout)["results"]
    for result in results:
        print(result["status"], result["id"])
    failed = [result for result in results if result["status"] != "passed"]
    assert (failed, len(results)) == ([], TESTS), done.stderr
