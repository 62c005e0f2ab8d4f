"""Keys in a real token: what an HSM's operator can get wrong, and what it does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pkcs11 import Attribute
from pkcs11 import exceptions as refusals

from tests.keys import softhsm
from tests.keys.softhsm import Tokens
from tests.support.needs import needs
from votepyramid.keys import pkcs11, providers
from votepyramid.keys.provider import (
    KekGone,
    KekStore,
    KekTaken,
    KeyProvider,
    KeyProviderError,
    Unanswered,
    WrongContext,
)
from votepyramid.settings import Settings, SettingsError

pytestmark = needs("softhsm2")


@pytest.fixture
def settings(tokens: Tokens) -> Settings:
    return Settings(
        kek_provider="pkcs11",
        kek_current="pkcs11-tests",
        pkcs11_module=str(softhsm.module()),
        pkcs11_token="votepyramid",
        pkcs11_pin_file=str(tokens.pin_file),
    )


@pytest.fixture(scope="session")
def kek(tokens: Tokens) -> str:
    tokens.make_key("votepyramid", "pkcs11-tests")
    return "pkcs11-tests"


@pytest.fixture
def provider(settings: Settings, kek: str) -> KekStore:
    return providers.make(settings)


def test_a_wrapped_key_names_the_key_that_wrapped_it(
    provider: KeyProvider, kek: str
) -> None:
    wrapped = provider.wrap(b"context", b"k" * 32)
    assert wrapped[1 : 1 + wrapped[0]] == kek.encode()
    assert len(wrapped) == 1 + len(kek) + 12 + 32 + 16
    assert provider.unwrap(b"context", wrapped) == b"k" * 32


def test_no_nonce_comes_twice(provider: KeyProvider) -> None:
    wrapped = {provider.wrap(b"context", b"k" * 32)[13:25] for _ in range(50)}
    assert len(wrapped) == 50


@pytest.mark.parametrize(
    ("label", "bits", "readable", "says"),
    [
        ("readable", 256, True, "can be read out of token"),
        ("short", 128, False, "not an AES-256 key"),
    ],
)
def test_a_key_that_is_no_kek_is_refused(
    tokens: Tokens, settings: Settings, label: str, bits: int, readable: bool, says: str
) -> None:
    tokens.make_key("votepyramid", label, bits, readable)
    provider = providers.make(replace(settings, kek_current=label))
    with pytest.raises(KeyProviderError, match=says):
        provider.wrap(b"context", b"k" * 32)


def test_two_keys_under_one_label_are_refused(
    tokens: Tokens, settings: Settings
) -> None:
    for _ in range(2):
        tokens.make_key("votepyramid", "twice")
    provider = providers.make(replace(settings, kek_current="twice"))
    with pytest.raises(KeyProviderError, match="several keys 'twice'"):
        provider.wrap(b"context", b"k" * 32)


def test_what_is_made_stays_in_the_token_and_does_one_thing(
    provider: KekStore, settings: Settings
) -> None:
    provider.make("made-here", lambda: None)
    inner = providers.make(replace(settings, kek_current="made-here"))
    inner.wrap(b"context", b"k" * 32)
    kek = inner._provider._provider._keks["made-here"]  # type: ignore[attr-defined]
    for attribute, value in (
        (Attribute.NEVER_EXTRACTABLE, True),
        (Attribute.ALWAYS_SENSITIVE, True),
        (Attribute.PRIVATE, True),
        (Attribute.ID, b"made-here"),
        (Attribute.VALUE_LEN, 32),
        *((may, True) for may in (Attribute.ENCRYPT, Attribute.DECRYPT)),
        *((may, False) for may in (Attribute.WRAP, Attribute.UNWRAP, Attribute.SIGN)),
    ):
        assert kek[attribute] == value, attribute


def test_of_two_who_make_one_the_later_gives_way(
    tokens: Tokens, provider: KekStore, settings: Settings
) -> None:
    """A token takes both, and none could be found by its label."""
    with pytest.raises(KekTaken):
        provider.make("at-once", lambda: tokens.make_key("votepyramid", "at-once"))
    left = providers.make(replace(settings, kek_current="at-once"))
    assert left.unwrap(b"context", left.wrap(b"context", b"k" * 32)) == b"k" * 32


def test_a_wrong_pin_is_tried_once(
    tokens: Tokens,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A real token locks itself after a few. On one where nobody is logged in yet."""
    tokens.make_key("locked", "pkcs11-tests")
    pin_file = tmp_path / "pin"
    pin_file.write_text("9999")
    pin_file.chmod(0o600)
    tried: list[int] = []

    def lib(module: str) -> Any:
        tried.append(1)
        return real(module)

    real = pkcs11.pkcs11.lib
    monkeypatch.setattr(pkcs11.pkcs11, "lib", lib)
    provider = providers.make(
        replace(settings, pkcs11_token="locked", pkcs11_pin_file=str(pin_file))
    )
    for _ in range(3):
        with pytest.raises(KeyProviderError, match="refuses the PIN") as caught:
            provider.wrap(b"context", b"k" * 32)
        assert "9999" not in str(caught.value)
    assert len(tried) == 1
    # With another one in the file it is tried again.
    pin_file.write_text(softhsm.PIN)
    wrapped = provider.wrap(b"context", b"k" * 32)
    assert provider.unwrap(b"context", wrapped) == b"k" * 32


