"""A row that is no vote is not appended: its log stops, and goes on without it.

What was appended stays for ever, and an election with a false entry in its log could
never be finished. A row that was never logged can be deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
import pytest

from tests.house.source import ROOT
from tests.logs.desk import Desk
from tests.support.elections import make_election
from votepyramid.logs.store import AUDIT, RECEIPTS
from votepyramid.protocol import notes
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash
from votepyramid.protocol.receipt import answer_bytes, sign_receipt

T, C, OTHER = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


class Row(NamedTuple):
    """What whoever can insert votes chooses of one."""

    answer: str
    receipt_hash: str
    t: bytes = T
    c: bytes = C


@dataclass(frozen=True)
class Pretender:
    """Signs with zeroes under the name and id of a key that it does not have."""

    verifier: notes.VerifierKey

    def sign(self, _message: bytes) -> bytes:
        return bytes(64)


def receipt(
    desk: Desk,
    *,
    e: str | None = None,
    m: bytes | None = None,
    signer: notes.Signer | None = None,
) -> Row:
    """As whoever has the ballot box's key can make it."""
    made = desk.election
    box, m = made.keys.ballot_box(made.id), m or made.m
    leaf = leaf_bytes(C, e or made.id, m, T)
    note = sign_receipt(signer or box, box.verifier.name, m, leaf)
    return Row(answer_bytes(leaf, note).decode(), receipt_hash(leaf))


def unsigned(desk: Desk) -> Row:
    leaf = leaf_bytes(C, desk.election.id, desk.election.m, T)
    return Row(answer_bytes(leaf, "no note").decode(), receipt_hash(leaf))


def by_a_stranger(desk: Desk) -> Row:
    name = desk.election.keys.ballot_box(desk.election.id).verifier.name
    return receipt(desk, signer=notes.generate(name))


def by_a_pretender(desk: Desk) -> Row:
    box = desk.election.keys.ballot_box(desk.election.id)
    return receipt(desk, signer=Pretender(box.verifier))


FALSE: dict[str, tuple[Callable[[Desk], Row], str]] = {
    "no answer": (lambda _: Row("x", "ab" * 32), "not a receipt of this election"),
    "without a signature": (unsigned, "not a receipt of this election"),
    "a stranger's signature": (by_a_stranger, "signature is another key's"),
    "a pretender's": (by_a_pretender, "the ballot box did not sign"),
    "of another election": (
        lambda desk: receipt(desk, e="another"),
        "not a receipt of this election",
    ),
    "of another manifest": (
        lambda desk: receipt(desk, m=OTHER),
        "not a receipt of this election",
    ),
    "another's receipt": (
        lambda desk: receipt(desk)._replace(receipt_hash="ab" * 32),
        f"the receipt of {'ab' * 32} is another vote's",
    ),
    # The index lets in one row a tag and a ciphertext; the leaf says others.
    "another tag": (
        lambda desk: receipt(desk)._replace(t=OTHER),
        "has another tag or ciphertext than its receipt",
    ),
    "another ciphertext": (
        lambda desk: receipt(desk)._replace(c=OTHER),
        "has another tag or ciphertext than its receipt",
    ),
}


def slip_in(desk: Desk, row: Row) -> None:
    """As the application's role."""
    with psycopg.connect(desk.database.app_url) as db:
        db.execute(
            "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, "
            "ballot_snapshot, receipt_hash, status, receipt) "
            "VALUES (gen_random_uuid(), %s, %s, %s, '{}', %s, 'accepted', %s)",
            (desk.election.id, row.t, row.c, row.receipt_hash, row.answer),
        )


def remove(desk: Desk, receipt_hash: str) -> None:
    """As the runbook says it."""
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^ *BEGIN;\n(.*?)^ *COMMIT;", text, re.DOTALL | re.MULTILINE)
    with psycopg.connect(desk.database.owner_url) as db:
        db.execute(block.replace("HASH", receipt_hash).encode())


@pytest.mark.parametrize("case", FALSE)
def test_a_false_row_is_not_appended(desk: Desk, case: str) -> None:
    make, said = FALSE[case]
    first = desk.booth.cast("v0")
    assert desk.sequence() == {}
    early, row = desk.public(), make(desk)
    slip_in(desk, row)
    second = desk.booth.cast("v1")
    stopped = desk.sequence()
    assert set(stopped) == {RECEIPTS} and said in stopped[RECEIPTS]
    assert row.receipt_hash in stopped[RECEIPTS]
    assert (desk.size(), desk.public()) == (1, early)
    assert said in (desk.stopped() or "")
    remove(desk, row.receipt_hash)
    assert desk.sequence() == {}
    desk.whole(*first, *second, earlier=early)


