"""`audit verify`: an export checked offline, on nothing but its folder.

In this order, and no further than the first discrepancy: the seal over all files, the
manifest's signature, both logs made again from their entries, who cosigned them, every
receipt's signature, that receipts, leaves and stored ballots are the same votes, the
closing statement, the counts against each other, every history replayed and held
against votes and events, and that these came in the time for them.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from votepyramid.auditors import (
    ballots,
    case,
    papers,
    receipts,
    replays,
    times,
    trees,
    witnesses,
)
from votepyramid.auditors.case import Case, Discrepancy, Row, Tell, Unending
from votepyramid.auditors.folder import SEAL, FolderError, OutsideError, Reading
from votepyramid.auditors.outside import Outside, open_kept
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.identifiers import manifest_hash

CHECKS: tuple[Callable[[Case], None], ...] = (
    trees.check_receipt_log,
    trees.check_audit_log,
    witnesses.check_witnesses,
    receipts.check_receipts,
    receipts.check_inclusion,
    ballots.check_ballots,
    receipts.check_kept,
    papers.check_closing,
    papers.check_counts,
    papers.check_kinds,
    replays.check_histories,
    times.check_times,
)


def verify(
    folder: Path, outside: Outside, tell: Tell
) -> tuple[list[Row], Discrepancy | None]:
    """The checks that held, and the first that did not; TooEarly when all did and the
    export was made too early.

    Raises FolderError for what is no export at all, and OutsideError for what the
    auditor brought and cannot be used.
    """
    if not (folder / SEAL).is_file():
        raise FolderError(f"{folder} holds no finished export: no {SEAL} in it")
    rows: list[Row] = []
    try:
        with every_core() as executor:
            _check(folder, outside, executor, tell, rows)
    except Discrepancy as found:
        return rows, found
    except OutsideError:
        raise
    except FolderError as error:
        return rows, Discrepancy("files", str(error))
    except ProtocolError as error:
        return rows, Discrepancy("files", error.problem)
    except Unending as stuck:
        return rows, _unending(stuck.part)
    return rows, None


def _unending(part: Reading) -> Discrepancy:
    """By the files that were worked on: each history is small, and so is the rest."""
    first, *more = part.listed
    among = f", or one of the {len(more)} files after it" if more else ""
    problem = f"work on {first}{among} does not end in {case.JOB_S:g} s"
    return Discrepancy(first.partition("/")[0], problem)


@contextmanager
def every_core() -> Iterator[Executor]:
    """A process for each core. What they do is not waited for when the block raises:
    a hostile export may have given them what does not end."""
    # Forked from a server of its own: neither this process's threads nor, at the end,
    # the SDK's are in the way.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([receipts.__name__, ballots.__name__])
    others = {*multiprocessing.active_children()}
    cores = os.cpu_count() or 1
    executor = ProcessPoolExecutor(cores, mp_context=context)
    try:
        # They start while the logs, which need one core, are made again.
        for _ in range(cores):
            executor.submit(os.getpid)
        yield executor
    except BaseException:
        for child in {*multiprocessing.active_children()} - others:
            child.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _check(
    folder: Path, outside: Outside, executor: Executor, tell: Tell, rows: list[Row]
) -> None:
    reading = Reading(folder)
    manifest, about = papers.open_manifest(reading, outside, rows)
    kept, m = open_kept(outside, manifest), manifest_hash(manifest)
    found = Case(reading, kept, executor, tell, manifest, m, about, rows)
    for check in CHECKS:
        check(found)
    if found.early is not None:
        raise found.early
