"""Checkpoints on their way through the witnesses, until a quorum has cosigned.

All witnesses of the policy are asked at once, in threads of their own; nobody waits
for a slow one but the quorum that needs it. A quorum makes a checkpoint public; what
others add later is added. Where the quorum is missed, whoever has not cosigned is
asked again, after pauses that double.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from votepyramid.logs import metrics
from votepyramid.logs.store import Log
from votepyramid.logs.witnesses import (
    FORKS,
    Prove,
    Trouble,
    WitnessClient,
    WitnessFailed,
)
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.policy import MAX_POLICY_BYTES, Policy, Witness
from votepyramid.settings import SettingsError

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
MOST_WITNESSES = 32
# Requests to one witness at a time; of one log never two.
_AT_ONCE = 4


@dataclass(frozen=True)
class Cosigned:
    """A checkpoint that a quorum cosigned; `note` has the lines of those who did."""

    log: Log
    size: int
    note: str


@dataclass
class _Round:
    """One checkpoint: who cosigned it, who is still asked, and until when."""

    size: int
    note: str
    until: float
    lines: dict[str, str] = field(default_factory=dict)
    asked: dict[str, Future[str]] = field(default_factory=dict)
    troubles: dict[str, Trouble] = field(default_factory=dict)
    enough: bool = False


@dataclass
class _Standing:
    """A log's newest checkpoint, and the round that is under way or was the last."""

    size: int
    note: str
    since: float
    round: _Round | None = None
    failures: int = 0
    not_before: float = 0.0


def read_policy(path: Path) -> Policy:
    """The policy of a file. Raises SettingsError where no quorum could be reached.

    Witnesses without an address are not asked.
    """
    try:
        with path.open("rb") as file:
            policy = Policy.parse(file.read(MAX_POLICY_BYTES + 1))
    except OSError as error:
        raise SettingsError(
            f"witness_policy: cannot read {path}: {error.strerror}"
        ) from None
    except ProtocolError as error:
        raise SettingsError(f"witness_policy: {path}: {error.problem}") from None
    for witness in policy.witnesses:
        if not (witness.url or "https://").startswith(("https://", "http://")):
            raise SettingsError(
                f"witness_policy: the address of {witness.name} must start with "
                "https:// or http://"
            )
    if len(_with_address(policy)) > MOST_WITNESSES:
        raise SettingsError(f"witness_policy: more than {MOST_WITNESSES} witnesses")
    if not policy.satisfied_by({one.key for one in _with_address(policy)}):
        raise SettingsError(
            "witness_policy: the witnesses that have an address are no quorum"
        )
    return policy