def test_a_pin_that_others_can_read_is_refused(
    settings: Settings, kek: str, tmp_path: Path
) -> None:
    pin_file = tmp_path / "pin"
    pin_file.write_text(softhsm.PIN)
    pin_file.chmod(0o644)
    provider = providers.make(replace(settings, pkcs11_pin_file=str(pin_file)))
    with pytest.raises(KeyProviderError, match="chmod 600"):
        provider.wrap(b"context", b"k" * 32)


def test_a_token_that_vanishes(tokens: Tokens, settings: Settings, kek: str) -> None:
    tokens.make_key("portable", "pkcs11-tests")
    provider = providers.make(replace(settings, pkcs11_token="portable"))
    wrapped = provider.wrap(b"context", b"k" * 32)
    tokens.lose_token("portable")
    began = time.monotonic()
    with pytest.raises(KeyProviderError, match="'portable'") as caught:
        provider.unwrap(b"context", wrapped)
    assert not isinstance(caught.value, WrongContext)
    assert time.monotonic() - began < 5
    # The token beside it does not suffer.
    beside = providers.make(settings)
    assert beside.unwrap(b"context", beside.wrap(b"context", b"k" * 32)) == b"k" * 32


def test_a_stale_session_is_opened_anew(provider: KeyProvider) -> None:
    wrapped = provider.wrap(b"context", b"k" * 32)
    provider._provider._provider._session.close()  # type: ignore[attr-defined]
    assert provider.unwrap(b"context", wrapped) == b"k" * 32


def test_it_works_again_once_the_token_answers(
    tokens: Tokens, settings: Settings, kek: str
) -> None:
    provider = providers.make(replace(settings, kek_timeout=1))
    wrapped = provider.wrap(b"context", b"k" * 32)
    with tokens.hung():
        began = time.monotonic()
        with pytest.raises(KeyProviderError, match="did not answer in 1 s"):
            provider.unwrap(b"context", wrapped)
        first = time.monotonic() - began
        with pytest.raises(KeyProviderError, match="did not answer in 1 s"):
            provider.unwrap(b"context", wrapped)
        second = time.monotonic() - began - first
    assert first < 3
    # The lane is lost and known to be: who comes next need not wait to hear so.
    assert second < 0.7
    deadline = time.monotonic() + 10
    while True:
        try:
            assert provider.unwrap(b"context", wrapped) == b"k" * 32
            break
        except KeyProviderError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize(
    "name", ["pkcs11_module", "pkcs11_token", "pkcs11_pin_file", "kek_current"]
)
def test_what_is_not_set_is_named(settings: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match=f"VOTEPYRAMID_{name.upper()}"):
        providers.make(replace(settings, **{name: ""}))


def test_a_module_that_is_not_there_is_named(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"there is no .*nowhere\.so"):
        providers.make(replace(settings, pkcs11_module="/nowhere.so"))


def test_several_providers_share_the_library(settings: Settings, kek: str) -> None:
    """It has no locks of its own, and a call that was given up goes on in it."""
    several = [providers.make(settings) for _ in range(4)]

    def round_trips(provider: KeyProvider) -> bool:
        return all(
            provider.unwrap(b"context", provider.wrap(b"context", b"k" * 32))
            for _ in range(150)
        )

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(round_trips, several))


def test_a_token_that_fails_while_it_destroys_may_have_done_it(
    tokens: Tokens, provider: KekStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def destroy(self) -> None:
            raise refusals.DeviceError

    with monkeypatch.context() as patch:
        patch.setattr(pkcs11.Pkcs11Keys, "_find", lambda keys, name: Failing())
        with pytest.raises(Unanswered, match="destroyed or not: DeviceError"):
            provider.destroy("pkcs11-tests")
    with pytest.raises(KekGone):
        provider.destroy("nobody-made-it")
