"""`votepyramid keys`, as an operator and a script run it."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from tests.keys.kms import Moto
from tests.support.databases import Database
from tests.support.faults import events_refused
from votepyramid.cli import main
from votepyramid.db import make_engine
from votepyramid.keys import local
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KeyProviderError
from votepyramid.keys.service import ElectionKeys

Run = Callable[..., Result]


@pytest.fixture
def kek(tmp_path: Path) -> Path:
    LocalKeyFile.create(tmp_path / "kek.json")
    return tmp_path / "kek.json"


@pytest.fixture
def owner(database: Database) -> Iterator[Engine]:
    engine = make_engine(database.owner_url, pool_size=2)
    yield engine
    engine.dispose()


@pytest.fixture
def run(database: Database, kek: Path) -> Run:
    env = {
        "VOTEPYRAMID_OWNER_DATABASE_URL": database.owner_url,
        "VOTEPYRAMID_KEK_FILE": str(kek),
    }

    def invoke(*words: str, **more: str) -> Result:
        return CliRunner().invoke(main, ["keys", *words], env={**env, **more})

    return invoke


def said(result: Result, status: int = 0) -> dict[str, Any]:
    """The one JSON line of a command's standard output."""
    assert result.exit_code == status, (result.output, result.exception)
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def wrap_one(kek: Path, owner: Engine) -> None:
    keys = ElectionKeys(LocalKeyFile(kek), owner, data_key_rows=10)
    with owner.begin() as connection:
        keys.store(connection, "e", "data", uuid.uuid4(), b"k" * 32)


def test_rotation_keeps_what_was_wrapped(run: Run, kek: Path, owner: Engine) -> None:
    wrap_one(kek, owner)
    old = LocalKeyFile(kek).names.current
    made = said(run("rotate", "--json"))
    assert made == {"rotated": True, "current": made["current"], "file": str(kek)}
    assert made["current"] != old
    wrap_one(kek, owner)
    wrap_one(kek, owner)
    shown = said(run("status", "--json"))
    assert shown == {
        "provider": "file",
        "keks": [
            {
                "name": made["current"],
                "current": True,
                "wrapped_keys": 2,
                "problem": "",
            },
            {"name": old, "current": False, "wrapped_keys": 1, "problem": ""},
        ],
    }
    text = run("status").stdout
    assert f"current   {made['current']}  2 wrapped keys: works" in text
    assert f"older     {old}  1 wrapped keys: works" in text


def test_status_says_what_no_longer_opens(run: Run, kek: Path, owner: Engine) -> None:
    wrap_one(kek, owner)
    old = LocalKeyFile(kek).names.current
    made = said(run("rotate", "--json"))["current"]
    document = json.loads(kek.read_text())
    del document["keys"][old]
    kek.write_text(json.dumps(document))
    shown = said(run("status", "--json"), status=1)["keks"]
    assert [row["name"] for row in shown] == [made, old]
    assert shown[0]["problem"] == ""
    assert f"no key-encryption key '{old}'" in shown[1]["problem"]


def test_the_rotated_file_is_as_closed_as_it_was(run: Run, kek: Path) -> None:
    alias = kek.with_name("alias.json")
    alias.symlink_to(kek)
    said(run("rotate", "--json", VOTEPYRAMID_KEK_FILE=str(alias)))
    assert alias.is_symlink()
    assert kek.stat().st_mode & 0o777 == 0o600
    assert len(LocalKeyFile(kek).names.all) == 2
    if os.geteuid() == 0:
        os.chown(kek, 1, 1)
        said(run("rotate", "--json"))
        assert (kek.stat().st_uid, kek.stat().st_gid) == (1, 1)


