"""What auditors check without an export: one receipt, and the logs as they stand.

From the public parts of the database alone, as the administrators' role. What a whole
export is needed for is `verifying.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from votepyramid.db import reading
from votepyramid.elections import service as elections
from votepyramid.elections.service import ElectionView
from votepyramid.logs import store
from votepyramid.logs.store import RECEIPTS, SIGNERS, Log
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol import merkle, notes
from votepyramid.protocol.checkpoint import Checkpoint, open_checkpoint
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.merkle import CompactRange
from votepyramid.protocol.receipt import Answer, parse_answer, receipt_text
from votepyramid.protocol.tiles import TileReader
from votepyramid.votes.models import VoteGroup, VoteSubmission, decided

MAX_RECEIPT = 4096
# Few, so that requests come in between.
_AT_ONCE = 1_000


@dataclass(frozen=True)
class Found:
    """One check: what was checked, whether it holds, and what was found.

    `holds` is None where there is nothing yet to check.
    """

    what: str
    holds: bool | None
    said: str


def check_log(engine: Engine, election: str, kind: str) -> Found:
    """Make a log's tree again from its entries, and hold its checkpoint to it.

    Raises Refused(ELECTION_UNKNOWN, UNAVAILABLE).
    """
    with reading(engine) as connection:
        view = elections.get(connection, election)
        log, what = Log(election, kind), f"log of {kind}"
        head = store.head(connection, log)
        if head is None or head.checkpoint is None:
            return Found(what, None, "nothing is published yet")
        try:
            said = _opened(view, kind, head.checkpoint)
        except ProtocolError as error:
            return Found(what, False, f"its checkpoint: {error.problem}")
        root = _root(connection, log, said.size)
    if root != said.root:
        problem = "its entries do not make the tree that was signed"
        return Found(what, False, f"{problem}: see the runbook")
    signed = "make the root that its checkpoint signs"
    return Found(what, True, f"its {said.size:,} entries {signed}, {said.root.hex()}")


def _opened(view: ElectionView, kind: str, note: str) -> Checkpoint:
    key = manifests.signer(view.manifest, SIGNERS[kind])
    return open_checkpoint(note, key.name, key)


def _root(connection: Connection, log: Log, size: int) -> bytes:
    tree = CompactRange()
    for begin in range(0, size, _AT_ONCE):
        end = min(begin + _AT_ONCE, size)
        entries = store.entries(connection, log, begin, end)
        tree.extend([leaf_hash(entry) for entry in entries])
    return tree.root()


def check_receipt(engine: Engine, election: str, receipt: bytes | str) -> list[Found]:
    """Follow a receipt: its signature, its vote, its place in the public log.

    `receipt` is the answer that a voter got, as bytes, or its receipt hash. Raises
    ProtocolError for bytes that are no answer, Refused(ELECTION_UNKNOWN, UNAVAILABLE).
    """
    answer = parse_answer(receipt) if isinstance(receipt, bytes) else None
    named = answer.receipt_hash if answer else str(receipt)
    with reading(engine) as connection:
        view = elections.get(connection, election)
        return [
            *([_signature(view, answer)] if answer else []),
            _recorded(connection, election, named),
            _logged(connection, view, named),
        ]


def _signature(view: ElectionView, answer: Answer) -> Found:
    origin, key = manifests.receipt_key(view.manifest)
    expected = receipt_text(origin, view.manifest_hash, leaf_hash(answer.leaf))
    try:
        signed = notes.open(answer.note, key).text == expected
    except notes.NoteError as error:
        return Found("signature", False, error.problem)
    if not signed:
        return Found("signature", False, "the ballot box signed another receipt")
    return Found("signature", True, "the ballot box of this election signed it")


def _recorded(connection: Connection, election: str, named: str) -> Found:
    what = "database"
    status = connection.scalars(
        select(VoteSubmission.status).where(
            VoteSubmission.election == election, decided([named])
        )
    ).all()
    if "accepted" in status:
        return Found(what, True, "the vote is recorded")
    waits = select(func.count()).where(
        VoteGroup.election == election,
        VoteGroup.receipt_hash == named,
        VoteGroup.outcome.is_(None),
    )
    if connection.scalar(waits):
        return Found(what, None, "the vote is under way, and was promised an answer")
    said = "its ballot was refused" if status else "no vote has this receipt hash"
    return Found(what, False, said)


def _logged(connection: Connection, view: ElectionView, named: str) -> Found:
    what, leaf = "public log", bytes.fromhex(named)
    found = store.find(connection, Log(view.id, RECEIPTS), leaf)
    if found is None or found.index >= found.head.checkpoint_size:
        return Found(what, None, "it is under no published checkpoint yet")
    size = found.head.checkpoint_size
    try:
        said = _opened(view, RECEIPTS, found.head.checkpoint or "")
        reader = TileReader(size, found.fetch)
        proof = merkle.inclusion_proof(found.index, size, reader)
        merkle.verify_inclusion(leaf, found.index, said.size, proof, said.root)
    except ProtocolError as error:
        return Found(what, False, error.problem)
    place = f"entry {found.index:,} of {size:,} under the signed checkpoint"
    return Found(what, True, place)


def check_logs(engine: Engine, election: str) -> list[Found]:
    """`check_log` of both: a second for some hundred thousand entries."""
    return [check_log(engine, election, kind) for kind in SIGNERS]
