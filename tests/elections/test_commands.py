"""The operator's commands, as an operator and a script run them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from tests.elections.ceremonies import HEADER, ROSTER, Office, times
from tests.elections.drafts import draft, manifest
from tests.support.databases import Database
from tests.support.stacks import VOTEPYRAMID
from votepyramid.audit.operators import login_name
from votepyramid.cli import main
from votepyramid.elections import keygen
from votepyramid.eligibility.identity import JwtVerifier
from votepyramid.protocol.suites import X25519
from votepyramid.settings import Settings
from votepyramid.stack import credentials

PASSPHRASE = "correct horse"

Run = Callable[..., Result]


@pytest.fixture
def run(office: Office, database: Database, tmp_path: Path) -> Run:
    """Runs `votepyramid` as an operator would, in a folder of its own."""
    env = {
        "VOTEPYRAMID_OWNER_DATABASE_URL": database.owner_url,
        "VOTEPYRAMID_KEK_FILE": str(office.kek),
        "VOTEPYRAMID_PASSPHRASE": PASSPHRASE,
        "VOTEPYRAMID_ENVIRONMENT": "production",
    }

    def invoke(*words: str | Path, input: str | None = None, **more: str) -> Result:
        runner = CliRunner()
        return runner.invoke(
            main, [str(word) for word in words], env={**env, **more}, input=input
        )

    return invoke


def said(result: Result, status: int = 0) -> dict[str, Any]:
    """The one JSON line of a command's standard output."""
    assert result.exit_code == status, (result.output, result.exception)
    lines = result.stdout.splitlines()
    assert len(lines) == 1, lines
    document: dict[str, Any] = json.loads(lines[0])
    return document


