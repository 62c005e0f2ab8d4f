"""An export is whole, says who made it, and any byte of it that changes is noticed."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.auditors.conftest import Bureau, discrepancy, verify
from tests.support.elections import CHOICES, Listed, MadeElection
from tests.support.voting import OTHER_SELECTIONS, Ballot, at_once
from votepyramid.auditors.folder import SEAL, SUMS
from votepyramid.auditors.outside import Outside
from votepyramid.auditors.verifying import verify as verify_here
from votepyramid.tokens.service import bearer

COUNTS = {
    "receipt-log": 9,
    "receipts": 9,
    "inclusion": 9,
    "stored ballots": 9,
    "counts": 9,
    "votes and histories": 9,
    "claims and histories": 10,
}


@pytest.fixture(scope="module")
def election(bureau: Bureau) -> MadeElection:
    """Nine votes, a voter who only claimed, refusals of either kind."""
    roster = [Listed(f"v{n}") for n in range(10)] + [Listed("child", age=3)]
    made = bureau.engine.make_election(id="audited", voters=roster)
    (door,) = bureau.engine.doors(made)
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(10))
    for answer in at_once(door.cast, ballots[:9]):
        assert answer.status_code == 200
    assert door.claim("child").status_code == 403
    again = door.seal(ballots[0].bearer, OTHER_SELECTIONS)
    assert door.cast(again).status_code == 409
    copied = Ballot(ballots[9].bearer, ballots[0].sealed)
    assert door.cast(copied).status_code in (200, 409, 422)
    bureau.sequence()
    return made


@pytest.fixture(scope="module")
def export(
    bureau: Bureau, election: MadeElection, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("export") / "audited"
    done = bureau.export(election.id, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_an_honest_election_holds(export: Path) -> None:
    done = verify(export, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    checks = {one["check"]: one["count"] for one in document["checks"]}
    assert checks | COUNTS == checks
    assert document["discrepancy"] is None
    # Each file is read and hashed: that takes the time which is shown.
    (files,) = (one for one in document["checks"] if one["check"] == "files")
    assert files["seconds"] > 0
    table = verify(export).stdout
    last = "not all could be checked: manifest, witnesses, closing statement."
    assert table.splitlines()[-1].endswith(last)


def test_receipts_that_are_in_no_log_are_named(bureau: Bureau, tmp_path: Path) -> None:
    made = bureau.engine.make_election(id="waits-for-the-log", voters=1)
    (door,) = bureau.engine.doors(made)
    assert door.cast(door.ballot("v0")).status_code == 200
    assert bureau.export(made.id, tmp_path / "export").returncode == 0
    done = verify(tmp_path / "export", "--json")
    assert done.returncode == 0, done.stdout
    rows = {one["check"]: one for one in json.loads(done.stdout)["checks"]}
    inclusion = rows["inclusion"]
    assert (inclusion["count"], inclusion["unchecked"]) == (0, True)
    assert "1 wait for it" in inclusion["found"]
    last = verify(tmp_path / "export").stdout.splitlines()[-1]
    assert ", inclusion," in last


def test_it_says_which_election_it_is(export: Path, election: MadeElection) -> None:
    document = json.loads(verify(export, "--json").stdout)
    assert document["election"] == election.id
    assert document["manifest_hash"] == election.m.hex()
    said = verify(export).stdout.splitlines()[:2]
    assert said == [f"Election {election.id}", f"Manifest hash {election.m.hex()}"]


def test_the_hash_that_was_published_tells(
    export: Path, election: MadeElection
) -> None:
    """Also from an election that another holder of the authority's key signed."""
    done = verify(export, "--manifest-hash", election.m.hex(), "--json")
    assert done.returncode == 0, done.stdout
    rows = {one["check"]: one for one in json.loads(done.stdout)["checks"]}
    assert not rows["manifest"]["unchecked"]
    found = discrepancy(export, "--manifest-hash", bytes(32).hex())
    assert found["check"] == "manifest"
    assert election.m.hex() in found["problem"] and "another" in found["problem"]


def test_published_tools_check_its_list(export: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=export, check=True)
    named = {line[66:] for line in (export / SUMS).read_text().splitlines()}
    there = {str(p.relative_to(export)) for p in export.rglob("*") if p.is_file()}
    assert there - named == {SUMS, SEAL}


