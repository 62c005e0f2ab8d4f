"""When ballots are taken: not before the election opens, through the grace time."""

from __future__ import annotations

import time

from tests.support.engines import Engine
from tests.support.voting import assert_problem


def test_a_ballot_before_the_election_opens(engine: Engine) -> None:
    election = engine.make_election(id="early", voters=1)
    door = engine.doors(election)[0]
    ballot = door.ballot("v0")
    move = "UPDATE elections SET opens_at = now() + interval '%s s' WHERE id = 'early'"
    with election.sql() as db:
        db.execute(move % 600)
    assert_problem(door.cast(ballot), 403, "election_not_open")
    assert_problem(door.claim("v0"), 403, "election_not_open")
    assert election.counts().rejected == 0
    with election.sql() as db:
        db.execute(move % -600)
    assert door.cast(ballot).status_code == 200


def test_an_election_that_was_not_opened(engine: Engine) -> None:
    election = engine.make_election(id="draft", voters=1, open=False)
    door = engine.doors(election)[0]
    assert_problem(door.claim("v0"), 403, "election_not_open")
    election.open()
    assert door.claim("v0").status_code == 200


def test_an_election_whose_time_has_not_come(engine: Engine) -> None:
    election = engine.make_election(id="tomorrow", voters=1, opens_in=3600)
    door = engine.doors(election)[0]
    assert_problem(door.claim("v0"), 403, "election_not_open")


def test_the_grace_time_is_for_casting_only(engine: Engine) -> None:
    election = engine.make_election(id="grace", voters=3, grace=4)
    door = engine.doors(election)[0]
    in_time, too_late = door.ballot("v0"), door.ballot("v1")
    election.close()
    closed = time.monotonic()
    assert_problem(door.claim("v2"), 403, "election_closed")
    # Who holds a token may ask for it again as long as it can be cast.
    assert door.token("v1") == too_late.bearer
    assert door.cast(in_time).status_code == 200
    time.sleep(max(0.0, closed + 4.1 - time.monotonic()))
    assert_problem(door.cast(too_late), 403, "election_closed")
    assert_problem(door.claim("v1"), 403, "election_closed")
    counts = election.counts()
    assert (counts.accepted, counts.used, counts.rejected) == (1, 1, 0)


def test_an_election_that_ends_by_its_own_clock(engine: Engine) -> None:
    election = engine.make_election(id="ends", voters=2, closes_in=4, grace=1)
    door = engine.doors(election)[0]
    first, second = door.ballot("v0"), door.ballot("v1")
    assert door.cast(first).status_code == 200
    time.sleep(5.2)
    assert_problem(door.cast(second), 403, "election_closed")
    assert_problem(door.claim("v0"), 403, "election_closed")
