"""Exports on the pages: started, watched, downloaded, verified elsewhere, removed."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest

from tests.admin_ui.browsing import Visitor
from tests.admin_ui.conftest import Office
from tests.admin_ui.test_elections import events
from tests.admin_ui.test_pages import WORK
from tests.admin_ui.test_work import text
from tests.auditors.conftest import verify
from tests.support import sequencing
from tests.support.elections import MadeElection
from tests.support.needs import needs
from tests.support.processes import (
    Running,
    eventually,
    start_admin,
    start_worker,
    stopping,
)
from tests.support.voting import Door
from votepyramid.auditors import packing
from votepyramid.auditors.folder import SUMS
from votepyramid.stack.ports import LOOPBACK

pytestmark = needs("chromium")

EXPORTS = "/audit/exports"
_NUMBERS = count()
# More than the process may hold in memory, and less than a disk has.
LARGE = 512 * 1024**2


@pytest.fixture
def election(office: Office) -> MadeElection:
    made = office.engine.make_election(id=f"exported-{next(_NUMBERS)}")
    door = Door(office.engine.web.url, made)
    for voter in ("v0", "v1"):
        door.insist(door.ballot(voter))
    return made


def sequence(office: Office) -> None:
    folder = office.engine.folder / "checkpoints"
    done = sequencing.log(office.engine, folder, "sequence", "--once")
    assert done.returncode == 0, done.stderr


def exporter(office: Office, **settings: object) -> Running:
    engine = office.engine
    ours = {
        "database_url": engine.database.exporter_url,
        "exports_folder": office.exports,
        **settings,
    }
    more = {f"VOTEPYRAMID_{name.upper()}": str(v) for name, v in ours.items()}
    return start_worker(
        {**engine.env, **more},
        engine.temporal,
        engine.folder,
        name=f"exporter-{next(_NUMBERS)}",
        roles="exporting",
    )


def start(visitor: Visitor, election: MadeElection) -> None:
    visitor.go(EXPORTS)
    visitor.page.locator("main [name=election]").first.select_option(election.id)
    visitor.press("Start an export")


def row(visitor: Visitor, election: MadeElection, table: str = "Finished") -> str:
    """What is shown of an election's export; nothing while there is none."""
    found = (
        visitor.page.get_by_role("region", name=table)
        .get_by_role("row")
        .filter(has_text=election.id)
    )
    return found.first.inner_text() if found.count() else ""


def shown(visitor: Visitor, election: MadeElection, table: str = "Finished") -> bool:
    visitor.page.reload()
    return bool(row(visitor, election, table))


def download(visitor: Visitor, election: MadeElection, folder: Path) -> Path:
    """Press the button, unpack what comes; where that is."""
    label = f"Download: {election.id}"
    with visitor.page.expect_download() as coming:
        visitor.page.get_by_role("button", name=label).first.click()
    file = folder / coming.value.suggested_filename
    assert file.name.startswith(f"export-{election.id}-") and file.suffix == ".tar"
    coming.value.save_as(file)
    subprocess.run(["tar", "-xf", file, "-C", folder], check=True)
    return folder / f"export-{election.id}"


