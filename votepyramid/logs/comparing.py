"""A log in the database, held against what was kept of it outside.

A log goes on from the newest checkpoint that was signed, and from no other. Which one
that is says the folder, not the database, which can be set back. A folder that has less
than the database knows to be public cannot say it: it was lost, or is another host's.

Compare with the head locked, and read the file after that: what another sequencer keeps
meanwhile is then neither ahead of the head nor behind what is public.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from votepyramid.logs import store
from votepyramid.logs.keeping import Keeping
from votepyramid.logs.store import Head, Log, LogDamaged
from votepyramid.protocol.checkpoint import (
    Checkpoint,
    open_checkpoint,
    read_unverified,
)
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.notes import VerifierKey


class LogForked(RuntimeError):
    """The database and what was kept outside it cannot both be right, or whole."""


def kept(keeping: Keeping, each: Log, key: VerifierKey | None) -> Checkpoint | None:
    """What was kept of a log; None when nothing is. Raises LogForked.

    Without a key, of which sizes and roots must do: the log was set back to before
    there was one, or it was destroyed when all was over.
    """
    note = keeping.read(each)
    if note is None:
        return None
    try:
        if key is None:
            return read_unverified(note)
        return open_checkpoint(note, key.name, key)
    except ProtocolError as error:
        raise LogForked(
            f"what was kept of {_name(each)} is not a checkpoint of it: {error.problem}"
        ) from None


def compare(
    connection: Connection,
    keeping: Keeping,
    each: Log,
    head: Head | None,
    said: Checkpoint | None,
) -> None:
    """Raise LogForked unless the log goes on from the checkpoint that was kept."""
    public = head.checkpoint_size if head else 0
    if said is None:
        _begins(connection, keeping, each, public)
        return
    contains(connection, each, head, said)
    if said.size < public:
        raise LogForked(
            f"{_name(each)} has a public checkpoint of {public}, and the newest that "
            f"was kept is of {said.size}: the folder of checkpoints was set back, or "
            "is another sequencer's"
        )


def contains(
    connection: Connection, each: Log, head: Head | None, said: Checkpoint
) -> None:
    """Raise LogForked unless the log begins with what a checkpoint says."""
    size = head.size if head else 0
    if size < said.size:
        raise LogForked(
            f"{_name(each)} has {size} entries, and a checkpoint of {said.size} was "
            "signed: the database was set back"
        )
    if store.root_at(connection, each, said.size) != said.root:
        raise LogForked(
            f"the first {said.size} entries of {_name(each)} are not those that were "
            "signed"
        )


@contextmanager
def holding_up(each: Log) -> Iterator[None]:
    """Compare another log of the same election: this one does not go on without it."""
    try:
        yield
    except (LogForked, LogDamaged) as error:
        raise LogForked(f"{_name(each)} waits for the other: {error}") from None


def _begins(connection: Connection, keeping: Keeping, each: Log, public: int) -> None:
    """Raise LogForked unless nothing can have been signed of the log yet.

    Also when its other log was public and is not kept: a database that was set back to
    before the first checkpoint of this one knows of none.
    """
    if public:
        raise LogForked(
            f"{_name(each)} has a public checkpoint of {public}, and none was kept: "
            "the folder of checkpoints was lost, or is another sequencer's"
        )
    for other in store.published(connection, each.election):
        if keeping.read(other) is None:
            raise LogForked(
                f"nothing was kept of {_name(each)}, nor of {_name(other)}, which is "
                "public: the folder of checkpoints was lost, or is another sequencer's"
            )


def _name(each: Log) -> str:
    return f"the {each.kind} log of {each.election}"
