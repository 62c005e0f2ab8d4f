"""Pyramid's own commands on our ini files, as whoever knows Pyramid will try them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.databases import Database
from tests.support.processes import environment, eventually
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.program import http_status

ROOT = Path(__file__).resolve().parents[2]
DOORS = ("tokens.claim", "votes.cast")


@pytest.fixture
def env(database: Database, temporal: DevServer, tmp_path: Path) -> dict[str, str]:
    return environment(database, temporal, tmp_path)


def proutes(ini: str, env: Mapping[str, str]) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("proutes"), ini],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("ini", "open_doors"),
    [
        ("development.ini", DOORS),
        ("production.ini", DOORS),
        ("production.ini#claim", DOORS[:1]),
        ("production.ini#cast", DOORS[1:]),
    ],
)
def test_proutes_lists_the_doors_of_a_role(
    env: dict[str, str], ini: str, open_doors: tuple[str, ...]
) -> None:
    # The ini file says which doors and whether this is production.
    env.pop("VOTEPYRAMID_ENVIRONMENT")
    env["VOTEPYRAMID_JWT_ISSUER"] = "https://id.example"
    env["VOTEPYRAMID_JWT_JWKS"] = "https://id.example/keys"
    listed = proutes(ini, env)
    assert "receipts.show" in listed
    assert tuple(door for door in DOORS if door in listed) == open_doors


def test_pserve_serves_development_ini_until_it_is_stopped(
    env: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    ini = tmp_path / "development.ini"
    ours = (ROOT / "development.ini").read_text()
    assert "listen = 127.0.0.1:6543" in ours
    ini.write_text(ours.replace("127.0.0.1:6543", f"{LOOPBACK}:{port}"))
    with open(tmp_path / "log", "wb") as log:
        serving = subprocess.Popen(
            [Path(sys.executable).with_name("pserve"), ini],
            env=env,
            stdout=log,
            stderr=log,
        )
    try:
        assert eventually(lambda: http_status(port, "/health/live") == 200, 30)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(30) == 0, os.fsdecode((tmp_path / "log").read_bytes())
    finally:
        if serving.poll() is None:
            serving.kill()
            serving.wait()
    said = (tmp_path / "log").read_text()
    assert "web_serving" in said and "web_stopped" in said
    assert "Traceback" not in said
