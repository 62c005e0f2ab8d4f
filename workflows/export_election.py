"""ExportElection and RemoveExport: what auditors get is written, and removed again.

One at a time for each election, by its workflow id. What is to be done stands in the
database: each step does what is asked for there, and finds what was done before.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import messages as m
    from workflows.steps import PATIENT_RETRIES, flag, unflag

# Its worker beats for as long as it gets on.
HEARTBEAT = timedelta(seconds=15)
WRITING_TIMEOUT = timedelta(hours=24)
# About a minute: nobody waits for an export as a voter waits for an answer.
TRIES = 10


@workflow.defn(name=m.EXPORT_ELECTION)
class ExportElection:
    """Ends when no export of the election is asked for any more."""

    def __init__(self) -> None:
        self._again = False

    @workflow.signal(name=m.LOOK_AGAIN)
    def look_again(self) -> None:
        self._again = True

    @workflow.run
    async def run(self, asked: m.ExportElectionInput) -> str:
        """The id of the last export that was written; empty when there was none."""
        last = ""
        while True:
            self._again = False
            written = await _done(m.WRITE_EXPORT, asked.election, asked.tries)
            last = written or last
            # Asked for once more, while it was found that nothing is left to do.
            if not self._again:
                return last


@workflow.defn(name=m.REMOVE_EXPORT)
class RemoveExport:
    """Ends when the files of an export, by its id, are gone."""

    @workflow.run
    async def run(self, export: str) -> str:
        """The id, when they were deleted now."""
        return await _done(m.REMOVE_FILES, export, TRIES)


async def _done(name: str, argument: str, tries: int) -> str:
    """A step, until it succeeds; flagged when it does not get on."""
    try:
        first = replace(PATIENT_RETRIES, maximum_attempts=tries)
        return await _step(name, argument, first)
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
    flag(name)
    done = await _step(name, argument, PATIENT_RETRIES)
    unflag()
    return done


async def _step(name: str, argument: str, retries: RetryPolicy) -> str:
    done: str = await workflow.execute_activity(
        name,
        argument,
        result_type=str,
        start_to_close_timeout=WRITING_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=retries,
    )
    return done
