"""An entry of the audit log: one event, as the bytes that the log's tree is made of.

An entry is the canonical JSON (RFC 8785) of exactly

    {"at", "detail", "e", "kind", "n", "subject", "v": 1}

election `e`, what happened in `kind`, whom or what it concerns in `subject` (text or
null), `detail` a flat object of codes and counts. `n` is 16 random bytes as base64url:
two events that say the same are two entries. `at` is UTC to the second, or the hour's
beginning for what a voter causes, so that a copy of the log pairs no claim with a cast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from votepyramid.protocol.encoding import (
    MAX_SAFE_INTEGER,
    NotCanonical,
    b64u,
    check_id,
    jcs,
    strict_json,
    unb64u,
    utf8,
)

# Holds the longest entry that the bounds below allow.
MAX_ENTRY_BYTES = 16 * 1024
NONCE_BYTES = 16
MAX_DETAILS = 8
MAX_DETAIL_TEXT = 256

NAME_PATTERN = r"[a-z][a-z0-9_]{0,62}"
SUBJECT_PATTERN = r"[!-~]{1,128}"

_NAME = re.compile(NAME_PATTERN)
_SUBJECT = re.compile(SUBJECT_PATTERN)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FIELDS = {"at", "detail", "e", "kind", "n", "subject", "v"}

Detail = Mapping[str, str | int | bool]


class AuditEntry(NamedTuple):
    """The fields of an entry. `at` is aware, of whole seconds; `nonce` 16 bytes."""

    at: datetime
    detail: Detail
    election: str
    kind: str
    nonce: bytes
    subject: str | None


def whole_second(at: datetime) -> datetime:
    """The second that `at`, an aware time, is in; in UTC."""
    return at.astimezone(UTC).replace(microsecond=0)


def whole_hour(at: datetime) -> datetime:
    """The beginning of the hour that `at`, an aware time, is in; in UTC."""
    return whole_second(at).replace(minute=0, second=0)


def check_event(kind: str, subject: str | None, detail: Mapping[str, Any]) -> None:
    """Raise NotCanonical unless an event of these can be an entry."""
    if not isinstance(kind, str) or not _NAME.fullmatch(kind):
        raise NotCanonical(f"an event's kind has the form {NAME_PATTERN}")
    if subject is not None and not (
        isinstance(subject, str) and _SUBJECT.fullmatch(subject)
    ):
        raise NotCanonical(f"an event's subject is null or {SUBJECT_PATTERN}")
    if not isinstance(detail, Mapping) or len(detail) > MAX_DETAILS:
        raise NotCanonical(f"an event's detail is an object of {MAX_DETAILS} at most")
    for name, value in detail.items():
        _check_detail(name, value)


def encode_entry(entry: AuditEntry) -> bytes:
    """An entry's bytes. Raises NotCanonical for fields that make none."""
    at, detail, election, kind, nonce, subject = entry
    check_event(kind, subject, detail)
    if at.tzinfo is None or at != whole_second(at):
        raise NotCanonical("an event's time is aware and of whole seconds")
    if len(nonce) != NONCE_BYTES:
        raise NotCanonical(f"an event's n has {NONCE_BYTES} bytes")
    return jcs(
        {
            "at": _time_text(at),
            "detail": dict(detail),
            "e": check_id(election),
            "kind": kind,
            "n": b64u(nonce),
            "subject": subject,
            "v": 1,
        }
    )


def parse_entry(data: bytes) -> AuditEntry:
    """The fields of an entry's bytes. Raises ProtocolError unless canonical."""
    value = strict_json(data, MAX_ENTRY_BYTES)
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise NotCanonical(
            "an audit entry has exactly the fields at, detail, e, kind, n, subject, v"
        )
    if type(value["v"]) is not int or value["v"] != 1:
        raise NotCanonical("an audit entry of an unknown version")
    entry = AuditEntry(
        _time(value["at"]),
        value["detail"],
        check_id(value["e"]),
        value["kind"],
        unb64u(value["n"], NONCE_BYTES),
        value["subject"],
    )
    if encode_entry(entry) != data:
        raise NotCanonical("an audit entry is not canonical JSON")
    return entry


def _check_detail(name: str, value: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NotCanonical(f"a detail's name has the form {NAME_PATTERN}")
    if type(value) is bool:
        return
    if type(value) is int:
        if not 0 <= value <= MAX_SAFE_INTEGER:
            raise NotCanonical("a detail's number is from 0 to 2**53 - 1")
        return
    if not isinstance(value, str):
        raise NotCanonical("a detail is a text, a whole number, true or false")
    if len(value) > MAX_DETAIL_TEXT or _CONTROL.search(value):
        raise NotCanonical(
            f"a detail's text has {MAX_DETAIL_TEXT} characters at most, and none "
            "that controls"
        )
    utf8(value)


def _time_text(at: datetime) -> str:
    # Not strftime: its years before 1000 differ between platforms.
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def _time(text: object) -> datetime:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise NotCanonical("an event's time is not like 2026-11-23T08:00:00Z")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise NotCanonical("an event's time is no time") from None
