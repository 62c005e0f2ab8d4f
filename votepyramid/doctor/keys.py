"""The keys: settings that load, the payload keys, the provider, what it must open."""

from __future__ import annotations

import secrets
from pathlib import Path

from votepyramid.custody.survey import try_current
from votepyramid.custody.wrapping import by_kek
from votepyramid.doctor.asking import Owner
from votepyramid.doctor.check import (
    Check,
    Finding,
    Unchecked,
    listed,
    ok,
    skipped,
    wrong,
)
from votepyramid.keys import providers
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KeyProviderError
from votepyramid.settings import Settings, SettingsError

SUBJECT = "keys"
_PROBE = b"votepyramid doctor"


def checks(settings: Settings, owner: Owner) -> list[Check]:
    """Those of the subject, in the order in which they are shown."""
    return [
        Check("codec-keys", SUBJECT, lambda: _codec(settings)),
        Check("key-provider", SUBJECT, lambda: _provider(settings)),
        Check("key-encryption-keys", SUBJECT, lambda: _known(settings, owner)),
    ]


def _codec(settings: Settings) -> Finding:
    if not settings.codec_keys_file:
        return skipped("codec_keys_file is not set here")
    path = Path(settings.codec_keys_file)
    try:
        ring = LocalKeyFile(path)
        secret = secrets.token_bytes(32)
        ring.unwrap(_PROBE, ring.wrap(_PROBE, secret))
    except KeyProviderError as error:
        return wrong(
            str(error),
            "Put the file that every web process and worker has there, owned by the "
            "service, mode 0600. A new one cannot open what is under way.",
        )
    return ok(f"{path} seals and opens")


def _without_keys(settings: Settings) -> bool:
    return settings.kek_provider == "file" and not settings.kek_file


def _provider(settings: Settings) -> Finding:
    if _without_keys(settings):
        return skipped("kek_file is not set here")
    advice = (
        f"See kek_provider {settings.kek_provider!r} in docs/configuration.md. Casting "
        "goes on with the keys in memory for key_hold seconds."
    )
    try:
        problem = try_current(providers.make(settings))
    except (KeyProviderError, SettingsError) as error:
        problem = str(error)
    if problem:
        return wrong(problem, advice)
    return ok(f"{settings.kek_provider} wraps and unwraps")


def _known(settings: Settings, owner: Owner) -> Finding:
    if _without_keys(settings):
        return skipped("kek_file is not set here")
    try:
        names = providers.names(settings)
    except (KeyProviderError, SettingsError):
        raise Unchecked("the names are not known: see key-provider") from None
    with owner.connection() as connection:
        used = by_kek(connection)
    lost = sorted(set(used) - names.all)
    if lost:
        count = sum(used[name] for name in lost)
        return wrong(
            f"{count} keys of elections are wrapped under {listed(lost)}, which no "
            "setting names",
            "Name it in kek_older, or bring the key file that has it; without it what "
            "they sealed stays sealed. See: votepyramid keys status",
        )
    return ok(f"all that wrapped something are named: {len(used)}")
