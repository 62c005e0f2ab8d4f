"""An export that is killed, page by page, with a bar; a check without any network."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.auditors.conftest import Bureau, verify
from tests.auditors.test_finished import slip_in
from tests.support.elections import MadeElection
from tests.support.processes import eventually
from tests.support.stacks import VOTEPYRAMID
from tests.support.voting import at_once
from votepyramid.auditors.folder import SEAL
from votepyramid.stack.children import environment_without

VOTES = 6
# Whatever asks for a name or an address outside fails; the rest is the machine's own.
NO_NETWORK = """
import sys
def refuse(event, given):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        raise RuntimeError(event)
    if event in ("socket.connect", "socket.sendto") and isinstance(given[1], tuple):
        raise RuntimeError(event)
sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def election(bureau: Bureau) -> MadeElection:
    """Votes one after the other, so that each has a workflow of its own."""
    made = bureau.engine.make_election(id="running", voters=VOTES + 1)
    (door,) = bureau.engine.doors(made)
    for ballot in at_once(lambda n: door.ballot(f"v{n}"), range(VOTES)):
        assert door.cast(ballot).status_code == 200
    bureau.sequence()
    return made


@pytest.fixture(scope="module")
def export(
    bureau: Bureau, election: MadeElection, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("running") / "export"
    assert bureau.export(election.id, folder).returncode == 0
    return folder


def histories(folder: Path) -> dict[str, int]:
    """Each history's file, and which file of the disk it is."""
    found = (folder / "histories").rglob("*.gz")
    return {path.name: path.stat().st_ino for path in found}


def owner(bureau: Bureau) -> dict[str, str]:
    url = bureau.engine.database.owner_url
    return {**bureau.engine.env, "VOTEPYRAMID_OWNER_DATABASE_URL": url}


def test_it_is_read_page_by_page(
    bureau: Bureau, election: MadeElection, export: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    done = bureau.export(election.id, folder, "--page", "1")
    assert done.returncode == 0, done.stdout
    assert len(histories(folder)) > VOTES
    assert set(histories(folder)) == set(histories(export))


def test_killed_in_the_middle_it_is_gone_on_with(
    bureau: Bureau, tmp_path: Path
) -> None:
    """While it waits for the history of a vote that came through no workflow."""
    other = bureau.engine.make_election(id="killed", voters=2)
    (door,) = bureau.engine.doors(other)
    assert door.cast(door.ballot("v0")).status_code == 200
    assert door.token("v1")
    slip_in(other)
    bureau.sequence()
    folder = tmp_path / "export"
    killed = subprocess.Popen(
        [VOTEPYRAMID, "audit", "export", other.id, folder, "--wait", "100"],
        env=owner(bureau),
    )
    try:
        assert eventually(lambda: len(histories(folder)) >= 2, 60)
    finally:
        killed.kill()
        assert killed.wait(30) == -signal.SIGKILL
    assert not (folder / SEAL).exists()
    assert verify(folder).returncode == 1
    # As if a file had been half written when it came.
    (folder / "histories" / ".0123.part").write_bytes(b"half")
    written = histories(folder)
    done = bureau.export(other.id, folder)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["lacking"] == {"votes": 1, "tokens": 0}
    # What was there was not fetched again.
    assert written.items() <= histories(folder).items()
    assert not list(folder.rglob("*.part"))
    assert verify(folder).returncode == 0


def test_a_bar_moves_while_it_is_exported_and_checked(
    bureau: Bureau, export: Path, tmp_path: Path
) -> None:
    waits = bureau.engine.make_election(id="waits-for-its-logs", voters=1)
    command = on_a_terminal(
        owner(bureau), "export", waits.id, str(tmp_path / "export"), "--wait", "100"
    )
    shown = read(command, until="log entries awaited")
    bureau.sequence()
    shown += read(command)
    counts = re.findall(r"log entries awaited +━+ (\d+)/(\d+)", shown)
    assert counts[0][0] == "0" and len(set(counts[-1])) == 1, shown
    words = "verify", str(export)
    shown = read(on_a_terminal(environment_without("VOTEPYRAMID_"), *words))
    for what in ("receipt-log", "audit-log", "receipts", "stored ballots", "histories"):
        assert re.search(rf"{what} +━+ (\d+)/\1", shown), shown
    # And none where nobody looks.
    assert "━" not in verify(export).stderr


@dataclass(frozen=True)
class OnTerminal:
    """A command whose output a person sees, with the codes that a terminal obeys."""

    command: subprocess.Popen[bytes]
    output: int


def on_a_terminal(env: Mapping[str, str], *words: str) -> OnTerminal:
    """`votepyramid audit` with these words, 120 columns wide."""
    mine, theirs = pty.openpty()
    command = subprocess.Popen(
        [VOTEPYRAMID, "audit", *words],
        env={**env, "TERM": "xterm", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    return OnTerminal(command, mine)


def read(shown: OnTerminal, until: str | None = None) -> str:
    """What it shows from here until these words, or to its end, which must be a good
    one."""
    text = b""
    while until is None or until.encode() not in text:
        try:
            text += os.read(shown.output, 65536)
        except OSError:
            # The other end was closed.
            assert until is None, text.decode()
            os.close(shown.output)
            assert shown.command.wait(60) == 0, text.decode()
            break
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.decode())


def test_it_is_checked_without_any_network(export: Path, tmp_path: Path) -> None:
    """In a network of its own that has not even a loopback, where that is permitted."""
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    env = environment_without("VOTEPYRAMID_") | {"PYTHONPATH": str(tmp_path)}
    apart = ["unshare", "--map-root-user", "--net"]
    permitted = (
        shutil.which("unshare") is not None
        and not subprocess.run(
            [*apart, "true"], capture_output=True, check=False
        ).returncode
    )

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*(apart if permitted else []), *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    asks = "import socket; socket.create_connection(('127.0.0.1', 9))"
    assert "socket.getaddrinfo" in run(sys.executable, "-c", asks).stderr
    done = run(VOTEPYRAMID, "audit", "verify", export, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["checks"][-1]["check"] == "voting time"