def test_log_lines_stay_out_of_what_is_printed(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    """A program reads the one; a thread beside may say the other at any time."""
    assert run("election", "--help").exit_code == 0
    structlog.get_logger().warning("something_happened")
    printed, logged = capfd.readouterr()
    assert "something_happened" in logged
    assert not printed


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def keys(run: Run, folder: Path) -> dict[str, Any]:
    return said(run("election", "keygen", folder, "--suite", X25519.id, "--json"))


def signed(run: Run, tmp_path: Path) -> tuple[Path, str]:
    """A signed manifest of a new election, and the authority's key text."""
    public = keys(run, tmp_path / "office")
    bare = {**draft(), **times()}
    del bare["suite"], bare["public_key"], bare["key_id"]
    source = write(tmp_path / "draft.json", bare)
    office = tmp_path / "office"
    made = tmp_path / "manifest.json"
    trustees = office / keygen.TRUSTEES_PUBLIC
    result = run(
        *("election", "prepare", source, "-o", made, "--trustees", trustees, "--json")
    )
    digest = said(result)["manifest_hash"]
    out = tmp_path / "signed.json"
    key = office / keygen.AUTHORITY
    result = run("election", "sign", made, "--key", key, "-o", out, "--json")
    assert said(result)["manifest_hash"] == digest
    return out, public["authority"]


def test_an_election_from_keys_to_unlinking(
    run: Run, office: Office, tmp_path: Path
) -> None:
    file, authority = signed(run, tmp_path)
    result = run("election", "create", file, "--authority", authority, "--json")
    assert said(result)["status"] == "created"
    roster = write(tmp_path / "roster.csv", "\n".join([HEADER, *ROSTER]) + "\n")
    imported = said(run("roster", "import", "spring", roster, "--json"))
    assert (imported["version"], imported["voters"], imported["new_voters"]) == (
        1,
        4,
        4,
    )
    assert len(imported["file_sha256"]) == 64
    shift = {"VOTEPYRAMID_OPERATOR": "second shift"}
    opened = said(run("election", "open", "spring", "--json", **shift))
    assert opened["status"] == "open"
    who = "SELECT DISTINCT detail ->> 'by' AS by, kind FROM audit_events ORDER BY kind"
    assert {row.kind: row.by for row in office.all(who) if row.by} == {
        "election_created": login_name(),
        "election_opened": "second shift",
        "election_prepared": login_name(),
        "roster_imported": login_name(),
    }
    shown = said(run("election", "show", "spring", "--json"))
    assert shown["voters"] == 4 and shown["authority"] == authority
    assert said(run("election", "close", "spring", "--early", "--by-hand", "--json"))
    result = run("election", "unlink", "spring", "--yes", "--json")
    assert "election finish spring" in said(result, 1)["error"]
    result = run("election", "finish", "spring", "--json")
    assert "are answered until" in said(result, 1)["error"]


def test_the_same_for_people(run: Run, tmp_path: Path) -> None:
    file, authority = signed(run, tmp_path)
    roster = write(tmp_path / "roster.csv", "\n".join([HEADER, *ROSTER]) + "\n")
    for words, expected in (
        (
            ("election", "create", file, "--authority", authority),
            "Created election spring",
        ),
        (("roster", "import", "spring", roster), "version 1 of spring: 4 voters, 4"),
        (("election", "open", "spring"), "is open from"),
        (("election", "show", "spring"), "tokens_issued"),
        (("election", "close", "spring", "--early", "--by-hand"), "is closed; ballots"),
    ):
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert expected in result.stdout


def test_unlinking_is_asked_for_by_name(
    run: Run, office: Office, database: Database, tmp_path: Path
) -> None:
    office.open()
    said(run("election", "close", "spring", "--early", "--by-hand", "--json"))
    office.run(
        "UPDATE elections SET opens_at = opens_at - interval '9 days', "
        "closes_at = opens_at - interval '8 days'"
    )
    asked = said(run("election", "finish", "spring", "--json"), 1)
    assert "votepyramid log sequence --once" in asked["error"]
    env = {
        **os.environ,
        "VOTEPYRAMID_KEK_FILE": str(office.kek),
        "VOTEPYRAMID_DATABASE_URL": database.sequencer_url,
        "VOTEPYRAMID_CHECKPOINT_FOLDER": str(tmp_path / "checkpoints"),
    }
    subprocess.run([VOTEPYRAMID, "log", "sequence", "--once"], env=env, check=True)
    finished = said(run("election", "finish", "spring", "--json"))
    assert finished["status"] == "finished"
    result = run("election", "finish", "spring")
    assert result.stdout == finished["statement"]
    assert finished["statement"].startswith("evote/closing/v1\n")
    for typed in ("autumn\n", "\n\n", "yes\n"):
        result = run("election", "unlink", "spring", input=typed)
        assert result.exit_code == 1
        assert office.all("SELECT status FROM elections")[0][0] == "finished"
    unlink = ("election", "unlink", "spring", "--dispute-days", "0", "--json")
    result = run(*unlink, input="spring\n")
    assert "audit export spring" in said(result, 1)["error"]
    result = run(*unlink, "--without-export", input="spring\n")
    assert said(result) == {
        "id": "spring",
        "status": "unlinked",
        "tokens": 0,
        "votes": 0,
    }


def test_keys_are_sealed_and_closed_to_others(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "office"
    public = keys(run, folder)
    for name in (keygen.TRUSTEES, keygen.AUTHORITY):
        path = folder / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"PRIVATE" not in path.read_bytes()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    private = keygen.read_trustees(folder / keygen.TRUSTEES, PASSPHRASE)
    assert keygen.b64u(X25519.public_of(private)) == public["public_key"]
    assert keygen.read_public(folder / keygen.TRUSTEES_PUBLIC) == {
        name: public[name] for name in ("suite", "public_key", "key_id")
    }
    signer = keygen.read_authority(folder / keygen.AUTHORITY, PASSPHRASE)
    assert signer.verifier.text() == public["authority"]
    assert (folder / keygen.AUTHORITY_PUBLIC).read_text().strip() == public["authority"]
    with pytest.raises(keygen.KeyFileError, match="passphrase"):
        keygen.read_trustees(folder / keygen.TRUSTEES, "wrong")
    with pytest.raises(keygen.KeyFileError, match="purpose"):
        keygen.read_trustees(folder / keygen.AUTHORITY, PASSPHRASE)


@pytest.mark.parametrize("name", [keygen.TRUSTEES, keygen.AUTHORITY_PUBLIC])
def test_keygen_overwrites_nothing(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    result = run("election", "keygen", tmp_path, "--json")
    assert "not overwritten" in said(result, 1)["error"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_keygen_stays_out_of_the_engines_data(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "var"
    state.mkdir()
    (tmp_path / "link").symlink_to(state)
    monkeypatch.setattr("votepyramid.stack.layout.VAR", state)
    for folder in (state, state / "keys", state / "a" / ".." / "b", tmp_path / "link"):
        result = run("election", "keygen", folder, "--json")
        assert "engine's own data" in said(result, 1)["error"]
    assert list(state.iterdir()) == []
    keys(run, tmp_path / "variety")


def test_where_the_passphrase_comes_from(run: Run, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "from a file\nsecond line\n")
    folder = tmp_path / "a"
    assert said(
        run("election", "keygen", folder, "--passphrase-file", secret, "--json")
    )
    assert keygen.read_trustees(folder / keygen.TRUSTEES, "from a file")
    folder = tmp_path / "b"
    none = {"VOTEPYRAMID_PASSPHRASE": ""}
    result = run("election", "keygen", folder, input="typed\ntyped\n", **none)
    assert result.exit_code == 0
    assert "typed" not in result.output
    assert keygen.read_trustees(folder / keygen.TRUSTEES, "typed")
    result = run("election", "keygen", tmp_path / "c", input="one\ntwo\n", **none)
    assert result.exit_code == 1
    empty = write(tmp_path / "empty", "")
    result = run("election", "keygen", folder, "--passphrase-file", empty, "--json")
    assert "empty" in said(result, 1)["error"]


def test_every_problem_of_a_draft_is_told(run: Run, tmp_path: Path) -> None:
    broken = draft(title="", contests=[])
    file, out = write(tmp_path / "draft.json", broken), tmp_path / "out.json"
    document = said(run("election", "prepare", file, "-o", out, "--json"), 1)
    assert {problem["path"] for problem in document["problems"]} >= {
        "title",
        "contests",
    }
    assert not out.exists()
    result = run("election", "prepare", file, "-o", out)
    assert result.exit_code == 1 and result.stdout == ""
    assert "title: must have 1 characters at least" in result.stderr


def test_signing_checks_what_it_signs(run: Run, tmp_path: Path) -> None:
    keys(run, tmp_path / "office")
    key, out = tmp_path / "office" / keygen.AUTHORITY, tmp_path / "out.json"
    for content in ([], {}, manifest(closes="2020-01-01T00:00:00Z")):
        file = write(tmp_path / "manifest.json", content)
        result = run("election", "sign", file, "--key", key, "-o", out, "--json")
        assert said(result, 1)["problems"]
    file = write(tmp_path / "manifest.json", '{"a": 1, "a": 2}')
    result = run("election", "sign", file, "--key", key, "-o", out, "--json")
    assert "repeats a key" in said(result, 1)["error"]
    file = write(tmp_path / "manifest.json", manifest())
    wrong = {"VOTEPYRAMID_PASSPHRASE": "wrong"}
    result = run("election", "sign", file, "--key", key, "-o", out, "--json", **wrong)
    assert "passphrase" in said(result, 1)["error"]
    assert not out.exists()
    out.write_text("precious")
    result = run("election", "sign", file, "--key", key, "-o", out, "--json")
    assert "not overwritten" in said(result, 1)["error"]


def test_bad_roster_lines_are_told_and_nothing_is_left(
    run: Run, office: Office, tmp_path: Path
) -> None:
    office.create()
    file = write(tmp_path / "r.csv", "\n".join([HEADER, *ROSTER, "x,y", *["bad"] * 30]))
    document = said(run("roster", "import", "spring", file, "--json"), 1)
    assert document["error"] == "nothing imported: 31 bad lines"
    assert document["problems"][0]["line"] == 6
    assert len(document["problems"]) == 20
    result = run("roster", "import", "spring", file)
    assert result.exit_code == 1
    assert "line 6: has 2 fields" in result.stderr
    assert office.all("SELECT 1 FROM voters") == []


def test_what_is_refused_says_what_to_do(run: Run, tmp_path: Path) -> None:
    for words, sentence in (
        (("election", "show", "nowhere"), "No such election"),
        (("election", "open", "nowhere"), "No such election"),
        (("roster", "import", "x", tmp_path / "no.csv"), "cannot read"),
        (("election", "prepare", tmp_path / "no", "-o", "x"), "cannot read"),
    ):
        assert sentence in said(run(*words, "--json"), 1)["error"]
        result = run(*words)
        assert result.exit_code == 1 and sentence in result.stderr


def test_settings_that_are_missing_are_named(run: Run) -> None:
    none = {"VOTEPYRAMID_OWNER_DATABASE_URL": ""}
    document = said(run("election", "show", "spring", "--json", **none), 1)
    assert "VOTEPYRAMID_OWNER_DATABASE_URL" in document["error"]
    away = {"VOTEPYRAMID_OWNER_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    document = said(run("election", "show", "spring", "--json", **away), 1)
    assert document["error"].startswith("the database said:")


@pytest.mark.parametrize(
    "words",
    [
        ("election",),
        ("election", "show"),
        ("election", "close", "spring", "--soon"),
        ("election", "create", "signed.json"),
        ("election", "keygen", "x", "--suite", "rot13"),
        ("election", "unlink", "spring", "--dispute-days", "-1"),
        ("roster", "import", "spring"),
        ("voter", "token"),
    ],
)
def test_wrong_usage_is_status_2(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


def test_a_voters_token_for_development_only(run: Run, tmp_path: Path) -> None:
    made = credentials.make(tmp_path / "secrets")
    env = {f"VOTEPYRAMID_{name.upper()}": value for name, value in made.items()}
    result = run("voter", "token", "ana", "--json", **env)
    assert "development" in said(result, 1)["error"]
    env["VOTEPYRAMID_ENVIRONMENT"] = "development"
    token = said(run("voter", "token", "ana", "--json", **env))["token"]
    settings = Settings(environment="development", **made)
    assert JwtVerifier(settings).verify(token) == "ana"
    assert run("voter", "token", "ana", **env).stdout.count(".") == 2
    assert run("voter", "token", "a b", **env).exit_code == 2
    (tmp_path / "secrets" / "dev-issuer.json").unlink()
    result = run("voter", "token", "ana", "--json", **env)
    assert "votepyramid up" in said(result, 1)["error"]


def test_the_progress_bar_is_for_terminals(
    office: Office, database: Database, tmp_path: Path
) -> None:
    """Run for real: nothing but the answer on either stream when piped."""
    office.create()
    file = write(tmp_path / "r.csv", "\n".join([HEADER, *ROSTER]))
    env = {**os.environ, "VOTEPYRAMID_OWNER_DATABASE_URL": database.owner_url}
    script = Path(sys.executable).with_name("votepyramid")
    words = [script, "roster", "import", "spring", str(file), "--json"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["voters"] == 4
    done = subprocess.run(
        [*words[:-1]],
        env={**env, "TTY_COMPATIBLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "Importing r.csv" in done.stderr
    assert "Importing" not in done.stdout
