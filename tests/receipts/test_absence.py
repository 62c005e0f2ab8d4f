"""That no vote stands under a tag, against the closing statement."""

from __future__ import annotations

import hashlib

import pytest

from tests.receipts.conftest import Office
from tests.receipts.ends import closed, opened
from tests.receipts.test_log import Reader, cast
from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.voting import assert_problem
from votepyramid.elections.unlinking import unlink
from votepyramid.protocol.absence import (
    AbsenceError,
    AbsenceProof,
    TagTree,
    parse_absence,
    verify_absence,
)
from votepyramid.protocol.identifiers import token_tag
from votepyramid.protocol.statements import ClosingStatement
from votepyramid.receipts import tags as trees


@pytest.fixture
def reader(engine: Engine, election: MadeElection) -> Reader:
    return Reader(engine.doors(election)[0])


def statement(reader: Reader) -> ClosingStatement:
    answer = reader.get("statement/closing")
    assert answer.status_code == 200, answer.text
    assert "immutable" in answer.headers["Cache-Control"]
    return opened(reader.door.election, answer.text)


def proof(reader: Reader, tag: bytes) -> AbsenceProof:
    answer = reader.get(f"absence/{tag.hex()}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert "immutable" in answer.headers["Cache-Control"]
    return parse_absence(answer.content)


def test_the_holder_of_an_unused_token_gets_a_proof(
    office: Office, reader: Reader, election: MadeElection
) -> None:
    ballots = cast(reader, *range(9))
    unused = token_tag(election.id, election.m, reader.door.token("v10"))
    office.sequence()
    assert_problem(reader.get("statement/closing"), 404, "election_not_finished")
    absent = reader.get(f"absence/{unused.hex()}")
    assert_problem(absent, 404, "election_not_finished")
    closed(election)
    election.finish(office.sequence)
    said = statement(reader)
    verify_absence(said.tags.root, said.tags.size, unused, proof(reader, unused))
    for ballot in ballots:
        tag = token_tag(election.id, election.m, ballot.bearer)
        answer = reader.get(f"absence/{tag.hex()}")
        assert_problem(answer, 404, "vote_recorded")
        with pytest.raises(AbsenceError):
            verify_absence(said.tags.root, said.tags.size, tag, proof(reader, unused))
    # What was proved stays provable when nobody can be linked any more.
    unlink(election.engine, election.id, dispute_days=0, without_export=True)
    assert statement(reader) == said
    verify_absence(said.tags.root, said.tags.size, unused, proof(reader, unused))
    assert_problem(reader.get("absence/" + "A" * 64), 400, "malformed")


def test_where_nobody_voted(
    office: Office, reader: Reader, election: MadeElection
) -> None:
    closed(election)
    election.finish(office.sequence)
    said, tag = statement(reader), bytes(32)
    verify_absence(said.tags.root, said.tags.size, tag, proof(reader, tag))


def test_the_stored_tree_is_that_of_the_protocol(election: MadeElection) -> None:
    """At every place, those between two bundles of 256 among them."""
    for size in (1, 2, 255, 256, 257, 512, 513, 1000):
        _compare_stored(election, size)


def _compare_stored(election: MadeElection, size: int) -> None:
    present = sorted(hashlib.sha256(b"%d" % n).digest() for n in range(size))
    tree = TagTree(present)
    assert (trees.head(present).size, trees.head(present).root) == (size, tree.root)
    after = [(int.from_bytes(tag) + 1).to_bytes(32) for tag in present]
    asked = [bytes(32), *after, b"\xff" * 32]
    with election.engine.connect() as connection:
        trees.store_tree(connection, election.id, present)

        def prove(tag: bytes) -> AbsenceProof | None:
            return trees.prove_absence(connection, election.id, size, tag)

        step = max(1, size // 300)
        around = {0, 1, size, *range(255, size, 256), *range(256, size, 256)}
        for at in sorted({*range(0, size, step), *around} & {*range(size + 1)}):
            assert prove(asked[at]) == tree.prove_absence(asked[at])
        for tag in present[::step]:
            assert prove(tag) is None
        connection.rollback()
