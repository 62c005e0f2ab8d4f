"""A night's faults, made for real: seen on "Now", explained, mended, and over.

The person on duty has the page "Now" open and reloads nothing. What they click on the
way from the fault to its end is counted, and stands in docs/operations.md.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.admin_ui.browsing import Browsing, Visitor
from tests.admin_ui.conftest import PASSPHRASE, add_person
from tests.admin_ui.test_work import Beside
from tests.admin_ui.watch import WELL, Watch
from tests.faults.test_kms import HOLD_S, Kms
from tests.support import databases, sequencing
from tests.support.databases import Database
from tests.support.engines import Engine, running
from tests.support.faults import holding, poisoned
from tests.support.needs import needs
from tests.support.processes import Running, eventually, start_admin, stopping
from tests.support.together import cast_together
from tests.support.voting import Ballot, Door, assert_problem
from tests.work.stuck import stuck_at
from votepyramid.keys import providers
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres
from votepyramid.votes.models import VoteSubmission
from workflows.messages import RECORD_VOTES

pytestmark = [needs("chromium"), pytest.mark.timeout(240)]

WHY = "the office said so"
BOUND, CROWD = 4, 12
_NAMES = (f"night-{number}" for number in count())


@dataclass
class Night:
    """A stack with everything that Now shows, and who watches it."""

    engine: Engine
    watch: Watch
    admin: Running

    def administrator(self, browsing: Browsing, name: str) -> Watch:
        """Another one, who has just come to Now."""
        add_person(self.engine.database, name, "administrator")
        visitor = browsing.visitor(self.admin.url)
        visitor.sign_in(name, PASSPHRASE)
        return Watch(visitor)

    def door(self, voters: int = 2) -> Door:
        """Of an election of its own."""
        election = self.engine.make_election(id=next(_NAMES), voters=voters)
        return self.engine.doors(election)[0]


@contextmanager
def watching(engine: Engine, browsing: Browsing, folder: Path) -> Iterator[Night]:
    add_person(engine.database, "operator", "operator")
    log_seconds = 0.5
    admin = start_admin(engine.env, engine.database, folder, log_seconds=log_seconds)
    sequencer = sequencing.start(
        engine, folder / "checkpoints", folder / "sequencer.log"
    )
    with stopping(admin, sequencer):
        visitor = browsing.visitor(admin.url)
        visitor.sign_in("operator", PASSPHRASE)
        watch = Watch(visitor)
        watch.sees(WELL)
        yield Night(engine, watch, admin)


@pytest.fixture(scope="module")
def night(
    postgres: EmbeddedPostgres,
    template: str,
    temporal: DevServer,
    browsing: Browsing,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Night]:
    """One night for the faults that leave everything as it was."""
    folder = tmp_path_factory.mktemp("night")
    with (
        databases.fresh(postgres, template) as database,
        running(
            database, temporal, folder, waiting_bound=BOUND, threads=2 * CROWD
        ) as engine,
        watching(engine, browsing, folder) as made,
    ):
        yield made


def test_a_worker_gone(night: Night) -> None:
    watch = night.watch
    night.engine.worker.kill()
    watch.sees("No worker reports: votes wait")
    watch.what_to_do("No worker reports", "VotepyramidNoWorker")
    night.engine.start_worker()
    watch.back()
    watch.well_again("a worker is gone")


def test_a_worker_that_is_stopped_on_purpose_is_no_fault(night: Night) -> None:
    gone = night.engine.worker
    night.engine.start_worker(wait=False).wait_for_log("worker_polling")
    assert gone.terminate() == 0
    page = night.watch.visitor.page
    row = page.get_by_role("row", name=f"worker {gone.pid}")
    assert eventually(lambda: "stopped" in row.inner_text(), 20)
    assert WELL in night.watch.now


def test_a_poisoned_vote(night: Night) -> None:
    """The database refuses one vote: it waits alone, and goes on once it is mended."""
    watch, engine = night.watch, night.engine
    election = engine.make_election(id=next(_NAMES))
    (door,) = engine.doors(election)
    with stuck_at(RECORD_VOTES, door, election, Beside(engine.env)) as stuck:
        watch.sees("A workflow needs a person.")
        watch.follow("Look at the work", of="needs a person")
        watch.follow(stuck.workflow_id)
        said = watch.visitor.page.get_by_role("main").inner_text()
        assert "the database refused" in said and "1 vote: 1 only here." in said
        stuck.mend()
        watch.back()
        stuck.recorded_once()
    watch.well_again("a vote is poisoned")


def test_a_vote_that_is_tried_at_once_when_its_cause_is_mended(night: Night) -> None:
    watch, engine = night.watch, night.engine
    election = engine.make_election(id=next(_NAMES))
    (door,) = engine.doors(election)
    with stuck_at(RECORD_VOTES, door, election, Beside(engine.env)) as stuck:
        watch.sees("A workflow needs a person.")
        watch.follow("Look at the work", of="needs a person")
        watch.reads(stuck.workflow_id)
        watch.follow(stuck.workflow_id)
        # Not while an attempt is under way.
        watch.reads("The step is tried at once.")
        watch.visitor.fill(reason=WHY)
        # After that many it is not tried again by itself for eight seconds.
        assert eventually(lambda: stuck.pending().attempt > 5, 30)
        stuck.mend()
        watch.press("Retry")
        assert "The step is tried now" in watch.visitor.page.inner_text("main")
        watch.reads("completed")
        watch.back()
        stuck.recorded_once()
    watch.well_again("the database refused a vote")


def test_a_poisoned_vote_is_ended_by_two(night: Night, browsing: Browsing) -> None:
    """Nobody can mend it: it is as if never sent, and the others are recorded."""
    engine = night.engine
    election = engine.make_election(id=next(_NAMES), voters=4)
    (door,) = engine.doors(election)
    decoy, bad, *good = (door.ballot(f"v{number}") for number in range(4))
    first, second = (night.administrator(browsing, name) for name in ("ada", "bea"))
    with poisoned(
        election, VoteSubmission.__tablename__, "receipt_hash", bad.receipt_hash
    ):
        answers = [one for one, _ in cast_together(door, decoy, [bad, *good])]
        assert [one.status_code for one in answers] == [202, 200, 200]
        first.sees("A workflow needs a person.")
        first.follow("Look at the work", of="needs a person")
        first.reads(f"vote/{bad.receipt_hash}")
        first.follow(f"vote/{bad.receipt_hash}")
        first.visitor.fill(reason=WHY)
        first.press("Terminate…")
        assert "waiting" in first.visitor.heading
        second.sees("second administrator")
        second.follow("Decide")
        second.follow("Terminate a workflow")
        second.reads("1 vote not recorded will be as if never sent")
        second.press("Agree, and do it")
        assert "done" in second.visitor.heading
        assert_problem(door.receipt(bad.receipt_hash), 404, "receipt_unknown")
        for ballot in (decoy, *good):
            assert door.receipt(ballot.receipt_hash).json()["status"] == "accepted"
        second.back()
        second.clicks += first.clicks
        second.well_again("a poisoned vote is ended")
    # Its voter can send it again.
    assert door.insist(bad)
    assert election.counts().whole() and election.counts().accepted == 4


def waiting(watch: Watch, door: Door) -> int:
    """How many requests wait, as Now says in the row of the door's election."""
    title = f"Election {door.election.id}"
    row = watch.visitor.page.get_by_role("row", name=title)
    said = row.get_by_role("cell").nth(5).inner_text()
    return int(said.split(",")[0])


