"""A KMS that hangs, dies and comes back, while voters cast.

OpenBao's own server behind a web process and workers, frozen by SIGSTOP: it takes
connections and answers nothing, as a host does that has lost its disk.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.keys.openbao import Bao
from tests.support.databases import Database
from tests.support.elections import MadeElection
from tests.support.engines import Engine, running
from tests.support.faults import Console
from tests.support.needs import needs
from tests.support.processes import eventually
from tests.support.voting import Ballot, Door, assert_problem
from votepyramid.keys import providers
from votepyramid.stack.devserver import DevServer

pytestmark = needs("openbao")

HOLD_S = 16
STUCK = 2
VOTERS = 100
DATA_KEY_ROWS = 8
CLAIMS_A_MINUTE = 40


class Kms:
    """The server as a process: to be stopped where it stands, and let go on."""

    def __init__(self, bao: Bao, pid: int) -> None:
        self.bao = bao
        self._pid = pid

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[Kms]:
        """One with a key, in a new folder; it goes on at the end, and is stopped."""
        folder.mkdir()
        with Bao.running(folder) as bao:
            bao.make_key("kek")
            made = cls(bao, bao.pid)
            try:
                yield made
            finally:
                made.thaw()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._pid, signal.SIGCONT)


@pytest.fixture
def kms(tmp_path: Path) -> Iterator[Kms]:
    with Kms.running(tmp_path / "bao") as made:
        yield made


@pytest.fixture
def engine(
    kms: Kms, database: Database, temporal: DevServer, tmp_path: Path
) -> Iterator[Engine]:
    with running(
        database,
        temporal,
        tmp_path,
        kek_provider="vault",
        kek_current="kek",
        kek_timeout=1,
        vault_url=kms.bao.url,
        vault_token_file=kms.bao.token_file,
        key_hold=HOLD_S,
        data_key_rows=DATA_KEY_ROWS,
        groups_stuck=STUCK,
        groups_in_flight=1,
    ) as started:
        yield started


def _election(engine: Engine, kms: Kms, **options: Any) -> MadeElection:
    provider = providers.make(kms.bao.settings("kek"))
    return engine.make_election(provider=provider, **options)


def test_casting_goes_on_and_then_refuses_and_then_goes_on(
    engine: Engine, kms: Kms
) -> None:
    election = _election(engine, kms, voters=VOTERS)
    (door,) = engine.doors(election)
    ballots = [door.ballot(f"v{n}") for n in range(VOTERS)]
    waiting = iter(ballots)
    # Keys are held, in use, and were it not for their renewal at their end soon.
    cast = 0
    began = time.monotonic()
    while time.monotonic() < began + HOLD_S - 2:
        assert door.cast(next(waiting)).status_code == 200
        cast += 1
        time.sleep(1)
    began = time.monotonic()
    kms.freeze()
    # For half of the time at least nobody waits, though data keys fill up meanwhile.
    while time.monotonic() < began + HOLD_S / 2 - 2:
        answer = door.cast(next(waiting))
        assert answer.status_code == 200, answer.text
        cast += 1
        time.sleep(0.2)
    assert cast > 2 * DATA_KEY_ROWS
    more, pending = _until_refused(door, waiting)
    cast += more
    assert time.monotonic() - began > HOLD_S / 2
    assert len(pending) >= STUCK
    assert election.counts().accepted == cast
    late = next(waiting)
    refused = door.cast(late)
    assert_problem(refused, 503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert_problem(door.claim("v0"), 503, "unavailable")
    console = Console(engine.env)
    assert len(console.needing_attention()) >= STUCK
    # What is recorded is answered all the while.
    assert door.cast(ballots[0]).status_code == 200
    kms.thaw()
    for ballot in (*pending, late):
        assert eventually(lambda b=ballot: door.cast(b).status_code == 200, 40)
    assert eventually(lambda: not console.needing_attention(), 20)
    counts = election.counts()
    assert counts.whole() and counts.accepted == cast + len(pending) + 1
    assert "key_not_renewed" in engine.worker.log_text()


def _until_refused(door: Door, waiting: Iterator[Ballot]) -> tuple[int, list[Ballot]]:
    """How many more were recorded, and those that were answered with 202."""
    recorded, pending = 0, []
    for ballot in waiting:
        answer = door.cast(ballot)
        if answer.status_code == 503:
            return recorded, pending
        assert answer.status_code in (200, 202), answer.text
        # Once keys have run out, nobody else gets through.
        assert answer.status_code == 202 or not pending
        recorded += answer.status_code == 200
        if answer.status_code == 202:
            pending.append(ballot)
        time.sleep(0.3)
    raise AssertionError("nobody was refused")


def test_a_key_that_was_destroyed_is_gone_within_its_time(
    engine: Engine, kms: Kms
) -> None:
    """Though it is in use all the time, and renewed."""
    rate = {"claims_per_voter_per_minute": CLAIMS_A_MINUTE + 2}
    election = _election(engine, kms, voters=1, rate=rate)
    (door,) = engine.doors(election)
    assert door.claim("v0").status_code == 200
    kms.bao.destroy_key("kek")
    began = time.monotonic()
    answer = door.claim("v0")
    assert answer.status_code == 200
    while answer.status_code == 200 and time.monotonic() < began + HOLD_S + 10:
        # As often as the manifest's rate allows.
        time.sleep(60 / CLAIMS_A_MINUTE)
        answer = door.claim("v0")
    assert time.monotonic() - began < HOLD_S + 5
    assert_problem(answer, 503, "unavailable")
