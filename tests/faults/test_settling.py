"""Votes answered with 202 whose workflow an operator has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.faults import Console, poisoned
from tests.support.processes import eventually
from tests.support.voting import Door
from votepyramid.votes.models import VoteSubmission

NAMES = iter(f"settling-{number}" for number in range(100))


TEARDOWN = "import atexit, sys; atexit.register(sys.stderr.write, 'torn down');"


@pytest.fixture
def election(calm: Engine) -> MadeElection:
    return calm.make_election(id=next(NAMES), voters=2)


@pytest.fixture
def door(calm: Engine, election: MadeElection) -> Door:
    return calm.doors(election)[0]


def settle(calm: Engine, election: MadeElection) -> dict[str, list[str]]:
    """`election settle`, ended without tearing the interpreter down: with Temporal's
    native threads in it that aborts at times."""
    owner = {"VOTEPYRAMID_OWNER_DATABASE_URL": election.database.owner_url}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            TEARDOWN + "from votepyramid.cli import main; main()",
            "election",
            "settle",
            election.id,
            "--json",
        ],
        env=os.environ | calm.env | owner,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torn down" not in done.stderr
    answer: dict[str, list[str]] = json.loads(done.stdout)
    return answer


def test_a_vote_under_way_is_left_alone_and_an_ended_one_is_settled(
    calm: Engine, door: Door, election: MadeElection, console: Console
) -> None:
    bad = door.ballot("v0")
    child = f"vote/{bad.receipt_hash}"
    with poisoned(
        election, VoteSubmission.__tablename__, "receipt_hash", bad.receipt_hash
    ):
        pending = door.cast(bad)
        assert pending.status_code == 202, pending.text
        status_url = pending.json()["status_url"]
        assert eventually(lambda: console.needing_attention() == [child])
        assert settle(calm, election)["running"] == [bad.receipt_hash]
        assert door.http.get(status_url).status_code == 202

        console.run(console.handle(child).terminate("by the election office"))
        assert settle(calm, election)["ended"] == [bad.receipt_hash]
        settled = "SELECT sum((detail ->> 'ended')::int) FROM audit_events "
        settled += "WHERE kind = 'votes_settled' AND election = %s"
        assert election.count(settled, election.id) == 1
        # As if never sent; and the voter is told to send the same bytes again.
        answer = door.http.get(status_url)
        assert (answer.status_code, answer.json()["code"]) == (404, "receipt_unknown")
        assert settle(calm, election) == {
            "id": election.id,
            "ended": [],
            "running": [],
            "lately": [],
        }
    assert door.cast(bad).status_code == 200
    assert door.http.get(status_url).status_code == 200
    assert election.counts().whole()
