"""What the package aics-tlog, from its command line, makes of our logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.support import flip
from tests.support import needs
from tests.verifiers.logs import KEY, ORIGIN, WITNESS_KEYS, entry, write_log

REQUIREMENT = Path(__file__).parent / "aics-tlog.txt"
KEYS = ["--log-key", KEY.verifier.text(), "--origin", ORIGIN]
for _key in WITNESS_KEYS:
    KEYS += ["--witness-key", _key.text()]
KEYS += ["--quorum", "2"]


@pytest.fixture(scope="session")
def aics_tlog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is, apart from everything that is installed."""
    target = tmp_path_factory.mktemp("aics-tlog")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
    pip += ["--disable-pip-version-check", "--no-deps", "--ignore-requires-python"]
    pip += ["--require-hashes", "--target", str(target), "-r", str(REQUIREMENT)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = f"needs aics-tlog from a package index: {done.stderr[-300:]}"
        if needs.in_ci():
            pytest.fail(f"{said}, and CI must skip nothing", pytrace=False)
        pytest.skip(said)
    return target


class Tool:
    """Its commands, each of which prints one JSON object."""

    def __init__(self, package: Path) -> None:
        self.env = {**os.environ, "PYTHONPATH": str(package)}

    def run(self, *arguments: str | Path) -> tuple[bool, dict[str, Any]]:
        command = [sys.executable, "-m", "aics_tlog", *map(str, arguments)]
        # Elsewhere than here, so that nothing of the engine can be imported.
        ran = subprocess.run(
            command,
            cwd=self.env["PYTHONPATH"],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode in (0, 1), ran.stderr
        return ran.returncode == 0, json.loads(ran.stdout)


@pytest.fixture(scope="session")
def tool(aics_tlog: Path) -> Tool:
    return Tool(aics_tlog)


def test_checkpoint_is_accepted_and_a_change_refused(
    tool: Tool, tmp_path: Path
) -> None:
    log = write_log(tmp_path, 300, 520)
    file = tmp_path / "checkpoint"
    accepted, said = tool.run("verify-checkpoint", "--note", file, *KEYS)
    assert accepted, said
    assert (said["size"], said["cosignatures"]) == (520, 2)
    good = log.note.encode()
    lines = [good.index(line) for line in good.split(b"\n") if line]
    for at in (*lines, good.index(b"520"), good.index(b"\n\n") + 60, len(good) - 30):
        file.write_bytes(flip(good, at, 4))
        accepted, _ = tool.run("verify-checkpoint", "--note", file, *KEYS)
        assert not accepted, at


def test_inclusion_is_accepted_and_a_change_refused(tool: Tool, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", 300, 70_000)

    def included(index: int, leaf: bytes) -> bool:
        (tmp_path / "leaf").write_bytes(leaf)
        arguments = ["--tiles", log.folder, "--index", str(index)]
        accepted, _ = tool.run(
            "verify-inclusion", *arguments, "--leaf", tmp_path / "leaf", *KEYS
        )
        return accepted

    for index in (0, 65_535, 65_536, 69_999):
        assert included(index, entry(index))
    assert not included(7, entry(8))
    for path in ("tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"):
        file = log.folder / path
        good = file.read_bytes()
        file.write_bytes(flip(good, 1))
        assert not included(69_999, entry(69_999))
        file.write_bytes(good)
    assert included(69_999, entry(69_999))


def test_growth_is_accepted_and_another_past_refused(
    tool: Tool, tmp_path: Path
) -> None:
    log = write_log(tmp_path / "log", 300, 520)
    other = write_log(tmp_path / "other", 299)
    past = log.folder / "checkpoint.300"
    arguments = ["--tiles", log.folder, *KEYS, "--old-checkpoint"]
    accepted, said = tool.run("verify-consistency", *arguments, past)
    assert accepted, said
    changed = tmp_path / "changed"
    text = other.note.partition("\n\n")[0].split("\n")
    changed.write_text(log.note.replace(log.note.split("\n")[2], text[2]))
    accepted, _ = tool.run("verify-consistency", *arguments, changed)
    assert not accepted


def test_it_makes_the_same_files(tool: Tool, tmp_path: Path) -> None:
    """Tiles and entries, byte for byte, at one size reached in different steps."""
    for size in (1, 256, 520):
        log = write_log(tmp_path / f"ours-{size}", (size + 1) // 2, size)
        leaves, theirs = tmp_path / "leaves", tmp_path / f"theirs-{size}"
        leaves.write_bytes(b"".join(entry(n) + b"\n" for n in range(size)))
        accepted, said = tool.run("build-tiles", "--leaves", leaves, "--out", theirs)
        assert accepted, said
        ours = {file.relative_to(log.folder): file.read_bytes() for file in log.files()}
        made = {
            file.relative_to(theirs): file.read_bytes()
            for file in (theirs / "tile").rglob("*")
            if file.is_file()
        }
        assert ours == made
