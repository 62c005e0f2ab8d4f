"""What the package aics-tlog, from its command line, makes of our logs."""

from __future__ import annotations

from pathlib import Path

from tests.verifiers.aics import Tool
from tests.verifiers.logs import KEY, ORIGIN, WITNESS_KEYS, entry, write_log

KEYS = ["--log-key", KEY.verifier.text(), "--origin", ORIGIN]
for _key in WITNESS_KEYS:
    KEYS += ["--witness-key", _key.text()]
KEYS += ["--quorum", "2"]


def test_checkpoint_is_accepted(tool: Tool, tmp_path: Path) -> None:
    write_log(tmp_path, 300, 520)
    accepted, said = tool.run(
        "verify-checkpoint", "--note", tmp_path / "checkpoint", *KEYS
    )
    assert accepted, said
    assert (said["size"], said["cosignatures"]) == (520, 2)


def test_inclusion_is_accepted_and_another_leaf_refused(
    tool: Tool, tmp_path: Path
) -> None:
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
