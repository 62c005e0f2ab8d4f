"""A form takes exactly what the parser of one takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votepyramid.protocol import notes
from votepyramid.protocol.auditevent import AuditEntry, encode_entry, parse_entry
from votepyramid.protocol.bulk import EventForm, LeafForm, ReceiptForm
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.leaf import leaf_bytes, leaf_hash, parse_leaf
from votepyramid.protocol.receipt import answer_bytes, parse_answer, sign_receipt

E, M = "city-2026", bytes(range(32))
KEY = notes.SigningKey("votepyramid.example/city-2026", b"\x07" * 32)
HASH = st.binary(min_size=32, max_size=32)
AT = datetime(2026, 11, 3, 9, tzinfo=UTC)


@given(HASH, HASH)
def test_leaves_are_read_as_they_are_parsed(c: bytes, t: bytes) -> None:
    leaf = leaf_bytes(c, E, M, t)
    assert LeafForm(E, M).read(leaf) == (t, c)


@given(HASH, HASH)
def test_receipts_are_read_as_they_are_parsed(c: bytes, t: bytes) -> None:
    leaf = leaf_bytes(c, E, M, t)
    answer = answer_bytes(leaf, sign_receipt(KEY, KEY.name, M, leaf))
    form = ReceiptForm(E, M, KEY.verifier)
    assert form.open(answer) == (leaf, form.read(answer)) == (leaf, leaf_hash(leaf))
    assert parse_answer(answer).leaf == leaf


@given(
    kind=st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True),
    subject=st.none() | st.from_regex(r"[!-~]{1,128}", fullmatch=True),
    detail=st.dictionaries(st.sampled_from(["code", "count"]), st.integers(0, 99)),
    nonce=st.binary(min_size=16, max_size=16),
)
def test_events_are_read_as_they_are_parsed(
    kind: str, subject: str | None, detail: dict[str, int], nonce: bytes
) -> None:
    entry = encode_entry(AuditEntry(AT, detail, E, kind, nonce, subject))
    form = EventForm(E)
    # The second time by its form.
    assert form.read(entry) == form.read(entry) == (kind, subject)


def _leaf() -> bytes:
    return leaf_bytes(b"\x01" * 32, E, M, b"\xfe" * 32)


def _answer() -> bytes:
    return answer_bytes(_leaf(), sign_receipt(KEY, KEY.name, M, _leaf()))


def _event() -> bytes:
    return encode_entry(AuditEntry(AT, {}, E, "vote_accepted", b"\x05" * 16, "ab"))


FORMS: dict[str, tuple[Callable[[], bytes], Callable[[], Any], Any]] = {
    "leaf": (_leaf, lambda: LeafForm(E, M), parse_leaf),
    "receipt": (_answer, lambda: ReceiptForm(E, M, KEY.verifier), None),
    "event": (_event, lambda: EventForm(E), parse_entry),
}


@pytest.mark.parametrize("name", FORMS)
def test_what_is_one_byte_off_is_taken_only_where_the_parser_takes_it(
    name: str,
) -> None:
    make, form, parse = FORMS[name]
    good = make()
    forms = form()
    forms.read(good)
    taken = 0
    for at in range(len(good)):
        for byte in {good[at] ^ 1, good[at] ^ 0x20, good[at] ^ 0x80, 0x2B, 0x2D}:
            bad = good[:at] + bytes([byte]) + good[at + 1 :]
            if bad == good:
                continue
            try:
                forms.read(bad)
            except ProtocolError:
                continue
            # Another hash or name is another leaf or event, of the same election.
            assert parse is not None and parse(bad)
            taken += 1
    assert bool(taken) == (parse is not None)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_longer_or_shorter_is_refused(name: str) -> None:
    make, form, _ = FORMS[name]
    for bad in (b"", make()[:-1], make() + b"\n", b" " + make(), make() * 2):
        with pytest.raises(ProtocolError):
            form().read(bad)


def test_another_elections_is_refused() -> None:
    other = leaf_bytes(b"\x01" * 32, "town-2026", M, b"\xfe" * 32)
    with pytest.raises(ProtocolError):
        LeafForm(E, M).read(other)
    event = encode_entry(AuditEntry(AT, {}, "town-2026", "x", b"\x05" * 16, None))
    with pytest.raises(ProtocolError):
        EventForm(E).read(event)
