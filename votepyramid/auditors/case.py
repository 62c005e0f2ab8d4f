"""What a check starts from, and what it leaves behind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from votepyramid.auditors.folder import Reading
from votepyramid.auditors.outside import Kept
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.merkle import EMPTY_ROOT

T = TypeVar("T")
U = TypeVar("U")

Tell = Callable[[str, int, int], None]
"""What is being checked, how much of it is done, and of how much (0: unknown)."""

# Jobs that are under way or wait for a process: what is held in memory is bounded.
AT_ONCE = 8
# No job takes more than some seconds. One that does not end is not waited for.
JOB_S = 120.0


class Discrepancy(Exception):
    """Something is not as it must be; `check` names what was looked at."""

    def __init__(self, check: str, problem: str) -> None:
        super().__init__(f"{check}: {problem}")
        self.check = check
        self.problem = problem


class Unending(Exception):
    """Work on this part of an export does not end."""

    def __init__(self, part: Any) -> None:
        super().__init__("work on a part of an export does not end")
        self.part = part


class TooEarly(Discrepancy):
    """Nothing contradicts, and the export was made before the logs had what they need.

    Another one, made later, has to be without.
    """


@dataclass(frozen=True)
class Row:
    """A check that held: of how many things, what was found, and how long it took.

    `unchecked` says that something could not be compared, which `found` names. `kinds`
    are counts by name, of a check that has such. `about` says which election it is,
    once the manifest's signature held: its `election` id and its `manifest_hash`, hex.
    """

    check: str
    count: int
    found: str
    seconds: float = 0.0
    unchecked: bool = False
    kinds: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Case:
    """An export under verification, and what the checks so far have established."""

    reading: Reading
    kept: Kept
    executor: Executor
    tell: Tell
    manifest: manifests.Manifest
    m: bytes
    about: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    # Of the receipt log: leaf hash to index, tags, root; leaf hashes of receipts.
    leaves: dict[bytes, int] = field(default_factory=dict)
    tags: list[bytes] = field(default_factory=list)
    root: bytes = EMPTY_ROOT
    receipts: set[bytes] = field(default_factory=set)
    # Of the audit log: how often each kind, whom the kinds below name, how many voters
    # were eligible from each roster version on, and the hash of the closing statement.
    events: dict[str, int] = field(default_factory=dict)
    issued: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    rosters: dict[int, int] = field(default_factory=dict)
    # When the election went on from step to step; in which hours votes were accepted
    # and tokens issued, as the log writes them.
    steps: dict[str, datetime] = field(default_factory=dict)
    hours: dict[str, set[bytes]] = field(default_factory=dict)
    # Of histories: when the workflow began that got a vote, or a claim, first.
    cast: dict[str, datetime] = field(default_factory=dict)
    claimed: dict[str, datetime] = field(default_factory=dict)
    # Of stored ballots: how many of each style.
    styles: Counter[str] = field(default_factory=Counter)
    finished: str | None = None
    # The closing statement was signed: nothing can come after it.
    final: bool = False
    # What of the end is not in the audit log yet, though it waits for it.
    early: TooEarly | None = None
    _since: float = field(default_factory=time.monotonic)

    @property
    def counts(self) -> dict[str, Any]:
        """What the export says was counted in the database."""
        return dict(self.about["counts"])

    @property
    def unlinked(self) -> bool:
        """Its histories are gone: an export from before has them.

        The signed log says so. An export that says so itself, of an event that waits
        for the log, was made too early.
        """
        waits = self.early is not None and self.about["status"] == "unlinked"
        return "election_unlinked" in self.events or waits

    @property
    def election(self) -> str:
        return str(self.manifest["id"])

    @property
    def origin(self) -> str:
        return manifests.receipt_key(self.manifest)[0]

    def held(
        self,
        check: str,
        count: int,
        found: str,
        *,
        unchecked: bool = False,
        kinds: Mapping[str, int] | None = None,
    ) -> None:
        now = time.monotonic()
        took = now - self._since
        self.rows.append(Row(check, count, found, took, unchecked, kinds or {}))
        self._since = now

    def on_every_core(
        self, work: Callable[..., U], parts: Iterable[T], *more: Any
    ) -> Iterator[U]:
        """`work(part, *more)` of each part, in order, a bounded number at a time.

        Raises Unending for one that does not end.
        """
        rest = iter(parts)
        jobs: list[tuple[Future[U], T]] = []
        while True:
            some = islice(rest, AT_ONCE - len(jobs))
            jobs += [(self.executor.submit(work, p, *more), p) for p in some]
            if not jobs:
                return
            job, part = jobs.pop(0)
            try:
                done = job.result(JOB_S)
            except TimeoutError:
                raise Unending(part) from None
            yield done
