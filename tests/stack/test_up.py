"""`votepyramid up`: nothing it starts is left behind, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.support.needs import needs
from tests.support.processes import eventually, gone
from tests.support.stacks import VOTEPYRAMID, StackUp, all_gone, stack
from votepyramid.stack import children
from votepyramid.stack.layout import Layout
from votepyramid.stack.program import http_status

pytestmark = pytest.mark.timeout(240)


def web_port(made: StackUp) -> int:
    return int(made.environment()["VOTEPYRAMID_URL"].rsplit(":", 1)[1])


def votepyramid(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VOTEPYRAMID, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_child(folder: Path, number: signal.Signals) -> None:
    with stack(folder / "var", "--no-demo") as made:
        pids = made.pids()
        assert set(pids) == {"postgres", "temporal", "worker", "web", "sequencer"}
        assert made.stop(number) == 0
        assert all(map(gone, pids.values()))
    # In order: who calls is stopped before who is called.
    stopped = [line.split()[2] for line in made.output.splitlines() if "Stopp" in line]
    assert stopped == ["sequencer", "web", "worker", "temporal", "postgres"]


@needs("linux")
def test_every_child_ends_with_a_killed_supervisor(folder: Path) -> None:
    with stack(folder / "var", "--no-demo") as made:
        pids = made.pids()
        made.stop(signal.SIGKILL)
        assert all_gone(pids)


def test_a_child_left_by_a_killed_supervisor_is_stopped(folder: Path) -> None:
    # As where no kernel ends the children: only a process and its record are left.
    layout = Layout(folder / "var")
    layout.make()
    left = children.spawn(
        ["sleep", "600"], log=layout.logs / "x.log", record=layout.record("worker")
    )
    with stack(folder / "var", "--no-demo") as made:
        assert "Stopped a worker that a killed stack had left" in made.output
        assert left.wait(5) == -signal.SIGTERM


def test_a_stranger_with_a_recorded_process_id_is_left_alone(folder: Path) -> None:
    layout = Layout(folder / "var")
    layout.make()
    record = layout.record("worker")
    stranger = children.spawn(["sleep", "600"], log=layout.logs / "x", record=record)
    born = json.loads(record.read_text())
    record.write_text(json.dumps({**born, "created": born["created"] - 60}))
    assert layout.stop_orphans() == []
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_the_second_start_goes_on_with_the_same_state(folder: Path) -> None:
    with stack(folder / "var", "--no-demo") as made:
        first = made.environment()
        with psycopg.connect(first["VOTEPYRAMID_OWNER_DATABASE_URL"]) as db:
            db.execute("CREATE TABLE kept AS SELECT 42 AS n")
        keys = {path: path.read_bytes() for path in made.layout.secrets.iterdir()}
    with stack(folder / "var", "--no-demo") as made:
        url = made.environment()["VOTEPYRAMID_OWNER_DATABASE_URL"]
        with psycopg.connect(url) as db:
            assert db.execute("SELECT n FROM kept").fetchone() == (42,)
        assert keys == {p: p.read_bytes() for p in made.layout.secrets.iterdir()}


def test_a_crashed_process_is_started_again_and_said_so(folder: Path) -> None:
    with stack(folder / "var", "--no-demo") as made:
        for name in ("sequencer", "worker", "web", "temporal", "postgres"):
            before = made.pids()[name]
            os.kill(before, signal.SIGKILL)
            made.wait_for(f"{name} ended by itself; starting it again", 10)
            made.wait_for(f"{name} again", 60)
            assert made.pids()[name] != before
        port = web_port(made)
        assert eventually(lambda: http_status(port, "/health/ready") == 200, 60)


def test_while_it_runs_a_second_one_and_a_reset_are_refused(folder: Path) -> None:
    with stack(folder / "var", "--no-demo") as made:
        pids = made.pids()
        for command in ("up", "reset"):
            refused = votepyramid(command, "--state", str(folder / "var"))
            assert refused.returncode == 1
            assert f"already runs on {folder / 'var'}" in refused.stderr
            assert str(made.process.pid) in refused.stderr
        assert not any(map(gone, pids.values()))


def test_reset_spares_a_folder_that_is_no_stacks(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos" / "one.jpg").write_bytes(b"x")
    refused = votepyramid("reset", "--state", str(folder / "photos"))
    assert refused.returncode == 1
    assert "not the state folder" in refused.stderr
    assert (folder / "photos" / "one.jpg").exists()


def test_a_taken_port_is_replaced_and_printed(folder: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 6543))
        except OSError:
            pass  # Somebody else has it: just as well.
        else:
            taken.listen()
        with stack(folder / "var", "--no-demo") as made:
            port = web_port(made)
            assert port != 6543
            assert f"http://127.0.0.1:{port}/health/ready" in made.output
            assert http_status(port, "/health/ready") == 200


def test_an_owner_url_is_asked_for(folder: Path) -> None:
    refused = subprocess.run(
        [VOTEPYRAMID, "up", "--state", str(folder / "var")],
        env={**os.environ, "VOTEPYRAMID_DATABASE_URL": "postgresql://a@127.0.0.1/b"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "VOTEPYRAMID_OWNER_DATABASE_URL" in refused.stderr


@needs("linux")
def test_processes_see_the_application_role_only(folder: Path) -> None:
    with stack(folder / "var", "--no-demo") as made:
        for name in ("worker", "web"):
            seen = Path(f"/proc/{made.pids()[name]}/environ").read_bytes()
            assert b"VOTEPYRAMID_DATABASE_URL=" in seen
            assert b"votepyramid_owner" not in seen
