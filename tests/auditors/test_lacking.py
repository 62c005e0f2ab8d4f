"""Temporal lists a workflow late: an export waits for it, and says what it lacks."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
)

from tests.auditors.conftest import Bureau, verify
from tests.auditors.test_finished import issue, slip_in
from tests.support.elections import MadeElection
from tests.support.faults import Console
from tests.support.processes import eventually
from tests.support.voting import at_once
from votepyramid.auditors.folder import Writing
from votepyramid.auditors.gathering import Due, Gathering, Lacking
from votepyramid.engine import control
from votepyramid.engine.histories import Execution
from votepyramid.settings import Settings
from workflows import messages as m
from workflows.attributes import ELECTION


@pytest.fixture
def election(bureau: Bureau, request: pytest.FixtureRequest) -> MadeElection:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60]
    made = bureau.engine.make_election(id=name, voters=3)
    (door,) = bureau.engine.doors(made)
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(2))
    assert {one.status_code for one in at_once(door.cast, ballots)} == {200}
    return made


@pytest.fixture
def settings(bureau: Bureau) -> Settings:
    env = bureau.engine.env
    return Settings(
        temporal_address=env["VOTEPYRAMID_TEMPORAL_ADDRESS"],
        codec_keys_file=env["VOTEPYRAMID_CODEC_KEYS_FILE"],
    )


def test_what_is_listed_late_is_waited_for(
    bureau: Bureau, election: MadeElection, settings: Settings, tmp_path: Path
) -> None:
    (door,) = bureau.engine.doors(election)
    late = door.ballot("v2")
    told: list[tuple[int, int]] = []

    def tell(what: str, done: int, total: int) -> None:
        if what == "histories awaited":
            told.append((done, total))
            # After everything was listed once.
            assert len(told) > 1 or door.cast(late).status_code == 200

    out = Writing(tmp_path, election.id)
    gathering = Gathering(settings, election.id, out, tell)
    due = Due(votes=frozenset([late.receipt_hash]))
    assert not gathering.gather([], due, 30)
    assert told[0] == (0, 1)
    # And whatever is there already is read when an export goes on.
    again = Gathering(settings, election.id, out, lambda *_: None)
    assert not again.gather([], due, 0)
    nothing = Due(votes=frozenset(["ab" * 32]), claims=frozenset(["nobody"]))
    assert again.gather([], nothing, 0) == Lacking(1, 1)


def test_what_never_comes_is_said(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    issue(election, "ghost", "v2")
    slip_in(election)
    bureau.sequence()
    done = bureau.export(election.id, tmp_path / "export")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["lacking"] == {"votes": 1, "tokens": 1}
    # What there is can be verified; it names them once the election is finished.
    assert verify(tmp_path / "export").returncode == 0


def test_what_has_ended_since_it_was_listed_is_closed(
    bureau: Bureau, election: MadeElection, settings: Settings
) -> None:
    console = Console(bureau.engine.env)
    pair = SearchAttributePair(ELECTION, election.id)
    handle = console.run(
        console.client.start_workflow(
            m.SUBMIT_VOTES,
            m.SubmitVotesInput(election.id, "late", []),
            id=f"votes/{uuid.uuid4()}",
            task_queue="nobody",
            search_attributes=TypedSearchAttributes([pair]),
        )
    )
    ended: list[Execution] = []
    got: list[Execution] = []

    def wanted(one: Execution) -> bool:
        if one.workflow_id == handle.id and not one.closed and not ended:
            ended.append(one)
            with ThreadPoolExecutor(1) as beside:
                beside.submit(console.run, handle.terminate()).result()
        return True

    def gather() -> bool:
        got.clear()
        control.gather_histories(
            settings,
            election.id,
            wanted,
            lambda one, document: got.append(one),
            lambda done, total: None,
        )
        return bool(ended)

    assert eventually(gather, 30)
    assert [one.closed for one in got if one.workflow_id == handle.id] == [True]
