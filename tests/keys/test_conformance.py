"""What every key provider must do, whatever keeps the keys."""

from __future__ import annotations

import secrets
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.keys.kms import Place, a_name, fresh, with_made
from tests.keys.refusals import refused
from votepyramid.keys import bounded, providers
from votepyramid.keys.provider import (
    KekGone,
    KekTaken,
    KeyProvider,
    NotAllowed,
    WrongContext,
)
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


@pytest.mark.parametrize("size", [1, 32, 33, 64])
def test_a_key_comes_back(place: Place, size: int) -> None:
    settings = place.settings(fresh(place))
    key = secrets.token_bytes(size)
    wrapped = providers.make(settings).wrap(ELECTION, key)
    assert size == 1 or key not in wrapped
    # Of another process, which knows nothing but its settings.
    assert providers.make(settings).unwrap(ELECTION, wrapped) == key


def test_no_two_wraps_are_alike(place: Place) -> None:
    provider = providers.make(place.settings(fresh(place)))
    wrapped = {provider.wrap(ELECTION, b"k" * 32) for _ in range(10)}
    assert len(wrapped) == 10


def test_another_context_is_refused(place: Place) -> None:
    provider = providers.make(place.settings(fresh(place)))
    key = secrets.token_bytes(32)
    for bound in (ELECTION, b"x" * 40):
        wrapped = provider.wrap(bound, key)
        for what, other in OTHERS.items():
            error = refused(lambda w=wrapped, o=other: provider.unwrap(o, w), key)
            assert isinstance(error, WrongContext), what
        assert provider.unwrap(bound, wrapped) == key


@pytest.mark.parametrize("size", [32, 33])
def test_altered_bytes_are_refused(place: Place, size: int) -> None:
    """Each byte in three ways: any bit, the case of a letter, out of ASCII."""
    provider = providers.make(place.settings(fresh(place)))
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
    old, new = fresh(place), fresh(place)
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
    old, new = fresh(place), fresh(place)
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
        assert isinstance(error, KekGone)
        assert "destroyed" in str(error)
    # The other key goes on.
    assert asked[0].unwrap(ELECTION, asked[0].wrap(ELECTION, key)) == key


def test_our_command_destroys_a_key(place: Place) -> None:
    """For operators, who may: the service's own credentials should not."""
    old, new = fresh(place), fresh(place)
    key = secrets.token_bytes(32)
    wrapped = providers.make(place.settings(old)).wrap(ELECTION, key)
    settings = place.operators(place.settings(new, old))
    name = next(iter(providers.names(settings).older))
    store = providers.make(settings)
    assert store.unwrap(ELECTION, wrapped) == key
    assert store.destroy(name)
    place.days_pass()
    for provider in (store, providers.make(settings)):
        error = refused(lambda p=provider: p.unwrap(ELECTION, wrapped), key)
        assert isinstance(error, KekGone)
        assert "destroyed" in str(error)
        # The other key goes on.
        assert provider.unwrap(ELECTION, provider.wrap(ELECTION, key)) == key
    error = refused(lambda: store.destroy(name))
    assert isinstance(error, KekGone)


def test_our_command_makes_a_key(place: Place) -> None:
    service = place.settings(fresh(place))
    settings = place.operators(service)
    old = providers.names(settings).current
    key = secrets.token_bytes(32)
    store = providers.make(settings)
    before = store.wrap(ELECTION, key)
    announced: list[int] = []
    made = store.make(a_name(), lambda: announced.append(1))
    assert announced == [1] and made != old
    # A process that has the new settings, and the service's credentials.
    changed = with_made(service, made)
    assert providers.names(changed).current == made
    assert providers.names(changed).older == {old}
    provider = providers.make(changed)
    after = provider.wrap(ELECTION, key)
    assert after[1 : 1 + after[0]] == made.encode()
    assert provider.unwrap(ELECTION, after) == key
    assert provider.unwrap(ELECTION, before) == key
    # Made to be destroyed as well.
    assert providers.make(with_made(settings, made)).destroy(old)


def test_a_name_that_is_taken_is_left_alone(place: Place) -> None:
    settings = place.operators(place.settings(fresh(place)))
    announced: list[int] = []
    name, key = a_name(), secrets.token_bytes(32)
    made = providers.make(settings).make(name, lambda: None)
    wrapped = providers.make(with_made(settings, made)).wrap(ELECTION, key)
    for store in (providers.make(settings), providers.make(with_made(settings, made))):
        error = refused(lambda s=store: s.make(name, lambda: announced.append(1)))
        assert isinstance(error, KekTaken)
        assert "already" in str(error) and "take another name" in str(error)
    assert announced == []
    assert providers.make(with_made(settings, made)).unwrap(ELECTION, wrapped) == key


def test_what_cannot_be_announced_is_not_made(place: Place) -> None:
    settings = place.operators(place.settings(fresh(place)))
    store, name = providers.make(settings), a_name()
    before = providers.names(settings)

    def away() -> None:
        raise LookupError("the database is away")

    with pytest.raises(LookupError):
        store.make(name, away)
    assert providers.names(settings) == before
    # It is free still.
    assert store.make(name, lambda: None)


@pytest.mark.parametrize("name", ["", "a b", "../sys", "-x", "k" * 65, "alias/aws/x"])
def test_what_is_no_name_is_refused(place: Place, name: str) -> None:
    store = providers.make(place.operators(place.settings(fresh(place))))
    error = refused(lambda: store.make(name, lambda: None))
    assert "is no name for a key" in str(error)


def test_who_may_not_make_keys_is_told(place: Place) -> None:
    settings = place.settings(fresh(place))
    name, key = a_name(), secrets.token_bytes(32)
    with place.barred(settings) as theirs:
        store = providers.make(theirs)
        error = refused(lambda: store.make(name, lambda: None))
        assert isinstance(error, NotAllowed), error
        assert store.unwrap(ELECTION, store.wrap(ELECTION, key)) == key
    # Nor was it made in part.
    operators = place.operators(settings)
    made = providers.make(operators).make(name, lambda: None)
    provider = providers.make(with_made(operators, made))
    assert provider.unwrap(ELECTION, provider.wrap(ELECTION, key)) == key


def test_a_kms_that_hangs_is_given_up_in_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MAKING_SECONDS", 1)
    settings = place.settings(fresh(place), kek_timeout=1)
    key = secrets.token_bytes(32)
    wrapped = providers.make(settings).wrap(ELECTION, key)
    with place.hung(settings) as changed:
        for call in (
            lambda p: p.wrap(ELECTION, key),
            lambda p: p.unwrap(ELECTION, wrapped),
            lambda p: p.make("kek-of-nobody", lambda: None),
        ):
            began = time.monotonic()
            error = refused(lambda c=call: c(providers.make(changed)), key)
            assert time.monotonic() - began < 5
            assert not isinstance(error, WrongContext)
    assert providers.make(settings).unwrap(ELECTION, wrapped) == key


def test_threads_share_a_provider(place: Place) -> None:
    provider = providers.make(place.settings(fresh(place)))

    def round_trip(number: int) -> bool:
        bound, key = b"context %d" % number, secrets.token_bytes(32)
        return provider.unwrap(bound, provider.wrap(bound, key)) == key

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(round_trip, range(40)))
