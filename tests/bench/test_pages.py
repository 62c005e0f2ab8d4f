"""`make bench-pages`, short; and that no page is left out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import election
from bench.pages.addresses import PERSON, WORK, addresses
from bench.pages.workflows import Opened
from tests.admin_ui.test_pages import PAGES
from tests.bench.running import run_bench
from tests.support.needs import needs


@needs("postgresql-debian")
@pytest.mark.usefixtures("temporal_programs_on_postgres")
@pytest.mark.timeout(300)
def test_every_page_is_measured(tmp_path: Path) -> None:
    options = ["--votes=300", "--workflows=100", "--rounds=2", "--pause=0"]
    measured, said = run_bench(tmp_path, "bench.pages", *options)
    assert {one["target"] for one in measured["figures"]} == {300}
    alone, together = measured["times"]["1"], measured["times"]["4"]
    assert alone.keys() == together.keys() >= {"/", "/work", "/audit/voters"}
    assert {len(times) for times in alone.values()} == {2}
    assert {len(times) for times in together.values()} == {8}
    assert f"{WORK}/STUCK" in said


def test_no_page_is_left_out() -> None:
    """Of those that every role is tried at."""
    opened = Opened("votes/a", "votes/b", "0" * 64)
    named = ("receipt", "receipt_hash", "order", "pseudonym", "after")
    asked = {
        page.path.partition("?")[0]
        for page in addresses(opened, dict.fromkeys(named, "x"))
    }
    wanted = {path.partition("?")[0] for path in PAGES}
    wanted = {path.replace("/demo", f"/{election.ID}") for path in wanted}
    assert {path.replace("/viewer", f"/{PERSON}") for path in wanted} <= asked
