"""Looking for bytes where they must not be."""

from __future__ import annotations

import base64
import contextlib
import re
import uuid
from collections.abc import Iterable, Iterator

import psycopg
from psycopg import sql

from votepyramid.engine.codec import ENCODING

IDENTIFIER = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9_+/-]{16,}"
)
# Words of Temporal's own and of ours, which name no thing.
COMMON = re.compile(
    r"[A-Z]+(_[A-Z]+)+|[a-z]+([A-Z][a-z]+)+|temporal-sdk-python|core_local_activity|"
    + base64.b64encode(ENCODING).decode().rstrip("=")
)


def spellings(secret: str | bytes | uuid.UUID) -> set[str]:
    """The texts under which a secret could lie around."""
    if isinstance(secret, uuid.UUID):
        return {str(secret), str(secret).upper()} | spellings(secret.bytes)
    if isinstance(secret, str):
        return {secret} | spellings(secret.encode())
    # As they are, where bytes are read as Latin-1; and as the database shows them.
    found = {secret.hex(), secret.hex().upper(), secret.decode("latin-1")}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Inside a longer base64 text the same bytes look different by their place;
        # whole characters in the middle are enough to find them.
        for shift in range(3):
            text = encode(b"\0" * shift + secret).decode()
            start, end = -(-shift * 8 // 6), (shift + len(secret)) * 8 // 6
            found.add(text[start:end])
    return found


def where(
    secret: str | bytes | uuid.UUID, texts: Iterable[tuple[str, str]]
) -> set[str]:
    """Names of those texts that hold the secret in any spelling."""
    wanted = spellings(secret)
    return {name for name, text in texts if any(one in text for one in wanted)}


def identifiers(texts: Iterable[tuple[str, str]]) -> set[str]:
    """All in these texts that could name one thing and no other."""
    found = {one for _, text in texts for one in IDENTIFIER.findall(text)}
    return {one for one in found if not COMMON.fullmatch(one)}


# From 8 bytes on in base64, and from 11 characters in any spelling.
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
THING = re.compile(r"[A-Za-z0-9_+/-]{11,}")
PART = re.compile(r"[A-Za-z0-9]{11,}")
# Words of a language or a program, which name no single thing.
WORDS = re.compile(
    r"[A-Z]+(_[A-Z]+)+|[A-Za-z]?[a-z]+([A-Z]+[a-z]+)*|[a-z]+([_-][a-z]+)+"
)


def things(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """All in these texts that could name one thing, by its bytes in hex.

    UUIDs, hex and base64 in whatever spelling come out alike, so that two texts that
    name one thing differently are found; the values are one spelling each. Text in
    base64 is looked into.
    """
    found: dict[str, str] = {}
    for _, text in texts:
        # Of "votes/<id>" the whole and the id.
        named = (one for kind in (UUID, THING, PART) for one in kind.findall(text))
        for one in set(named):
            if WORDS.fullmatch(one):
                continue
            for data in _readings(one):
                found[data.hex()] = one
                inner = data.decode("latin-1")
                if data != one.encode() and inner.isprintable():
                    found |= things([("", inner)])
    return found


def _readings(text: str) -> Iterator[bytes]:
    """The bytes that a text may stand for, each of at least 8."""
    yield text.lower().encode()
    bare = text.replace("-", "")
    with contextlib.suppress(ValueError):
        yield bytes.fromhex(bare)
        return
    with contextlib.suppress(ValueError):
        padded = text + "=" * (-len(text) % 4)
        yield base64.b64decode(padded.replace("-", "+").replace("_", "/"))


def column_texts(url: str) -> Iterator[tuple[str, str]]:
    """Every column of every table as text, as "table.column"; `url` is the owner's."""
    with psycopg.connect(url) as db:
        columns = db.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall()
        assert columns
        for table, column in columns:
            query = sql.SQL("SELECT {}::text FROM {}").format(
                sql.Identifier(column), sql.Identifier(table)
            )
            rows = db.execute(query).fetchall()
            yield f"{table}.{column}", "\n".join(row[0] or "" for row in rows)


def database_texts(url: str) -> Iterator[tuple[str, str]]:
    """Every table as text, by name; `url` is the owner's."""
    with psycopg.connect(url) as db:
        tables = db.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        assert tables
        for (name,) in tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))
            rows = db.execute(query).fetchall()
            yield f"table {name}", "\n".join(row[0] for row in rows)
