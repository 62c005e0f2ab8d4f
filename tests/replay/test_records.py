"""Reading cast vote records: what is in the file, or the line that is wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votepyramid.replay.records import (
    OVERVOTE,
    UNDERVOTE,
    Records,
    RecordsError,
    Row,
    parse,
    read,
)

WARD_9 = Path(__file__).parents[2] / "demo" / "minneapolis-2017-ward-9.csv"


def _parse(text: str) -> Records:
    return parse(io.StringIO(text, newline=""), "f.csv")


def test_the_wards_file() -> None:
    records = read(WARD_9)
    assert records.ballots == 5650
    assert len(records.rows) == 492
    assert records.ranks == 3
    assert records.precincts == tuple(f"W-9 P-0{number}" for number in range(1, 10))
    assert records.names == (
        "Alondra Cano",
        "Gary Schiff",
        "Mohamed Farah",
        "Ronald W. Peterson",
        "UWI",
    )


def test_names_in_any_script() -> None:
    records = _parse(
        "precinct,rank1,rank2,ballots\r\n"
        '第一区,李小龍,"O\'Neill, Zoë ""Z""",3\r\n'
        "Округ 2,अनीता,undervote,1\r\n"
    )
    assert records.rows == (
        Row("第一区", ("李小龍", 'O\'Neill, Zoë "Z"'), 3),
        Row("Округ 2", ("अनीता", UNDERVOTE), 1),
    )
    assert records.names == ('O\'Neill, Zoë "Z"', "अनीता", "李小龍")


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes("\ufeffprecinct,rank1,ballots\nP,Åsa,2\n".encode())
    assert read(file).names == ("Åsa",)


def test_the_same_row_twice_adds_up() -> None:
    records = _parse("precinct,rank1,ballots\nP,A,2\nP,A,3\n")
    assert records.ballots == 5


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "the header must be"),
        ("precinct,ballots\n", 1, "the header must be"),
        ("precinct,rank1,rank3,ballots\nP,A,B,1\n", 1, "the header must be"),
        ("Precinct,rank1,ballots\nP,A,1\n", 1, "the header must be"),
        ("precinct,rank1,ballots,x\nP,A,1,x\n", 1, "the header must be"),
        ("precinct,rank1,ballots\n", None, "no ballots"),
        ("precinct,rank1,ballots\nP,A,1\nP,A\n", 3, "2 fields where"),
        ("precinct,rank1,ballots\nP,A,1\n\nP,A,1\n", 3, "0 fields where"),
        ("precinct,rank1,ballots\nP,A,0\n", 2, "a whole number from 1"),
        ("precinct,rank1,ballots\nP,A,01\n", 2, "a whole number from 1"),
        ("precinct,rank1,ballots\nP,A,-1\n", 2, "a whole number from 1"),
        ("precinct,rank1,ballots\nP,A,1.0\n", 2, "a whole number from 1"),
        ("precinct,rank1,ballots\nP,A,٣\n", 2, "a whole number from 1"),
        ("precinct,rank1,ballots\nP,A, 1\n", 2, "a whole number from 1"),
        ("precinct,rank1,ballots\nP,,1\n", 2, "an empty rank is written undervote"),
        ("precinct,rank1,ballots\n,A,1\n", 2, "an empty field"),
        ("precinct,rank1,ballots\nP, A,1\n", 2, "space around 'A'"),
        ("precinct,rank1,ballots\nP,A\u2003,1\n", 2, "space around 'A'"),
        ('precinct,rank1,ballots\nP,"A\nB",1\n', 3, "a control character"),
        ("precinct,rank1,ballots\nP,A\x00B,1\n", 2, "a control character"),
        (f"precinct,rank1,ballots\nP,{'A' * 129},1\n", 2, "longer than 128"),
        ('precinct,rank1,ballots\nP,"A"B,1\n', 2, "expected after"),
        ('precinct,rank1,ballots\nP,"A,1\n', 2, "unexpected end"),
        ("precinct,rank1,ballots\nP,undervote,1\n", None, "no rank names a choice"),
        ("precinct,rank1,ballots\nP,A,1\nP,overvote,1\n", None, "needs two choices"),
        ("precinct,rank1,ballots\nP,A,99999999\n", None, "more than 10000000"),
        (
            "precinct,rank1,ballots\nP,\u00c5,1\nP,A\u030a,1\n",
            None,
            "different code points",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    text: str, line: int | None, said: str
) -> None:
    with pytest.raises(RecordsError, match=said) as error:
        _parse(text)
    assert error.value.line == line
    assert str(error.value).startswith("f.csv, line" if line else "f.csv: ")


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes(b"precinct,rank1,ballots\nP,A,1\nP,Jos\xe9,1\n")
    with pytest.raises(RecordsError, match=r"f\.csv, line \d: not UTF-8"):
        read(file)


_NAMES = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1
).filter(lambda text: len(text) <= 128 and text not in (UNDERVOTE, OVERVOTE))


@st.composite
def _files(draw: st.DrawFn) -> list[list[str]]:
    ranks = draw(st.integers(1, 5))
    marks = st.one_of(_NAMES, st.sampled_from([UNDERVOTE, OVERVOTE]))
    row = st.tuples(_NAMES, *[marks] * ranks, st.integers(1, 999).map(str))
    header = ["precinct", *(f"rank{at + 1}" for at in range(ranks)), "ballots"]
    return [header, *map(list, draw(st.lists(row, min_size=1, max_size=20)))]


@given(_files())
def test_what_was_written_is_read(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    try:
        records = _parse(text.getvalue())
    except RecordsError as error:
        # The only fault that such files can have: a choice of names.
        assert error.line is None
        return
    assert [[r.precinct, *r.ranks, str(r.ballots)] for r in records.rows] == rows[1:]


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        records = _parse(text)
    except RecordsError:
        return
    assert records.ballots >= 1