def test_the_election_can_be_finished_without_it(desk: Desk) -> None:
    """A second vote under a tag, with the ballot box's signature, in another's row."""
    (real,) = desk.booth.cast("v0")
    tag = bytes(
        desk.election.count(
            "SELECT tag FROM vote_submissions WHERE receipt_hash = %s", real
        )
    )
    made = desk.election
    box = made.keys.ballot_box(made.id)
    leaf = leaf_bytes(C, made.id, made.m, tag)
    note = sign_receipt(box, box.verifier.name, made.m, leaf)
    row = Row(answer_bytes(leaf, note).decode(), receipt_hash(leaf))
    slip_in(desk, row)
    assert set(desk.sequence()) == {RECEIPTS}
    remove(desk, row.receipt_hash)
    assert desk.sequence() == {}
    made.close()
    made.pass_grace()
    assert "votes 1" in made.finish(desk.sequence)


def test_what_is_in_the_log_is_not_removed(desk: Desk) -> None:
    cast = desk.booth.cast("v0", "v1")
    assert desk.sequence() == {}
    for one in cast:
        remove(desk, one)
    assert desk.election.counts().accepted == 2


WITHOUT_BOX = "(signed_manifest::jsonb #- '{manifest,receipts,key}')::text"
BROKEN = {
    WITHOUT_BOX: "names no ballot box to hold its votes to: receipts/key: missing",
    "'{}'": "cannot be read (KeyError)",
    "'[]'": "cannot be read (TypeError)",
    "'no JSON'": "cannot be read (JSONDecodeError)",
}


@pytest.mark.parametrize("manifest", BROKEN)
def test_a_manifest_that_lacks_something_is_told_in_words(
    desk: Desk, manifest: str
) -> None:
    cast = desk.booth.cast("v0")
    with desk.election.sql() as db:
        db.execute("CREATE TABLE kept AS SELECT signed_manifest FROM elections")
        db.execute(f"UPDATE elections SET signed_manifest = {manifest}".encode())
    stopped = desk.sequence()
    assert set(stopped) == {RECEIPTS}
    assert f"the manifest of {desk.election.id} " in stopped[RECEIPTS]
    assert BROKEN[manifest] in stopped[RECEIPTS]
    with desk.election.sql() as db:
        db.execute("UPDATE elections SET signed_manifest = (TABLE kept)")
    assert desk.sequence() == {}
    desk.whole(*cast)


QUEUED = "INSERT INTO log_queue (election, kind, sort, subject) VALUES (%s, %s, '', {})"


@pytest.mark.parametrize(
    "subject", ["no number", "", "-1", "1.5", "01", "\u0661", "9" * 19, "x" * 500]
)
def test_what_is_no_event_sets_one_log_aside(desk: Desk, subject: str) -> None:
    """It ended the sequencer of all elections."""
    cast = desk.booth.cast("v0")
    with desk.election.sql() as db:
        db.execute(QUEUED.format("%s"), (desk.election.id, AUDIT, subject))
    stopped = desk.sequence()
    assert set(stopped) == {AUDIT}
    assert f"{subject[:64]!r} waits for the audit log" in stopped[AUDIT]
    assert len(stopped[AUDIT]) < 200
    desk.whole(*cast)
    with desk.election.sql() as db:
        db.execute("DELETE FROM log_queue WHERE subject = %s", (subject,))
    assert desk.sequence() == {}


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        (RECEIPTS, "(SELECT receipt_hash FROM vote_submissions)"),
        (AUDIT, "(SELECT min(id)::text FROM audit_events WHERE election = 'demo')"),
    ],
)
def test_another_elections_is_not_taken(desk: Desk, kind: str, theirs: str) -> None:
    cast = desk.booth.cast("v0")
    other = make_election(desk.database, desk.env, id="other", voters=1)
    with other.sql() as db:
        db.execute(QUEUED.format(theirs), (other.id, kind))
    engine, stopped = other.engine, desk.sequence()
    engine.dispose()
    assert set(stopped) == {kind} and "is of another election" in stopped[kind]
    desk.whole(*cast)
