"""A ballot that is in the log that its voter is shown: is that the final one?

The receipt promises the final log, and the closing statement says which one that is.
Who holds the log's key can make another one for one voter, with that voter's ballot in
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.client.scripted import Handler, serving
from tests.receipts.ends import closed
from tests.receipts.reading import cast
from tests.receipts.test_voters_check import Voter, voter
from votepyramid.client import files
from votepyramid.keys.service import RECEIPT_LOG
from votepyramid.protocol import merkle
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.merkle import Node
from votepyramid.protocol.tlogproof import TlogProof

__all__ = ["voter"]


def finish(voter: Voter) -> None:
    voter.office.sequence()
    closed(voter.reader.door.election)
    voter.reader.door.election.finish(voter.office.sequence)


@contextmanager
def answering(voter: Voter, **instead: bytes) -> Iterator[str]:
    """A server that says what the engine says, but for the addresses that end so."""

    def answer(handler: Handler) -> None:
        rest = handler.path.removeprefix(voter.reader.door.path(""))
        given = instead.get(rest.rpartition("/")[2])
        if given is not None:
            handler.answer(200, given, Content_Type="text/plain")
            return
        said = voter.reader.get(rest)
        kind = said.headers["Content-Type"]
        handler.answer(said.status_code, said.content, Content_Type=kind)

    with serving(answer) as server:
        yield server.url


def receipt_hash(voter: Voter) -> str:
    return files.load(voter.receipt).ballot.receipt_hash


def proof_of(voter: Voter, size: int) -> TlogProof:
    """That the ballot begins a log of so many entries, all others made up."""
    mine = bytes.fromhex(receipt_hash(voter))
    hashes = [mine, *(leaf_hash(b"%d" % n) for n in range(1, size))]
    election = voter.reader.door.election
    key = election.keys.signer(election.id, RECEIPT_LOG)

    def read(nodes: Sequence[Node]) -> list[bytes]:
        return [merkle.root(hashes[_leaves(node)]) for node in nodes]

    path = merkle.inclusion_proof(0, size, read)
    said = Checkpoint(key.verifier.name, size, merkle.root(hashes))
    return TlogProof(0, (*path,), sign_checkpoint(said, key))


def _leaves(node: Node) -> slice:
    return slice(node.index << node.level, node.index + 1 << node.level)


def test_the_final_log_is_told(voter: Voter) -> None:
    voter.office.sequence()
    _, report = voter.verify("--online")
    assert "included" in report["passed"] and "closing" not in report["passed"]
    assert not voter.beside(".closing").exists()
    finish(voter)
    ended, report = voter.verify("--online")
    assert ended == 0 and {"included", "closing"} <= {*report["passed"]}
    statement = voter.reader.get("statement/closing").content
    assert voter.beside(".closing").read_bytes() == statement


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_log_of_ones_own_is_not_the_final_one(voter: Voter, size: int) -> None:
    finish(voter)
    fork = proof_of(voter, size)
    with answering(voter, proof=fork.data()) as url:
        voter.check(4, "growth", "--url", url)
    # Log and election contradict each other, both signed.
    assert voter.beside(".checkpoint").read_text() == fork.note
    statement = voter.reader.get("statement/closing").content
    assert voter.beside(".closing").read_bytes() == statement


def test_a_lagging_cache_shows_the_beginning_of_the_final_log(voter: Voter) -> None:
    voter.office.sequence()
    early = voter.reader.get(f"receipt/{receipt_hash(voter)}/proof").content
    cast(voter.reader, 3)
    finish(voter)
    with answering(voter, proof=early) as url:
        voter.check(0, None, "--url", url)
    with answering(voter, proof=early, **{"4": b"A" * 43 + b"=\n"}) as url:
        voter.check(4, "growth", "--url", url)


@pytest.mark.parametrize("alter", [bytes.lower, lambda note: note[:-9] + b"AAAAAAA=\n"])
def test_a_statement_that_is_none(
    voter: Voter, alter: Callable[[bytes], bytes]
) -> None:
    finish(voter)
    note = alter(voter.reader.get("statement/closing").content)
    with answering(voter, closing=note) as url:
        voter.check(6, "closing", "--url", url)
    assert not voter.beside(".closing").exists()
