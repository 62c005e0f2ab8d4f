"""Witnesses cosign before a checkpoint is public; a fork is signed by nobody."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.support import flip
from tests.receipts.conftest import Office
from tests.receipts.reading import Reader, cast
from tests.support import needs
from tests.support.processes import eventually
from tests.support.voting import assert_problem
from tests.support.witness import Answer, Witness, policy, witnessing
from tests.verifiers.aics import Tool
from tests.verifiers.judging import Judge
from votepyramid.protocol.checkpoint import read_unverified
from votepyramid.protocol.cosignature import cosigners
from votepyramid.protocol.policy import Policy


@dataclass(frozen=True)
class Ring:
    """Three witnesses that know the log, and the policy that any two suffice."""

    office: Office
    reader: Reader
    witnesses: list[Witness]
    settings: dict[str, Any]

    def sequence(self, expected: int = 0) -> str:
        done = self.office.log("sequence", "--once", **self.settings)
        assert done.returncode == expected, done.stderr
        return done.stderr

    def cosigned(self) -> set[str]:
        """Whose cosignatures the public checkpoint has; each of them holds."""
        note = self.reader.get("log/checkpoint").text
        keys = {one.key: one.name for one in self.witnesses}
        return {keys[key] for key in cosigners(note, *keys)}

    def kept(self) -> int:
        """The size of the checkpoint that was kept."""
        name = f"{self.reader.door.election.id}.receipts.checkpoint"
        return read_unverified((self.office.folder / name).read_text()).size


@pytest.fixture
def ring(office: Office, reader: Reader, tmp_path: Path) -> Iterator[Ring]:
    with witnessing(tmp_path, "w1", "w2", "w3") as witnesses:
        for one in witnesses:
            one.find = office.log_key
        path = policy(tmp_path, 2, witnesses)
        settings = {"witness_policy": path, "witness_timeout": 5}
        yield Ring(office, reader, witnesses, settings)
    office.forget(reader.door.election.id)


@needs.needs("go")
@pytest.mark.timeout(600)
def test_a_cosigned_checkpoint_is_accepted_and_every_changed_byte_refused(
    ring: Ring, judge: Judge, tool: Tool, tmp_path: Path
) -> None:
    reader = ring.reader
    (ballot, *_) = cast(reader, 0, 1, 2)
    ring.sequence()
    assert ring.cosigned() == {"w1", "w2", "w3"}
    keys = {"origin": reader.key.name, "key": reader.key.text()}
    keys["witnesses"] = [one.key.text() for one in ring.witnesses]
    folder = tmp_path / "log"
    assert reader.download(folder).size == 3
    assert judge.accepts_log(folder, **keys)
    proof = reader.get(f"receipt/{ballot.receipt_hash}/proof").content
    leaf = bytes.fromhex(ballot.receipt_hash)
    assert judge.accepts_proof(proof, leaf, **keys)
    file = folder / "checkpoint"
    known = ["--log-key", reader.key.text(), "--origin", reader.key.name]
    for one in ring.witnesses:
        known += ["--witness-key", one.key.text()]
    accepted, said = tool.run(
        "verify-checkpoint", "--note", file, *known, "--quorum", "3"
    )
    assert accepted and said["cosignatures"] == 3
    good = file.read_bytes()
    for at in range(len(good)):
        file.write_bytes(flip(good, at, 4))
        assert not judge.accepts_log(folder, **keys), at
    for at in range(len(proof)):
        assert not judge.accepts_proof(flip(proof, at, 4), leaf, **keys), at


def test_a_dead_witness_is_done_without(ring: Ring) -> None:
    cast(ring.reader, 0)
    ring.witnesses[0].end()
    said = ring.sequence()
    assert ring.cosigned() == {"w2", "w3"}
    assert '"problem": "unreachable"' in said and '"witness": "w1"' in said
    rules = Policy.parse(Path(ring.settings["witness_policy"]).read_bytes())
    lines = ring.reader.get("log/checkpoint").text
    assert rules.satisfied_by(cosigners(lines, *(w.key for w in rules.witnesses)))


BAD = {
    "lie": "bad_answer",
    "flood": "bad_answer",
    "fail": "unavailable",
    "claim_more": "ahead",
}


@pytest.mark.parametrize("how", BAD)
def test_a_quorum_that_is_missed(
    office: Office, ring: Ring, how: str, tmp_path: Path
) -> None:
    """The earlier checkpoint stays public; the newer one comes when they are back."""
    reader = ring.reader
    cast(reader, 0, 1)
    ring.sequence()
    early = reader.checkpoint()
    for one in ring.witnesses[1:]:
        one.behave = getattr(one, how)
    cast(reader, 2)
    said = ring.sequence(expected=1)
    assert "too few witnesses" in said and f'"problem": "{BAD[how]}"' in said
    assert ("witness_refused_fork" in said) == (how == "claim_more")
    assert reader.checkpoint() == early
    # It was kept before any witness saw it.
    assert ring.kept() == 3
    ring.witnesses[1].behave = ring.witnesses[1].add_checkpoint
    ring.sequence()
    assert reader.checkpoint().size == 3
    assert ring.cosigned() == {"w1", "w2"}


def test_what_a_witness_has_is_learnt_from_it(ring: Ring) -> None:
    """Each run is a new process, which does not know what it told them before."""
    cast(ring.reader, 0, 1)
    ring.sequence()
    cast(ring.reader, 2)
    ring.sequence()
    for one in ring.witnesses:
        asked = one.asked[ring.reader.key.name]
        assert asked == [(0, 2, 200), (0, 3, 409), (2, 3, 200)]


def test_a_log_that_no_witness_knows(ring: Ring) -> None:
    cast(ring.reader, 0)
    for one in ring.witnesses:
        one.find = {}.get
    assert '"problem": "log_unknown"' in ring.sequence(expected=1)
    assert_problem(ring.reader.get("log/checkpoint"), 404, "not_found")


@pytest.mark.parametrize("smaller", [True, False], ids=["smaller", "larger"])
def test_a_fork_is_cosigned_by_nobody(
    office: Office, ring: Ring, smaller: bool
) -> None:
    """Somebody sets back the database and what was kept outside it as well."""
    reader = ring.reader
    cast(reader, 0, 1)
    ring.sequence()
    roots = [one.seen(reader.key.name) for one in ring.witnesses]
    office.forget(reader.door.election.id)
    cast(reader, *((2,) if smaller else (2, 3, 4)))
    said = ring.sequence(expected=1)
    assert "witness_refused_fork" in said
    assert f'"problem": "{"ahead" if smaller else "inconsistent"}"' in said
    assert_problem(reader.get("log/checkpoint"), 404, "not_found")
    assert [one.seen(reader.key.name) for one in ring.witnesses] == roots


def test_nobody_waits_for_a_slow_witness(
    office: Office, ring: Ring, tmp_path: Path
) -> None:
    go_on = threading.Event()
    slow = ring.witnesses[2]

    def wait(body: bytes) -> Answer:
        go_on.wait(60)
        return slow.add_checkpoint(body)

    slow.behave = wait
    settings = {**ring.settings, "witness_timeout": 30}
    sequencer = office.start(tmp_path / "one.log", **settings)
    try:
        cast(ring.reader, 0)
        public = ring.reader.get
        assert eventually(lambda: public("log/checkpoint").status_code == 200)
        assert ring.cosigned() == {"w1", "w2"}
        # Every line of the log is one of ours.
        lines = sequencer.log_text().splitlines()
        assert lines and all(json.loads(line)["event"] for line in lines)
        # What comes later is added.
        go_on.set()
        assert eventually(lambda: len(ring.cosigned()) == 3)
        assert sequencer.terminate() == 0, sequencer.log_text()
    finally:
        go_on.set()
        sequencer.stop()


def test_a_quorum_that_comes_back(office: Office, ring: Ring, tmp_path: Path) -> None:
    for one in ring.witnesses:
        one.behave = one.fail
    sequencer = office.start(tmp_path / "one.log", **ring.settings)
    try:
        cast(ring.reader, 0)
        sequencer.wait_for_log("quorum_missed")
        cast(ring.reader, 1)
        for one in ring.witnesses:
            one.behave = one.add_checkpoint
        public = ring.reader.get
        assert eventually(lambda: public("log/checkpoint").status_code == 200)
        assert eventually(lambda: ring.reader.checkpoint().size == 2)
    finally:
        sequencer.stop()


BROKEN = {
    "missing file": (None, "cannot read"),
    "no policy": ("witness w1\n", "policy line 1"),
    "no address": ("addressless", "are no quorum"),
    "other address": ("ftp", "must start with"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_policy_that_cannot_be_used(ring: Ring, what: str, tmp_path: Path) -> None:
    text, told = BROKEN[what]
    path = tmp_path / "broken"
    key = ring.witnesses[0].key.text()
    if text == "addressless":
        text = f"witness w1 {key}\nquorum w1\n"
    elif text == "ftp":
        text = f"witness w1 {key} ftp://127.0.0.1/\nquorum w1\n"
    if text is not None:
        path.write_text(text)
    done = ring.office.log("sequence", "--once", witness_policy=path)
    assert done.returncode == 1 and told in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
