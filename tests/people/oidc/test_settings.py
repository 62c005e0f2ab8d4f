"""The settings of an identity provider: all it takes, or a sentence at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from votepyramid.people.oidc.provider import Client
from votepyramid.settings import Settings, SettingsError

ORIGIN = "https://admin.example.org"
WHOLE = {"oidc_issuer": "https://id.example/realms/one", "oidc_client_id": "v"}


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert Client.of(Settings(), ORIGIN) is None


def test_what_we_are_there() -> None:
    client = Client.of(Settings(**WHOLE), ORIGIN)
    assert client == Client(
        "https://id.example/realms/one",
        "v",
        "",
        f"{ORIGIN}/sign-in/callback",
        "id.example",
    )
    named = Client.of(Settings(**WHOLE, oidc_name="Our staff"), ORIGIN)
    assert named is not None and named.name == "Our staff"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"oidc_issuer": ""}, "oidc_client_id is set: .* takes oidc_issuer and"),
        ({"oidc_client_id": ""}, "oidc_issuer is set: .* takes oidc_issuer and"),
        (
            {"oidc_issuer": "", "oidc_client_id": "", "oidc_name": "x"},
            "oidc_name is set",
        ),
        (
            {"oidc_client_secret": "a", "oidc_client_secret_file": "b"},
            "both set: take one",
        ),
        ({"oidc_issuer": "id.example"}, "the provider's address"),
        ({"oidc_issuer": "https://id.example/?a"}, "the provider's address"),
        ({"oidc_issuer": "https://id.example/#a"}, "the provider's address"),
        ({"oidc_issuer": "https://a:b@id.example"}, "the provider's address"),
        ({"oidc_issuer": "https://id.example/a b"}, "the provider's address"),
        ({"oidc_issuer": "http://id.example"}, "must be https"),
        ({"oidc_issuer": "http://127.0.0.1:9400"}, "must be https"),
        ({"oidc_name": "two\nlines"}, "64 characters"),
        ({"oidc_name": "x" * 65}, "64 characters"),
    ],
    ids=repr,
)
def test_half_of_it_stops_the_start(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Settings(**{**WHOLE, **changes})


def test_plain_http_is_for_loopback_in_development() -> None:
    for issuer in ("http://127.0.0.1:9400", "http://localhost:9400/a", "http://[::1]"):
        Settings(**{**WHOLE, "oidc_issuer": issuer}, environment="development")
    with pytest.raises(SettingsError, match="loopback"):
        Settings(
            **{**WHOLE, "oidc_issuer": "http://127.0.0.1.example"},
            environment="development",
        )


def test_the_secret_is_in_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    settings = Settings(**WHOLE, oidc_client_secret_file=str(path))
    with pytest.raises(SettingsError, match="oidc_client_secret_file: cannot read"):
        Client.of(settings, ORIGIN)
    path.write_text("hush\n")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        Client.of(settings, ORIGIN)
    path.chmod(0o600)
    client = Client.of(settings, ORIGIN)
    assert client is not None and client.secret == "hush"
    path.write_text("\n")
    with pytest.raises(SettingsError, match="nothing in the file"):
        Client.of(settings, ORIGIN)


def test_the_secret_is_not_shown() -> None:
    settings = Settings(**WHOLE, oidc_client_secret="hush")
    client = Client.of(settings, ORIGIN)
    assert client is not None and client.secret == "hush"
    assert "hush" not in repr(settings) + repr(client)
