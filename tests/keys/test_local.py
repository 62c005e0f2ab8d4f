"""Keys in a local file: bound to their context, rotated, refused when readable."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KeyProviderError, WrongContext
from votepyramid.protocol.encoding import b64u


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "kek.json"
    LocalKeyFile.create(made)
    return made


def test_a_key_comes_back_under_its_context_alone(path: Path) -> None:
    ring = LocalKeyFile(path)
    wrapped = ring.wrap(b"election a", b"k" * 32)
    assert b"k" * 32 not in wrapped
    assert LocalKeyFile(path).unwrap(b"election a", wrapped) == b"k" * 32
    with pytest.raises(WrongContext):
        ring.unwrap(b"election b", wrapped)


@given(st.data())
def test_every_changed_byte_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("keys") / "kek.json"
    LocalKeyFile.create(path)
    ring = LocalKeyFile(path)
    wrapped = bytearray(ring.wrap(b"context", b"k" * 32))
    place = data.draw(st.integers(0, len(wrapped) - 1))
    wrapped[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(KeyProviderError):
        ring.unwrap(b"context", bytes(wrapped))


@given(st.binary(max_size=80))
def test_junk_is_refused_with_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("keys") / "kek.json"
    LocalKeyFile.create(path)
    with pytest.raises(KeyProviderError):
        LocalKeyFile(path).unwrap(b"context", junk)


def test_old_keys_of_the_ring_still_open(path: Path) -> None:
    wrapped = LocalKeyFile(path).wrap(b"context", b"secret")
    document = json.loads(path.read_text())
    document["keys"]["newer"] = b64u(os.urandom(32))
    document["current"] = "newer"
    path.write_text(json.dumps(document))
    ring = LocalKeyFile(path)
    assert ring.unwrap(b"context", wrapped) == b"secret"
    assert ring.wrap(b"context", b"secret")[1:6] == b"newer"
    del document["keys"][next(name for name in document["keys"] if name != "newer")]
    path.write_text(json.dumps(document))
    with pytest.raises(KeyProviderError, match="no key-encryption key"):
        LocalKeyFile(path).unwrap(b"context", wrapped)


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyProviderError, match="chmod 600"):
        LocalKeyFile(path)


def test_a_file_is_never_overwritten(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        LocalKeyFile.create(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"current": "a", "keys": {}}', '{"current": 1, "keys": []}'],
)
def test_what_is_no_key_file_is_named(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(KeyProviderError, match="not a key file"):
        LocalKeyFile(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyProviderError, match="cannot read"):
        LocalKeyFile(tmp_path / "none.json")


def test_a_pipe_is_no_key_file(tmp_path: Path) -> None:
    """Opening one would wait for ever."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyProviderError, match="is not a file"):
        LocalKeyFile(tmp_path / "pipe")