def test_a_full_queue(night: Night) -> None:
    """Somebody holds a lock that every vote needs: more come than get done."""
    watch, door = night.watch, night.door(CROWD)
    ballots: list[Ballot] = [door.ballot(f"v{number}") for number in range(CROWD)]
    with ThreadPoolExecutor(CROWD) as crowd:
        with holding(
            night.engine.database.owner_url, "SELECT 1 FROM vote_tokens FOR UPDATE"
        ):
            receipts = [crowd.submit(door.insist, one, 150) for one in ballots]
            watch.sees("requests a second are turned away")
            assert eventually(lambda: waiting(watch, door) > 0, 20)
            watch.what_to_do("turned away", "VotepyramidShedding")
        watch.back()
        assert len({one.result() for one in receipts}) == CROWD
    watch.well_again("a queue is full")


def test_postgres_refusing(
    own_postgres: EmbeddedPostgres,
    temporal: DevServer,
    browsing: Browsing,
    tmp_path: Path,
) -> None:
    with (
        databases.fresh(own_postgres) as database,
        running(database, temporal, tmp_path) as engine,
        watching(engine, browsing, tmp_path) as night,
    ):
        watch, door = night.watch, night.door()
        ballot = door.ballot("v0")
        own_postgres.stop()
        try:
            watch.sees("Postgres does not answer. Votes wait")
            assert watch.visitor.violations() == []
            # Whoever opens a page now is told the same.
            other = Visitor(night.admin.url, watch.visitor.page.context.new_page())
            for path in ("/", "/elections"):
                assert other.go(path).status == 503
                text = other.page.get_by_role("main").inner_text()
                assert "Postgres does not answer" in text and "What to do" in text
            other.page.close()
            watch.what_to_do("Postgres does not answer", "VotepyramidDatabaseFails")
            assert watch.visitor.violations() == []
        finally:
            own_postgres.start()
        watch.back()
        watch.well_again("Postgres refuses")
        assert door.insist(ballot)