def test_a_rotation_that_was_cut_off_leaves_the_old_file(
    run: Run, kek: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kek.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(local.os, "fsync", fail)
        result = run("rotate", "--json")
    assert "No space left on device" in said(result, status=1)["error"]
    assert kek.read_bytes() == before
    # And is in nobody's way.
    said(run("rotate", "--json"))


def kek_events(owner: Engine) -> list[tuple[str, str]]:
    query = "SELECT kind, detail ->> 'kek' FROM audit_events WHERE kind LIKE 'kek%'"
    with owner.connect() as db:
        return [(row[0], row[1]) for row in db.execute(text(f"{query} ORDER BY id"))]


def test_a_rotation_that_cannot_be_announced_is_none(
    run: Run, kek: Path, owner: Engine, database: Database
) -> None:
    wrap_one(kek, owner)
    before = kek.read_bytes()
    with events_refused(database.owner_url, "kek_announced"):
        assert "the database said" in said(run("rotate", "--json"), status=1)["error"]
    assert (kek.read_bytes(), kek_events(owner)) == (before, [])
    # And is in nobody's way.
    made = said(run("rotate", "--json"))["current"]
    assert kek_events(owner) == [("kek_announced", made), ("kek_rotated", made)]


def test_no_key_is_current_that_no_event_names(
    run: Run, kek: Path, owner: Engine, database: Database
) -> None:
    wrap_one(kek, owner)
    with events_refused(database.owner_url, "kek_rotated"):
        error = said(run("rotate", "--json"), status=1)["error"]
    current = LocalKeyFile(kek).names.current
    assert f"the key {current} is made" in error and "Do not rotate" in error
    assert kek_events(owner) == [("kek_announced", current)]


def test_two_rotations_at_a_time_do_not_lose_a_key(run: Run, kek: Path) -> None:
    kek.with_name(f".{kek.name}.new").touch()
    before = kek.read_bytes()
    assert "another rotation" in said(run("rotate", "--json"), status=1)["error"]
    assert kek.read_bytes() == before
    with pytest.raises(KeyProviderError, match="another rotation"):
        LocalKeyFile(kek).make("newer", lambda: None)


def test_of_a_kms_it_says_what_to_set(run: Run) -> None:
    with Moto.running() as moto:
        old, older = moto.make_key("old"), moto.make_key("older")
        env = {
            "VOTEPYRAMID_KEK_PROVIDER": "aws",
            "VOTEPYRAMID_KEK_CURRENT": old,
            "VOTEPYRAMID_KEK_OLDER": older,
        }
        nameless = run("rotate", **env)
        assert nameless.exit_code == 2 and "Name the new key" in nameless.stderr
        text = run("rotate", "kek-2027", **env).stdout
        made = moto.client.describe_key(KeyId="alias/kek-2027")["KeyMetadata"]["Arn"]
    assert f"VOTEPYRAMID_KEK_CURRENT='{made}'" in text
    assert f"VOTEPYRAMID_KEK_OLDER='{' '.join(sorted((old, older)))}'" in text
    assert "restart every process" in text


def test_a_rotated_file_has_a_name_of_its_own_or_the_one_given(
    run: Run, kek: Path
) -> None:
    assert said(run("rotate", "kek-2027", "--json"))["current"] == "kek-2027"
    assert LocalKeyFile(kek).names.current == "kek-2027"
    assert "no name for a key" in said(run("rotate", "a b", "--json"), 1)["error"]


def test_status_tries_the_current_key(run: Run, tmp_path: Path) -> None:
    (tmp_path / "token").touch(0o600)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    env = {
        "VOTEPYRAMID_KEK_PROVIDER": "vault",
        "VOTEPYRAMID_KEK_CURRENT": "kek-1",
        "VOTEPYRAMID_VAULT_URL": f"http://127.0.0.1:{port}",
        "VOTEPYRAMID_VAULT_TOKEN_FILE": str(tmp_path / "token"),
    }
    (kek,) = said(run("status", "--json", **env), status=1)["keks"]
    assert (kek["name"], kek["current"], kek["wrapped_keys"]) == ("kek-1", True, 0)
    assert "Vault cannot be asked" in kek["problem"]
