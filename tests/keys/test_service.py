"""An election's keys on a real Postgres: wrapped, held for a while, destroyed."""

from __future__ import annotations

import secrets
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from tests.keys.memory import remembers
from tests.support.processes import eventually
from votepyramid.keys import holding
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.models import WrappedKey
from votepyramid.keys.provider import WrongContext
from votepyramid.keys.service import ElectionKeys, KeyMissing
from votepyramid.protocol.notes import SigningKey
from votepyramid.votes.envelope import EnvelopeBroken, open_row, seal_row


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(holding, "time", made)
    return made


@pytest.fixture
def provider(tmp_path: Path) -> LocalKeyFile:
    LocalKeyFile.create(tmp_path / "kek.json")
    return LocalKeyFile(tmp_path / "kek.json")


@pytest.fixture
def keys(provider: LocalKeyFile, owner: Engine) -> ElectionKeys:
    made = ElectionKeys(provider, owner, data_key_rows=10, hold_seconds=60)
    _store(made, owner, "issuance", b"i" * 32)
    return made


def _store(
    keys: ElectionKeys,
    owner: Engine,
    purpose: str,
    key: bytes,
    public: str | None = None,
) -> None:
    with owner.begin() as connection:
        keys.store(connection, "e", purpose, uuid.uuid4(), key, public)


def _destroy(owner: Engine, purpose: str) -> None:
    with owner.begin() as connection:
        connection.execute(
            update(WrappedKey).where(WrappedKey.purpose == purpose).values(wrapped=None)
        )


def _data_keys(owner: Engine) -> int:
    with owner.connect() as connection:
        made = connection.scalar(
            select(func.count())
            .select_from(WrappedKey)
            .where(WrappedKey.purpose == "data")
        )
    return made or 0


def test_a_key_is_stored_wrapped(keys: ElectionKeys, owner: Engine) -> None:
    assert keys.issuance("e") == b"i" * 32
    with owner.connect() as connection:
        wrapped = connection.scalar(select(WrappedKey.wrapped))
    assert wrapped is not None
    assert b"i" * 8 not in wrapped


def test_a_destroyed_key_is_forgotten_after_a_while(
    keys: ElectionKeys, owner: Engine, clock: Clock
) -> None:
    assert keys.issuance("e") == b"i" * 32
    _destroy(owner, "issuance")
    assert keys.issuance("e") == b"i" * 32
    assert remembers(keys, b"i" * 32)
    clock.now = 61
    with pytest.raises(KeyMissing):
        keys.issuance("e")
    assert not remembers(keys, b"i" * 32)


def test_a_key_is_forgotten_though_nobody_asks_again(
    provider: LocalKeyFile, owner: Engine
) -> None:
    keys = ElectionKeys(provider, owner, data_key_rows=10, hold_seconds=0.3)
    _store(keys, owner, "issuance", b"i" * 32)
    data = keys.data_key("e", 1)
    assert keys.issuance("e") == b"i" * 32
    _destroy(owner, "issuance")
    assert remembers(keys, b"i" * 32) and remembers(keys, data.key)
    assert eventually(lambda: not remembers(keys, data.key), 5)
    assert eventually(lambda: not remembers(keys, b"i" * 32), 5)
    # Held and forgotten anew as often as it is needed.
    assert keys.read_data_key("e", data.id) == data.key
    assert remembers(keys, data.key)
    assert eventually(lambda: not remembers(keys, data.key), 5)


def test_a_missing_key_names_election_and_purpose(keys: ElectionKeys) -> None:
    with pytest.raises(KeyMissing, match=r"'other'.*issuance"):
        keys.issuance("other")


def test_a_wrapped_key_cannot_serve_another_purpose(
    keys: ElectionKeys, owner: Engine
) -> None:
    with owner.begin() as connection:
        connection.execute(
            update(WrappedKey).values(purpose="ballot-box", election="e")
        )
    with pytest.raises(WrongContext):
        keys.ballot_box("e")


def test_the_ballot_box_key_is_the_one_beside_it(
    keys: ElectionKeys, owner: Engine
) -> None:
    box = SigningKey.generate("votepyramid.example/e")
    _store(keys, owner, "ballot-box", box.seed, box.verifier.text())
    assert keys.ballot_box("e") == box


def test_another_public_key_beside_it_is_refused(
    keys: ElectionKeys, owner: Engine
) -> None:
    box = SigningKey.generate("votepyramid.example/e")
    other = SigningKey.generate("votepyramid.example/e")
    _store(keys, owner, "ballot-box", box.seed, other.verifier.text())
    with pytest.raises(WrongContext):
        keys.ballot_box("e")


def test_a_data_key_serves_its_rows_and_no_more(
    keys: ElectionKeys, provider: LocalKeyFile, owner: Engine
) -> None:
    first = keys.data_key("e", 4)
    assert _data_keys(owner) == 1
    # Half of them are used: the next one is made, and is in nobody's way.
    assert keys.data_key("e", 4) == first
    assert eventually(lambda: _data_keys(owner) == 2)
    assert keys.data_key("e", 2) == first
    assert eventually(lambda: keys.data_key("e", 1).id != first.id)
    second = keys.data_key("e", 1)
    assert _data_keys(owner) == 2
    assert second.key != first.key
    # Another process opens rows of either, and makes its own for new ones.
    elsewhere = ElectionKeys(provider, owner, data_key_rows=10)
    assert elsewhere.read_data_key("e", first.id) == first.key
    assert elsewhere.data_key("e", 1).id not in {first.id, second.id}


def test_threads_share_one_data_key(keys: ElectionKeys, owner: Engine) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: keys.data_key("e", 1).id, range(10)))
    assert len(set(found)) == 1
    assert _data_keys(owner) <= 2


def test_a_data_key_of_another_election_is_not_opened(keys: ElectionKeys) -> None:
    key = keys.data_key("e", 1)
    with pytest.raises(KeyMissing):
        keys.read_data_key("other", key.id)


def test_rows_are_bound_to_their_place(keys: ElectionKeys) -> None:
    row, leaf = uuid.uuid4(), secrets.token_bytes(32)
    snapshot = {"envelope": seal_row(keys.data_key("e", 1), "e", row, leaf, b"sealed")}
    assert open_row(keys, "e", row, leaf.hex(), snapshot) == b"sealed"
    with pytest.raises(EnvelopeBroken):
        open_row(keys, "e", uuid.uuid4(), leaf.hex(), snapshot)
    with pytest.raises(EnvelopeBroken):
        open_row(keys, "e", row, secrets.token_bytes(32).hex(), snapshot)
