"""One round of load: what is asked of a load generator and what it gives back.

Both generators are processes of their own that read a Spec and write a Result. A
round is closed loop: every client has one vote under way, always. After the warm-up
the window opens, and answers that come in within it are counted; it closes when its
time is up. A round in which the ballots ran out before that is not one.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.cpu import Parts
from votepyramid.replay.timing import nearest_rank


@dataclass
class Spec:
    """`first` and `ballots`: which tokens of the bearer file are this round's."""

    manifest: str
    bearers: str
    first: int
    ballots: int
    clients: int
    warm_up: float
    seconds: float
    parts: Parts
    port: int = 0

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Spec:
        return cls(**json.loads(path.read_text()))

    def bearer_list(self) -> list[uuid.UUID]:
        with open(self.bearers, "rb") as file:
            file.seek(self.first * 16)
            raw = file.read(self.ballots * 16)
        return [uuid.UUID(bytes=raw[i : i + 16]) for i in range(0, len(raw), 16)]


@dataclass
class Result:
    """`seconds` is the window's real length, `latencies` those of the votes in it.

    `receipts` counts the receipts of the whole round, warm-up and last answers
    included, that were verified against the manifest; `again` the ballots that were
    not answered with a receipt the first time and had to be sent again, by answer.
    `cpu` is in seconds within the window, by part; `exhausted` says that the ballots
    ran out while the clock still ran.
    """

    seconds: float
    latencies: list[float]
    receipts: int
    cpu: dict[str, float]
    again: dict[str, int] = field(default_factory=dict)
    exhausted: bool = False

    @property
    def rate(self) -> float:
        """Votes a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Nearest-rank percentile of the latencies, in seconds."""
        return nearest_rank(self.latencies, percent)

    def write(self, path: Path) -> None:
        half = path.with_suffix(".part")
        half.write_text(json.dumps(asdict(self)))
        half.replace(path)

    @classmethod
    def read(cls, path: Path) -> Result:
        return cls(**json.loads(path.read_text()))


class Window:
    """When the clock runs, and what was answered within it."""

    def __init__(self, warm_up: float, seconds: float, now: float) -> None:
        self.opens = now + warm_up
        self.closes = self.opens + seconds
        self.exhausted = False
        self._answers: list[tuple[float, float]] = []

    def answered(self, sent: float, now: float) -> None:
        self._answers.append((sent, now))

    def ran_out(self, now: float) -> None:
        """No ballot is left: from now on not all clients are busy."""
        self.exhausted = self.exhausted or now < self.closes

    @property
    def seconds(self) -> float:
        return self.closes - self.opens

    def latencies(self) -> list[float]:
        """Of the answers within the window, in seconds."""
        return [
            now - sent for sent, now in self._answers if self.opens <= now < self.closes
        ]
