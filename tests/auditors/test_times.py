"""The authority signed when votes are taken: no update of a table makes that longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.auditors.conftest import Bureau, discrepancy, verify
from tests.auditors.test_finished import finished
from tests.support.elections import MadeElection
from tests.support.processes import eventually
from votepyramid.elections import service

# What whoever may write the row does to have votes taken for longer.
LONGER = """UPDATE elections SET opens_at = opens_at - interval '1 day',
    closes_at = closes_at + interval '1 day', grace_seconds = 86400 WHERE id = %s"""


def view(election: MadeElection) -> service.ElectionView:
    with election.engine.connect() as connection:
        return service.get(connection, election.id)


def test_a_longer_time_than_was_signed_is_not_taken(
    bureau: Bureau, tmp_path: Path
) -> None:
    made = bureau.engine.make_election(id="longer", voters=2, closes_in=8, grace=0)
    (door,) = bureau.engine.doors(made)
    late = door.ballot("v0")
    signed = view(made)
    with made.sql() as db:
        db.execute(LONGER, (made.id,))
    assert view(made) == signed
    over = "SELECT clock_timestamp() > closes_at - interval '1 day' FROM elections "
    assert eventually(lambda: made.count(f"{over} WHERE id = %s", made.id), 20)
    # The door looks at the row, and lets them in; a worker does not.
    assert door.cast(late).json()["code"] == "election_closed"
    assert door.claim("v1").status_code == 403
    assert (made.counts().issued, made.counts().accepted) == (1, 0)
    bureau.sequence()
    assert bureau.export(made.id, tmp_path / "export").returncode == 0
    assert verify(tmp_path / "export").returncode == 0


@pytest.fixture
def election(bureau: Bureau, request: pytest.FixtureRequest) -> MadeElection:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60]
    return bureau.engine.make_election(id=name, voters=2)


def test_one_that_was_opened_again_is_found(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    (door,) = bureau.engine.doors(election)
    late = door.ballot("v0")
    election.close()
    with election.sql() as db:
        db.execute(
            "UPDATE elections SET status = 'open', closed_at = NULL WHERE id = %s",
            (election.id,),
        )
    assert door.cast(late).status_code == 200
    # It is closed again, as it has to be to be finished.
    found = discrepancy(finished(bureau, election, tmp_path))
    assert found["check"] == "voting time"
    assert "2 events election_closed" in found["problem"]


def test_one_that_was_closed_by_sql_is_found(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    with election.sql() as db:
        db.execute(
            "UPDATE elections SET status = 'closed', closed_at = clock_timestamp() "
            "WHERE id = %s",
            (election.id,),
        )
    election.pass_grace()
    election.finish(bureau.sequence)
    bureau.sequence()
    assert bureau.export(election.id, tmp_path / "export").returncode == 0
    found = discrepancy(tmp_path / "export")
    assert found["check"] == "voting time"
    assert "was never closed" in found["problem"]
