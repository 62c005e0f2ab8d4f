"""Settings: a safe default, or a sentence that says what to set."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import INI
from tests.support.stacks import VOTEPYRAMID
from votepyramid.app import main
from votepyramid.settings import ENVIRONMENT_PREFIX, Settings, SettingsError
from votepyramid.stack import credentials


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of ours in the environment."""
    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)


def test_without_anything_it_is_production_with_every_default() -> None:
    settings = Settings.load()
    assert settings == Settings()
    assert settings.production
    for field in dataclasses.fields(Settings):
        if field.type == "str" and field.name.endswith(("_url", "_file")):
            # No address and no secret is guessed.
            assert getattr(settings, field.name) == ""


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    ini = {"votepyramid.database_pool": "7", "votepyramid.roles": "claim", "debug": "x"}
    assert Settings.load(ini).database_pool == 7
    assert Settings.load(ini).roles == {"claim"}
    monkeypatch.setenv("VOTEPYRAMID_DATABASE_POOL", "9")
    monkeypatch.setenv("VOTEPYRAMID_ROLES", "claim, cast")
    assert Settings.load(ini).database_pool == 9
    assert Settings.load(ini).roles == {"claim", "cast"}


def test_in_development_a_second_administrator_is_one_at_once() -> None:
    name, where = "votepyramid.second_after_hours", "votepyramid.environment"
    assert Settings.load({where: "production"}).second_after_hours == 24
    assert Settings.load({where: "development"}).second_after_hours == 0
    assert Settings.load({where: "development", name: "2"}).second_after_hours == 2


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("no_such_setting", "1", "unknown setting votepyramid.no_such_setting"),
        ("environment", "staging", "environment must be one of"),
        ("roles", "claim tally", "roles must be some of"),
        ("roles", "", "roles must be some of"),
        ("threads", "many", "votepyramid.threads is 'many', which is not a int"),
        ("threads", "-1", "votepyramid.threads is '-1'"),
        ("answer_timeout", "-0.5", "votepyramid.answer_timeout is '-0.5'"),
        ("answer_timeout", "soon", "which is not a float"),
        ("sandboxed", "perhaps", "which is not a bool"),
        ("group_votes", "0", "group_votes must be between 1 and 256"),
        ("group_votes", "257", "group_votes must be between 1 and 256"),
        ("groups_in_flight", "0", "must be at least 1"),
        ("groups_stuck", "0", "groups_stuck must be at least 1"),
        ("threads", "100", "waiting_bound must be smaller than threads"),
        ("group_bytes", "524288", "group_bytes must be at least 1 and stay under"),
        ("operator", "two\nlines", "operator must be a name of 64 characters"),
        ("operator", "x" * 65, "operator must be a name of 64 characters"),
        ("group_bytes", "0", "group_bytes must be at least 1 and stay under"),
        ("second_after_hours", "721", "second_after_hours must be at most 720"),
    ],
)
def test_an_unusable_setting(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({f"votepyramid.{name}": value})
    assert says in str(caught.value)


def test_a_missing_setting_says_how_to_set_it() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load().require("database_url")
    assert "votepyramid.database_url" in str(caught.value)
    assert "VOTEPYRAMID_DATABASE_URL" in str(caught.value)


def _ini(folder: Path, **changes: str | None) -> dict[str, str]:
    """The settings of a web process in development, some of them changed."""
    settings: dict[str, str | None] = {
        "environment": "development",
        "database_url": "postgresql://nobody@localhost/nothing",
        **credentials.make(folder),
        **changes,
    }
    return {f"votepyramid.{n}": v for n, v in settings.items() if v is not None}


def test_a_web_process_starts_without_its_servers(tmp_path: Path) -> None:
    """They may come up in any order; readiness says what is away."""
    main({}, **_ini(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "database_url",
        "codec_keys_file",
        "kek_file",
        "jwt_jwks",
        "jwt_issuer",
        "jwt_audience",
    ],
)
def test_what_a_web_process_cannot_do_without(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"VOTEPYRAMID_{name.upper()}"):
        main({}, **_ini(tmp_path, **{name: None}))


def test_the_cast_pool_needs_no_key_and_no_sign_in(tmp_path: Path) -> None:
    without = {"kek_file": None, "jwt_jwks": None, "jwt_issuer": None}
    app = main({}, **_ini(tmp_path, roles="cast", **without))
    services = app.registry["services"]
    assert services.claiming is None
    assert services.verifier is None


def test_the_development_issuer_is_refused_in_production(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs a real jwt_issuer"):
        main({}, **_ini(tmp_path, environment="production"))


def test_keys_over_plain_http_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="over https"):
        main({}, **_ini(tmp_path, jwt_jwks="http://idp.example/jwks.json"))


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ini = _ini(tmp_path)
    Path(ini["votepyramid.kek_file"]).chmod(0o644)
    with pytest.raises(Exception, match="chmod 600"):
        main({}, **ini)


def _run(
    folder: Path, *command: str, **changes: str | None
) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
    for name, value in _ini(folder, **changes).items():
        env[name.replace("votepyramid.", ENVIRONMENT_PREFIX).upper()] = value
    return subprocess.run(
        [VOTEPYRAMID, *command],
        check=False,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


SERVE = ("serve", str(INI), "--listen", "127.0.0.1:0")


@pytest.mark.parametrize("command", [SERVE, ("worker",)], ids=["serve", "worker"])
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"database_url": None}, "VOTEPYRAMID_DATABASE_URL"),
        ({"threads": "many"}, "votepyramid.threads"),
        ({"kek_file": "/nowhere/kek.json"}, "cannot read /nowhere/kek.json"),
    ],
)
def test_a_person_sees_a_sentence_not_a_traceback(
    tmp_path: Path, command: tuple[str, ...], changes: dict[str, str | None], says: str
) -> None:
    ran = _run(tmp_path, *command, **changes)
    assert ran.returncode == 1
    assert says in ran.stderr
    assert ran.stderr.startswith("Error: ")
    assert "Traceback" not in ran.stderr
