"""CloseElection: from the announced time to the signed closing statement.

One at a time for each election, by its workflow id. It waits and asks again; what it
may do, and whether it is done, stands in the database, and each step does nothing that
was done before.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import messages as m
    from workflows.messages import ATTEMPT_TIMEOUT
    from workflows.steps import LOCAL_RETRIES, PATIENT_RETRIES, flag, unflag

# Signing reads the whole log. Its worker beats for as long as it lives.
HEARTBEAT = timedelta(seconds=15)
SIGNING_TIMEOUT = timedelta(hours=2)
# Between two looks at what no clock ends: a second, then longer and longer.
LONGEST_PAUSE = 15.0
# A timer that is a little early must not become many.
SHORTEST_PAUSE = 0.2
# Since when a phase lasts is told by its pauses: an auditor replays a history that has
# one time. Runs that were begun before go by the clock.
BY_PAUSES = "patience by pauses"
MAKES = "the closing statement is being made"
FAILS = "a step fails, and is tried again until it succeeds: see its last failure"


@workflow.defn(name=m.CLOSE_ELECTION)
class CloseElection:
    """Ends when the statement is signed, or when nobody asks for it any more."""

    @workflow.init
    def __init__(self, asked: m.CloseElectionInput) -> None:
        self._asked = asked
        self._state = asked.so_far or m.ClosingState(m.ANNOUNCED)
        self._since = asked.since
        self._waited = asked.waited
        self._by_pauses = False
        # When the clock ends the phase; else how often it was looked at.
        self._seconds: float | None = None
        self._same = 0
        self._looks = 0
        self._at = m.CLOSE_WHEN_DUE
        self._again = False

    @workflow.query(name=m.CLOSING_STATE)
    def closing_state(self) -> m.ClosingState:
        return self._state

    @workflow.signal(name=m.LOOK_AGAIN)
    def look_again(self) -> None:
        self._again = True

    @workflow.run
    async def run(self, asked: m.CloseElectionInput) -> m.ClosingState:
        self._by_pauses = workflow.patched(BY_PAUSES)
        for step in (m.CLOSE_WHEN_DUE, m.LOOK_AT_CLOSING, m.SIGN_CLOSING):
            self._at = step
            if step == m.SIGN_CLOSING:
                self._note(m.ClosingSeen(m.SIGNING, MAKES))
            while not await self._step(step):
                if self._state.phase == m.NOT_ASKED:
                    return self._state
                await self._pause()
        return self._state

    async def _step(self, name: str) -> bool:
        """Do a step, and say whether the next one's turn has come."""
        while True:
            self._again = False
            seen = await self._done(name)
            if seen.phase != m.NOT_ASKED or not self._again:
                break
            # Asked for once more while it was found to be called off.
        if seen.phase == m.FINISHED or not seen.done:
            self._note(seen)
        return seen.done

    async def _done(self, name: str) -> m.ClosingSeen:
        """A step, until it succeeds; flagged when it does not at first."""
        local = name != m.SIGN_CLOSING
        try:
            return await _quick(name, self._asked.election, local=local)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
        self._tell(replace(self._state, waiting_for=FAILS), attention=True)
        return await _regular(name, self._asked.election, PATIENT_RETRIES)

    def _note(self, seen: m.ClosingSeen) -> None:
        changed = seen.phase != self._state.phase
        self._seconds = seen.seconds
        self._same = 0 if changed else self._same + 1
        waits = seen.phase in (m.VOTES, m.LOG)
        if changed or not waits:
            self._waited = 0.0
            self._since = None
        said = m.ClosingState(seen.phase, seen.until, seen.waiting_for)
        long = self._has_waited(waits) > self._asked.patience
        self._tell(said, attention=seen.trouble or long)

    def _has_waited(self, waits: bool) -> float:
        """For how long the phase has lasted, in seconds."""
        if self._by_pauses or not waits:
            return self._waited
        if self._since is None:
            self._since = workflow.time()
        return workflow.time() - self._since

    def _tell(self, state: m.ClosingState, *, attention: bool) -> None:
        if attention and not self._state.needs_attention:
            flag(self._at)
        elif self._state.needs_attention and not attention:
            unflag()
        self._state = replace(state, needs_attention=attention)

    async def _pause(self) -> None:
        """Until the clock ends the phase, or it is time to look, or a signal says."""
        self._looks += 1
        if self._looks >= self._asked.looks:
            workflow.continue_as_new(
                replace(
                    self._asked,
                    so_far=self._state,
                    since=self._since,
                    waited=self._waited,
                )
            )
        pause = self._seconds
        if pause is None:
            pause = min(LONGEST_PAUSE, 2.0 ** min(self._same, 4))
        pause = max(SHORTEST_PAUSE, pause)
        try:
            await workflow.wait_condition(lambda: self._again, timeout=pause)
        except TimeoutError:
            self._waited += pause


async def _quick(name: str, election: str, *, local: bool) -> m.ClosingSeen:
    if not local:
        return await _regular(name, election, LOCAL_RETRIES)
    seen: m.ClosingSeen = await workflow.execute_local_activity(
        name,
        election,
        result_type=m.ClosingSeen,
        start_to_close_timeout=ATTEMPT_TIMEOUT,
        retry_policy=LOCAL_RETRIES,
    )
    return seen


async def _regular(name: str, election: str, retries: RetryPolicy) -> m.ClosingSeen:
    """A step that can be seen, paused and retried."""
    signs = name == m.SIGN_CLOSING
    seen: m.ClosingSeen = await workflow.execute_activity(
        name,
        election,
        result_type=m.ClosingSeen,
        start_to_close_timeout=SIGNING_TIMEOUT if signs else ATTEMPT_TIMEOUT,
        heartbeat_timeout=HEARTBEAT if signs else None,
        retry_policy=retries,
    )
    return seen
