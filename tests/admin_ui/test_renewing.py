"""Pages that renew themselves: nothing is taken from whoever works on them, and what is
old is said to be old.

Temporal does not answer here: none of it needs it.
"""

from __future__ import annotations

import secrets
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from admin_ui.kept import PATIENCE_S
from tests.admin_ui.browsing import Browsing, Visitor
from tests.admin_ui.conftest import PASSPHRASE, add_person
from tests.support import databases
from tests.support.databases import Database
from tests.support.elections import MadeElection, make_election
from tests.support.faults import holding, refusing
from tests.support.needs import needs
from tests.support.processes import (
    Running,
    environment,
    eventually,
    start_admin,
    stopping,
)
from votepyramid.audit.operators import acting_as
from votepyramid.elections import closing
from votepyramid.engine.control import Desk, TemporalAway
from votepyramid.orders import service as orders
from votepyramid.orders.what import Settle
from votepyramid.settings import Settings
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.postgres import EmbeddedPostgres

pytestmark = needs("chromium")

FIRST, SECOND = "administrator", "second"
EXPORTS = "/audit/exports"
WHY = "its voters were told to cast anew"
SETTLE = "Settle votes that no workflow holds"
# Parts of pages that are made anew, and what in them the keyboard reaches but nobody
# finds again.
RENEWED = ":is(#now, #machinery, #charts, #end, #standing, #acts, #exports)"
REACHED = ":is(a, button, summary, input[type=text], [tabindex]):not([id])"
_NUMBERS = count()


@dataclass(frozen=True)
class Stage:
    """Pages of a database that can be taken away, beside a Temporal that is silent."""

    database: Database
    env: dict[str, str]
    admin: Running
    browsing: Browsing

    def visitor(self, path: str, **how: object) -> Visitor:
        """An administrator at a page."""
        visitor = self.browsing.visitor(self.admin.url, **how)
        visitor.sign_in(FIRST, PASSPHRASE)
        assert visitor.go(path).status == 200
        return visitor

    def closing_election(self) -> MadeElection:
        """One that is being closed early, which waits."""
        election = make_election(self.database, self.env, id=f"e{next(_NUMBERS)}")
        keys = self.env["VOTEPYRAMID_CODEC_KEYS_FILE"]
        settings = Settings(temporal_address=_nowhere(), codec_keys_file=keys)
        with suppress(TemporalAway):
            closing.start_or_join(
                election.engine, Desk(settings, 0.1), election.id, early=True
            )
        return election

    def order(self, election: MadeElection) -> uuid.UUID:
        """One to settle votes, that was agreed to and is not carried out yet."""
        by = acting_as(election.engine, FIRST)
        given = orders.give(by, election.id, Settle(), WHY)
        orders.agree(acting_as(election.engine, SECOND), given, apart=timedelta())
        return given


def _nowhere() -> str:
    return f"{LOOPBACK}:{free_port()}"


