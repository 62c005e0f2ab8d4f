"""Which key-encryption keys are in use, and whether they still open what they did."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from votepyramid.custody.wrapping import by_kek, kek
from votepyramid.keys.models import WrappedKey
from votepyramid.keys.names import KekNames
from votepyramid.keys.provider import KeyProvider, KeyProviderError
from votepyramid.keys.service import context

_PROBE = b"evote/keys-status/v1"


@dataclass(frozen=True)
class Kek:
    """One key-encryption key. `problem` is a sentence, empty when it works."""

    name: str
    current: bool
    wrapped_keys: int
    problem: str


def survey(provider: KeyProvider, names: KekNames, engine: Engine) -> list[Kek]:
    """The current key first; then all that are named, or wrapped something."""
    with engine.connect() as connection:
        wrapped = by_kek(connection)
        samples = {name: _one_of(connection, name) for name in wrapped}
    found = []
    for name in sorted(names.all | set(wrapped), key=lambda n: (n != names.current, n)):
        problem = try_current(provider) if name == names.current else ""
        if name in samples:
            problem = problem or _try_sample(provider, samples[name])
        count = wrapped.get(name, 0)
        found.append(Kek(name, name == names.current, count, problem))
    return found


def _one_of(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(
        select(
            WrappedKey.id, WrappedKey.election, WrappedKey.purpose, WrappedKey.wrapped
        )
        .where(kek() == name.encode())
        .limit(1)
    ).first()


def _try_sample(provider: KeyProvider, row: Row[Any] | None) -> str:
    if row is None:
        return ""
    try:
        provider.unwrap(context(row.election, row.purpose, row.id), row.wrapped)
    except KeyProviderError as error:
        return str(error)
    return ""


def try_current(provider: KeyProvider) -> str:
    """What is wrong with the current key, tried on something thrown away; or empty."""
    secret = secrets.token_bytes(32)
    try:
        wrapped = provider.wrap(_PROBE, secret)
        if provider.unwrap(_PROBE, wrapped) != secret:
            return "it opens something else than it wrapped"
    except KeyProviderError as error:
        return str(error)
    return ""
