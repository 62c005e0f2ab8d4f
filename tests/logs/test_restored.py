"""A real backup: the files of a stopped Postgres, put back after more was signed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.logs.desk import Desk, open_desk
from tests.receipts.ends import closed, opened
from tests.support import databases
from votepyramid.elections import ending
from votepyramid.elections.finishing import NotYet
from votepyramid.logs.store import AUDIT, RECEIPTS
from votepyramid.stack.postgres import EmbeddedPostgres
from workflows import messages as m


@dataclass
class Scene:
    """Three votes were signed for when the backup was made; then two more were."""

    postgres: EmbeddedPostgres
    desk: Desk
    receipts: list[str]

    def keep(self, name: str) -> None:
        """Copy the server's files while it is stopped."""
        self._replace(self.postgres.cluster, self.postgres.home / name)

    def restore(self, name: str) -> None:
        self._replace(self.postgres.home / name, self.postgres.cluster)

    def _replace(self, source: Path, target: Path) -> None:
        self.desk.election.engine.dispose()
        self.postgres.stop()
        shutil.rmtree(target, ignore_errors=True)
        # With their owner: as root the server has an account of its own.
        subprocess.run(["cp", "-a", source, target], check=True)
        self.postgres.start()


@pytest.fixture(scope="module")
def scene(
    server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    server = EmbeddedPostgres(server_folder / "restored")
    server.start()
    databases.make_template(server)
    folder = tmp_path_factory.mktemp("restored")
    try:
        with databases.fresh(server) as database:
            desk = open_desk(database, folder)
            made = Scene(server, desk, desk.booth.cast("v0", "v1", "v2"))
            desk.sequence()
            (folder / "early").write_text(desk.note())
            made.keep("backup")
            made.receipts += desk.booth.cast("v3", "v4")
            desk.sequence()
            for kind in (RECEIPTS, AUDIT):
                (folder / f"late-{kind}").write_text(desk.note(kind))
            made.keep("whole")
            yield made
            desk.election.engine.dispose()
    finally:
        server.stop()


def test_it_stops_and_never_forks(scene: Scene, tmp_path: Path) -> None:
    scene.restore("backup")
    desk = scene.desk
    before = desk.public()
    assert before.size == 3
    # Enough that it would be as large as it was, with other votes.
    desk.booth.cast("v5", "v6", "v7")
    sequencer = desk.start(tmp_path / "one.log")
    try:
        sequencer.wait_for_log("log_stopped")
        assert sequencer.terminate() == 3
    finally:
        sequencer.stop()
    said = sequencer.log_text()
    for kind in (RECEIPTS, AUDIT):
        assert f"ALARM: the {kind} log of demo has" in said
    assert "3 entries, and a checkpoint of 5 was signed" in said
    assert (desk.size(), desk.public(), desk.kept().size) == (3, before, 5)


def test_nor_with_an_empty_folder(scene: Scene, tmp_path: Path) -> None:
    """The host is lost as well: what others kept is all that there is."""
    scene.restore("backup")
    desk = scene.desk.elsewhere(tmp_path / "empty")
    desk.booth.cast("v5", "v6", "v7")
    before = desk.public()
    assert {*desk.sequence()} == {RECEIPTS, AUDIT}
    folder = scene.desk.folder.parent
    for files in (["late-receipts"], ["early", "late-receipts"]):
        status, said = desk.adopt(RECEIPTS, *(folder / name for name in files))
        assert (status, "the database was set back" in said) == (1, True), said
    assert {*desk.sequence()} == {RECEIPTS, AUDIT}
    assert (desk.size(), desk.public()) == (3, before)


def test_nothing_is_signed_over_it(scene: Scene) -> None:
    """No vote waits, the database agrees with itself, and it is not the whole log."""
    scene.restore("backup")
    desk = scene.desk
    closed(desk.election)
    assert (desk.size(), desk.shown()) == (3, 3)
    for _ in range(2):
        with pytest.raises(NotYet, match="a database was restored"):
            desk.election.finish()
        assert {*desk.sequence()} == {RECEIPTS, AUDIT}
    # Until a person has brought back what is missing.
    with desk.election.engine.connect() as connection:
        seen = ending.look(connection, desk.election.id)
    assert (seen.phase, seen.done) == (m.LOG, False)
    assert "no sequencer has confirmed" in seen.waiting_for
    assert desk.shown() == 3


def test_it_goes_on_when_what_was_signed_is_there_again(
    scene: Scene, tmp_path: Path
) -> None:
    scene.restore("whole")
    desk = scene.desk.elsewhere(tmp_path / "empty")
    assert {*desk.sequence()} == {RECEIPTS, AUDIT}
    folder = scene.desk.folder.parent
    for kind in (RECEIPTS, AUDIT):
        status, said = desk.adopt(kind, folder / f"late-{kind}")
        assert status == 0, said
    late = desk.opened((folder / "late-receipts").read_text())
    more = desk.booth.cast("v5")
    assert desk.sequence() == {}
    desk.whole(*scene.receipts, *more, earlier=late)
    closed(desk.election)
    note = desk.election.finish(desk.sequence)
    assert opened(desk.election, note).log.size == 6
