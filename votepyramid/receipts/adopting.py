"""A checkpoint from outside, put into the folder of checkpoints that lost its own.

What a log may go on from says the newest checkpoint that anybody has seen. Where the
sequencer's own copy is gone, others have it: witnesses, auditors, voters, caches. The
database cannot give it: it may have been set back, which is why it was kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from votepyramid.audit import service as audit
from votepyramid.elections import service as elections
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.logs import comparing, store
from votepyramid.logs.comparing import LogForked
from votepyramid.logs.keeping import Keeping, KeepingError
from votepyramid.logs.store import SIGNERS, Log, LogDamaged
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.checkpoint import Checkpoint, open_checkpoint
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.notes import VerifierKey


class AdoptionRefused(CeremonyError):
    """The log cannot go on from these checkpoints; the message says why."""


def adopt(
    engine: Engine, keeping: Keeping, each: Log, notes: Mapping[str, str]
) -> Checkpoint:
    """Keep the newest of these signed checkpoints, by the name of where each is from.

    Every one must be signed by the log's key and be what the log begins with, and the
    newest not older than what the database itself has made public. An audit event is
    written just before. Raises AdoptionRefused, and Refused for an unknown election.
    """
    with engine.begin() as connection:
        manifest = elections.get(connection, each.election).manifest
        key = manifests.signer(manifest, SIGNERS[each.kind])
        found = {name: _open(name, note, key) for name, note in notes.items()}
        newest = max(found, key=lambda name: found[name].size)
        _check(connection, each, found)
        with _refusing():
            keeping.check(each, notes[newest])
        detail = {"log": each.kind, "size": found[newest].size}
        event = audit.Event("checkpoint_adopted", detail=detail)
        audit.append(connection, each.election, [event])
    with _refusing():
        keeping.keep(each, notes[newest])
    return found[newest]


@contextmanager
def _refusing(where: str = "") -> Iterator[None]:
    try:
        yield
    except (KeepingError, LogForked, LogDamaged) as error:
        raise AdoptionRefused(f"{where}{error}") from None


def _open(name: str, note: str, key: VerifierKey) -> Checkpoint:
    try:
        return open_checkpoint(note, key.name, key)
    except ProtocolError as error:
        raise AdoptionRefused(
            f"{name} is no checkpoint of this log: {error.problem}"
        ) from None


def _check(connection: Connection, each: Log, found: Mapping[str, Checkpoint]) -> None:
    head = store.locked(connection, each)
    for name, said in found.items():
        with _refusing(f"{name}: "):
            comparing.contains(connection, each, head, said)
    newest = max(said.size for said in found.values())
    public = head.checkpoint_size if head else 0
    if newest < public:
        raise AdoptionRefused(
            f"the newest of these is of {newest} entries, and one of {public} is "
            "public: give that one, too"
        )
