"""What every key provider must do, whatever keeps the keys."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.keys.kms import KeyFile, Moto, Place, Token, Transit
from tests.keys.refusals import refused
from tests.support.needs import needs
from votepyramid.keys import providers
from votepyramid.keys.provider import KeyProvider, WrongContext
from votepyramid.keys.service import context

ELECTION = context("city-2026", "issuance", uuid.UUID(int=1))
OTHERS = {
    "another election": context("city-2027", "issuance", uuid.UUID(int=1)),
    "another purpose": context("city-2026", "data", uuid.UUID(int=1)),
    "another id": context("city-2026", "issuance", uuid.UUID(int=2)),
    "shorter": ELECTION[:-1],
    "longer": ELECTION + b"\0",
    "no context of ours": b"x",
}
PLACES = [
    pytest.param("file"),
    pytest.param("pkcs11", marks=needs("softhsm2")),
    pytest.param("aws"),
    pytest.param("vault", marks=needs("openbao")),
]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A KMS without the keys of other tests: see `_fresh`."""
    if request.param == "aws":
        with Moto.running() as moto:
            yield moto
    elif request.param == "file":
        yield KeyFile(tmp_path)
    elif request.param == "pkcs11":
        yield Token(request.getfixturevalue("tokens"))
    else:
        yield Transit(request.getfixturevalue("bao"))


def _fresh(place: Place) -> str:
    """A key under a name that no other test has."""
    name = f"kek-{secrets.token_hex(4)}"
    place.make_key(name)
    return name


@pytest.mark.parametrize("size", [1, 32, 33, 64])
def test_a_key_comes_back(place: Place, size: int) -> None:
    settings = place.settings(_fresh(place))
    key = secrets.token_bytes(size)
    wrapped = providers.make(settings).wrap(ELECTION, key)
    assert size == 1 or key not in wrapped
    # Of another process, which knows nothing but its settings.
    assert providers.make(settings).unwrap(ELECTION, wrapped) == key


def test_no_two_wraps_are_alike(place: Place) -> None:
    provider = providers.make(place.settings(_fresh(place)))
    wrapped = {provider.wrap(ELECTION, b"k" * 32) for _ in range(10)}
    assert len(wrapped) == 10


def test_another_context_isrefused(place: Place) -> None:
    provider = providers.make(place.settings(_fresh(place)))
    key = secrets.token_bytes(32)
    for bound in (ELECTION, b"x" * 40):
        wrapped = provider.wrap(bound, key)
        for what, other in OTHERS.items():
            error = refused(lambda w=wrapped, o=other: provider.unwrap(o, w), key)
            assert isinstance(error, WrongContext), what
        assert provider.unwrap(bound, wrapped) == key


@pytest.mark.parametrize("size", [32, 33])
def test_altered_bytes_arerefused(place: Place, size: int) -> None:
    """Each byte in three ways: any bit, the case of a letter, out of ASCII."""
    provider = providers.make(place.settings(_fresh(place)))
    key = secrets.token_bytes(size)
    wrapped = provider.wrap(ELECTION, key)
    for place_of in range(len(wrapped)):
        for bit in (0x01, 0x20, 0x80):
            altered = bytearray(wrapped)
            altered[place_of] ^= bit
            refused(lambda a=bytes(altered): provider.unwrap(ELECTION, a), key)
    for cut in (0, 1, 5, 1 + wrapped[0], 2 + wrapped[0], len(wrapped) - 1):
        refused(lambda c=cut: provider.unwrap(ELECTION, wrapped[:c]), key)
    refused(lambda: provider.unwrap(ELECTION, wrapped + b"\0"), key)
    # What the key sealed is WrongContext, so that nobody tries it again for ever.
    last = wrapped[:-5] + bytes([wrapped[-5] ^ 1]) + wrapped[-4:]
    error = refused(lambda: provider.unwrap(ELECTION, last), key)
    assert isinstance(error, WrongContext)
    assert provider.unwrap(ELECTION, wrapped) == key


def test_rotation(place: Place) -> None:
    old, new = _fresh(place), _fresh(place)
    before = providers.make(place.settings(old)).wrap(ELECTION, b"k" * 32)
    rotated = providers.make(place.settings(new, old))
    assert rotated.unwrap(ELECTION, before) == b"k" * 32
    after = rotated.wrap(ELECTION, b"k" * 32)
    # What is wrapped since needs the new key alone, and nothing of the old one.
    only_new = providers.make(place.settings(new))
    assert only_new.unwrap(ELECTION, after) == b"k" * 32
    error = refused(lambda: only_new.unwrap(ELECTION, before))
    assert not isinstance(error, WrongContext)
    only_old = providers.make(place.settings(old))
    refused(lambda: only_old.unwrap(ELECTION, after))


def test_a_destroyed_key_is_gone_and_said_to_be(place: Place) -> None:
    old, new = _fresh(place), _fresh(place)
    key = secrets.token_bytes(32)
    living = providers.make(place.settings(old))
    wrapped = living.wrap(ELECTION, key)
    place.destroy_key(old)
    asked: list[KeyProvider] = [providers.make(place.settings(new, old))]
    if place.notices:
        asked.append(living)
        error = refused(lambda: living.wrap(ELECTION, key), key)
        assert "destroyed" in str(error)
    for provider in asked:
        error = refused(lambda p=provider: p.unwrap(ELECTION, wrapped), key)
        # Another context would be a fault of the row; this is one of the KMS.
        assert not isinstance(error, WrongContext)
        assert "destroyed" in str(error)
    # The other key goes on.
    assert asked[0].unwrap(ELECTION, asked[0].wrap(ELECTION, key)) == key


def test_a_kms_that_hangs_is_given_up_in_time(place: Place) -> None:
    settings = place.settings(_fresh(place), kek_timeout=1)
    key = secrets.token_bytes(32)
    wrapped = providers.make(settings).wrap(ELECTION, key)
    with place.hung(settings) as changed:
        for call in (
            lambda p: p.wrap(ELECTION, key),
            lambda p: p.unwrap(ELECTION, wrapped),
        ):
            began = time.monotonic()
            error = refused(lambda c=call: c(providers.make(changed)), key)
            assert time.monotonic() - began < 5
            assert not isinstance(error, WrongContext)
    assert providers.make(settings).unwrap(ELECTION, wrapped) == key


def test_threads_share_a_provider(place: Place) -> None:
    provider = providers.make(place.settings(_fresh(place)))

    def round_trip(number: int) -> bool:
        bound, key = b"context %d" % number, secrets.token_bytes(32)
        return provider.unwrap(bound, provider.wrap(bound, key)) == key

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(round_trip, range(40)))
