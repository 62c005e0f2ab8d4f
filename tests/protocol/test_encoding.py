"""Canonical bytes: one spelling each, and readers that fail in one way only."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
import rfc8785
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.protocol.support import relaxed, thorough
from votepyramid.protocol import encoding
from votepyramid.protocol.encoding import NotCanonical, StrictJsonError, strict_json

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
SCALARS = st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | TEXT
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not 2**53 <= abs(number) < 1e21
)
VALUES = st.recursive(
    SCALARS | FLOATS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=12,
)


@given(st.binary())
def test_base64url_round_trip(data: bytes) -> None:
    text = encoding.b64u(data)
    assert encoding.unb64u(text) == encoding.unb64u(text, len(data)) == data
    with pytest.raises(NotCanonical):
        encoding.unb64u(text, len(data) + 1)


@thorough
@given(st.text("AQgw-_Zz09+/= \n\té"))
@example("QQ==")
@example("QR")
@example("A")
@example("QQ\n")
@example("+/+/")
def test_base64url_has_one_spelling(text: str) -> None:
    try:
        data = encoding.unb64u(text)
    except NotCanonical:
        lenient = text.rstrip("=")
        reduced = {encoding.b64u(_lenient_base64(lenient))}
        assert text not in reduced
    else:
        assert encoding.b64u(data) == text


def _lenient_base64(text: str) -> bytes:
    kept = "".join(c for c in text if c.isascii() and (c.isalnum() or c in "-_"))
    kept = kept[: len(kept) - (len(kept) % 4 == 1)]
    return base64.urlsafe_b64decode(kept + "=" * (-len(kept) % 4))


@pytest.mark.parametrize("value", [None, 1, b"QQ", ["QQ"], True])
def test_readers_take_text_only(value: object) -> None:
    for reader in (
        encoding.unb64u,
        encoding.canonical_uuid,
        encoding.canonical_hex32,
        encoding.check_id,
    ):
        with pytest.raises(NotCanonical):
            reader(value)


@given(st.uuids())
def test_uuid_has_one_spelling(value: uuid.UUID) -> None:
    text = str(value)
    assert encoding.canonical_uuid(text) == value
    others = [
        text.upper(),
        value.hex,
        value.urn,
        f"{{{text}}}",
        f"{text}\n",
        f" {text}",
        text.replace("-", "", 1),
        text.replace("-", "--", 1),
        text[:-1],
    ]
    for other in others:
        if other != text:
            with pytest.raises(NotCanonical):
                encoding.canonical_uuid(other)


@given(st.binary(min_size=32, max_size=32))
def test_hex_has_one_spelling(data: bytes) -> None:
    text = data.hex()
    assert encoding.canonical_hex32(text) == data
    for other in (text + "\n", text[:-2], text + "00", " " + text[1:], "0x" + text[2:]):
        with pytest.raises(NotCanonical):
            encoding.canonical_hex32(other)
    assume(text.upper() != text)
    with pytest.raises(NotCanonical):
        encoding.canonical_hex32(text.upper())


@pytest.mark.parametrize("text", ["a", "w-9", "a.b_c-0", "0" * 64])
def test_identifiers(text: str) -> None:
    assert encoding.check_id(text) == text


@pytest.mark.parametrize("text", ["", "A", "a b", "a\n", "é", "a/b", "٣", "0" * 65])
def test_not_identifiers(text: str) -> None:
    with pytest.raises(NotCanonical):
        encoding.check_id(text)


@given(st.lists(st.binary(max_size=8)), st.lists(st.binary(max_size=8)))
def test_hash_keeps_part_borders(left: list[bytes], right: list[bytes]) -> None:
    assume(left != right)
    assert encoding.H(*left) != encoding.H(*right)


@given(st.binary(min_size=16, max_size=16))
def test_v8_is_a_version_8_uuid(data: bytes) -> None:
    made = encoding.v8(data)
    assert made.version == 8
    assert made.variant == uuid.RFC_4122
    mask = ~(0xF << 76 | 0x3 << 62)
    assert made.int & mask == int.from_bytes(data, "big") & mask


def test_values_out_of_range() -> None:
    for number in (-1, 2**32):
        with pytest.raises(NotCanonical):
            encoding.u32be(number)
    for data in (b"", bytes(15), bytes(17)):
        with pytest.raises(NotCanonical):
            encoding.v8(data)
    with pytest.raises(NotCanonical):
        encoding.H("\ud800")


@relaxed
@given(VALUES)
def test_canonical_json_round_trip(value: Any) -> None:
    data = encoding.jcs(value)
    read = strict_json(data, len(data))
    assert read == value
    assert encoding.jcs(read) == data
    spaced = json.dumps(value, indent=1).encode()
    assert encoding.jcs(strict_json(spaced, len(spaced))) == data


@relaxed
@given(VALUES)
@example({"\uff5e": 1, "\U0001f600": 2})
@example(['\x7f\u2028\u2029\x00\x1f\\"/', True, None, -1, 2**53 - 1])
@example({"a": [1.0, -0.0, 1e21], "A": 5e-324})
def test_canonical_json_is_that_of_the_library(value: Any) -> None:
    """What is plain is written by another encoder, for its speed."""
    assert encoding.jcs(value) == rfc8785.dumps(value)


@thorough
@given(st.binary())
@example(b"\xef\xbb\xbf{}")
@example(b"[" * 100_000)
@example(b'{"":' * 100_000)
@example(b"1" * 10_000)
@example(b"-" + b"9" * 5_000)
@example(b"9007199254740993.0")
def test_arbitrary_bytes_fail_in_one_way(data: bytes) -> None:
    try:
        value = strict_json(data, 1_000_000)
    except StrictJsonError:
        return
    canonical = encoding.jcs(value)
    assert encoding.jcs(strict_json(canonical, 1_000_000)) == canonical


@thorough
@given(st.text('[]{}",:\\u0d8 9eE+-.tfn\n'))
def test_arbitrary_text_fails_in_one_way(text: str) -> None:
    try:
        value = strict_json(text.encode(), 1_000_000)
    except StrictJsonError:
        return
    canonical = encoding.jcs(value)
    assert encoding.jcs(strict_json(canonical, 1_000_000)) == canonical


REFUSED = [
    b"",
    b"{",
    b"{} {}",
    b"'a'",
    b"\xff",
    b'"\xed\xa0\x80"',
    b"NaN",
    b"[Infinity]",
    b"-Infinity",
    b"1e999",
    b"9007199254740992",
    b"-9007199254740992",
    b"9007199254740992.0",
    b"-9e20",
    b'{"a":1,"a":1}',
    b'{"a":1,"\\u0061":2}',
    b'[{"b":{"a":1,"a":2}}]',
    b'"\\ud800"',
    b'{"\\udfff":1}',
    b'"a\\u0000"',
    b'"\n"',
    b"01",
    b"[1,]",
    b"[" * 33 + b"0" + b"]" * 33,
]


@pytest.mark.parametrize("data", REFUSED)
def test_refused_json(data: bytes) -> None:
    with pytest.raises(StrictJsonError):
        strict_json(data, 1024)


def test_limits_are_inclusive() -> None:
    assert strict_json(b"[" * 32 + b"]" * 32, 64)
    assert strict_json(b"9007199254740991", 16) == 2**53 - 1
    assert strict_json(b"-9007199254740991", 17) == 1 - 2**53
    with pytest.raises(StrictJsonError):
        strict_json(b"[1]", 2)


def test_problems_quote_no_value() -> None:
    secret = "6f6b5c1e-secret"
    for read in (encoding.unb64u, encoding.canonical_uuid, encoding.check_id):
        with pytest.raises(NotCanonical) as caught:
            read(secret + "!")
        assert secret not in str(caught.value)
        assert caught.value.problem == str(caught.value)


@given(st.binary(max_size=100))
def test_base64_round_trips(data: bytes) -> None:
    text = encoding.b64(data)
    assert encoding.unb64(text) == encoding.unb64(text, len(data)) == data
    with pytest.raises(NotCanonical):
        encoding.unb64(text, len(data) + 1)


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA",
        "AA=",
        "AB==",
        "AAB=",
        "AA==\n",
        "A A=",
        "-_==",
        "====",
        "AA====",
        "\u00e9AAA",
    ],
)
def test_base64_has_one_spelling(text: str) -> None:
    with pytest.raises(NotCanonical):
        encoding.unb64(text)


def test_decimal_numbers_have_one_spelling() -> None:
    for number in (0, 1, 10, 2**63 - 1):
        assert encoding.decimal(str(number)) == number
    for text in (
        "",
        "00",
        "01",
        "-1",
        "+1",
        "1 ",
        "1_0",
        "\u0661",
        str(2**63),
        "9" * 99,
    ):
        with pytest.raises(NotCanonical):
            encoding.decimal(text)