def test_an_auditor_starts_watches_downloads_and_verifies(
    office: Office, election: MadeElection, tmp_path: Path
) -> None:
    visitor = office.visitor("auditor")
    start(visitor, election)
    assert visitor.path == EXPORTS
    # Nobody makes it yet, and it is said.
    doing = "Under way"
    assert eventually(
        lambda: "--role exporting" in row(visitor, election, doing), 15
    ), text(visitor)
    with stopping(exporter(office, export_wait=120)):
        # The page renews itself.
        waits = "Log entries awaited: 0 of"
        assert eventually(lambda: waits in row(visitor, election, doing), 30), text(
            visitor
        )
        assert visitor.violations() == []
        visitor.go(f"{WORK}/export/{election.id}")
        assert waits in text(visitor) and visitor.violations() == []
        visitor.go(EXPORTS)
        # Who asks meanwhile joins it.
        start(office.visitor("administrator"), election)
        sequence(office)
        assert eventually(lambda: bool(row(visitor, election)), 60), text(visitor)
    said = row(visitor, election)
    assert "nothing" in said and "for auditor" in said and "open" in said
    assert visitor.violations() == []
    folder = download(visitor, election, tmp_path)
    done = verify(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in ("export_asked", "audit_exported", "export_downloaded"):
        (event,) = events(election.id, office, kind)
        assert event["by"] == "auditor", kind
    assert event["sums"] in said
    # An auditor changes nothing.
    main = visitor.page.get_by_role("main")
    assert main.get_by_role("button", name="Remove").count() == 0


def test_without_javascript_and_removed_by_an_administrator(
    office: Office, election: MadeElection, tmp_path: Path
) -> None:
    sequence(office)
    visitor = office.browsing.visitor(
        office.url, java_script_enabled=False, color_scheme="dark"
    )
    visitor.sign_in("administrator", "seven tall ships at sea")
    start(visitor, election)
    assert row(visitor, election, "Under way")
    with stopping(exporter(office)):
        assert eventually(lambda: shown(visitor, election), 60), text(visitor)
        assert verify(download(visitor, election, tmp_path)).returncode == 0
        before = {*office.exports.iterdir()}
        with visitor.page.expect_navigation():
            remove = visitor.page.get_by_role("button", name=f"Remove: {election.id}")
            remove.click()
        assert eventually(lambda: not shown(visitor, election, "Under way"), 30)
        assert not row(visitor, election)
    assert len(before - {*office.exports.iterdir()}) == 2
    (event,) = events(election.id, office, "export_removed")
    assert event["by"] == "administrator"


def test_an_export_that_does_not_get_on_says_why(
    office: Office, election: MadeElection, tmp_path: Path
) -> None:
    visitor = office.visitor("administrator")
    start(visitor, election)
    with stopping(exporter(office, exports_folder=tmp_path / "gone")):
        said = "The folder of exports cannot be used"
        assert eventually(
            lambda: said.lower() in row(visitor, election, "Under way").lower(), 30
        ), text(visitor)
        assert visitor.violations() == []
        # It is called off, by a worker that has the folder.
        with visitor.page.expect_navigation():
            label = f"Call it off: {election.id}"
            visitor.page.get_by_role("button", name=label).click()
    with stopping(exporter(office)):
        assert eventually(lambda: not shown(visitor, election, "Under way"), 60)
    assert events(election.id, office, "audit_exported") == []


def test_what_cannot_be_asked_for_or_read(
    office: Office, election: MadeElection
) -> None:
    visitor = office.visitor("auditor")
    post = visitor.page.request.post
    ours = {"Origin": office.url}
    unknown = post(f"{office.url}{EXPORTS}", form={"election": "nothing"}, headers=ours)
    assert unknown.status == 404
    foreign = post(f"{office.url}{EXPORTS}", form={"election": election.id})
    assert foreign.status == 403
    nobody = "00000000-0000-4000-8000-000000000000"
    for name, status in ((nobody, 409), ("nothing", 404), (nobody.upper(), 409)):
        where = f"{office.url}{EXPORTS}/{name}/download"
        assert post(where, headers=ours).status == status


@pytest.fixture
def large(office: Office, election: MadeElection) -> Iterator[str]:
    """The id of a finished export with a file that takes no room on the disk."""
    with election.sql() as db:
        row = db.execute(
            "INSERT INTO asked_exports (election, asked_by) VALUES (%s, 'ada') "
            "RETURNING id",
            (election.id,),
        ).fetchone()
        assert row is not None
        place = office.exports / str(row[0])
        place.mkdir()
        (place / SUMS).write_bytes(b"")
        with (place / "manifest.json").open("wb") as file:
            file.truncate(LARGE)
        size = packing.FRAME + packing.size_of(LARGE) + packing.size_of(0)
        db.execute(
            "UPDATE asked_exports SET finished_at = now(), status = 'open', files = 1, "
            "bytes = %s, sums = encode(sha256(''), 'hex'), lacking = 0, waiting = 0, "
            "unopened = 0 WHERE id = %s",
            (size, row[0]),
        )
    yield str(row[0])
    with election.sql() as db:
        db.execute(
            "UPDATE asked_exports SET removed_by = 'ada', gone_at = now() "
            "WHERE id = %s",
            (row[0],),
        )


def asked(admin: Running, visitor: Visitor, export: str) -> http.client.HTTPResponse:
    """The answer to a download, of which nothing but the head was read."""
    door = http.client.HTTPConnection(LOOPBACK, admin.port, timeout=60)
    cookies = visitor.page.context.cookies(visitor.url)
    head = {
        "Cookie": "; ".join(f"{one['name']}={one['value']}" for one in cookies),
        "Origin": visitor.url,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    door.connect()
    assert isinstance(door.sock, socket.socket)
    door.request("POST", f"{EXPORTS}/{export}/download", urlencode({}), head)
    return door.getresponse()


def test_a_large_one_is_sent_as_it_is_read(office: Office, large: str) -> None:
    visitor = office.visitor("auditor")
    process = psutil.Process(office.admin.pid)
    before, most, got = process.memory_info().rss, 0, 0
    copies: set[str] = set()
    with closing(asked(office.admin, visitor, large)) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/x-tar"
        length = int(answer.headers["Content-Length"])
        while piece := answer.read(1024 * 1024):
            got += len(piece)
            if got % (64 * 1024 * 1024) < len(piece):
                most = max(most, process.memory_info().rss)
                copies |= nameless(office.admin)
    assert got == length > LARGE
    assert most - before < 64 * 1024 * 1024
    assert copies == set()


def nameless(program: Running) -> set[str]:
    """Files that a process holds and nobody else can find, where that can be told."""
    held = set()
    for handle in Path(f"/proc/{program.pid}/fd").glob("*"):
        with suppress(OSError):
            held.add(os.readlink(handle))
    return {name for name in held if name.endswith("(deleted)")}


def test_few_at_a_time_and_stopped_in_the_middle(office: Office, large: str) -> None:
    """Readers who take nothing; told to stop, the pages wait for them only so long."""
    folder = office.engine.folder / "stopped"
    folder.mkdir(exist_ok=True)
    admin = start_admin(
        office.engine.env,
        office.engine.database,
        folder,
        exports_folder=office.exports,
        drain_timeout=2,
    )
    with stopping(admin):
        visitor = office.browsing.visitor(admin.url)
        visitor.sign_in("auditor", "seven tall ships at sea")
        readers = [asked(admin, visitor, large) for _ in range(4)]
        assert [one.status for one in readers] == [200] * 4
        with closing(asked(admin, visitor, large)) as refused:
            assert refused.status == 503
            assert b"Too many downloads" in refused.read()
        # The pages are there all the same.
        assert visitor.go("/").status == 200
        readers.pop().close()
        assert eventually(lambda: _again(admin, visitor, large), 20)
        assert admin.terminate(20) == 0
    for one in readers:
        one.close()


def _again(admin: Running, visitor: Visitor, export: str) -> bool:
    with closing(asked(admin, visitor, export)) as answer:
        return answer.status == 200


def test_one_that_is_not_what_was_finished_is_not_handed_out(
    office: Office, large: str
) -> None:
    visitor = office.visitor("auditor")
    place = office.exports / large
    (place / SUMS).write_text("another list")
    with closing(asked(office.admin, visitor, large)) as answer:
        assert answer.status == 503
        assert b"is not the list of this export" in answer.read()
    (place / SUMS).unlink()
    visitor.go(EXPORTS)
    with visitor.page.expect_navigation():
        button = visitor.page.get_by_role("button", name="Download").first
        button.click()
    assert visitor.heading == "This export cannot be read"
    assert "No such file" in text(visitor)
    assert visitor.violations() == []


def test_one_that_goes_while_it_is_sent_is_cut_off(office: Office, large: str) -> None:
    visitor = office.visitor("auditor")
    manifest = office.exports / large / "manifest.json"
    manifest.unlink()
    manifest.symlink_to("/etc/hostname")
    with closing(asked(office.admin, visitor, large)) as answer:
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    office.admin.wait_for_log("download_cut_off")
