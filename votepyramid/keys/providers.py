"""The one place that makes the key provider which the settings name.

Making one asks nothing of a KMS, so that processes and their servers may come up in
any order; what the settings lack stops the start. A library that only one provider
needs is imported when that one is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from votepyramid.keys.bounded import Bounded
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.names import KekNames
from votepyramid.keys.provider import KekStore
from votepyramid.settings import Settings, SettingsError

# Calls at a time, of a provider that takes several.
_LANES = 4


def make(settings: Settings) -> KekStore:
    """Raises SettingsError, or KeyProviderError for a key file it cannot use."""
    # Imported late: metrics must know their directory first.
    from votepyramid.keys.measured import Measured

    return Measured(_make(settings), settings.kek_provider)


def _make(settings: Settings) -> KekStore:
    if settings.kek_provider == "file":
        return LocalKeyFile(settings.require("kek_file"))
    with _library(settings.kek_provider):
        return _MAKERS[settings.kek_provider](settings)


def names(settings: Settings) -> KekNames:
    """The keys of that provider which this process may ask. Raises as `make`."""
    if settings.kek_provider == "file":
        return LocalKeyFile(settings.require("kek_file")).names
    return KekNames.of(settings)


def _pkcs11(settings: Settings) -> KekStore:
    from votepyramid.keys.pkcs11 import Pkcs11Keys

    module = Path(settings.require("pkcs11_module"))
    if not module.is_file():
        raise SettingsError(f"pkcs11_module: there is no {module}")
    token = settings.require("pkcs11_token")
    pin_file = Path(settings.require("pkcs11_pin_file"))
    keys = Pkcs11Keys(module, token, pin_file, KekNames.of(settings))
    return Bounded(keys, f"token {token!r}", settings.kek_timeout)


def _aws(settings: Settings) -> KekStore:
    from votepyramid.keys.aws import AwsKeys

    keys = AwsKeys(KekNames.of(settings), settings.kek_timeout)
    return Bounded(keys, "KMS", settings.kek_timeout, lanes=_LANES)


def _vault(settings: Settings) -> KekStore:
    from votepyramid.keys.vault import VaultKeys

    keys = VaultKeys(
        settings.require("vault_url"),
        Path(settings.require("vault_token_file")),
        settings.require("vault_mount"),
        KekNames.of(settings),
        settings.kek_timeout,
    )
    return Bounded(keys, "Vault", settings.kek_timeout)


_MAKERS = {"pkcs11": _pkcs11, "aws": _aws, "vault": _vault}


@contextmanager
def _library(extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"kek_provider {extra!r} needs a library that is not installed "
            f"({error.name}): pip install 'votepyramid[{extra}]'"
        ) from None
