"""The logs: that the sequencer keeps up, and the folder of kept checkpoints."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select

from votepyramid.doctor.asking import Owner
from votepyramid.doctor.check import (
    Check,
    Finding,
    Unchecked,
    listed,
    ok,
    skipped,
    wrong,
)
from votepyramid.logs.keeping import Keeping, KeepingError, stopped
from votepyramid.logs.models import LogHead, LogQueue
from votepyramid.logs.store import Log
from votepyramid.protocol.checkpoint import read_unverified
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.settings import Settings

SUBJECT = "logs"
# A batch is due at the end of a slot; a second slot and this are for the work itself.
_SLOTS = 2
_GRACE_S = 30.0
_NO_FOLDER = "VOTEPYRAMID_CHECKPOINT_FOLDER is not set here: run this at the sequencer"


def checks(settings: Settings, owner: Owner) -> list[Check]:
    """Those of the subject, in the order in which they are shown."""
    return [
        Check("sequencer", SUBJECT, lambda: _lag(settings, owner)),
        Check("checkpoint-folder", SUBJECT, lambda: _folder(settings)),
        Check("stopped-logs", SUBJECT, lambda: _stopped(settings)),
        Check("kept-checkpoints", SUBJECT, lambda: _kept(settings, owner)),
    ]


def _lag(settings: Settings, owner: Owner) -> Finding:
    waits = func.extract("epoch", func.clock_timestamp() - func.min(LogQueue.queued_at))
    query = select(LogQueue.election, LogQueue.kind, func.count(), waits).group_by(
        LogQueue.election, LogQueue.kind
    )
    with owner.connection() as connection:
        rows = connection.execute(query.order_by(LogQueue.election)).all()
    aside = _aside(settings)
    bound = _SLOTS * settings.log_seconds + _GRACE_S
    late = [
        f"{count} entries for the {kind} log of {election}, since {float(age):.0f} s"
        for election, kind, count, age in rows
        if age > bound and Log(election, kind) not in aside
    ]
    if late:
        return wrong(
            f"the sequencer does not keep up: {listed(late)}",
            "Start votepyramid log sequence, or read its log: log_stopped, "
            "quorum_missed and sequencing_interrupted say why. See docs/runbook.md.",
        )
    return ok("no entry waits for long")


def _aside(settings: Settings) -> set[Log]:
    """Logs that nothing is expected of: stopped-logs tells of them."""
    if not settings.checkpoint_folder:
        return set()
    with suppress(KeepingError):
        return set(stopped(Path(settings.checkpoint_folder)))
    return set()


def _path(settings: Settings) -> Path | Finding:
    if not settings.checkpoint_folder:
        return skipped(_NO_FOLDER)
    path = Path(settings.checkpoint_folder)
    if not path.is_dir():
        raise Unchecked("the folder is not there: see checkpoint-folder")
    return path


def _folder(settings: Settings) -> Finding:
    if not settings.checkpoint_folder:
        return skipped(_NO_FOLDER)
    path = Path(settings.checkpoint_folder)
    if not path.is_dir():
        return wrong(
            f"{path} is not a folder",
            "Mount the disk that it is on. With an empty one in its place the "
            "sequencer sets aside every log that is public.",
        )
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return wrong(
            f"{path} cannot be written: {error.strerror}",
            "Make room on the disk, or give the folder to the sequencer's account.",
        )
    return ok(f"{path} can be written")


def _stopped(settings: Settings) -> Finding:
    path = _path(settings)
    if isinstance(path, Finding):
        return path
    try:
        reasons = stopped(path)
    except KeepingError as error:
        raise Unchecked(f"{error}: see checkpoint-folder") from None
    if reasons:
        return wrong(
            f"set aside: {listed(reasons.values())}",
            'See "A log was set back, forked or damaged" in docs/runbook.md, and "The '
            'folder of checkpoints was lost", before anything else is done.',
        )
    return ok("no log is set aside")


def _heads(owner: Owner) -> dict[Log, Row[Any]]:
    query = select(
        LogHead.election, LogHead.kind, LogHead.size, LogHead.checkpoint_size
    )
    with owner.connection() as connection:
        rows = connection.execute(query).all()
    return {Log(row.election, row.kind): row for row in rows}


def _kept(settings: Settings, owner: Owner) -> Finding:
    path = _path(settings)
    if isinstance(path, Finding):
        return path
    # What is kept lies between what is public and what is appended. Logs grow
    # meanwhile: the one bound is read before, the other after.
    public = {log: row.checkpoint_size for log, row in _heads(owner).items()}
    keeping = Keeping(path)
    try:
        sizes = {log: _size(keeping, log) for log in {*public, *keeping.logs()}}
    except (KeepingError, ProtocolError) as error:
        return wrong(f"a kept checkpoint cannot be read: {error}", _COMPARE)
    appended = {log: row.size for log, row in _heads(owner).items()}
    problems = []
    for log in sorted(set(sizes) - _aside(settings), key=str):
        size, which = sizes[log], f"the {log.kind} log of {log.election}"
        if size < public.get(log, 0):
            problems.append(
                f"{which}: {public[log]} entries are public, kept is {size}"
            )
        elif size > appended.get(log, 0):
            problems.append(
                f"{which}: {size} were kept, {appended.get(log, 0)} are there"
            )
    if problems:
        return wrong(listed(problems), _COMPARE)
    return ok(f"{len(sizes)} logs agree with what was kept")


_COMPARE = (
    "Is it the folder of this installation's sequencer? Otherwise the database was set "
    'back, or the folder was lost: see "The folder of checkpoints was lost" in '
    "docs/runbook.md, and delete nothing."
)


def _size(keeping: Keeping, log: Log) -> int:
    note = keeping.read(log)
    return 0 if note is None else read_unverified(note).size
