"""Pages that renew themselves say what has changed in them, and stay scrolled."""

from __future__ import annotations

from tests.admin_ui import test_renewing
from tests.admin_ui.test_renewing import (
    FIRST,
    WHY,
    Stage,
    forget,
    page_of,
    renewed,
)
from tests.support.elections import MadeElection
from tests.support.faults import refusing
from tests.support.needs import needs
from tests.support.processes import eventually
from votepyramid.audit.operators import acting_as
from votepyramid.orders import service as orders
from votepyramid.orders.what import Settle

pytestmark = needs("chromium")

stage, election = test_renewing.stage, test_renewing.election


def test_what_changes_is_said_to_who_does_not_see_it(
    stage: Stage, election: MadeElection
) -> None:
    visitor = stage.visitor("/")
    told = visitor.page.locator("#told[role=status]")

    def says(text: str) -> bool:
        return text in (told.text_content() or "")

    visitor.page.locator("#now").get_by_text("Temporal does not answer").wait_for()
    renewed(visitor, "now")
    given = orders.give(acting_as(election.engine, FIRST), election.id, Settle(), WHY)
    waits = "An order waits for a second administrator."
    assert eventually(lambda: says(waits), 20)
    # What stood there before is not said again, nor anything twice.
    assert not says("Temporal") and not says("Over")
    told.evaluate("one => { one.textContent = '' }")
    for _ in range(2):
        renewed(visitor, "now")
    assert visitor.page.locator("#now").get_by_text(waits).is_visible()
    assert told.text_content() == ""
    orders.decline(acting_as(election.engine, FIRST), given)
    assert eventually(lambda: says(f"Over: {waits}"), 20)
    assert not says("All is well")
    with refusing(stage.database):
        assert eventually(lambda: says("Postgres does not answer."), 20)
    visitor.go(page_of(election))
    assert told.text_content() == ""
    forget(election)
    assert eventually(lambda: says("Over: 1 votes were promised"), 20)


def test_a_table_stays_where_it_was_scrolled_to(
    stage: Stage, election: MadeElection
) -> None:
    visitor = stage.visitor("/", viewport={"width": 320, "height": 640})
    for part, table in (("now", "rows"), ("machinery", "processes")):
        scrolls = visitor.page.locator(f"#{table}")
        scrolls.evaluate("one => one.scrollTo(40, 0)")
        renewed(visitor, part)
        assert scrolls.evaluate("one => one.scrollLeft") == 40
