"""The web console of a running stack, in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.stack.conftest import short_folder
from tests.support.needs import BROWSERS, needs
from tests.support.stacks import VOTEPYRAMID, StackUp, stack
from votepyramid.client import files

pytestmark = [needs("chromium"), pytest.mark.timeout(300)]


class Browser:
    """Chromium without a window; what it is told stays in its profile."""

    def __init__(self, profile: Path) -> None:
        (self._program, *_) = filter(None, map(shutil.which, BROWSERS))
        self._profile = profile

    def page(self, url: str) -> str:
        """A page as it is once its scripts have nothing left to do."""
        as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        shown = subprocess.run(
            [
                *(self._program, "--headless", "--disable-gpu", *as_root),
                *(f"--user-data-dir={self._profile}", "--virtual-time-budget=20000"),
                *("--dump-dom", url),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )
        return unescape(shown.stdout)


@pytest.fixture(scope="module")
def up(temporal_programs_on_postgres: dict[str, Path]) -> Iterator[StackUp]:
    """A stack whose console is a process of its own."""
    with short_folder() as folder, stack(folder / "var") as made:
        yield made


def _history_url(made: StackUp) -> str:
    """The console's page of the workflow that recorded the demo ballot."""
    console = f"http://127.0.0.1:{_console_port(made)}"
    listed = httpx2.get(f"{console}/api/v1/namespaces/default/workflows").json()
    (found,) = [
        one["execution"]
        for one in listed["executions"]
        if one["type"]["name"] == "submit_votes"
    ]
    name = quote(found["workflowId"], safe="")
    return f"{console}/namespaces/default/workflows/{name}/{found['runId']}/history"


def _console_port(made: StackUp) -> int:
    configuration = made.layout.temporal / "console.yaml"
    return int(json.loads(configuration.read_text())["port"])


def test_an_operator_who_signed_in_sees_payloads(up: StackUp, tmp_path: Path) -> None:
    receipt_hash = files.load(up.layout.demo / "receipt.json").ballot.receipt_hash
    browser = Browser(tmp_path / "profile")
    url = _history_url(up)
    sealed = browser.page(url)
    assert "WorkflowExecutionStarted" in sealed or "Workflow Execution" in sealed
    assert receipt_hash not in sealed

    made = subprocess.run(
        [VOTEPYRAMID, "operator", "link", "ines"],
        env=os.environ | up.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    link = made.stdout.strip()
    assert "You are signed in" in browser.page(link)
    assert receipt_hash in browser.page(url)

    log = (up.layout.logs / "codec-server.log").read_text()
    assert '"who": "ines"' in log and '"event": "payloads_decoded"' in log
    assert link.split("#")[1] not in log
    # Once: a link that lies in a history or on a screen signs nobody in.
    stranger = Browser(tmp_path / "stranger")
    assert "This link was used" in stranger.page(link)
    assert receipt_hash not in stranger.page(url)


def test_the_administrators_pages_lead_to_it(up: StackUp) -> None:
    (link,) = re.findall(r"(http://localhost:\d+)/set-up#(\S+)", up.output)
    pages, code = link
    person = {"name": "ada", "passphrase": "seven tall ships at sea"}
    repeated = person["passphrase"]
    with httpx2.Client(base_url=pages, headers={"Origin": pages}) as client:
        client.post("/set-up", data={**person, "code": code, "repeated": repeated})
        client.post("/sign-in", data={**person, "next": "/"})
        assert 'href="/console"' in client.get("/").text
        console = f"http://127.0.0.1:{_console_port(up)}/"
        assert f'href="{console}"' in client.get("/console").text
