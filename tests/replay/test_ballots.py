"""From the file's ranks to selections and back, and who gets which ballot."""

from __future__ import annotations

import io
import itertools
from collections import Counter

import pytest

from tests.replay.test_records import WARD_9
from votepyramid.protocol.encoding import jcs
from votepyramid.replay.ballots import CONTEST, Ballots
from votepyramid.replay.records import Records, parse, read


def _records(text: str) -> Records:
    return parse(io.StringIO(text), "f.csv")


SMALL = _records(
    "precinct,rank1,rank2,ballots\n"
    "North,B,A,2\nNorth,overvote,undervote,1\nSouth,C,C,3\nSouth,undervote,A,4\n"
)


def test_every_ballot_has_a_voter_and_comes_back_as_itself() -> None:
    ballots = Ballots(SMALL)
    came = Counter(
        ballots.cast(ballots.style(voter), ballots.selections(voter))
        for voter in range(len(ballots))
    )
    assert came == ballots.expected()
    assert came == Counter({(r.precinct, r.ranks): r.ballots for r in SMALL.rows})


def test_the_real_file_comes_back_as_itself() -> None:
    records = read(WARD_9)
    ballots = Ballots(records)
    came = Counter(
        ballots.cast(ballots.style(voter), ballots.selections(voter))
        for voter in range(len(ballots))
    )
    assert came == Counter({(r.precinct, r.ranks): r.ballots for r in records.rows})


def test_selections() -> None:
    ballots = Ballots(_records("precinct,rank1,rank2,ballots\nP,overvote,B,1\nP,A,C,1"))
    made = sorted(jcs(ballots.selections(voter)) for voter in range(2))
    assert made == [
        jcs({CONTEST: [["c1", "c2", "c3"], ["c2"]]}),
        jcs({CONTEST: [["c1"], ["c3"]]}),
    ]


@pytest.mark.parametrize("limit", [1, 5, 10, 99])
def test_a_limit_takes_ballots_of_the_file(limit: int) -> None:
    ballots = Ballots(SMALL, limit=limit)
    assert len(ballots) == min(limit, 10) == ballots.expected().total()
    assert ballots.expected() <= Ballots(SMALL).expected()


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    def drawn(seed: int | None) -> tuple[list[str], list[int]]:
        ballots = Ballots(read(WARD_9), limit=500, seed=seed)
        picked = [str(ballots.selections(voter)) for voter in range(500)]
        return picked, list(ballots.shuffled())

    assert drawn(7) == drawn(7)
    assert drawn(None)[0] != drawn(None)[0]
    assert drawn(None)[1] != drawn(None)[1]


def test_voters_are_numbered_without_regard_to_their_ballots() -> None:
    """In the file's order a voter's number would tell the voter's choices."""
    records = read(WARD_9)
    ballots = Ballots(records)
    rows = [
        (ballots.precinct(v), tuple(map(str, ballots.selections(v)[CONTEST])))
        for v in range(len(ballots))
    ]
    neighbours = sum(a == b for a, b in itertools.pairwise(rows))
    assert neighbours < len(ballots) / 20


def test_phases_have_orders_of_their_own() -> None:
    ballots = Ballots(read(WARD_9), seed=1)
    claims, casts = list(ballots.shuffled()), list(ballots.shuffled())
    assert sorted(claims) == sorted(casts) == list(range(5650))
    assert claims != casts


def test_the_styles_hold_the_fullest_ballot() -> None:
    for width in range(1, 40):
        names = "".join(f"P,N{number:03d},1\n" for number in range(width))
        ballots = Ballots(_records("precinct,rank1,ballots\n" + names))
        fullest = len(jcs({CONTEST: [[f"c{n + 1}" for n in range(width)]]}))
        (style,) = ballots.styles()
        assert fullest + 1 <= style["plaintext_length"] <= fullest + 64
        assert style["plaintext_length"] % 64 == 0
