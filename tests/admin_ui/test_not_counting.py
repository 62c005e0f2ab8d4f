"""A Temporal that refuses to count is not one that is away: votes go on meanwhile."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.admin_ui.browsing import Browsing, Visitor
from tests.admin_ui.test_night import WHY, watching
from tests.support.databases import Database
from tests.support.engines import running
from tests.support.faults import NO_LISTS
from tests.support.needs import needs
from tests.support.processes import eventually
from votepyramid.audit.operators import acting_as
from votepyramid.db import make_engine
from votepyramid.engine.acts import Act
from votepyramid.engine.listing import Filter
from votepyramid.orders import service as orders
from votepyramid.orders.what import ActOnAll
from votepyramid.stack.devserver import DevServer

pytestmark = [needs("chromium"), pytest.mark.timeout(240)]


def ordered(database: Database) -> uuid.UUID:
    """Something whose doing begins with a list."""
    pages = make_engine(database.admin_url)
    what = ActOnAll(Act.PAUSE, Filter(needs_attention=True))
    given = orders.give(acting_as(pages, "operator"), None, what, WHY)
    pages.dispose()
    return given


def told_the_same(visitor: Visitor, order: uuid.UUID) -> None:
    """By a list of other workflows than were asked for, and by what is pressed."""
    visitor.go("/work?kind=claim_tokens")
    answers = visitor.page.get_by_text("answers, but not this")

    def said() -> bool:
        visitor.page.reload()
        return answers.count() > 0

    assert eventually(said, 40), visitor.page.get_by_role("main").inner_text()
    visitor.go(f"/orders/{order}")
    visitor.press("Go on")
    assert visitor.heading == "Temporal refuses this"
    assert visitor.violations() == []


def test_temporal_not_counting(
    temporal_cli: Path, database: Database, browsing: Browsing, tmp_path: Path
) -> None:
    folder = tmp_path / "temporal"
    server = DevServer(temporal_cli, folder)
    server.start()
    port, ui_port = server.port, server.ui_port
    busy = DevServer(temporal_cli, folder, port=port, ui_port=ui_port, extra=NO_LISTS)
    try:
        with (
            running(database, server, tmp_path) as engine,
            watching(engine, browsing, tmp_path) as night,
        ):
            watch, door, order = night.watch, night.door(), ordered(database)
            server.stop()
            busy.start()
            sentence = "Temporal answers, but does not count its workflows"
            watch.sees(sentence)
            assert "votes wait" not in watch.now
            assert door.insist(door.ballot("v0"))
            page = watch.visitor.page.context.new_page()
            told_the_same(Visitor(night.admin.url, page), order)
            page.close()
            watch.what_to_do(sentence, "VotepyramidNotCounted")
            busy.stop()
            server.start()
            watch.back()
            watch.well_again("Temporal does not count")
    finally:
        busy.stop()
        server.stop()
