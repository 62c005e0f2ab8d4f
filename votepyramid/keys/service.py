"""An election's own keys, made and read through the key provider.

Purposes: `issuance` (K_iss), `data` (the parent of row keys), and the Ed25519 seeds
that sign: `ballot-box` receipts, `receipt-log` and `audit-log` checkpoints,
`statements` statements, each with its verifier text beside it. Each is 32 bytes,
wrapped under a context of election, purpose and key id. An unwrapped key stays in the
memory of a process that needs it for a bounded time (see `holding`); then its row and
the provider must have been asked again. So a key that was destroyed is gone everywhere.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.sql.elements import ColumnElement

from votepyramid.keys.holding import Holder, KeyMissing, Place, Unwrapped
from votepyramid.keys.models import WrappedKey
from votepyramid.keys.provider import KeyProvider, WrongContext
from votepyramid.protocol.encoding import lp
from votepyramid.protocol.notes import SigningKey, VerifierKey

__all__ = ["BALLOT_BOX", "RECEIPT_LOG", "DataKey", "ElectionKeys", "KeyMissing"]

log = structlog.get_logger(__name__)

HOLD_S = 600.0
BALLOT_BOX = "ballot-box"
RECEIPT_LOG = "receipt-log"
AUDIT_LOG = "audit-log"
STATEMENTS = "statements"


@dataclass(frozen=True)
class DataKey:
    """A data key under its id; `key` is 32 bytes."""

    id: uuid.UUID
    key: bytes


@dataclass
class _DataKeys:
    """An election's data keys in this process: one in use, the next made ahead."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    current: uuid.UUID | None = None
    rows: int = 0
    next: uuid.UUID | None = None
    preparing: bool = False
    not_before: float = 0.0


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
        self._holder = Holder(self._unwrap, hold_seconds)
        self._lock = threading.Lock()
        self._data_keys: dict[str, _DataKeys] = {}

    def close(self) -> None:
        """Overwrite and forget what is held, as a process does before it leaves."""
        self._holder.close()

    def state(self) -> dict[str, float | None]:
        """Whether the KMS answers: see `Holder.state`."""
        return self._holder.state()

    def issuance(self, election: str) -> bytes:
        """K_iss, 32 bytes: its holder can derive every bearer token."""
        return self._holder.get(Place(election, "issuance")).key

    def ballot_box(self, election: str) -> SigningKey:
        """The key that signs receipts."""
        return self.signer(election, BALLOT_BOX)

    def signer(self, election: str, purpose: str) -> SigningKey:
        """One of the election's signing keys."""
        held = self._holder.get(Place(election, purpose))
        if held.signer is None:
            raise KeyMissing(f"election {election!r} has no signing {purpose} key")
        return held.signer

    def data_key(self, election: str, rows: int) -> DataKey:
        """This process's data key, replaced after about `data_key_rows` rows.

        Each process makes its own, so that no shared counter is on the path of a
        vote; the bound is on rows, not on time, which would say when. The next key is
        made ahead, beside the path; while none can be had, the one in use serves on
        over its bound. No row is in danger by that: each has a key of its own.
        """
        with self._lock:
            keys = self._data_keys.setdefault(election, _DataKeys())
        with keys.lock:
            if keys.current is None:
                keys.current = self._make_data_key(election)
            over = keys.rows + rows > self._data_key_rows
            if over and keys.next is not None and self._holds(election, keys.next):
                keys.current, keys.next, keys.rows = keys.next, None, 0
                over = False
            keys.rows += rows
            if over or (keys.next is None and keys.rows * 2 >= self._data_key_rows):
                self._prepare_next(election, keys)
            current = keys.current
        return DataKey(current, self.read_data_key(election, current))

    def read_data_key(self, election: str, key_id: uuid.UUID) -> bytes:
        """Any data key of the election, 32 bytes."""
        return self._holder.get(Place(election, "data", key_id)).key

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

    def _holds(self, election: str, key_id: uuid.UUID) -> bool:
        return self._holder.holds(Place(election, "data", key_id))

    def _prepare_next(self, election: str, keys: _DataKeys) -> None:
        """Make the next data key, or ask for it again, on a thread. Under its lock."""
        if not keys.preparing and keys.not_before <= time.monotonic():
            keys.preparing = True
            threading.Thread(
                target=self._prepare, args=(election, keys), daemon=True
            ).start()

    def _prepare(self, election: str, keys: _DataKeys) -> None:
        try:
            made = keys.next or self._make_data_key(election)
            keys.next = made
            # Used once it is held: what was wrapped must open before a ballot is
            # sealed under it.
            self.read_data_key(election, made)
        except Exception as error:  # noqa: BLE001 - the one in use serves on
            if isinstance(error, KeyMissing | WrongContext):
                keys.next = None
            keys.not_before = time.monotonic() + self._holder.pause
            log.warning(
                "no_next_data_key", election=election, error=type(error).__name__
            )
        finally:
            keys.preparing = False

    def _unwrap(self, place: Place) -> Unwrapped:
        election, purpose, key_id = place
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
        return Unwrapped(key, signer)


def _signer(seed: bytes, public: str) -> SigningKey:
    verifier = VerifierKey.parse(public)
    signer = SigningKey(verifier.name, seed)
    if signer.verifier != verifier:
        raise WrongContext("the ballot box key is not the one it is said to be")
    return signer