class Cosigning:
    """The newest checkpoints of all logs. Used by one thread, which asks `collect`
    often; `prove` is called from others, one call at a time for a log and witness.
    """

    def __init__(self, policy: Policy, prove: Prove, timeout: float) -> None:
        self._policy = policy
        self._timeout = timeout
        known = _with_address(policy)
        self._clients = {w.name: WitnessClient(w, prove, timeout) for w in known}
        self._keys = {w.name: w.key for w in known}
        self._pools = {
            w.name: ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="witness")
            for w in known
        }
        self._standing: dict[Log, _Standing] = {}
        self._under_way: dict[tuple[str, Log], Future[str]] = {}
        self._told: dict[tuple[str, Log], Trouble] = {}

    def offer(self, each: Log, size: int, note: str) -> None:
        """A log's newest checkpoint, kept already. It takes the older one's place."""
        now = time.monotonic()
        before = self._standing.get(each)
        if before is None:
            self._standing[each] = _Standing(size, note, now)
            return
        if before.round is not None and before.round.enough:
            before.since = now
        before.size, before.note = size, note

    def offered(self, each: Log) -> int:
        """The size of a log's newest checkpoint that was offered; 0 without one."""
        standing = self._standing.get(each)
        return 0 if standing is None else standing.size

    def forget(self) -> None:
        """Somebody else may have gone on with the logs."""
        self._standing.clear()

    def collect(self) -> list[Cosigned]:
        """What became public, or has more lines, since this was asked last."""
        found = []
        for each, standing in self._standing.items():
            made = self._gather(each, standing)
            if made is not None:
                found.append(made)
            if self._may_begin(standing):
                self._begin(each, standing)
            self._show(each, standing)
        return found

    def busy(self) -> bool:
        """Whether an answer is still awaited, or nobody was asked yet."""
        return any(
            one.round is None or one.round.asked or one.round.size != one.size
            for one in self._standing.values()
        )

    def missed(self) -> list[Log]:
        """The logs whose newest checkpoint has no quorum."""
        return [
            each
            for each, one in self._standing.items()
            if one.round is None or one.round.size != one.size or not one.round.enough
        ]

    def _may_begin(self, standing: _Standing) -> bool:
        current = standing.round
        if current is None:
            return True
        if current.enough:
            return current.size != standing.size
        return not current.asked and time.monotonic() >= standing.not_before

    def _begin(self, each: Log, standing: _Standing) -> None:
        until = time.monotonic() + self._timeout
        made = _Round(standing.size, standing.note, until)
        last = standing.round
        if last is not None and last.note == made.note:
            made.lines = last.lines
        for name, client in self._clients.items():
            if name in made.lines:
                continue
            place = (name, each)
            earlier = self._under_way.get(place)
            if earlier is not None and not earlier.done():
                made.troubles[name] = Trouble.TIMEOUT
                continue
            asked = self._pools[name].submit(client.cosign, each, made.size, made.note)
            made.asked[name] = self._under_way[place] = asked
        standing.round = made

    def _gather(self, each: Log, standing: _Standing) -> Cosigned | None:
        """Take in the answers that came; the checkpoint if that changes it."""
        current = standing.round
        if current is None:
            return None
        had, open_before = len(current.lines), bool(current.asked)
        self._take_answers(each, current)
        signed = {self._keys[name] for name in current.lines}
        if self._policy.satisfied_by(signed):
            if current.enough and len(current.lines) == had:
                return None
            current.enough, standing.failures = True, 0
            return Cosigned(each, current.size, self._note(current))
        if open_before and not current.asked:
            self._miss(each, standing, current)
        return None

    def _take_answers(self, each: Log, current: _Round) -> None:
        late = time.monotonic() > current.until
        for name, asked in list(current.asked.items()):
            if not asked.done():
                if late:
                    self._fail(each, current, name, Trouble.TIMEOUT)
                continue
            try:
                current.lines[name] = asked.result()
                del current.asked[name]
                self._told.pop((name, each), None)
            except WitnessFailed as error:
                self._fail(each, current, name, error.trouble)
            except Exception as error:  # noqa: BLE001 - no witness stops the log
                kind = type(error).__name__
                self._fail(each, current, name, Trouble.FAULT, error=kind)

    def _fail(
        self, each: Log, current: _Round, name: str, trouble: Trouble, **more: str
    ) -> None:
        del current.asked[name]
        current.troubles[name] = trouble
        metrics.WITNESS_FAILURES.labels(name, trouble.value).inc()
        if trouble in FORKS:
            log.error(
                "witness_refused_fork",
                witness=name,
                problem=trouble.value,
                **_names(each),
            )
        elif self._told.get((name, each)) != trouble:
            log.warning(
                "witness_failed",
                witness=name,
                problem=trouble.value,
                **more,
                **_names(each),
            )
        self._told[name, each] = trouble

    def _miss(self, each: Log, standing: _Standing, current: _Round) -> None:
        pause = min(FIRST_PAUSE_S * 2.0 ** min(standing.failures, 16), LONGEST_PAUSE_S)
        standing.failures += 1
        standing.not_before = time.monotonic() + pause
        log.warning(
            "quorum_missed",
            size=current.size,
            cosigned=sorted(current.lines),
            failed={name: one.value for name, one in current.troubles.items()},
            again_in=pause,
            **_names(each),
        )

    def _note(self, current: _Round) -> str:
        lines = [current.lines[name] for name in self._keys if name in current.lines]
        return current.note + "".join(lines)

    def _show(self, each: Log, standing: _Standing) -> None:
        current = standing.round
        names = (each.election, each.kind)
        if current is not None:
            metrics.WITNESSES.labels(*names).set(len(current.lines))
        waits = current is None or current.size != standing.size or not current.enough
        age = time.monotonic() - standing.since if waits else 0.0
        metrics.UNWITNESSED.labels(*names).set(age)


def _with_address(policy: Policy) -> list[Witness]:
    return [witness for witness in policy.witnesses if witness.url]


def _names(each: Log) -> Mapping[str, str]:
    return {"election": each.election, "kind": each.kind}
