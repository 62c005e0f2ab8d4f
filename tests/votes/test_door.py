"""Those who stand at the door at the same time: one read, and each their own answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import httpx2

from tests.support.engines import Engine
from tests.support.faults import BALLOTS_LOCKED, holding, wait_until_blocked
from tests.support.voting import Ballot, Door, assert_problem


def again(door: Door, ballot: Ballot) -> httpx2.Response:
    """Cast, once more if the read was held for longer than a read may wait."""
    answer = door.cast(ballot)
    return door.cast(ballot) if answer.status_code == 503 else answer


def crowd_at_the_door(
    door: Door,
    first: Ballot,
    others: list[tuple[Door, Ballot]],
    seconds: float,
    cast: Callable[[Door, Ballot], httpx2.Response],
) -> tuple[httpx2.Response, list[httpx2.Response]]:
    """Cast `first`, whose read is held for so long, and meanwhile all the others."""
    with ThreadPoolExecutor(1 + len(others)) as threads:
        with holding(door.election.database.owner_url, BALLOTS_LOCKED):
            held = threads.submit(cast, door, first)
            wait_until_blocked(door.election, program="votepyramid-web")
            waiting = [threads.submit(cast, to, ballot) for to, ballot in others]
            time.sleep(seconds)
        return held.result(), [one.result() for one in waiting]


def test_everybody_gets_their_own_answer(
    engine: Engine, door: Door, voters: Iterator[str]
) -> None:
    over = engine.make_election(id="at-the-door", voters=1, grace=0)
    elsewhere = Door(door.url, over)
    late = elsewhere.ballot("v0")
    over.close()
    before, *new = [door.ballot(voter) for voter in islice(voters, 12)]
    receipt = door.cast(before).content
    nobody = door.seal(uuid.uuid4())
    others = [(elsewhere, late), (door, before), (door, nobody)]
    others += [(door, ballot) for ballot in new[1:]]
    first, answers = crowd_at_the_door(door, new[0], others, 0.3, again)
    assert_problem(answers[0], 403, "election_closed")
    assert answers[1].content == receipt
    assert_problem(answers[2], 403, "token_unknown")
    for ballot, answer in zip(new, [first, *answers[3:]], strict=True):
        assert answer.status_code == 200, answer.text
        assert door.receipt(ballot.receipt_hash).content == answer.content
    assert len({answer.content for answer in answers[3:]}) == len(new) - 1


def test_a_read_that_fails_is_told_to_all_who_waited_for_it(
    door: Door, voters: Iterator[str]
) -> None:
    """And to nobody who comes later: the next of them reads anew."""
    ballots = [door.ballot(voter) for voter in islice(voters, 6)]
    others = [(door, ballot) for ballot in ballots[1:]]
    # Longer than a read waits for a lock, and than the next one would.
    first, answers = crowd_at_the_door(door, ballots[0], others, 2.6, Door.cast)
    for answer in (first, *answers):
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    receipts = [door.insist(ballot) for ballot in ballots]
    assert len({*receipts}) == len(ballots)
    assert door.election.counts().whole()
