"""Canonical JSON against the published pairs of RFC 8785 and its test suite."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from tests.protocol.support import vectors
from votepyramid.protocol.encoding import NotCanonical, jcs, strict_json

NUMBERS = vectors("jcs/numbers.json")


@pytest.mark.parametrize("pair", vectors("jcs/pairs.json"), ids=lambda p: p["name"])
def test_published_pairs(pair: dict[str, str]) -> None:
    expected = bytes.fromhex(pair["output"])
    assert jcs(strict_json(pair["input"].encode(), 1024)) == expected
    assert jcs(strict_json(expected, 1024)) == expected


@pytest.mark.parametrize("case", NUMBERS["numbers"], ids=lambda c: c["bits"])
def test_published_numbers(case: dict[str, str]) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(case["bits"]))
    assert jcs(number).decode() == case["text"]


@pytest.mark.parametrize("bits", NUMBERS["refused"])
def test_published_refusals(bits: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert not math.isfinite(number)
    with pytest.raises(NotCanonical):
        jcs(number)


def test_no_canonical_form() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (2**53, -(2**53), "\ud800", {"\ud800": 1}, {1: 2}, b"", {1}, deep):
        with pytest.raises(NotCanonical):
            jcs(value)


def test_largest_integers() -> None:
    assert jcs([2**53 - 1, 1 - 2**53]) == b"[9007199254740991,-9007199254740991]"
