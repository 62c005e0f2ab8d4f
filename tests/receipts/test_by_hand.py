"""docs/verify.md with published tools: what is right holds, what was altered fails."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.receipts.by_hand import SETUP, Stranger, sections
from tests.receipts.conftest import Office
from tests.receipts.ends import closed
from tests.receipts.reading import Reader, cast
from tests.receipts.test_voters_check import keep
from tests.support.needs import needs
from tests.support.sequencing import grow
from tests.support.voting import Ballot
from tests.support.witness import policy, witnessing
from tests.verifiers.aics import Tool
from votepyramid.cli import main
from votepyramid.protocol import notes
from votepyramid.protocol.absence import TagTree
from votepyramid.protocol.checkpoint import open_checkpoint, sign_checkpoint
from votepyramid.protocol.cosignature import WitnessKey
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash
from votepyramid.protocol.statements import (
    ClosingStatement,
    TreeHead,
    sign_closing,
)

pytestmark = [needs("openssl"), needs("curl")]

GOOD = "Signature Verified Successfully"


@pytest.fixture(scope="module")
def reader(office: Office) -> Iterator[Reader]:
    made = office.engine.make_election(id="by-hand", voters=8)
    yield Reader(office.engine.doors(made)[0])
    office.forget(made.id)


@pytest.fixture(scope="module")
def stranger(
    office: Office, reader: Reader, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stranger]:
    """After a whole election in which every step held, from the first to the last."""
    folder = tmp_path_factory.mktemp("by-hand") / "voter"
    folder.mkdir()
    election, door = reader.door.election, reader.door
    with witnessing(folder.parent, "w1") as witnesses:
        witnesses[0].find = office.log_key
        rules = {"witness_policy": policy(folder.parent, 1, witnesses)}
        told = {
            "API": f"{door.url.rstrip('/')}{door.path('').rstrip('/')}",
            "AUTHORITY": str(
                election.count(
                    "SELECT authority FROM elections WHERE id = %s", election.id
                )
            ),
            "WITNESS": witnesses[0].key.text(),
            "JWT": election.jwt("v7"),
            "VOTER": "v7",
        }
        voter = Stranger(folder, told)
        _vote(office, reader, voter, rules)
        unused = door.ballot("v6")
        closed(election)
        election.finish(partial(_sequence, office, rules))
    # As it says there: the checkpoint is one of the final log.
    assert "of 6" in voter.holds("4")
    assert voter.holds("7").count(GOOD) == 1
    _not_sent(voter, reader, unused)
    assert GOOD in voter.holds("9")
    yield voter


def _vote(
    office: Office, reader: Reader, voter: Stranger, rules: dict[str, Any]
) -> None:
    """Steps 1 to 6, as a voter comes to them."""
    sequence = partial(_sequence, office, rules)
    (ballot, *_) = cast(reader, 0, 1, 2)
    answer = reader.get(f"receipt/{ballot.receipt_hash}/").content
    keep(reader, ballot, voter.folder / "receipt.json", answer)
    assert reader.door.election.m.hex() in voter.holds("1")
    assert f"receipt hash {ballot.receipt_hash}" in voter.holds("2")
    assert GOOD in voter.holds("3")
    voter.fails("4", 0)
    sequence()
    assert "of 3" in voter.holds("4")
    shutil.copy(voter.folder / "checkpoint", voter.folder / "kept.checkpoint")
    assert voter.holds("5").count(GOOD) == 2
    cast(reader, 3, 4, 5)
    sequence()
    assert voter.holds("5").count(GOOD) == 2
    assert "UTC" in voter.holds("6", 0)
    assert "of 6" in voter.holds("4")


def _sequence(office: Office, rules: dict[str, Any]) -> None:
    done = office.log("sequence", "--once", **rules)
    assert done.returncode == 0, done.stderr


def _not_sent(voter: Stranger, reader: Reader, ballot: Ballot) -> None:
    """Step 8, with the file of a ballot that was sealed and not sent."""
    path, voted = voter.folder / "receipt.json", voter.folder / "voted.json"
    path.rename(voted)
    keep(reader, ballot, path, None)
    assert GOOD in voter.holds("8")
    path.unlink()
    voted.rename(path)


def test_every_command_of_the_page_is_run(stranger: Stranger) -> None:
    assert list(sections()) == [SETUP, *"123456789"]
    assert {step: len(blocks) for step, blocks in sections().items()} == {
        **dict.fromkeys("145689", 2),
        **dict.fromkeys("23", 1),
        "7": 3,
        SETUP: 3,
    }
    # What is here was all run by the fixture, but one: see the test below.
    assert (stranger.folder / "none-issued.note").exists()


def test_our_own_command_takes_the_same_file(stranger: Stranger) -> None:
    receipt = str(stranger.folder / "receipt.json")
    words = ["verify", receipt, "--authority", stranger.told["AUTHORITY"]]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output


def test_the_command_of_other_people(stranger: Stranger, tool: Tool) -> None:
    with stranger.copy("aics") as voter:
        tooled = Stranger(voter.folder, voter.told, tool.packages)
        tooled.holds("6", 1)
        other = WitnessKey.of(notes.generate("witness.example/w1").verifier)
        done = tooled.told_otherwise(WITNESS=other.text()).run("6", 1)
        assert done.returncode == 1
        _alter(voter.folder / "checkpoint", "\n6\n", "\n7\n")
        assert tooled.run("6", 1).returncode == 1


def _alter(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, path
    path.write_text(text.replace(old, new), encoding="utf-8")


def _turned(text: str, at: int) -> str:
    """One letter or digit changed into another, at this place or the next."""
    while not text[at].isalnum():
        at += 1
    other = "1" if text[at] != "1" else "2"
    return text[:at] + other + text[at + 1 :]


def _member(*names: str) -> Callable[[str], str]:
    """Turns a letter in the middle of one text of a JSON file."""

    def change(text: str) -> str:
        whole = json.loads(text)
        place: Any = whole
        for name in names[:-1]:
            place = place[name]
        said = place[names[-1]]
        place[names[-1]] = (
            _turned(said, len(said) // 2) if isinstance(said, str) else said + 1
        )
        return json.dumps(whole)

    return change


def _line(number: int) -> Callable[[str], str]:
    """Turns a letter in the middle of one line."""

    def change(text: str) -> str:
        lines = text.split("\n")
        lines[number] = _turned(lines[number], len(lines[number]) // 2)
        return "\n".join(lines)

    return change


def _in_answer(pattern: str) -> Callable[[str], str]:
    """Turns a letter of the ballot box's answer, in the middle of what is found."""

    def change(text: str) -> str:
        whole = json.loads(text)
        found = re.search(pattern, whole["answer"])
        assert found is not None
        whole["answer"] = _turned(whole["answer"], sum(found.span()) // 2)
        return json.dumps(whole)

    return change


NO_NEIGHBOURS = {"left": None, "right": None}


def _neighbour(name: str) -> Callable[[str], str]:
    """Alters what a proof of absence says of the neighbour that there is."""

    def change(text: str) -> str:
        whole = json.loads(text)
        side = "left" if whole["left"] else "right"
        if name == "hashes":
            whole[side][name] = whole[side][name][1:]
            return json.dumps(whole)
        return _member(side, name)(text)

    return change


ALTERED: dict[str, list[tuple[str, Callable[[str], str]]]] = {
    "1": [
        ("manifest.json", _member("manifest", "title")),
        ("manifest.json", _member("manifest", "signers", "receipt_log")),
        ("manifest.json", lambda text: _turned(text, text.rindex('"') - 40)),
    ],
    "2": [
        *(
            ("receipt.json", _member(name))
            for name in ("token", "payload", "style", "suite", "key_id")
        ),
        ("receipt.json", _member("manifest_hash")),
        ("receipt.json", _in_answer('"c":"[^"]+')),
        ("receipt.json", _in_answer('"receipt_hash":"[^"]+')),
    ],
    "3": [
        ("receipt.json", _in_answer('"receipt_hash":"[^"]+')),
        ("receipt.json", _in_answer("receipt/v1")),
        ("receipt.json", _in_answer(r"\\n\\n[^\"]+ [^\"]+")),
    ],
    # Version, index, path; the checkpoint's name, size, root and signature.
    "4": [
        *(("receipt.tlog-proof", _line(n)) for n in (0, 1, 2, 3, 4)),
        *(("receipt.tlog-proof", _line(n)) for n in (6, 7, 8, 10)),
        ("receipt.json", _member("receipt_hash")),
    ],
    "5": [
        *(("growth", _line(n)) for n in (0, 1)),
        *(("kept.checkpoint", _line(n)) for n in (0, 1, 2, 4)),
        *(("checkpoint", _line(n)) for n in (0, 1, 2, 4)),
    ],
    "6": [("checkpoint", _line(n)) for n in (0, 1, 2, 5)],
    # The election, its counts and trees, the signature; a leaf. The log that was shown,
    # and whose ballot is looked for.
    "7": [
        *(("closing", _line(n)) for n in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10)),
        ("entries", lambda text: _turned(text, 40)),
        *(("checkpoint", _line(n)) for n in (1, 2)),
        ("receipt.json", _member("receipt_hash")),
    ],
    "8": [
        *(("absence.json", _neighbour(name)) for name in ("index", "tag", "hashes")),
        ("absence.json", lambda _: json.dumps({**NO_NEIGHBOURS, "v": 1})),
        ("closing", _line(8)),
    ],
    "9": [
        ("none-issued.json", _member("nonce")),
        ("none-issued.json", _member("statement")),
    ],
}


