"""Refusals at the door leave no event of their own: they are counted by the minute."""

from __future__ import annotations

import uuid

from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.voting import assert_problem


def _counted(election: MadeElection) -> list[tuple[str, str, int]]:
    with election.sql() as db:
        return db.execute(
            "SELECT kind, detail ->> 'code', (detail ->> 'count')::int "
            "FROM audit_events WHERE election = %s AND kind LIKE '%%\\_refused' "
            "AND subject IS NULL ORDER BY kind, 2",
            (election.id,),
        ).fetchall()


def test_unknown_early_and_late_votes_are_counted_apart(engine: Engine) -> None:
    election = engine.make_election(id="counted", voters=1, grace=0)
    door = engine.doors(election)[0]
    ballot, unknown = door.ballot("v0"), door.seal(uuid.uuid4())
    open_in = "UPDATE elections SET opens_at = now() + interval '%s s' WHERE id = %s"
    with election.sql() as db:
        db.execute(open_in % (600, "'counted'"))
        for _ in range(2):
            assert_problem(door.cast(ballot), 403, "election_not_open")
        db.execute(open_in % (-600, "'counted'"))
    election.close()
    for _ in range(3):
        assert_problem(door.cast(ballot), 403, "election_closed")
    for _ in range(4):
        assert_problem(door.cast(unknown), 403, "token_unknown")
    assert _counted(election) == []
    # What was counted is written at the latest when the process leaves.
    engine.restart()
    assert _counted(election) == [
        ("junk_refused", "token_unknown", 4),
        ("untimely_refused", "election_closed", 3),
        ("untimely_refused", "election_not_open", 2),
    ]
