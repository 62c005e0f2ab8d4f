"""The folder of exports, and what is in it that should not be, or is not."""

from __future__ import annotations

from pathlib import Path

import psycopg

from tests.doctor.conftest import Site
from tests.doctor.test_faults import found
from tests.support.elections import make_election


def test_the_folder_of_exports(site: Site) -> None:
    folder = Path(site.env["VOTEPYRAMID_EXPORTS_FOLDER"])
    folder.chmod(0o750)
    assert found(site) == {}
    folder.chmod(0o755)
    assert "is open to others" in found(site)["exports-folder"]
    folder.rmdir()
    assert [*found(site)] == ["exports-folder"]
    folder.write_text("a file")
    assert "is not a folder" in found(site)["exports-folder"]
    site.set(exports_folder="")
    assert site.ask()[1]["exports-folder"]["state"] == "skipped"


def test_exports_that_are_elsewhere_or_have_outlived_their_election(site: Site) -> None:
    make_election(site.database, site.env)
    site.sql(
        "INSERT INTO asked_exports (election, asked_by, finished_at, status, files, "
        "bytes, sums, lacking, waiting, unopened) VALUES ('demo', 'ada', now(), "
        "'finished', 1, 1, repeat('0', 64), 0, 0, 0)"
    )
    assert "not readable" in found(site)["kept-exports"]
    with psycopg.connect(site.database.owner_url) as db:
        row = db.execute("SELECT id FROM asked_exports").fetchone()
    assert row is not None
    place = Path(site.env["VOTEPYRAMID_EXPORTS_FOLDER"]) / str(row[0])
    place.mkdir()
    (place / "SHA256SUMS").touch()
    assert found(site) == {}
    site.sql("UPDATE elections SET status = 'unlinked'")
    assert found(site) == {"kept-exports": "unlinked, with exports from before: demo"}
    site.sql("UPDATE asked_exports SET removed_by = 'eve'")
    assert found(site) == {}