@pytest.fixture(scope="module")
def stage(
    postgres: EmbeddedPostgres,
    template: str,
    browsing: Browsing,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("renewing")
    with (
        databases.fresh(postgres, template) as database,
        # Connections are made, and nothing is ever said.
        socket.create_server((LOOPBACK, 0)) as silent,
    ):
        temporal = DevServer(Path("none"), folder, port=silent.getsockname()[1])
        env = environment(database, temporal, folder)
        for name in (FIRST, SECOND):
            add_person(database, name, "administrator")
        exports = folder / "exports"
        exports.mkdir(mode=0o700)
        admin = start_admin(env, database, folder, exports_folder=exports)
        with stopping(admin):
            yield Stage(database, env, admin, browsing)


@pytest.fixture
def election(stage: Stage) -> Iterator[MadeElection]:
    """It is being closed, and one vote of it is under way."""
    made = stage.closing_election()
    promise(made)
    yield made
    forget(made)
    with made.sql() as db:
        db.execute("UPDATE asked_exports SET removed_by = 'ada', gone_at = now()")


def promise(election: MadeElection) -> None:
    """A voter is told to wait for an answer."""
    with election.sql() as db:
        db.execute(
            "INSERT INTO vote_groups (receipt_hash, election, group_id, held_by) "
            "VALUES (%s, %s, 'votes/x', ARRAY['votes/x'])",
            [secrets.token_hex(32), election.id],
        )


def forget(election: MadeElection) -> None:
    with election.sql() as db:
        db.execute("DELETE FROM vote_groups WHERE election = %s", [election.id])


def export(election: MadeElection, removed: int = 0) -> None:
    """Somebody has asked for one, and for so many others to be removed."""
    with election.sql() as db:
        db.execute(
            "INSERT INTO asked_exports (election, asked_by) VALUES (%s, 'ada')",
            [election.id],
        )
        for _ in range(removed):
            db.execute(
                "INSERT INTO asked_exports (election, asked_by, removed_by) "
                "VALUES (%s, 'ada', 'ada')",
                [election.id],
            )


def page_of(election: MadeElection) -> str:
    return f"/elections/{election.id}"


def text(visitor: Visitor) -> str:
    return visitor.page.locator("main").inner_text()


def renewed(visitor: Visitor, part: str) -> None:
    """Wait until the page has made that part of it anew."""
    old = "part => { document.getElementById(part).dataset.old = '' }"
    visitor.page.evaluate(old, part)
    visitor.page.locator(f"#{part}:not([data-old])").wait_for(state="attached")


def focused(visitor: Visitor) -> str:
    """The id of what has the keyboard."""
    return str(visitor.page.evaluate("document.activeElement.id"))


def test_a_reason_is_written_while_the_page_renews_itself(
    stage: Stage, election: MadeElection
) -> None:
    visitor = stage.visitor(page_of(election))
    visitor.page.get_by_text(SETTLE).click()
    reason = visitor.page.locator("details[open] [name=reason]")
    first, second = WHY[:9], WHY[9:]
    reason.press_sequentially(first)
    renewed(visitor, "end")
    # Where it was left.
    visitor.page.keyboard.type(second)
    renewed(visitor, "end")
    assert reason.input_value() == WHY
    visitor.press("Settle…")
    assert "waiting" in visitor.heading and WHY in text(visitor)


def test_forms_come_and_go_where_nobody_fills_them_in(
    stage: Stage, election: MadeElection
) -> None:
    forget(election)
    visitor = stage.visitor(page_of(election))
    settle = visitor.page.get_by_text(SETTLE)
    assert settle.count() == 0
    promise(election)
    settle.wait_for()
    # What is as it was is left alone.
    visitor.page.evaluate("document.getElementById('acts').dataset.old = ''")
    renewed(visitor, "end")
    assert visitor.page.locator("#acts[data-old]").count() == 1
    settle.click()
    forget(election)
    promised = visitor.page.locator("#end").get_by_text("were promised an answer")
    promised.wait_for(state="detached")
    renewed(visitor, "end")
    assert visitor.page.locator("details[open] [name=reason]").is_visible()
    settle.click()
    settle.wait_for(state="detached")


def went_stale(visitor: Visitor, stage: Stage) -> None:
    """Postgres refuses for a moment: the page says that it is old, until it is not."""
    note = visitor.page.locator("#stale")
    before = text(visitor)
    assert not note.is_visible()
    with refusing(stage.database):
        note.wait_for()
        assert "Postgres does not answer." in note.inner_text()
        assert "own process" not in note.inner_text()
        assert len(text(visitor)) > len(before)
        assert visitor.violations() == []
    note.wait_for(state="hidden")


@pytest.mark.parametrize("where", ["election", EXPORTS])
def test_a_page_keeps_what_it_shows_while_postgres_refuses(
    stage: Stage, election: MadeElection, where: str
) -> None:
    export(election)
    part, path = ("exports", EXPORTS) if where == EXPORTS else ("end", "")
    visitor = stage.visitor(path or page_of(election))
    went_stale(visitor, stage)
    renewed(visitor, part)
    assert election.id in text(visitor)


def going_on(stage: Stage, order: uuid.UUID) -> Visitor:
    """At an order's page, where somebody pressed for it just now."""
    visitor = stage.visitor("/orders")
    (session,) = visitor.page.context.cookies()
    pressed = {"name": f"{session['name']}-{order.hex}", "value": "1"}
    visitor.page.context.add_cookies([{**pressed, "url": stage.admin.url}])
    visitor.go(f"/orders/{order}")
    return visitor


def test_an_order_that_another_is_at_is_gone_on_with_afterwards(
    stage: Stage, election: MadeElection
) -> None:
    forget(election)
    given = stage.order(election)
    lock = given.int & (2**63 - 1)
    with holding(stage.database.owner_url, "SELECT pg_advisory_lock(%s)", lock):
        visitor = going_on(stage, given)
        visitor.page.get_by_text("This page did not go on with it").wait_for()
        assert "It is going on" not in text(visitor)
        assert "It is being done at this moment" in text(visitor)
        assert visitor.violations() == []
    assert eventually(lambda: "done" in visitor.heading, 20), text(visitor)
    assert "This page did not" not in text(visitor)


def test_an_order_is_gone_on_with_when_postgres_is_back(
    stage: Stage, election: MadeElection
) -> None:
    forget(election)
    given = stage.order(election)
    lock = given.int & (2**63 - 1)
    with holding(stage.database.owner_url, "SELECT pg_advisory_lock(%s)", lock):
        visitor = going_on(stage, given)
        went_stale(visitor, stage)
        # Whoever was at it was thrown out as well.
        assert eventually(lambda: "done" in visitor.heading, 20), text(visitor)


def test_an_order_is_gone_on_with_after_temporal_refused(
    stage: Stage, election: MadeElection, tmp_path: Path
) -> None:
    given = stage.order(election)
    away = {"temporal_address": _nowhere()}
    admin = start_admin(stage.env, stage.database, tmp_path, **away)
    with stopping(admin):
        elsewhere = replace(stage, admin=admin)
        visitor = going_on(elsewhere, given)
        note = visitor.page.locator("#stale")
        note.get_by_text("Temporal does not answer.").wait_for()
        assert "going on" in visitor.heading
        # No vote is under way any more, so it need not be asked.
        forget(election)
        assert eventually(lambda: "done" in visitor.heading, 20), text(visitor)
        assert not note.is_visible()


def test_now_renews_its_charts_under_whoever_reads_them(
    stage: Stage, election: MadeElection
) -> None:
    # What scrolls here is what has no room: the style is the test's own.
    visitor = stage.visitor("/", bypass_csp=True)
    visitor.page.add_style_tag(content="#table-1 { max-height: 1rem; overflow: auto }")
    visitor.page.locator("#unfold-1").click()
    numbers = visitor.page.locator("#table-1")
    numbers.focus()
    numbers.evaluate("one => one.scrollTo(0, 5)")
    for _ in range(2):
        renewed(visitor, "charts")
        assert numbers.is_visible() and focused(visitor) == "table-1"
        assert numbers.evaluate("one => one.scrollTop") == 5
    assert not visitor.page.locator("#table-2").is_visible()


def test_the_keyboard_stays_where_it_is(stage: Stage, election: MadeElection) -> None:
    export(election)
    for path, part, link in (
        ("/", "now", f"#of-{election.id}"),
        (page_of(election), "end", "#look"),
        (EXPORTS, "exports", "[id^=at-]"),
    ):
        visitor = stage.visitor(path)
        visitor.page.locator(link).focus()
        before = focused(visitor)
        renewed(visitor, part)
        assert focused(visitor) == before
        nameless = visitor.page.locator(RENEWED).locator(REACHED)
        assert nameless.count() == 0, nameless.first.evaluate("one => one.outerHTML")


def test_a_page_can_be_held_still(stage: Stage, election: MadeElection) -> None:
    export(election)
    for path in ("/", page_of(election), EXPORTS):
        visitor = stage.visitor(path)
        polling = visitor.page.locator("[hx-trigger]")
        for label, still in (("Hold this page still", 0), ("Keep this page new", 1)):
            assert polling.count() == 1 - still, path
            with visitor.page.expect_navigation():
                visitor.page.get_by_role("link", name=label).click()
            assert polling.count() == still, path
        assert visitor.path == path


def test_all_exports_are_asked_about_together(
    stage: Stage, election: MadeElection
) -> None:
    """As many as would, one after the other, take all of this time."""
    many = 50
    export(election, removed=many)
    visitor = stage.visitor("/account")
    began = time.monotonic()
    assert visitor.go(EXPORTS).status == 200
    took = time.monotonic() - began
    assert text(visitor).count("being removed") == many
    assert took < many * PATIENCE_S
