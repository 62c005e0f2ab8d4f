"""`votepyramid keys …`: the key-encryption keys, for an operator."""

from __future__ import annotations

import sys

import click

from votepyramid.elections.console import answer, as_json, owner_engine, refusing
from votepyramid.keys import providers
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.survey import Kek, survey
from votepyramid.settings import Settings

_AT_THE_KMS = {
    "pkcs11": "Make an AES-256 key with a new label on the token, sensitive and not "
    "extractable. Then name it in kek_current, add {current!r} to kek_older and "
    "restart every process.",
    "aws": "Turn on the rotation of {current} in KMS; nothing is restarted. Or make "
    "another symmetric key, name its ARN in kek_current, add this one to kek_older "
    "and restart every process.",
    "vault": "Run: bao write -f {mount}/keys/{current}/rotate (vault write …, with "
    "Vault). Nothing is restarted.",
}


@click.group()
def keys() -> None:
    """Show and rotate the key-encryption keys.

    They wrap every key of every election: issuance, ballot box and data keys. Where
    they are is the setting kek_provider; see docs/configuration.md.
    """


@keys.command("status")
@as_json
@refusing
def status_command(as_json: bool) -> None:
    """Try the key-encryption keys, and count what each has wrapped.

    The current one wraps and unwraps something; every other one unwraps a key of the
    database that it wrapped. Exit status 1 when one of them fails. A key that has
    wrapped nothing and is not current may be taken out of the settings.

    \b
    Examples:
      votepyramid keys status
      votepyramid keys status --json
    """
    settings = Settings.load()
    names = providers.names(settings)
    with owner_engine(settings) as engine:
        found = survey(providers.make(settings), names, engine)
    answer(
        as_json,
        {"provider": settings.kek_provider, "keks": [vars(kek) for kek in found]},
        "\n".join([f"Provider  {settings.kek_provider}", *map(_line, found)]),
    )
    sys.exit(any(kek.problem for kek in found))


def _line(kek: Kek) -> str:
    role = "current" if kek.current else "older"
    said = kek.problem or "works"
    return f"{role:8}  {kek.name}  {kek.wrapped_keys} wrapped keys: {said}"


@keys.command("rotate")
@as_json
@refusing
def rotate_command(as_json: bool) -> None:
    """Add a key to the key file and make it the current one.

    The older keys stay, as what they wrapped is still to be read. Processes read the
    file when they start: bring it to every host first, then restart them all, workers
    before the next `election prepare`. Back the file up.

    With another kek_provider this rotates nothing: it says what to do at the KMS, and
    its exit status is 1.

    \b
    Examples:
      votepyramid keys rotate && systemctl restart 'votepyramid-*'
    """
    settings = Settings.load()
    if settings.kek_provider == "file":
        path = settings.require("kek_file")
        made = LocalKeyFile.rotate(path)
        shown = {"rotated": True, "current": made, "file": path}
        answer(as_json, shown, f"{path} has the new current key {made}.")
        return
    current = providers.names(settings).current
    todo = _AT_THE_KMS[settings.kek_provider].format(
        current=current, mount=settings.vault_mount
    )
    answer(as_json, {"rotated": False, "current": current, "todo": todo}, todo)
    sys.exit(1)
