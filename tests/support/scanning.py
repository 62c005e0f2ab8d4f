"""Looking for bytes where they must not be."""

from __future__ import annotations

import base64
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
        return {str(secret)} | spellings(secret.bytes)
    if isinstance(secret, str):
        return {secret} | spellings(secret.encode())
    found = {secret.hex(), secret.hex().upper()}
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
