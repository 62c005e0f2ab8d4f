"""When an election takes claims and ballots: judged on one time, once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votepyramid.elections.service import cast_window, claim_window
from votepyramid.errors import Code

OPENS = datetime(2026, 4, 1, 8, tzinfo=UTC)
CLOSES = datetime(2026, 4, 1, 20, tzinfo=UTC)
TICK = timedelta(microseconds=1)
GRACE = timedelta(seconds=300)


@dataclass
class Row:
    """The columns that the windows look at."""

    status: str = "open"
    opens_at: datetime = OPENS
    closes_at: datetime = CLOSES
    closed_at: datetime | None = None
    grace_seconds: int = 300


NOT_OPEN, CLOSED = Code.ELECTION_NOT_OPEN, Code.ELECTION_CLOSED


@pytest.mark.parametrize(
    ("row", "at", "claim", "cast"),
    [
        (Row(), OPENS - TICK, NOT_OPEN, NOT_OPEN),
        (Row(), OPENS, None, None),
        (Row(), CLOSES - TICK, None, None),
        (Row(), CLOSES, CLOSED, None),
        (Row(), CLOSES + GRACE - TICK, CLOSED, None),
        (Row(), CLOSES + GRACE, CLOSED, CLOSED),
        (Row("created"), OPENS, NOT_OPEN, NOT_OPEN),
        # Opened late: before that nothing arrives, and status alone keeps it shut.
        (Row("created"), CLOSES, NOT_OPEN, NOT_OPEN),
        # Closed at noon: claims end there, ballots one grace time later.
        (Row("closed", closed_at=OPENS + 4 * GRACE), OPENS, None, None),
        (Row("closed", closed_at=OPENS + GRACE), OPENS + GRACE, CLOSED, None),
        (
            Row("closed", closed_at=OPENS + GRACE),
            OPENS + 2 * GRACE - TICK,
            CLOSED,
            None,
        ),
        (Row("closed", closed_at=OPENS + GRACE), OPENS + 2 * GRACE, CLOSED, CLOSED),
        # Closed after the announced time: that does not make the election longer.
        (Row("closed", closed_at=CLOSES + 9 * GRACE), CLOSES + GRACE, CLOSED, CLOSED),
        (Row("unlinked", closed_at=CLOSES), OPENS, CLOSED, CLOSED),
        (Row("finished", closed_at=CLOSES), OPENS, CLOSED, CLOSED),
        (Row(grace_seconds=0), CLOSES - TICK, None, None),
        (Row(grace_seconds=0), CLOSES, CLOSED, CLOSED),
    ],
)
def test_windows(row: Row, at: datetime, claim: Code | None, cast: Code | None) -> None:
    assert claim_window(row, at) == claim
    assert cast_window(row, at) == cast


@given(
    seconds=st.integers(-100_000, 200_000),
    closed=st.none() | st.integers(0, 100_000),
    grace=st.integers(0, 86_400),
)
def test_whoever_can_claim_can_cast_and_closing_moves_no_arrival(
    seconds: int, closed: int | None, grace: int
) -> None:
    at = OPENS + timedelta(seconds=seconds)
    row = Row(grace_seconds=grace)
    if claim_window(row, at) is None:
        assert cast_window(row, at) is None
    if closed is None:
        return
    shut = Row(
        "closed", closed_at=OPENS + timedelta(seconds=closed), grace_seconds=grace
    )
    # What arrived in time before the closing stays in time after it.
    if at < shut.closed_at:  # type: ignore[operator]
        assert cast_window(shut, at) == cast_window(row, at)
        assert claim_window(shut, at) == claim_window(row, at)
    else:
        assert claim_window(shut, at) is not None
