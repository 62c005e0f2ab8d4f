"""How long things took, of many voters at once."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Timing:
    """A phase: seconds as a whole, and seconds of each voter in order of ending."""

    seconds: float = 0.0
    each: array[float] = field(default_factory=lambda: array("d"))

    @property
    def rate(self) -> float:
        """Voters a second."""
        return len(self.each) / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """The nearest-rank percentile, in seconds; 0.0 without voters."""
        return nearest_rank(self.each, percent)


def nearest_rank(values: Iterable[float], percent: float) -> float:
    """The nearest-rank percentile: a value of these; 0.0 where there are none."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)] if ordered else 0.0
