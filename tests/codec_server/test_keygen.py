"""The key with which the administrators' pages have payloads opened."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from votepyramid.cli import main
from votepyramid.eligibility.operator_issuer import LIFETIME, OperatorIssuer
from votepyramid.eligibility.operators import OperatorVerifier
from votepyramid.errors import Code, Refused
from votepyramid.keys.provider import KeyProviderError
from votepyramid.settings import Settings, SettingsError

PAGES = "https://admin.example.org"


def keygen(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["operator", "keygen", str(folder)])
    return done.exit_code, done.output


def settings(folder: Path, **changes: str) -> Settings:
    values = {
        "operator_issuer": PAGES,
        "operator_audience": "operators",
        "operator_key_file": str(folder / "operator.key.json"),
        "operator_jwks": str(folder / "operator.pub.json"),
    }
    return Settings(**values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    assert keygen(made)[0] == 0
    return made


def test_what_it_makes(folder: Path) -> None:
    private, public = folder / "operator.key.json", folder / "operator.pub.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert "d" in json.loads(private.read_text())
    (key,) = json.loads(public.read_text())["keys"]
    assert "d" not in key
    before = private.read_bytes()
    status, said = keygen(folder)
    assert status == 1 and "exists" in said
    assert private.read_bytes() == before


def test_a_token_says_who_asks_and_with_which_roles(folder: Path) -> None:
    issuer = OperatorIssuer(settings(folder))
    found = OperatorVerifier(settings(folder)).operator(
        issuer.token("ada.l@x", ("viewer", "auditor", "operator"))
    )
    assert (found.subject, found.role) == ("ada.l@x", "operator")
    assert len(found.token_id) > 16


def test_a_token_does_not_hold_for_long(folder: Path) -> None:
    token = OperatorIssuer(settings(folder)).token("ada", ("operator",))
    late = OperatorVerifier(settings(folder), clock=lambda: time.time() + LIFETIME + 31)
    with pytest.raises(Refused) as refused:
        late.operator(token)
    assert refused.value.code is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("roles", "changes", "code"),
    [
        (("viewer",), {}, Code.FORBIDDEN),
        ((), {}, Code.FORBIDDEN),
        (("operator",), {"operator_issuer": "https://other"}, Code.UNAUTHENTICATED),
        (("operator",), {"operator_audience": "voters"}, Code.UNAUTHENTICATED),
    ],
)
def test_what_a_codec_server_does_not_take(
    folder: Path, roles: tuple[str, ...], changes: dict[str, str], code: Code
) -> None:
    token = OperatorIssuer(settings(folder)).token("ada", roles)
    with pytest.raises(Refused) as refused:
        OperatorVerifier(settings(folder, **changes)).operator(token)
    assert refused.value.code is code


def test_another_installation_s_key_is_none(folder: Path, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    token = OperatorIssuer(settings(tmp_path / "other")).token("ada", ("operator",))
    with pytest.raises(Refused):
        OperatorVerifier(settings(folder)).operator(token)


def test_a_key_file_that_cannot_be_used_stops_the_start(folder: Path) -> None:
    private = folder / "operator.key.json"
    public = folder / "operator.pub.json"
    public.chmod(0o600)
    for content in (public.read_text(), "", "[]", '{"kty":"OKP"}'):
        public.write_text(content)
        with pytest.raises(SettingsError, match="operator keygen"):
            OperatorIssuer(settings(folder, operator_key_file=str(public)))
    private.chmod(0o640)
    with pytest.raises(KeyProviderError, match="chmod 600"):
        OperatorIssuer(settings(folder))
    private.unlink()
    with pytest.raises(KeyProviderError, match="cannot read"):
        OperatorIssuer(settings(folder))