@pytest.mark.parametrize("step", ALTERED)
def test_what_was_altered_fails(stranger: Stranger, step: str) -> None:
    check = [0] if step in "236" else [1, 2] if step == "7" else [1]
    with stranger.copy(f"altered-{step}") as voter:
        voter.holds(step, *check)
        for name, change in ALTERED[step]:
            path = voter.folder / name
            good = path.read_bytes()
            text = change(good.decode("utf-8", "surrogateescape"))
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            assert path.read_bytes() != good
            voter.fails(step, *check)
            path.write_bytes(good)
        voter.holds(step, *check)


def test_keys_of_others_open_nothing(stranger: Stranger) -> None:
    name = stranger.told["AUTHORITY"].partition("+")[0]
    other = notes.generate(name).verifier.text()
    stranger.told_otherwise(AUTHORITY=other).fails("1", 1)
    witness = WitnessKey.of(notes.generate("witness.example/w1").verifier)
    stranger.told_otherwise(WITNESS=witness.text()).fails("6", 0)
    stranger.told_otherwise(VOTER="v6").fails("9", 1)


def test_a_vote_that_is_there_is_not_proved_absent(stranger: Stranger) -> None:
    with stranger.copy("voted") as voter:
        voter.fails("8", 0)
        # Its tag is asked for now; the proof is of the other one's.
        voter.fails("8", 1)


