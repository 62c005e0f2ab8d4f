"""The key files of a development stack, made once (0600)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from votepyramid.eligibility import token_keys
from votepyramid.eligibility.dev_issuer import KEY_FILE
from votepyramid.eligibility.identity import DEV_ISSUER
from votepyramid.keys.local import LocalKeyFile

AUDIENCE = "votepyramid"
OPERATORS = "votepyramid-operators"


def make(folder: Path) -> dict[str, str]:
    """Make what is missing in `folder`; returns settings by name.

    `kek.json` and `codec.json` are key rings, `jwks.json` is the key set the web
    process trusts; beside it the development issuer's private JWK (Ed25519).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("kek.json", "codec.json"):
        if not (folder / name).exists():
            LocalKeyFile.create(folder / name)
    if not (folder / "jwks.json").exists():
        issuer = token_keys.make()
        _write(folder / KEY_FILE, token_keys.private_part(issuer))
        _write(folder / "jwks.json", token_keys.public_set(issuer))
    return {
        "kek_file": str(folder / "kek.json"),
        "codec_keys_file": str(folder / "codec.json"),
        "jwt_jwks": str(folder / "jwks.json"),
        "jwt_issuer": DEV_ISSUER,
        "jwt_audience": AUDIENCE,
        "operator_jwks": str(folder / "jwks.json"),
        "operator_issuer": DEV_ISSUER,
        "operator_audience": OPERATORS,
    }


def _write(path: Path, document: Any) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(document, file)
        file.write("\n")
