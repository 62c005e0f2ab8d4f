"""Every stored ballot of an export: its leaf is made of it again (see stored.py)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from votepyramid.auditors.case import Case, Discrepancy
from votepyramid.auditors.folder import BALLOTS, Reading
from votepyramid.protocol.encoding import (
    NotCanonical,
    ProtocolError,
    canonical_hex32,
    strict_json,
    unb64u,
)
from votepyramid.protocol.identifiers import ciphertext_hash
from votepyramid.protocol.leaf import leaf_bytes, leaf_hash

CHECK = "stored ballots"
# The longest ballot that a manifest allows, and what its seal adds, as base64.
MAX_LINE = 128 * 1024
_MEMBERS = {"ballot", "key_id", "receipt_hash", "style", "suite", "t"}
_UNOPENED = {"receipt_hash", "unopened"}


def check_ballots(case: Case) -> None:
    """What the database stores of each vote gives its leaf, on every core."""
    files = (case.reading.part([n]) for n in case.reading.names(BALLOTS))
    left, done = set(case.receipts), 0
    for hashes, styles, problem in case.on_every_core(
        verify_file, files, case.election, case.m
    ):
        for one in hashes:
            if one not in left:
                raise Discrepancy(
                    CHECK, f"that of {one.hex()} is there twice, or of no receipt"
                )
            left.remove(one)
        if problem is not None:
            raise Discrepancy(CHECK, problem)
        done += len(hashes)
        case.styles.update(styles)
        case.tell(CHECK, done, case.counts["votes"])
    if left:
        raise Discrepancy(
            CHECK, f"that of {min(left).hex()} is not there ({len(left)} in all)"
        )
    case.held(CHECK, done, "give the leaves of their receipts")


def verify_file(
    reading: Reading, e: str, m: bytes
) -> tuple[list[bytes], Counter[str], str | None]:
    """The leaf hashes of a file's ballots, how many are of each style, and what is
    wrong with the first bad one.

    In any process. Raises FolderError.
    """
    hashes: list[bytes] = []
    styles: Counter[str] = Counter()
    for name in reading.listed:
        lines = reading.unpack(name).removesuffix(b"\n").split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                stored = strict_json(line, MAX_LINE)
                hashes.append(_leaf_hash(stored, e, m))
            except ProtocolError as error:
                return hashes, styles, f"{name}, line {number}: {error.problem}"
            styles[stored["style"]] += 1
    return hashes, styles, None


def _leaf_hash(stored: Any, e: str, m: bytes) -> bytes:
    """Of a line, when its ballot is the one that its receipt is for."""
    if not isinstance(stored, dict) or set(stored) not in (_MEMBERS, _UNOPENED):
        raise NotCanonical("not a stored ballot")
    said = canonical_hex32(stored["receipt_hash"])
    if "unopened" in stored:
        raise NotCanonical(f"that of {said.hex()} did not open: it was altered")
    kid, ballot = canonical_hex32(stored["key_id"]), unb64u(stored["ballot"])
    c = ciphertext_hash(stored["suite"], kid, stored["style"], ballot)
    found = leaf_hash(leaf_bytes(c, e, m, unb64u(stored["t"], 32)))
    if found != said:
        raise NotCanonical(f"that of {said.hex()} is not the one its receipt is for")
    return found
