"""Deciding what travels in one group, on an engine with one group in flight."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx2

from tests.support.faults import holding, token_held, wait_until_blocked
from tests.support.voting import Ballot, Door


@contextmanager
def gathering(door: Door, decoy: Ballot) -> Iterator[None]:
    """While a group is under way, what is cast inside gathers into the next one."""
    with (
        ThreadPoolExecutor(1) as thread,
        token_held(door.election, decoy.bearer),
    ):
        held: Future[httpx2.Response] = thread.submit(door.cast, decoy)
        wait_until_blocked(door.election)
        yield
    assert held.result().status_code in (200, 202)


def cast_together(
    door: Door, decoy: Ballot, ballots: list[Ballot]
) -> list[tuple[httpx2.Response, float]]:
    """Cast so that all travel in one group; answers with the seconds they took."""

    def cast(ballot: Ballot) -> tuple[httpx2.Response, float]:
        answer = door.cast(ballot)
        return answer, time.monotonic()

    with ThreadPoolExecutor(len(ballots)) as threads:
        with gathering(door, decoy):
            waiting = [threads.submit(cast, ballot) for ballot in ballots]
            time.sleep(1)
        released = time.monotonic()
        return [(one.result()[0], one.result()[1] - released) for one in waiting]


def claim_together(door: Door, decoy: str, voters: list[str]) -> list[httpx2.Response]:
    """Claim so that all but the decoy travel in one group."""
    with ThreadPoolExecutor(len(voters) + 1) as threads:
        # Issuing looks the voter's row up by its foreign key, and waits for it.
        with holding(
            door.election.database.owner_url,
            "SELECT 1 FROM voters WHERE voter_id = %s FOR UPDATE",
            decoy,
        ):
            threads.submit(door.claim, decoy)
            wait_until_blocked(door.election)
            waiting = [threads.submit(door.claim, voter) for voter in voters]
            time.sleep(0.5)
        return [one.result() for one in waiting]