def test_temporal_hanging(
    temporal_cli: Path, database: Database, browsing: Browsing, tmp_path: Path
) -> None:
    server = DevServer(temporal_cli, tmp_path / "temporal")
    server.start()
    assert server.pid is not None
    try:
        with (
            running(database, server, tmp_path) as engine,
            watching(engine, browsing, tmp_path) as night,
        ):
            door = night.door()
            ballot = door.ballot("v0")
            os.kill(server.pid, signal.SIGSTOP)
            sentence = "Temporal does not answer: votes wait"
            night.watch.sees(sentence)
            # Not only at the moment when a question has failed.
            page = night.watch.visitor.page
            with page.expect_response("**/"):
                pass
            page.wait_for_timeout(500)
            assert sentence in night.watch.now
            night.watch.what_to_do(sentence, "VotepyramidTemporalFails")
            os.kill(server.pid, signal.SIGCONT)
            night.watch.back()
            night.watch.well_again("Temporal hangs")
            assert door.insist(ballot)
    finally:
        os.kill(server.pid, signal.SIGCONT)
        server.stop()


@pytest.fixture
def kms(tmp_path: Path) -> Iterator[Kms]:
    with Kms.running(tmp_path / "bao") as made:
        yield made


@needs("openbao")
def test_a_kms_that_hangs(
    kms: Kms,
    database: Database,
    temporal: DevServer,
    browsing: Browsing,
    tmp_path: Path,
) -> None:
    settings = {
        "kek_provider": "vault",
        "kek_current": "kek",
        "kek_timeout": 1,
        "vault_url": kms.bao.url,
        "vault_token_file": kms.bao.token_file,
        "key_hold": HOLD_S,
    }
    with (
        running(database, temporal, tmp_path, **settings) as engine,
        watching(engine, browsing, tmp_path) as night,
    ):
        provider = providers.make(kms.bao.settings("kek"))
        election = engine.make_election(provider=provider)
        (door,) = engine.doors(election)
        first, other = door.ballot("v0"), door.ballot("v1")
        assert door.cast(first).status_code == 200
        with kms.frozen():
            night.watch.sees("The key provider does not answer")
            night.watch.what_to_do("The key provider", "VotepyramidKmsFails")
        night.watch.back()
        night.watch.well_again("the key provider hangs")
        assert door.insist(other)


def test_the_pages_themselves_hang(night: Night, tmp_path: Path) -> None:
    """What is on the screen must not go on saying that all is well."""
    note = night.watch.visitor.page.locator("#stale")
    assert not note.is_visible()
    assert night.admin.pid is not None
    os.kill(night.admin.pid, signal.SIGSTOP)
    try:
        assert eventually(note.is_visible, 40)
        assert "does not answer in time" in note.inner_text()
        assert "is gone" not in note.inner_text()
        assert night.watch.visitor.violations() == []
    finally:
        os.kill(night.admin.pid, signal.SIGCONT)
    assert eventually(lambda: not note.is_visible(), 40)
