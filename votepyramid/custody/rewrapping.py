"""Wrapped keys, wrapped anew under the current key-encryption key, a batch at a time.

Nothing is encrypted anew: the keys stay the same bytes under the same id, and the
ballots under them are not touched. A row is replaced only where it still is what was
opened, and only by what has been seen to open to the same key. A batch and the audit
events about it are one transaction.
"""

from __future__ import annotations

import hmac
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, select, update

from votepyramid.audit import service as audit
from votepyramid.custody.wrapping import kek
from votepyramid.db import retrying
from votepyramid.keys.models import WrappedKey
from votepyramid.keys.provider import (
    KekGone,
    KeyProvider,
    KeyProviderError,
    WrongContext,
)
from votepyramid.keys.service import context

# A slow KMS makes batches small, so that what was done is soon safe.
MOST_SECONDS = 8.0


@dataclass(frozen=True)
class Batch:
    """`after` is the last key that was tried, `failed` the ids of those that do not
    open; `left` counts those that come after it."""

    rewrapped: int
    failed: list[uuid.UUID]
    after: uuid.UUID | None
    left: int


class Rewrapping:
    """Rewraps under the provider's current key, `target`.

    With `everything` also what is under it already: for a KMS that keeps several
    versions of a key under one name. `beat` is called between the KMS's answers.
    """

    def __init__(
        self,
        engine: Engine,
        provider: KeyProvider,
        target: str,
        *,
        everything: bool = False,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._provider = provider
        self._target = target
        self._everything = everything
        self._beat = beat

    def batch(self, after: uuid.UUID | None, size: int) -> Batch:
        """The next `size` keys after that one, by id; fewer when the KMS is slow.

        Raises KeyProviderError when the provider is away; then nothing is changed.
        """
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(
                    WrappedKey.id,
                    WrappedKey.election,
                    WrappedKey.purpose,
                    WrappedKey.wrapped,
                )
                .where(*self._wanted(after))
                .order_by(WrappedKey.id)
                .limit(size)
            ).all()
        fresh: list[tuple[Row[Any], bytes]] = []
        failed: list[uuid.UUID] = []
        end = time.monotonic() + MOST_SECONDS
        for row in rows:
            try:
                fresh.append((row, self._rewrap(row)))
            except (WrongContext, KekGone):
                # Its own fault, or a key's that is gone: waiting does not help.
                failed.append(row.id)
            after = row.id
            if time.monotonic() > end:
                break
        return retrying(lambda: self._store(fresh, failed, after))

    def _wanted(self, after: uuid.UUID | None) -> list[ColumnElement[bool]]:
        wanted: list[ColumnElement[bool]] = [WrappedKey.wrapped.is_not(None)]
        if not self._everything:
            wanted.append(kek() != self._target.encode())
        if after is not None:
            wanted.append(WrappedKey.id > after)
        return wanted

    def _rewrap(self, row: Row[Any]) -> bytes:
        bound = context(row.election, row.purpose, row.id)
        key = self._provider.unwrap(bound, row.wrapped)
        self._beat()
        wrapped = self._provider.wrap(bound, key)
        self._beat()
        if not hmac.compare_digest(self._provider.unwrap(bound, wrapped), key):
            raise KeyProviderError("the KMS opens something else than it wrapped")
        self._beat()
        return wrapped

    def _store(
        self,
        fresh: list[tuple[Row[Any], bytes]],
        failed: list[uuid.UUID],
        after: uuid.UUID | None,
    ) -> Batch:
        done: Counter[str] = Counter()
        with self._engine.begin() as connection:
            for row, wrapped in fresh:
                # Unless it was wiped or replaced meanwhile.
                replaced = connection.execute(
                    update(WrappedKey)
                    .where(WrappedKey.id == row.id, WrappedKey.wrapped == row.wrapped)
                    .values(wrapped=wrapped)
                )
                done[row.election] += replaced.rowcount
            self._tell(connection, done)
            left = connection.scalar(
                select(func.count()).select_from(WrappedKey).where(*self._wanted(after))
            )
        return Batch(done.total(), failed, after, left or 0)

    def _tell(self, connection: Connection, done: Counter[str]) -> None:
        for election in sorted(+done):
            detail = {"kek": self._target, "keys": done[election]}
            event = audit.Event("keys_rewrapped", detail=detail)
            audit.append(connection, election, [event])
