"""Ten thousand open workflows: most wait for a worker, and some are stuck for real.

The stuck ones are groups of real ballots that a worker took up while Postgres refused
every vote: their histories are those of trouble, and they ask for a person by
themselves. No worker polls afterwards.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
)

from bench import election
from bench.ballots import Ballots
from bench.place import Place
from bench.rounds import Spec
from votepyramid.engine.connection import connect
from votepyramid.stack.errors import StackError
from workflows import messages as m
from workflows.attributes import ATTENTION, ELECTION

STUCK, BALLOTS = 100, 8
AT_ONCE = 64
_PATIENCE_S = 180.0
# Insufficient resources: what is wrong is the database, not a vote.
_REFUSE = """
CREATE FUNCTION bench_refuses() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER bench_refuses BEFORE INSERT ON vote_submissions
FOR EACH STATEMENT EXECUTE FUNCTION bench_refuses()
"""
_NOTED = """
INSERT INTO vote_groups (receipt_hash, election, group_id, held_by)
SELECT receipt_hash, %(e)s, id, ARRAY[id]
FROM unnest(%(hashes)s::text[], %(ids)s::text[]) AS noted (receipt_hash, id)
ON CONFLICT (receipt_hash) DO NOTHING
"""


@dataclass(frozen=True)
class Opened:
    """Ids of workflows, for pages of one."""

    stuck: str
    waiting: str
    receipt_hash: str


def open_workflows(place: Place, number: int) -> Opened:
    """Start so many, a hundredth of them to get stuck."""
    stuck = min(STUCK, max(1, number // 100))
    return asyncio.run(_open(place, number, stuck))


async def _open(place: Place, number: int, stuck: int) -> Opened:
    client = await connect(place.settings, role="bench")
    ballots = _ballots(place, stuck * BALLOTS)
    groups = [_group(ballots, at * BALLOTS, BALLOTS) for at in range(stuck)]
    _note(place, groups)
    await _each(groups, lambda one: _start(client, place, one))
    with _refusing(place):
        await _until_stuck(client, stuck)
    rest = [_group(ballots, at % len(ballots), 1) for at in range(number - stuck)]
    _note(place, rest)
    await _each(rest, lambda one: _start(client, place, one))
    return Opened(groups[0].group_id, rest[0].group_id, groups[0].votes[0].receipt_hash)


def _ballots(place: Place, number: int) -> Ballots:
    spec = Spec(
        manifest=str(place.prepared.manifest),
        bearers=str(place.prepared.bearers),
        first=0,
        ballots=number,
        clients=1,
        warm_up=0.0,
        seconds=0.0,
        parts={},
    )
    return Ballots(spec)


def _group(ballots: Ballots, first: int, size: int) -> m.SubmitVotesInput:
    votes = [ballots.vote(number) for number in range(first, first + size)]
    if size == 1:
        # The same ballot over and over: nobody will look into it.
        votes[0].receipt_hash = secrets.token_hex(32)
    return m.SubmitVotesInput(election.ID, f"votes/{uuid.uuid4().hex}", votes)


def _note(place: Place, groups: list[m.SubmitVotesInput]) -> None:
    """Their voters were answered 202."""
    noted = [(v.receipt_hash, one.group_id) for one in groups for v in one.votes]
    hashes, ids = map(list, zip(*noted, strict=True))
    with place.owner() as db:
        db.execute(_NOTED, {"e": election.ID, "hashes": hashes, "ids": ids})


async def _each(
    groups: list[m.SubmitVotesInput],
    start: Callable[[m.SubmitVotesInput], Awaitable[None]],
) -> None:
    waiting: Iterator[m.SubmitVotesInput] = iter(groups)

    async def run() -> None:
        for one in waiting:
            await start(one)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(run())


async def _start(client: Client, place: Place, group: m.SubmitVotesInput) -> None:
    attributes = [SearchAttributePair(ELECTION, group.election)]
    await client.start_workflow(
        m.SUBMIT_VOTES,
        group,
        id=group.group_id,
        task_queue=place.settings.vote_task_queue,
        task_timeout=m.TASK_TIMEOUT,
        search_attributes=TypedSearchAttributes(attributes),
    )


async def _until_stuck(client: Client, number: int) -> None:
    query = f"{ATTENTION.name} = true AND ExecutionStatus = 'Running'"
    async with asyncio.timeout(_PATIENCE_S):
        while (await client.count_workflows(query)).count < number:
            await asyncio.sleep(0.5)


@contextmanager
def _refusing(place: Place) -> Iterator[None]:
    """A worker, and a database that takes no vote; both are over at the end."""
    worker = place.stack.program("worker", ["worker", "--role", "cast"], {})
    with place.owner() as db:
        db.execute(_REFUSE)
        worker.start()
        try:
            yield
        except TimeoutError:
            raise StackError("workflows do not get stuck: see the worker") from None
        finally:
            worker.stop()
            db.execute("DROP FUNCTION bench_refuses() CASCADE")
