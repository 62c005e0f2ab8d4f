"""Audit entries: every event has one spelling, and every other is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.support import flip, relaxed, thorough
from votepyramid.protocol.auditevent import (
    MAX_DETAIL_TEXT,
    MAX_DETAILS,
    MAX_ENTRY_BYTES,
    NAME_PATTERN,
    SUBJECT_PATTERN,
    AuditEntry,
    encode_entry,
    parse_entry,
    whole_hour,
    whole_second,
)
from votepyramid.protocol.encoding import ID_PATTERN, NotCanonical, ProtocolError, jcs

AT = datetime(2026, 11, 23, 8, 15, 30, tzinfo=UTC)
ENTRY = AuditEntry(AT, {"count": 3}, "demo", "junk_refused", bytes(range(16)), None)
DATA = (
    b'{"at":"2026-11-23T08:15:30Z","detail":{"count":3},"e":"demo",'
    b'"kind":"junk_refused","n":"AAECAwQFBgcICQoLDA0ODw","subject":null,"v":1}'
)

NAME = st.from_regex(NAME_PATTERN, fullmatch=True)
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc")), max_size=MAX_DETAIL_TEXT
) | st.sampled_from(["\U0001f5f3" * MAX_DETAIL_TEXT, '"' * MAX_DETAIL_TEXT])
VALUE = TEXT | st.booleans() | st.integers(0, 2**53 - 1)
ENTRIES = st.builds(
    AuditEntry,
    st.datetimes(timezones=st.just(UTC)).map(whole_second),
    st.dictionaries(NAME, VALUE, max_size=MAX_DETAILS),
    st.from_regex(ID_PATTERN, fullmatch=True),
    NAME,
    st.binary(min_size=16, max_size=16),
    st.none() | st.from_regex(SUBJECT_PATTERN, fullmatch=True),
)


def test_the_bytes_of_an_entry() -> None:
    assert encode_entry(ENTRY) == DATA
    assert parse_entry(DATA) == ENTRY
    named = ENTRY._replace(subject="ab" * 32)
    assert parse_entry(encode_entry(named)) == named


@relaxed
@given(ENTRIES)
def test_every_entry_comes_back(entry: AuditEntry) -> None:
    data = encode_entry(entry)
    assert len(data) <= MAX_ENTRY_BYTES
    assert parse_entry(data) == entry


@relaxed
@given(ENTRIES, ENTRIES)
def test_two_entries_never_share_their_bytes(one: AuditEntry, two: AuditEntry) -> None:
    assert (encode_entry(one) == encode_entry(two)) == (_typed(one) == _typed(two))


def _typed(entry: AuditEntry) -> tuple[Any, ...]:
    """True is 1 to Python, and not to JSON."""
    detail = {name: (type(v), v) for name, v in entry.detail.items()}
    return (*entry._replace(detail={}), detail)


def test_the_longest_entry_fits() -> None:
    long = ENTRY._replace(
        detail={f"k{n}".ljust(63, "x"): "\U0001f5f3" * 256 for n in range(MAX_DETAILS)},
        election="e" * 64,
        kind="k" * 63,
        subject='"' * 128,
    )
    data = encode_entry(long)
    assert len(data) <= MAX_ENTRY_BYTES and parse_entry(data) == long


def test_every_change_of_a_byte_is_another_entry_or_refused() -> None:
    for at in range(len(DATA)):
        for mask in (0x01, 0x02, 0x20, 0x80):
            changed = flip(DATA, at, mask)
            try:
                assert encode_entry(parse_entry(changed)) == changed
            except ProtocolError:
                continue
        for longer in (DATA[:at] + DATA[at + 1 :], DATA[:at] + b" " + DATA[at:]):
            try:
                assert encode_entry(parse_entry(longer)) == longer
            except ProtocolError:
                continue


def changed(**members: Any) -> bytes:
    return jcs({**json.loads(DATA), **members})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        DATA + b"\n",
        b" " + DATA,
        json.dumps(json.loads(DATA)).encode(),
        DATA.replace(b'"v":1', b'"v":1.0'),
        DATA.replace(b'"demo"', b'"d\\u0065mo"'),
        DATA.replace(b'"count":3', b'"count":3,"count":3'),
        DATA.replace(b'"count":3', b'"count":3.0'),
        DATA.replace(b'"v":1', b'"u":1,"v":1'),
        DATA.replace(b'"subject":null,', b""),
        changed(v=2),
        changed(v=True),
        changed(e="Demo"),
        changed(e=None),
        changed(kind="Junk"),
        changed(kind=""),
        changed(kind="k" * 64),
        changed(kind=None),
        changed(kind=[]),
        changed(n=None),
        changed(n="AAECAwQFBgcICQoLDA0ODw=="),
        changed(n="AAECAwQFBgcICQoLDA0ODx"),
        changed(n="AAECAwQFBgcICQoLDA0O"),
        changed(subject=""),
        changed(subject="a b"),
        changed(subject="s" * 129),
        changed(subject="\u00fc"),
        changed(subject=1),
        changed(at="2026-11-23T08:15:30"),
        changed(at="2026-11-23T08:15:30+00:00"),
        changed(at="2026-11-23T08:15:30.0Z"),
        changed(at="2026-11-23 08:15:30Z"),
        changed(at="2026-02-30T08:15:30Z"),
        changed(at="0000-01-01T00:00:00Z"),
        changed(at="2026-11-23T08:15:60Z"),
        changed(at="2026-11-23T24:00:00Z"),
        changed(at="\u0662026-11-23T08:15:30Z"),
        changed(at=None),
        changed(detail=None),
        changed(detail=[]),
        changed(detail={"Count": 1}),
        changed(detail={"": 1}),
        changed(detail={"count": -1}),
        changed(detail={"count": 1.5}),
        changed(detail={"count": None}),
        changed(detail={"count": []}),
        changed(detail={"count": {}}),
        changed(detail={"text": "a\nb"}),
        changed(detail={"text": "\x7f"}),
        changed(detail={"text": "\x9f"}),
        changed(detail={"text": "x" * (MAX_DETAIL_TEXT + 1)}),
        changed(detail={f"k{n}": 1 for n in range(MAX_DETAILS + 1)}),
        changed(detail={"text": "x" * MAX_ENTRY_BYTES}),
    ],
)
def test_malformed_entries(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_entry(data)


@pytest.mark.parametrize(
    "fields",
    [
        {"at": AT.replace(tzinfo=None)},
        {"at": AT.replace(microsecond=1)},
        {"nonce": bytes(15)},
        {"nonce": b""},
        {"election": "Demo"},
        {"kind": "a b"},
        {"subject": "\n"},
        {"detail": {"text": "\ud800"}},
        {"detail": {"count": 2**53}},
        {"detail": {"count": 0.5}},
        {"detail": {1: 1}},
    ],
)
def test_fields_that_make_no_entry(fields: dict[str, Any]) -> None:
    with pytest.raises(NotCanonical):
        encode_entry(ENTRY._replace(**fields))


@thorough
@given(st.binary() | st.text('{}[]":,adetilkndsubjcv_1').map(str.encode))
def test_arbitrary_bytes_raise_protocol_errors_only(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_entry(data)


def test_times_are_coarsened_downwards_in_utc() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    at = AT.replace(microsecond=999_999).astimezone(east)
    assert whole_second(at) == AT
    assert whole_hour(at) == AT.replace(minute=0, second=0)
    assert b'"2026-11-23T08:00:00Z"' in encode_entry(ENTRY._replace(at=whole_hour(at)))
