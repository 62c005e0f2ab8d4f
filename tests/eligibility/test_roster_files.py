"""A roster file is taken as it stands or refused by line number."""

from __future__ import annotations

import csv
import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votepyramid.eligibility.roster_files import (
    MAX_LINE_BYTES,
    RosterInvalid,
    RosterLine,
    RosterReader,
)

ATTRIBUTES = {"suspended": "Bool", "age": "Long", "party": "String"}
PRECINCTS = frozenset({"N 1", "N 2", 'Q "1"', "A, B", "波"})
HEADER = b"voter_id,precinct,suspended,age,party\n"
GOOD = b"ana,N 1,false,30,green\n"


def read(data: bytes, attributes: dict[str, str] | None = None) -> list[RosterLine]:
    reader = RosterReader(ATTRIBUTES if attributes is None else attributes, PRECINCTS)
    lines = list(reader.read(io.BytesIO(data)))
    assert reader.voters == len(lines)
    assert reader.sha256 == hashlib.sha256(data).digest()
    return lines


def refused(data: bytes, attributes: dict[str, str] | None = None) -> RosterInvalid:
    with pytest.raises(RosterInvalid) as caught:
        read(data, attributes)
    return caught.value


def test_a_good_file() -> None:
    assert read(HEADER + GOOD + b"bo,N 2,true,-5,blue\r\n") == [
        RosterLine("ana", "N 1", {"suspended": False, "age": 30, "party": "green"}),
        RosterLine("bo", "N 2", {"suspended": True, "age": -5, "party": "blue"}),
    ]


def test_columns_in_any_order_a_mark_at_the_start_and_no_newline_at_the_end() -> None:
    data = b'\xef\xbb\xbf"party",voter_id,age,precinct,suspended\ngreen,ana,30,N 1,true'
    assert read(data)[0] == RosterLine(
        "ana", "N 1", {"suspended": True, "age": 30, "party": "green"}
    )


