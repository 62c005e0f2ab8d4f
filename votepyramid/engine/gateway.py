"""The gateway: one durable workflow for the requests that are waiting now.

A workflow costs more than a vote, so votes travel together. When it is quiet a group
is one vote and starts at once; while one is under way the next fills up to a bound
(see `pacing.py`). Each caller waits in its own thread.

An answer goes out when the group's transaction has committed, not when its workflow
has closed: a notification wakes the group, which reads the tables. Refusals and
everything a notification could not tell come with the workflow's result.

Nothing here decides anything. A process that dies with requests in its queue leaves
no trace of them, and the same bytes can be sent again; one that dies with groups
under way leaves them to the workers, and the same bytes find the receipt.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic

import structlog
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine import metrics
from votepyramid.engine.connection import LoopThread, vital
from votepyramid.engine.groups import Group, Place, begun_anew, kind, start
from votepyramid.engine.line import AnswerT, Isolated, Item, Line
from votepyramid.engine.pacing import Pacing
from votepyramid.engine.shedding import Crowd, Shedding
from votepyramid.errors import Code, Refused
from votepyramid.observing import tracing
from votepyramid.settings import Settings

log = structlog.get_logger(__name__)

# How long a group relies on its notification before it also asks for the result,
# and how often it looks at the tables whatever it hears.
NOTIFY_GRACE_S = 0.25
LOOK_S = 1.0
# How many elections a report names whose requests wait.
LONGEST_QUEUES = 50


class Gateway(Generic[AnswerT]):
    """Groups one line's requests. `placed` from any thread, the rest on the loop."""

    def __init__(
        self,
        line: Line[AnswerT],
        settings: Settings,
        threads: LoopThread,
        client: Callable[[], Awaitable[Client]],
        crowd: Crowd,
    ) -> None:
        self._line = line
        self._settings = settings
        self._threads = threads
        self._client = client
        self._crowd = crowd
        self._lock = threading.Lock()
        self._queue: deque[Place[AnswerT]] = deque()
        self._places: dict[tuple[str, str], Place[AnswerT]] = {}
        self._running: dict[str, Group[AnswerT]] = {}
        self._shedding = Shedding(line.prefix, settings)
        self._draining = False
        self._told = False
        self._pacing: Pacing | None = None

    # Called from web threads.

    @contextlib.contextmanager
    def placed(self, item: Item[AnswerT]) -> Iterator[Place[AnswerT]]:
        """A place for this request to wait in, the same one for the same request.

        Whoever leaves last without an answer, while the request is still in the
        queue, takes it out.

        Raises Refused: OVERLOADED when too many wait in this process or would wait
        too long, UNAVAILABLE while draining or while too many groups are stuck.
        """
        with self._crowd.joined(self._line.prefix):
            place = self._enter(item)
            try:
                yield place
            finally:
                self._leave(place)

    def _enter(self, item: Item[AnswerT]) -> Place[AnswerT]:
        key = (item.election, item.key)
        with self._lock:
            place = self._places.get(key)
            if place is not None:
                place.callers += 1
                return place
            self._shedding.check(
                [waiting.item.size for waiting in self._queue],
                [group.began for group in self._running.values()],
                draining=self._draining,
            )
            place = Place(item, callers=1, came=tracing.here())
            self._places[key] = place
            self._queue.append(place)
            told, self._told = self._told, True
        if not told:
            self._threads.loop.call_soon_threadsafe(self._notice)
        return place

    def _leave(self, place: Place[AnswerT]) -> None:
        with self._lock:
            place.callers -= 1
            if place.callers == 0 and place in self._queue:
                self._queue.remove(place)
                self._places.pop((place.item.election, place.item.key), None)
                metrics.QUEUED.labels(self._line.prefix).set(len(self._queue))

    @property
    def name(self) -> str:
        """Of its line: the first part of its groups' workflow ids."""
        return self._line.prefix

    def stop_taking(self) -> None:
        """From now on every new request is refused with UNAVAILABLE."""
        with self._lock:
            self._draining = True

    def drain(self, deadline: float) -> None:
        """Wait until nobody waits here any more, or for the clock `deadline`.

        Those who left with a 202 are not waited for: their group goes on without
        this process.
        """
        while time.monotonic() < deadline:
            with self._lock:
                if not any(place.callers for place in self._places.values()):
                    return
            time.sleep(0.02)

    @property
    def stuck(self) -> bool:
        """True while requests are refused because too many groups are stuck."""
        with self._lock:
            return self._shedding.stuck(
                [group.began for group in self._running.values()]
            )

    def state(self) -> dict[str, Any]:
        """Items that wait, groups under way, whether stuck, and the wait in seconds; by
        election all that have no answer, those in groups included."""
        with self._lock:
            sizes = [waiting.item.size for waiting in self._queue]
            elections = Counter(election for election, _ in self._places)
            began = [group.began for group in self._running.values()]
            return {
                "waiting": len(sizes),
                "elections": dict(elections.most_common(LONGEST_QUEUES)),
                "groups": len(began),
                "stuck": self._shedding.stuck(began),
                "wait": round(self._shedding.estimated_wait(sizes, began), 3),
            }

    def wake(self, group_id: str) -> None:
        """A group has committed. On the loop."""
        group = self._running.get(group_id)
        if group is not None:
            group.woken.set()

    def wake_all(self) -> None:
        """Notifications may have been missed. On the loop."""
        for group in self._running.values():
            group.woken.set()

    # On the loop from here on.

    def _notice(self) -> None:
        # Before the queue is looked at: whoever comes later tells again.
        with self._lock:
            self._told = False
        if self._pacing is None:
            self._pacing = Pacing(self._settings, lambda: len(self._queue))
            self._dispatcher = asyncio.create_task(self._dispatch(self._pacing))
            self._dispatcher.add_done_callback(vital("dispatcher"))
        metrics.QUEUED.labels(self._line.prefix).set(len(self._queue))
        self._pacing.arrived()

    async def _dispatch(self, pacing: Pacing) -> None:
        while True:
            await pacing.turn()
            places = self._take()
            if not places:
                # Whoever waited has left.
                continue
            group = Group(
                f"{self._line.prefix}/{uuid.uuid4().hex}",
                places[0].item.election,
                places,
            )
            with self._lock:
                self._running[group.id] = group
            ended = pacing.started(len(places))
            group.task = asyncio.create_task(self._traced(group, ended))
            group.task.add_done_callback(ended)

    def _take(self) -> list[Place[AnswerT]]:
        """The requests that travel next: one election's, up to the bounds."""
        taken: list[Place[AnswerT]] = []
        kept: list[Place[AnswerT]] = []
        size = 0
        with self._lock:
            while self._queue and len(taken) < self._settings.group_votes:
                place = self._queue.popleft()
                same = not taken or place.item.election == taken[0].item.election
                fits = not taken or size + place.item.size <= self._settings.group_bytes
                if same and fits:
                    taken.append(place)
                    size += place.item.size
                else:
                    kept.append(place)
                    if same:
                        break
            self._queue.extendleft(reversed(kept))
            metrics.QUEUED.labels(self._line.prefix).set(len(self._queue))
        return taken

    async def _traced(self, group: Group[AnswerT], ended: Callable[[], None]) -> None:
        """Within a span of its first request's trace, which the others' lead to."""
        came = [place.came for place in group.places if place.came is not None]
        with tracing.span(
            f"{self._line.prefix} group",
            "PRODUCER",
            parent=came[0] if came else None,
            came=came[1:],
            votepyramid__line=self._line.prefix,
            votepyramid__group__items=len(group.places),
        ):
            await self._run(group, ended)

    async def _run(self, group: Group[AnswerT], ended: Callable[[], None]) -> None:
        line = self._line.prefix
        metrics.GROUP_SIZE.labels(line).observe(len(group.places))
        metrics.GROUPS.labels(line).inc()
        try:
            handle = await start(
                group, self._line, self._client, self._settings.answer_timeout
            )
            for place in group.places:
                place.group_id = group.id
            await self._follow(group, handle, ended)
            with self._lock:
                self._shedding.answered(group.began)
        except Refused:
            self._fail(group)
        except Exception as error:  # noqa: BLE001 - callers must get an answer
            log.error("group_lost", group=group.id, error=type(error).__name__)
            self._fail(group)
        finally:
            with self._lock:
                self._running.pop(group.id, None)
            metrics.GROUPS.labels(line).dec()
            metrics.GROUP_SECONDS.labels(line).observe(time.monotonic() - group.began)

    async def _follow(
        self,
        group: Group[AnswerT],
        handle: WorkflowHandle[Any, Any],
        ended: Callable[[], None],
    ) -> None:
        """Answer everybody: woken by the commit, or with the workflow's result."""
        await self._woken(group, NOTIFY_GRACE_S)
        if group.woken.is_set():
            # Now, not when all are answered: their threads would hold up the start
            # of the next group while its worker has nothing to do.
            ended()
            group.woken.clear()
            await self._look(group)
        if not group.waiting():
            return
        result = asyncio.create_task(self._result(group, handle))
        try:
            while group.waiting() and not result.done():
                woken = asyncio.create_task(self._woken(group, LOOK_S))
                await asyncio.wait({result, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                if not result.done():
                    # Cleared before looking: a commit during the look is not lost.
                    group.woken.clear()
                    await self._look(group)
            if group.waiting():
                await self._finish(group, result.result())
        finally:
            result.cancel()

    async def _result(
        self, group: Group[AnswerT], handle: WorkflowHandle[Any, Any]
    ) -> dict[str, AnswerT | Isolated | None]:
        """The workflow's answers; none when it was ended before it had any.

        While Temporal is away the group is neither lost nor done: asked again.
        """
        while True:
            try:
                return self._line.answers(await handle.result())
            except WorkflowFailureError as error:
                newer = await begun_anew(await self._client(), self._line, group.id)
                if newer is None:
                    # Terminated or cancelled by an operator, perhaps after its commit.
                    log.warning("group_ended", group=group.id, error=kind(error.cause))
                    return {}
                log.warning("group_reset", group=group.id)
                handle = newer
            except RPCError as error:
                log.warning("result_failed", group=group.id, error=kind(error))
                if error.status == RPCStatusCode.NOT_FOUND:
                    return {}
            await asyncio.sleep(LOOK_S)

    async def _woken(self, group: Group[AnswerT], timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(group.woken.wait(), timeout)

    async def _finish(
        self, group: Group[AnswerT], answers: dict[str, AnswerT | Isolated | None]
    ) -> None:
        """The workflow has closed. Whoever is still without an answer may ask again."""
        if len(answers) == 1 and isinstance(answers.get(group.key), Isolated):
            with self._lock:
                self._shedding.refused_alone(group.key)
        for place in group.waiting():
            answer = answers.get(place.item.key)
            if answer is not None:
                await self._resolve(place, answer)
        for pause in (0.1, 0.5, 1.0):
            if not group.waiting():
                return
            if await self._look(group):
                break
            await asyncio.sleep(pause)
        undecided = group.waiting()
        # Before the notes are taken back: whoever leaves from now on takes back theirs.
        self._fail(group)
        for place in undecided:
            if place.left and not answers:
                await self._write(self._line.abandon, place.item)

    async def _look(self, group: Group[AnswerT]) -> bool:
        """Answer what stands in the tables; False when they could not be read."""
        waiting = group.waiting()
        try:
            found = await asyncio.to_thread(
                self._line.read, group.election, [place.item for place in waiting]
            )
        except Exception as error:  # noqa: BLE001 - looked again, or sent again
            log.warning("look_failed", group=group.id, error=type(error).__name__)
            return False
        for place in waiting:
            answer = found.get(place.item.key)
            if answer is not None:
                await self._resolve(place, answer)
        return True

    async def _resolve(self, place: Place[AnswerT], answer: AnswerT | Isolated) -> None:
        with self._lock:
            self._places.pop((place.item.election, place.item.key), None)
        place.answer.set_result(answer)
        if place.left and not isinstance(answer, Isolated):
            await self._write(self._line.settle, place.item, answer)

    async def _write(self, write: Callable[..., None], *what: Any) -> None:
        try:
            await asyncio.to_thread(write, *what)
        except Exception as error:  # noqa: BLE001 - a status only, not the vote
            log.warning("settle_failed", error=type(error).__name__)

    def _fail(self, group: Group[AnswerT]) -> None:
        """Nothing can be said: the same bytes can be sent again."""
        for place in group.waiting():
            with self._lock:
                self._places.pop((place.item.election, place.item.key), None)
            place.answer.set_exception(Refused(Code.UNAVAILABLE, retry_after=2.0))
