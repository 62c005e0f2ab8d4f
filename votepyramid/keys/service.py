"""An election's own keys, made and read through the key provider.

Purposes: `issuance` (K_iss), `data` (the parent of row keys), and the Ed25519 seeds
that sign: `ballot-box` receipts, `receipt-log` and `audit-log` checkpoints,
`statements` statements, each with its verifier text beside it. Each is 32 bytes,
wrapped under a context of election, purpose and key id. An unwrapped key stays in the
memory of a process that needs it for a bounded time, asked for or not; then it is
forgotten, and its row and the provider are asked again. So a key that was destroyed is
gone everywhere.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.sql.elements import ColumnElement

from votepyramid.keys.models import WrappedKey
from votepyramid.keys.provider import KeyProvider, WrongContext
from votepyramid.protocol.encoding import lp
from votepyramid.protocol.notes import SigningKey, VerifierKey

HOLD_S = 600.0
BALLOT_BOX = "ballot-box"
RECEIPT_LOG = "receipt-log"


class KeyMissing(LookupError):
    """The election has no key of this purpose, or it was destroyed."""


@dataclass(frozen=True)
class DataKey:
    """A data key under its id; `key` is 32 bytes."""

    id: uuid.UUID
    key: bytes


@dataclass(frozen=True)
class _Held:
    key: bytes
    signer: SigningKey | None
    until: float


@dataclass
class _DataKeyInUse:
    id: uuid.UUID
    rows: int = 0


def context(election: str, purpose: str, key_id: uuid.UUID) -> bytes:
    """What a wrapped key is bound to."""
    label = b"evote/wrapped-key/v1"
    parts = (label, election.encode(), purpose.encode(), key_id.bytes)
    return b"".join(lp(part) for part in parts)


class ElectionKeys:
    """Reads and makes the keys of elections. Safe to share between threads.

    Raises KeyMissing for a key that is not there, KeyProviderError when the
    provider is away. A key that is not held takes a database connection of its own:
    ask before beginning a transaction.
    """

    def __init__(
        self,
        provider: KeyProvider,
        engine: Engine,
        data_key_rows: int,
        hold_seconds: float = HOLD_S,
    ) -> None:
        self._provider = provider
        self._engine = engine
        self._data_key_rows = data_key_rows
        self._hold = hold_seconds
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str, uuid.UUID | None], _Held] = {}
        self._timer: threading.Timer | None = None
        # Apart from the other lock: making a data key writes to the database.
        self._data_lock = threading.Lock()
        self._in_use: dict[str, _DataKeyInUse] = {}

    def issuance(self, election: str) -> bytes:
        """K_iss, 32 bytes: its holder can derive every bearer token."""
        return self._get(election, "issuance").key

    def ballot_box(self, election: str) -> SigningKey:
        """The key that signs receipts."""
        return self.signer(election, BALLOT_BOX)

    def signer(self, election: str, purpose: str) -> SigningKey:
        """One of the election's signing keys."""
        held = self._get(election, purpose)
        if held.signer is None:
            raise KeyMissing(f"election {election!r} has no signing {purpose} key")
        return held.signer

    def data_key(self, election: str, rows: int) -> DataKey:
        """This process's data key, replaced after `data_key_rows` rows.

        Each process makes its own, so that no shared counter is on the path of a
        vote; the bound is on rows, not on time, which would say when.
        """
        with self._data_lock:
            current = self._in_use.get(election)
            if current is None or current.rows + rows > self._data_key_rows:
                current = _DataKeyInUse(self._make_data_key(election))
                self._in_use[election] = current
            current.rows += rows
        return DataKey(current.id, self.read_data_key(election, current.id))

    def read_data_key(self, election: str, key_id: uuid.UUID) -> bytes:
        """Any data key of the election, 32 bytes."""
        return self._get(election, "data", key_id).key

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

    def _make_data_key(self, election: str) -> uuid.UUID:
        key_id = uuid.uuid4()
        with self._engine.begin() as connection:
            self.store(connection, election, "data", key_id, secrets.token_bytes(32))
        return key_id

    def _get(
        self, election: str, purpose: str, key_id: uuid.UUID | None = None
    ) -> _Held:
        place = (election, purpose, key_id)
        with self._lock:
            self._forget_expired()
            held = self._held.get(place)
        if held is None:
            held = self._unwrap(election, purpose, key_id)
            with self._lock:
                self._held[place] = held
                self._watch()
        return held

    def _forget_expired(self) -> None:
        """Under the lock."""
        now = time.monotonic()
        for place in [p for p, held in self._held.items() if held.until <= now]:
            del self._held[place]

    def _watch(self) -> None:
        """See to it that the next key is forgotten in time. Under the lock.

        On a timer of its own: a key that nobody asks for any more, such as that of
        an election that was unlinked, must not stay until the process ends.
        """
        if self._timer is None and self._held:
            next_end = min(held.until for held in self._held.values())
            pause = max(0.0, next_end - time.monotonic())
            self._timer = threading.Timer(pause, self._forget_in_time)
            self._timer.daemon = True
            self._timer.start()

    def _forget_in_time(self) -> None:
        with self._lock:
            self._timer = None
            self._forget_expired()
            self._watch()

    def _unwrap(self, election: str, purpose: str, key_id: uuid.UUID | None) -> _Held:
        wanted: list[ColumnElement[bool]] = [
            WrappedKey.election == election,
            WrappedKey.purpose == purpose,
        ]
        if key_id is not None:
            wanted.append(WrappedKey.id == key_id)
        with self._engine.connect() as connection:
            row = connection.execute(
                select(WrappedKey.id, WrappedKey.wrapped, WrappedKey.public).where(
                    *wanted
                )
            ).first()
        if row is None or row.wrapped is None:
            raise KeyMissing(f"election {election!r} has no {purpose} key")
        key = self._provider.unwrap(context(election, purpose, row.id), row.wrapped)
        signer = _signer(key, row.public) if row.public is not None else None
        return _Held(key, signer, time.monotonic() + self._hold)


def _signer(seed: bytes, public: str) -> SigningKey:
    verifier = VerifierKey.parse(public)
    signer = SigningKey(verifier.name, seed)
    if signer.verifier != verifier:
        raise WrongContext("the ballot box key is not the one it is said to be")
    return signer