def test_a_log_that_was_rewritten_by_who_has_its_key(
    stranger: Stranger, reader: Reader
) -> None:
    key = reader.door.election.keys.signer("by-hand", "receipt-log")
    with stranger.copy("forked") as voter:
        path = voter.folder / "kept.checkpoint"
        said = open_checkpoint(path.read_text(), key.verifier.name, key.verifier)
        path.write_text(sign_checkpoint(replace(said, root=bytes(32)), key))
        voter.fails("5", 1)


def test_a_log_of_several_bundles(
    stranger: Stranger, office: Office, tmp_path: Path
) -> None:
    """More than a test can cast: leaves of our own making, and their statement."""
    engine = office.engine
    election = engine.make_election(id="by-hand-600", voters=1)
    reader = Reader(engine.doors(election)[0])
    tags = [notes.generate("t").verifier.public for _ in range(600)]
    grow(
        election,
        office.folder,
        [leaf_bytes(tag, election.id, election.m, tag) for tag in tags],
    )
    head, tree = reader.checkpoint(), TagTree(tags)
    said = ClosingStatement(
        origin=election.manifest["receipts"]["origin"],
        m=election.m,
        eligible=600,
        issued=600,
        used=600,
        votes=600,
        log=TreeHead(head.size, head.root),
        tags=TreeHead(tree.size, tree.root),
    )
    key = election.keys.signer(election.id, "statements")
    (tmp_path / "closing").write_text(sign_closing(said, key))
    door = reader.door
    told = {"API": f"{door.url.rstrip('/')}{door.path('').rstrip('/')}"}
    voter = Stranger(tmp_path, told)
    voter.holds("1", 0)
    # All of the first block but the statement itself, which no engine would sign.
    fetch = voter.blocks["7"][0].partition("\n")[2]
    voter.blocks["7"][0] = fetch
    assert "votes 600" in voter.holds("7", 0, 1)
    # With a ballot of the last bundle, and with one that is in none.
    (tmp_path / "checkpoint").write_bytes(reader.get("log/checkpoint").content)
    for tag, fate in ((tags[599], voter.holds), (bytes(32), voter.fails)):
        mine = receipt_hash(leaf_bytes(tag, election.id, election.m, tag))
        (tmp_path / "receipt.json").write_text(json.dumps({"receipt_hash": mine}))
        fate("7", 2)
    office.forget(election.id)