def test_its_ballots_stay_sealed_and_nobody_is_named(
    export: Path, election: MadeElection
) -> None:
    voters = [f"v{n}" for n in range(10)] + ["child"]
    keys, e, m = election.keys, election.id, election.m
    secrets = [str(bearer(keys, e, m, voter, 0)) for voter in voters]
    secrets += [f'"{voter}"' for voter in voters]
    texts = {path.name: opened(path) for path in export.rglob("*") if path.is_file()}
    # It names the choices that there are.
    assert CHOICES[0] in texts.pop("manifest.json")
    for name, text in texts.items():
        assert not [secret for secret in (*secrets, *CHOICES) if secret in text], name


def test_its_times_are_whole_hours(export: Path) -> None:
    times = [
        time
        for path in (export / "histories").rglob("*.gz")
        for time in re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^\"]*", opened(path))
    ]
    assert times
    assert {time[13:19] for time in times} == {":00:00"}


def test_no_name_in_it_has_a_time_in_it(export: Path) -> None:
    """Temporal's run ids begin with the millisecond of their making."""
    pattern = r"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
    versions = {
        found
        for path in (export / "histories").rglob("*.gz")
        for found in re.findall(pattern, opened(path))
    }
    assert versions
    assert "7" not in versions


def test_any_byte_that_changes_is_noticed(export: Path, tmp_path: Path) -> None:
    for number, original in enumerate(sorted(export.rglob("*"))):
        if not original.is_file():
            continue
        copy = tmp_path / str(number)
        shutil.copytree(export, copy)
        path = copy / original.relative_to(export)
        data = bytearray(path.read_bytes())
        data[number % len(data)] ^= 1
        path.write_bytes(data)
        assert discrepancy_here(copy), path
        shutil.rmtree(copy)


@pytest.mark.parametrize("what", ["missing", "added"])
def test_no_file_goes_or_comes(export: Path, tmp_path: Path, what: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(export, copy)
    history = next((copy / "histories").rglob("*.gz"))
    if what == "missing":
        history.unlink()
    else:
        shutil.copy(history, history.with_name("more.json.gz"))
    found = discrepancy(copy)
    assert found["check"] == "files"


def test_it_is_not_written_over(
    bureau: Bureau, election: MadeElection, export: Path, tmp_path: Path
) -> None:
    done = bureau.export(election.id, export)
    assert done.returncode == 1
    assert "holds a finished export" in done.stdout
    (tmp_path / "mine").write_text("mine")
    done = bureau.export(election.id, tmp_path)
    assert done.returncode == 1
    assert "is not empty" in done.stdout
    assert (tmp_path / "mine").read_text() == "mine"


def test_its_files_are_closed_and_tell_no_order(export: Path) -> None:
    files = [path for path in export.rglob("*") if path.is_file()]
    assert {path.stat().st_mtime for path in files} == {0}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_folder_open_to_others_is_refused(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    done = bureau.export(election.id, tmp_path / "open")
    assert done.returncode == 1
    assert "open to others" in done.stdout


def test_what_the_auditor_brought_is_theirs_to_mend(
    export: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"\xff\x00")
    for words in (
        ["--authority", "x"],
        ["--manifest-hash", "x"],
        ["--checkpoint", str(wrong)],
        ["--closing", str(wrong)],
    ):
        done = verify(export, *words, "--json")
        assert done.returncode == 1, done.stdout
        assert json.loads(done.stdout)["error"]
    wrong.write_bytes(b"")
    for option in ("--receipt", "--closing"):
        assert verify(export, option, str(wrong)).returncode == 1


def test_cut_off_it_goes_on(
    bureau: Bureau, election: MadeElection, export: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(export, copy)
    (copy / SEAL).unlink()
    (copy / ".half.part").write_text("")
    histories = sorted((copy / "histories").rglob("*.gz"))
    histories[0].unlink()
    written = histories[1].stat().st_mtime_ns
    done = bureau.export(election.id, copy)
    assert done.returncode == 0, done.stdout
    assert histories[1].stat().st_mtime_ns == written
    assert verify(copy).returncode == 0


def test_what_is_no_export_is_said_so(tmp_path: Path) -> None:
    done = verify(tmp_path)
    assert done.returncode == 1
    assert "no finished export" in done.stderr


def opened(path: Path) -> str:
    """A file's text, payloads decoded."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("latin-1")
    payloads = re.findall(r'"data":"([A-Za-z0-9+/=]+)"', text)
    return text + "".join(base64.b64decode(one).decode() for one in payloads)


def discrepancy_here(folder: Path) -> str:
    """In this process: a folder a file would take minutes otherwise."""
    _, found = verify_here(folder, Outside(), lambda *_: None)
    return str(found or "")
