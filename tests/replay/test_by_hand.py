"""The steps of demo/README.md, as they stand there, on a real stack."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.databases import Database
from tests.support.processes import (
    environment,
    eventually,
    start_web,
    start_worker,
    stopping,
)
from votepyramid.client import files
from votepyramid.elections import keygen
from votepyramid.protocol.ballot import open_ballot
from votepyramid.protocol.identifiers import token_tag
from votepyramid.stack.devserver import DevServer

DEMO = Path(__file__).parents[2] / "demo"
# The suspended voter, as the last sentence of the section says.
REFUSED = """\
export VOTEPYRAMID_JWT="$(votepyramid voter token demo-voter-20)"
! votepyramid vote --choices /dev/null --out second.json --json > refused.json
"""


@pytest.fixture
def env(
    database: Database, temporal: DevServer, tmp_path: Path
) -> Iterator[dict[str, str]]:
    made = environment(database, temporal, tmp_path, owner=True)
    serving = {k: v for k, v in made.items() if k != "VOTEPYRAMID_OWNER_DATABASE_URL"}
    worker = start_worker(serving, temporal, tmp_path)
    web = start_web(serving, tmp_path, ready_path="/health/ready")
    closing = {**serving, "VOTEPYRAMID_DATABASE_URL": database.closer_url}
    closer = start_worker(closing, temporal, tmp_path, name="closer", roles="closing")
    with stopping(web, worker, closer):
        programs = Path(sys.executable).parent
        yield made | {
            "VOTEPYRAMID_URL": web.url,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }


def _steps() -> str:
    """The shell commands of the section, without the line for `make run`."""
    text = (DEMO / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(?s)```sh\n(.*?)```", text)
    kept = [x for x in block.splitlines() if "source " not in x and "PATH=" not in x]
    assert len(block.splitlines()) - len(kept) == 2
    return "\n".join(["set -e", *kept])


def _shell(
    script: str, folder: Path, env: dict[str, str], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=env | {"VOTEPYRAMID_PASSPHRASE": "for-this-demo-only"},
        input=typed,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_steps_of_the_readme(
    env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "person"
    folder.mkdir()
    (folder / "demo").symlink_to(DEMO)
    steps, close = _steps().split("votepyramid election close")
    script = f"{steps}\n{REFUSED}\nvotepyramid election close{close}"
    # Third choice, second choice, none, and yes.
    done = _shell(script, folder, env, "3\n2\n0\ny\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Your ballot is recorded" in done.stdout
    assert re.search(r"votes_accepted\s+1\n", done.stdout)
    assert "Election ward-9-demo: " in done.stdout
    with psycopg.connect(database.owner_url, autocommit=True) as db:
        closed = "SELECT FROM elections WHERE status = 'closed'"
        assert eventually(lambda: db.execute(closed).fetchone() is not None)

    refused = json.loads((folder / "refused.json").read_text())
    assert (refused["code"], refused["reason"]) == ("not_eligible", "suspended")
    assert not (folder / "second.json").exists()

    receipt = files.load(folder / "receipt.json")
    private = keygen.read_trustees(
        folder / "trustees" / keygen.TRUSTEES, "for-this-demo-only"
    )
    manifest = json.loads((folder / "signed.json").read_text())["manifest"]
    tag = token_tag("ward-9-demo", receipt.ballot.m, receipt.ballot.bearer)
    opened = open_ballot(
        private, manifest, receipt.ballot.style, tag, receipt.ballot.payload
    )
    assert opened == {"ward-9": [["c3"], ["c2"], []]}
