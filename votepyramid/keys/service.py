"""An election's own keys, made and read through the key provider.

Purposes: `issuance` (32 bytes, K_iss), `ballot-box` (the text of an Ed25519 signed-
note key), `data` (32 bytes, the parent of row keys). Each is wrapped under a context
of election, purpose and key id. Unwrapped keys stay in the memory of the process
that needs them.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection, Engine, insert, select

from votepyramid.keys.models import WrappedKey
from votepyramid.keys.provider import KeyProvider
from votepyramid.protocol.encoding import lp
from votepyramid.protocol.notes import SigningKey


class KeyMissing(LookupError):
    """The election has no key of this purpose, or it was destroyed."""


@dataclass(frozen=True)
class DataKey:
    """A data key under its id; `key` is 32 bytes."""

    id: uuid.UUID
    key: bytes


@lru_cache(maxsize=64)
def _signing_key(text: str) -> SigningKey:
    return SigningKey.parse(text)


def context(election: str, purpose: str, key_id: uuid.UUID) -> bytes:
    """What a wrapped key is bound to."""
    label = b"evote/wrapped-key/v1"
    parts = (label, election.encode(), purpose.encode(), key_id.bytes)
    return b"".join(lp(part) for part in parts)


class ElectionKeys:
    """Reads and makes the keys of elections. Safe to share between threads.

    Raises KeyMissing for a key that is not there, KeyProviderError when the
    provider is away.
    """

    def __init__(self, provider: KeyProvider, engine: Engine, data_key_rows: int):
        self._provider = provider
        self._engine = engine
        self._data_key_rows = data_key_rows
        self._lock = threading.Lock()
        self._single: dict[tuple[str, str], bytes] = {}
        self._data: dict[str, tuple[DataKey, int]] = {}
        self._opened: dict[uuid.UUID, bytes] = {}

    def issuance(self, election: str) -> bytes:
        """K_iss, 32 bytes: its holder can derive every bearer token."""
        return self._read(election, "issuance")

    def ballot_box(self, election: str) -> SigningKey:
        """The key that signs receipts."""
        return _signing_key(self._read(election, "ballot-box").decode())

    def data_key(self, election: str, rows: int) -> DataKey:
        """This process's data key, replaced after `data_key_rows` rows.

        Each process makes its own, so that no shared counter is on the path of a
        vote; the bound is on rows, not on time, which would say when.
        """
        with self._lock:
            key, used = self._data.get(election, (None, 0))
            if key is None or used + rows > self._data_key_rows:
                key, used = self._make_data_key(election), 0
            self._data[election] = (key, used + rows)
            return key

    def _make_data_key(self, election: str) -> DataKey:
        key = DataKey(uuid.uuid4(), secrets.token_bytes(32))
        with self._engine.begin() as connection:
            self.store(connection, election, "data", key.id, key.key)
        return key

    def read_data_key(self, election: str, key_id: uuid.UUID) -> bytes:
        """Any data key of the election, for opening stored rows."""
        with self._lock:
            known = self._opened.get(key_id)
        if known is not None:
            return known
        with self._engine.connect() as connection:
            wrapped = connection.scalar(
                select(WrappedKey.wrapped).where(
                    WrappedKey.id == key_id,
                    WrappedKey.election == election,
                    WrappedKey.purpose == "data",
                )
            )
        if wrapped is None:
            raise KeyMissing(f"election {election!r} has no data key {key_id}")
        key = self._provider.unwrap(context(election, "data", key_id), wrapped)
        with self._lock:
            self._opened[key_id] = key
        return key

    def store(
        self,
        connection: Connection,
        election: str,
        purpose: str,
        key_id: uuid.UUID,
        key: bytes,
        public: str | None = None,
    ) -> None:
        """Wrap a key and insert its row in the caller's transaction."""
        wrapped = self._provider.wrap(context(election, purpose, key_id), key)
        connection.execute(
            insert(WrappedKey).values(
                id=key_id,
                election=election,
                purpose=purpose,
                public=public,
                wrapped=wrapped,
            )
        )

    def _read(self, election: str, purpose: str) -> bytes:
        with self._lock:
            known = self._single.get((election, purpose))
        if known is not None:
            return known
        with self._engine.connect() as connection:
            row = connection.execute(
                select(WrappedKey.id, WrappedKey.wrapped).where(
                    WrappedKey.election == election, WrappedKey.purpose == purpose
                )
            ).first()
        if row is None or row.wrapped is None:
            raise KeyMissing(f"election {election!r} has no {purpose} key")
        key = self._provider.unwrap(context(election, purpose, row.id), row.wrapped)
        with self._lock:
            self._single[election, purpose] = key
        return key
