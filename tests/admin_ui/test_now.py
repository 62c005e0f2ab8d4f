"""The page "Now" as faults are made: whoever looks sees what is wrong, and its end."""

from __future__ import annotations

import ast
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from admin_ui import charts, manual
from tests.admin_ui.browsing import Browsing, Visitor
from tests.admin_ui.conftest import PASSPHRASE, add_person
from tests.house import source
from tests.house.source import ROOT
from tests.support import sequencing
from tests.support.engines import Engine, Engines
from tests.support.needs import needs
from tests.support.processes import eventually, start_admin, start_worker, stopping
from tests.support.voting import Door
from votepyramid.audit.operators import acting_as
from votepyramid.elections import closing
from votepyramid.engine.control import Desk
from votepyramid.vitals.service import Flow, Moment
from votepyramid.vitals.tally import quantile

pytestmark = [needs("chromium"), pytest.mark.timeout(400)]


@pytest.fixture
def night(engines: Engines) -> Iterator[Engine]:
    """An engine of its own, whose parts are taken away."""
    with engines.running("night") as engine:
        yield engine


def says(visitor: Visitor, text: str, seconds: float = 100.0) -> bool:
    """Whether the page comes to say that by itself, without a click.

    A vote that took long is told of for a minute, and so may a busy machine be.
    """
    main = visitor.page.locator("#now")
    return eventually(lambda: text in main.inner_text(), seconds)


def test_who_looks_sees_a_part_go_and_come_back(
    night: Engine, browsing: Browsing, tmp_path: Path
) -> None:
    election = night.make_election()
    door = Door(night.web.url, election)
    assert door.cast(door.ballot("v0")).status_code == 200
    admin = start_admin(night.env, night.database, night.folder, log_seconds=0.2)
    add_person(night.database, "operator", "operator")
    with stopping(admin):
        visitor = browsing.visitor(admin.url)
        visitor.sign_in("operator", PASSPHRASE)
        assert says(visitor, "No sequencer runs")
        sequencer = sequencing.start(night, tmp_path, tmp_path / "sequencer.log")
        with stopping(sequencer):
            assert says(visitor, "All is well")
            row = visitor.page.get_by_role("row", name="Election demo")
            assert eventually(lambda: "open" in row.inner_text())
            worker = night.worker
            worker.kill()
            assert says(visitor, "No worker reports")
            night.start_worker()
            assert eventually(
                lambda: "No worker" not in visitor.page.locator("#now").inner_text(), 40
            )
            # Another has come for the one that is gone, which is still listed.
            assert says(visitor, "All is well")
            row = visitor.page.get_by_role("row", name=f"worker {worker.pid}")
            assert "silent" in row.inner_text()
            assert visitor.violations() == []


def test_a_closing_that_no_worker_takes_is_seen(
    night: Engine, browsing: Browsing
) -> None:
    # Of a name of its own: Temporal has others' closings.
    election = night.make_election(id=f"untaken-{secrets.token_hex(4)}")
    admin = start_admin(night.env, night.database, night.folder)
    add_person(night.database, "viewer", "viewer")
    with stopping(admin):
        visitor = browsing.visitor(admin.url)
        visitor.sign_in("viewer", PASSPHRASE)
        untaken = "to be closed, and no worker takes closings"
        assert untaken not in visitor.page.inner_text("#now")
        owner = acting_as(election.engine, "ada")
        closing.start_or_join(owner, Desk(night.settings), election.id)
        assert says(visitor, untaken)
        url = {"VOTEPYRAMID_DATABASE_URL": night.database.closer_url}
        closer = start_worker(
            {**night.env, **url},
            night.temporal,
            night.folder,
            name="closer",
            roles="closing",
        )
        with stopping(closer):
            assert eventually(
                lambda: untaken not in visitor.page.inner_text("#now"), 40
            )
            row = visitor.page.get_by_role("row", name=f"worker {closer.pid}")
            assert eventually(lambda: "ok" in row.inner_text(), 20)
        assert says(visitor, untaken)


def test_a_chart_has_the_numbers_that_it_draws() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    rates = [0.0, 3.0, 12.0, 7.0]
    history = [
        Moment(
            began + timedelta(minutes=minute),
            {("cast", "a"): Flow(60, rate / 2, 0, 0.1, quantile([0, 0, 5], 0.95))}
            | {("cast", "b"): Flow(60, rate / 2, 0, None, None)},
        )
        for minute, rate in enumerate(rates)
    ]
    claims, casts, waits = charts.of(history)
    assert [value for _, value in casts.points] == rates
    assert casts.top == 20 and casts.last == 7.0
    assert casts.line == "M0.0 80.0L106.7 68.0L213.3 32.0L320.0 52.0"
    assert [value for _, value in claims.points] == [0.0] * 4
    assert waits.last == pytest.approx(0.04875)
    assert charts.of([])[0].line == "" and charts.of([])[0].last is None


def test_every_fault_leads_to_an_entry_of_the_runbook() -> None:
    path = ROOT / "admin_ui" / "picture.py"
    named = {
        keyword.value.value
        for node in ast.walk(source.tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Sign"
        for keyword in node.keywords
        if keyword.arg == "entry" and isinstance(keyword.value, ast.Constant)
    }
    assert len(named) > 8
    for name in named:
        found = manual.entry(manual.RUNBOOK, str(name))
        assert found is not None, name
        assert "What to do." in found.html, name


def test_an_entry_quotes_what_now_says() -> None:
    """Whoever comes from an alert recognises the page, and the other way round."""
    sentences = (ROOT / "admin_ui" / "picture.py").read_text(encoding="utf-8")
    sentences += (ROOT / "admin_ui" / "troubles.py").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    quoted = re.findall(r'"Now" says[^"]{0,40}"([^"]+)"', text.replace("\n", " "))
    assert len(quoted) > 10
    said = re.sub(r'"\s*f?"', "", sentences)
    assert [words for words in quoted if words not in said] == []