def test_quotes_hold_commas_and_quotes() -> None:
    data = 'voter_id,precinct\nana,"A, B"\n"bo","Q ""1"""\ncy,波\n'.encode()
    assert [line.precinct for line in read(data, {})] == ["A, B", 'Q "1"', "波"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "blank"),
        (b"bo,N 1,false,30", "4 fields, the header 5"),
        (b"bo,N 1,false,30,green,", "blank field"),
        (b"bo,N 1,false,30,green,x", "6 fields, the header 5"),
        (b",N 1,false,30,green", "blank field"),
        (b'bo,"",false,30,green', "blank field"),
        (b"bo,N 1,false,,green", "blank field"),
        (b" bo,N 1,false,30,green", "space around"),
        (b"bo,N 1 ,false,30,green", "space around"),
        (b"bo,N 1,false,30,\xc2\xa0green", "space around"),
        (b"b o,N 1,false,30,green", "voter_id does not match"),
        (b"b" * 129 + b",N 1,false,30,green", "voter_id does not match"),
        (b"ana,N 2,false,30,green", "on line 2 already"),
        (b"bo,N 9,false,30,green", "'N 9' is in no ballot style"),
        (b"bo,n 1,false,30,green", "in no ballot style"),
        (b"bo,N 1,False,30,green", "neither true nor false"),
        (b"bo,N 1,1,30,green", "neither true nor false"),
        (b"bo,N 1,no,30,green", "neither true nor false"),
        (b"bo,N 1,false,030,green", "not a whole number"),
        (b"bo,N 1,false,3.0,green", "not a whole number"),
        (b"bo,N 1,false,+3,green", "not a whole number"),
        (b"bo,N 1,false,-0,green", "not a whole number"),
        (b"bo,N 1,false,9007199254740992,green", "not a whole number"),
        (b"bo,N 1,false,99999999999999999999,green", "not a whole number"),
        (b"bo,N 1,false,\xd9\xa3,green", "not a whole number"),
        (b"bo,N 1,false,30," + b"g" * 257, "longer than 256"),
        (b'bo,"N 1,false,30,green', "quote"),
        (b'bo,"N" 1,false,30,green', "quote"),
        (b"bo,N 1,false,30,gr\x00een", "control character"),
        (b"bo,N 1,false,30,gr\reen", "control character"),
        (b"bo\tN 1\tfalse\t30\tgreen", "control character"),
        (b"bo,N 1,false,30,gr\xc2\x85een", "control character"),
        (b"bo,N 1,false,30,gr\xfcn", "not UTF-8"),
        (b"bo,N 1,false,30," + b"g" * MAX_LINE_BYTES, "longer than 65536 bytes"),
        (b"bo;N 1;false;30;green", "1 fields, the header 5"),
    ],
    ids=lambda value: value[:30] if isinstance(value, bytes) else None,
)
def test_a_bad_line_is_named_and_its_neighbours_are_read(
    line: bytes, words: str
) -> None:
    after = b"zoe,N 2,false,1,x\nyan,nowhere,false,1,x\n"
    error = refused(HEADER + GOOD + line + b"\n" + after)
    assert [problem.line for problem in error.problems] == [3, 5]
    assert words in error.problems[0].message
    assert error.count == 2


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "blank"),
        (b"voter_id,precinct,suspended,age", "no column 'party'"),
        (b"precinct,suspended,age,party", "no column 'voter_id'"),
        (b"voter_id,suspended,age,party", "no column 'precinct'"),
        (b"voter_id,precinct,suspended,age,party,shoe", "'shoe' is not declared"),
        (b"voter_id,precinct,suspended,age,party,age", "'age' is there twice"),
        (b"Voter_ID,precinct,suspended,age,party", "no column 'voter_id'"),
        (b"\xff\xfev\x00o\x00t\x00e\x00r\x00", "not UTF-8"),
        (b'voter_id,"precinct,suspended,age,party', "quote"),
    ],
)
def test_a_bad_header_stops_at_once(header: bytes, words: str) -> None:
    error = refused(header + b"\nnonsense\n" * 3)
    assert {problem.line for problem in error.problems} == {1}
    assert any(words in problem.message for problem in error.problems)


@pytest.mark.parametrize("data", [b"", HEADER, b"\n"])
def test_a_file_without_voters(data: bytes) -> None:
    assert refused(data).problems[0].line == 1


def test_the_list_is_capped_and_the_count_is_not() -> None:
    error = refused(HEADER + b"bad\n" * 1000)
    assert len(error.problems) == 20
    assert error.count == 1000
    assert "and 980 more" in str(error)


def test_no_value_of_a_voter_is_repeated_in_a_problem_but_the_precinct() -> None:
    error = refused(HEADER + b"se cret,N 1,private,30,green\nbo,N 1,private,30,x\n")
    assert "cret" not in str(error) and "private" not in str(error)


_cell = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=8
).filter(lambda text: text == text.strip())


@given(
    rows=st.lists(
        st.tuples(
            st.text("abc0.|@", min_size=1, max_size=6),
            st.sampled_from(sorted(PRECINCTS)),
            st.booleans(),
            st.integers(-(2**53) + 1, 2**53 - 1),
            _cell,
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_writes_is_read_back(
    rows: list[tuple[str, str, bool, int, str]], quoting: int, ending: str
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, quoting=quoting, lineterminator=ending)  # type: ignore[arg-type]
    writer.writerow(["voter_id", "precinct", "suspended", "age", "party"])
    for voter, precinct, suspended, age, party in rows:
        writer.writerow([voter, precinct, str(suspended).lower(), age, party])
    lines = read(out.getvalue().encode())
    assert [
        (x.voter_id, x.precinct, *[x.attributes[name] for name in ATTRIBUTES])
        for x in lines
    ] == rows


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for content in (data, HEADER + data, HEADER + GOOD + data):
        try:
            read(content)
        except RosterInvalid as error:
            assert error.count >= len(error.problems) >= 1
