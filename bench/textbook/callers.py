"""The load generator for the textbook: callers that wait for their workflow's result.

python -m bench.textbook.callers SPEC RESULT
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop
from temporalio.client import Client

from bench import cpu
from bench.ballots import Ballots
from bench.election import ID
from bench.rounds import Result, Spec, Window
from bench.textbook import messages as t
from bench.textbook.workflow import TextbookWorkflow
from votepyramid.engine.connection import connect
from votepyramid.settings import Settings
from workflows.messages import CastVote


async def main(spec_file: Path, result_file: Path) -> None:
    spec = Spec.read(spec_file)
    ballots = Ballots(spec)
    votes = [ballots.vote(number) for number in range(len(ballots))]
    client = await connect(Settings.load(), role="callers")
    window = Window(spec.warm_up, spec.seconds, time.perf_counter())
    waiting = iter(range(len(votes)))
    answers: dict[int, bytes] = {}

    async def call() -> None:
        while time.perf_counter() < window.closes:
            number = next(waiting, None)
            if number is None:
                window.ran_out(time.perf_counter())
                return
            sent = time.perf_counter()
            answers[number] = await _execute(client, votes[number])
            window.answered(sent, time.perf_counter())

    used = asyncio.create_task(_used(spec, window))
    async with asyncio.TaskGroup() as group:
        for _ in range(spec.clients):
            group.create_task(call())
    for number, answer in answers.items():
        ballots.verify(number, answer)
    Result(
        window.seconds,
        window.latencies(),
        len(answers),
        await used,
        exhausted=window.exhausted,
    ).write(result_file)


async def _used(spec: Spec, window: Window) -> dict[str, float]:
    await asyncio.sleep(window.opens - time.perf_counter())
    before = cpu.used(spec.parts)
    while (left := window.closes - time.perf_counter()) > 0:
        await asyncio.sleep(min(left, 0.1))
    return cpu.between(before, cpu.used(spec.parts))


async def _execute(client: Client, vote: CastVote) -> bytes:
    receipt: str = await client.execute_workflow(
        TextbookWorkflow.run,
        t.TextbookVote(ID, vote),
        id=f"textbook/{vote.receipt_hash}",
        task_queue=t.TASK_QUEUE,
    )
    return receipt.encode()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
    sys.stdout.flush()
    os._exit(0)
