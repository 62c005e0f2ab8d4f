"""`votepyramid up`: nothing it starts is left behind, whatever ends it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.stack.conftest import short_folder
from tests.support.needs import needs
from tests.support.processes import eventually, gone
from tests.support.stacks import VOTEPYRAMID, StackUp, all_gone, stack
from votepyramid.stack import children
from votepyramid.stack.layout import Layout
from votepyramid.stack.program import http_status
from votepyramid.stack.temporal import find_console

pytestmark = pytest.mark.timeout(480)


def web_port(made: StackUp) -> int:
    return int(made.environment()["VOTEPYRAMID_URL"].rsplit(":", 1)[1])


def votepyramid(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VOTEPYRAMID, *arguments], capture_output=True, text=True, check=False
    )


def stops(made: StackUp, number: signal.Signals) -> None:
    """Every child, in order: who calls is stopped before who is called."""
    pids = made.pids()
    apart = ["exporter", "closer", "sequencer"]
    callers = ["admin", "codec-server", *apart, "web", "worker"]
    own_console = ["console"] if find_console() is not None else []
    parts = [*callers, *own_console, "temporal", "postgres"]
    assert set(pids) == set(parts)
    assert made.stop(number) == 0
    assert all(map(gone, pids.values()))
    stopped = [line.split()[2] for line in made.output.splitlines() if "Stopp" in line]
    assert stopped == parts, made.output


def test_it_stops_and_goes_on_with_the_same_state(folder: Path) -> None:
    with stack(folder / "var", "--no-demo") as made:
        first = made.environment()
        with psycopg.connect(first["VOTEPYRAMID_OWNER_DATABASE_URL"]) as db:
            db.execute("CREATE TABLE kept AS SELECT 42 AS n")
        keys = {path: path.read_bytes() for path in made.layout.secrets.iterdir()}
        stops(made, signal.SIGINT)
    with stack(folder / "var", "--no-demo") as made:
        url = made.environment()["VOTEPYRAMID_OWNER_DATABASE_URL"]
        with psycopg.connect(url) as db:
            assert db.execute("SELECT n FROM kept").fetchone() == (42,)
        assert keys == {p: p.read_bytes() for p in made.layout.secrets.iterdir()}
        stops(made, signal.SIGTERM)


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


def test_a_crashed_process_is_started_again_and_said_so(folder: Path) -> None:
    """And killed itself, the supervisor leaves no child."""
    with stack(folder / "var", "--no-demo") as made:
        for name in ("sequencer", "worker", "web", "temporal", "postgres"):
            before = made.pids()[name]
            os.kill(before, signal.SIGKILL)
            made.wait_for(f"{name} ended by itself; starting it again", 10)
            made.wait_for(f"{name} again", 60)
            assert made.pids()[name] != before
        port = web_port(made)
        assert eventually(lambda: http_status(port, "/health/ready") == 200, 60)
        pids = made.pids()
        made.stop(signal.SIGKILL)
        if sys.platform == "linux":
            assert all_gone(pids)


def test_reset_spares_a_folder_that_is_no_stacks(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos" / "one.jpg").write_bytes(b"x")
    refused = votepyramid("reset", "--state", str(folder / "photos"))
    assert refused.returncode == 1
    assert "not the state folder" in refused.stderr
    assert (folder / "photos" / "one.jpg").exists()


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


@contextmanager
def port_taken(port: int) -> Iterator[None]:
    """Somebody else listens there: we, unless there is one already."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            taken.bind(("127.0.0.1", port))
            taken.listen()
        yield


@dataclass
class Begun:
    """A stack, and what its start met: a taken port, and a child left by another."""

    made: StackUp
    left: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def begun() -> Iterator[Begun]:
    """For tests that leave it as it is: a start takes a while."""
    with short_folder() as folder, port_taken(6543):
        layout = Layout(folder / "var")
        layout.make()
        # As where no kernel ends the children: only a process and its record are left.
        left = children.spawn(
            ["sleep", "600"], log=layout.logs / "x.log", record=layout.record("worker")
        )
        with stack(folder / "var", "--no-demo") as made:
            yield Begun(made, left)


def test_a_child_left_by_a_killed_supervisor_is_stopped(begun: Begun) -> None:
    assert "Stopped a worker that a killed stack had left" in begun.made.output
    assert begun.left.wait(5) == -signal.SIGTERM


def test_a_taken_port_is_replaced_and_printed(begun: Begun) -> None:
    port = web_port(begun.made)
    assert port != 6543
    assert f"http://127.0.0.1:{port}/health/ready" in begun.made.output
    assert http_status(port, "/health/ready") == 200


def test_the_first_link_is_shown_once_and_at_a_name(begun: Begun) -> None:
    assert re.search(r"http://localhost:\d+/set-up#", begun.made.output)
    # Its log line is no part of the progress.
    assert "first_setup_link_made" not in begun.made.output
    (line,) = (begun.made.layout.logs / "up.log").read_text().splitlines()
    assert json.loads(line)["event"] == "first_setup_link_made"


def test_while_it_runs_a_second_one_and_a_reset_are_refused(begun: Begun) -> None:
    var, pids = begun.made.layout.var, begun.made.pids()
    for command in ("up", "reset"):
        refused = votepyramid(command, "--state", str(var))
        assert refused.returncode == 1
        assert f"already runs on {var}" in refused.stderr
        assert str(begun.made.process.pid) in refused.stderr
    assert not any(map(gone, pids.values()))


@needs("linux")
def test_processes_see_the_application_role_only(begun: Begun) -> None:
    for name in ("worker", "web"):
        seen = Path(f"/proc/{begun.made.pids()[name]}/environ").read_bytes()
        assert b"VOTEPYRAMID_DATABASE_URL=" in seen
        assert b"votepyramid_owner" not in seen
