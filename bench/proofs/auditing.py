"""An export of it all, and its verification beside raw signature checks."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass

from bench import election
from bench.place import Place
from bench.processes import raw_rate
from votepyramid.auditors.case import Row
from votepyramid.auditors.exporting import export
from votepyramid.auditors.outside import Outside
from votepyramid.auditors.verifying import verify
from votepyramid.stack.errors import StackError


@dataclass(frozen=True)
class Audited:
    """`rows` are those of `audit verify` by their check; raw rates a second, before and
    after it, because machines drift."""

    export_s: float
    rows: dict[str, Row]
    raw: tuple[float, float]

    def rate(self, check: str) -> float:
        """Things a second."""
        return self.rows[check].count / self.rows[check].seconds

    @property
    def share(self) -> float:
        """Percent of the raw rate that receipts are verified at."""
        return 100 * self.rate("receipts") / (sum(self.raw) / len(self.raw))


def audit(place: Place, raw_s: float) -> Audited:
    """Export and verify. Raises StackError unless all of it holds."""
    folder = place.stack.layout.run / "export"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    arguments = (place.engine, place.keys, place.settings, election.ID, folder)
    # These votes came through no workflow.
    export(*arguments, lambda *_: None, 0)
    exported = time.monotonic() - began
    before = raw_rate(raw_s)
    rows, found = verify(folder, Outside(), lambda *_: None)
    raw = before, raw_rate(raw_s)
    shutil.rmtree(folder)
    if found is not None:
        raise StackError(f"the bench's own export does not hold: {found}")
    return Audited(exported, {row.check: row for row in rows}, raw)
