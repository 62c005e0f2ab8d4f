"""What the engine and the key files keep at rest, against vectors computed apart."""

from __future__ import annotations

import json
import os
import secrets
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.support import vectors
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import DataKey, ElectionKeys, context
from votepyramid.protocol.keyfile import open_keyfile, seal_keyfile
from votepyramid.tokens.service import pseudonym
from votepyramid.votes.envelope import open_row, seal_row

STORED = vectors("stored.json")
ELECTION = STORED["election"]


class Known(ElectionKeys):
    """An election's keys that are the vectors' own: neither ring nor database."""

    def __init__(self) -> None:
        pass

    def issuance(self, election: str) -> bytes:
        assert election == ELECTION
        return bytes.fromhex(STORED["issuance_key"])

    def read_data_key(self, election: str, key_id: uuid.UUID) -> bytes:
        assert election == ELECTION
        (row, *_) = (r for r in STORED["rows"] if r["data_key_id"] == str(key_id))
        return bytes.fromhex(row["data_key"])


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the next random bytes be these."""

    def draw(*values: str) -> None:
        drawn: Iterator[bytes] = (bytes.fromhex(value) for value in values)

        def take(size: int) -> bytes:
            value = next(drawn)
            assert len(value) == size
            return value

        monkeypatch.setattr(secrets, "token_bytes", take)
        monkeypatch.setattr(os, "urandom", take)

    return draw


@pytest.fixture
def ring(tmp_path: Path) -> LocalKeyFile:
    path = tmp_path / "kek.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(STORED["key_ring"]))
    return LocalKeyFile(path)


@pytest.mark.parametrize("vector", STORED["wrapped_keys"], ids=lambda v: v["purpose"])
def test_wrapped_keys(
    vector: dict[str, str], ring: LocalKeyFile, drawing: Callable[..., None]
) -> None:
    bound = context(ELECTION, vector["purpose"], uuid.UUID(vector["key_id"]))
    assert bound.hex() == vector["context"]
    wrapped = bytes.fromhex(vector["wrapped"])
    assert ring.unwrap(bound, wrapped).hex() == vector["key"]
    if wrapped[1:].startswith(STORED["key_ring"]["current"].encode()):
        drawing(vector["nonce"])
        assert ring.wrap(bound, bytes.fromhex(vector["key"])) == wrapped


@pytest.mark.parametrize("vector", STORED["rows"], ids=lambda v: v["row_id"][-4:])
def test_row_envelopes(vector: dict[str, Any], drawing: Callable[..., None]) -> None:
    row_id, ballot = uuid.UUID(vector["row_id"]), bytes.fromhex(vector["ballot"])
    snapshot = {"envelope": vector["envelope"]}
    opened = open_row(Known(), ELECTION, row_id, vector["leaf_hash"], snapshot)
    assert opened == ballot
    key_id = uuid.UUID(vector["data_key_id"])
    data_key = DataKey(key_id, bytes.fromhex(vector["data_key"]))
    leaf_hash = bytes.fromhex(vector["leaf_hash"])
    drawing(vector["nonce"])
    sealed = seal_row(data_key, ELECTION, row_id, leaf_hash, ballot)
    assert sealed == vector["envelope"]


@pytest.mark.parametrize("vector", STORED["pseudonyms"], ids=lambda v: v["voter"])
def test_pseudonyms(vector: dict[str, str]) -> None:
    made = pseudonym(Known(), ELECTION, vector["voter"])
    assert made.hex() == vector["pseudonym"]


@pytest.mark.parametrize("vector", STORED["keyfiles"], ids=lambda v: v["purpose"])
def test_keyfiles(vector: dict[str, str], drawing: Callable[..., None]) -> None:
    secret, data = bytes.fromhex(vector["secret"]), vector["file"].encode()
    passphrase, purpose = vector["passphrase"], vector["purpose"]
    assert open_keyfile(data, passphrase, purpose) == secret
    drawing(vector["nonce"], vector["salt"])
    cost = json.loads(data)["log2_n"]
    assert seal_keyfile(secret, passphrase, purpose, log2_n=cost) == data
