"""Acts from the pages: at once, or when a second administrator has agreed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.admin_ui.browsing import Visitor
from tests.admin_ui.conftest import PASSPHRASE, ROLES, Office
from tests.admin_ui.test_pages import WORK
from tests.admin_ui.test_work import Beside, text
from tests.support.elections import MadeElection
from tests.support.faults import Console
from tests.support.needs import needs
from tests.support.processes import eventually, start_admin, stopping
from tests.support.voting import Door, assert_problem
from tests.work.stuck import Stuck, stuck_at, stuck_votes
from votepyramid.audit.operators import acting_as
from votepyramid.engine.acts import Act
from votepyramid.engine.listing import Filter
from votepyramid.orders import service as orders
from votepyramid.orders.what import ActOnAll
from workflows.messages import CHECK_ELIGIBILITY, RECORD_VOTES

pytestmark = needs("chromium")

WHY = "the office said so"
VOTES = 3
FIRST, SECOND = "administrator", "deputy"
_NUMBERS = count()


@pytest.fixture(scope="module")
def console(office: Office) -> Console:
    office.add(SECOND, "administrator")
    return Beside(office.engine.env)


@pytest.fixture(params=[RECORD_VOTES])
def stuck(
    request: pytest.FixtureRequest, office: Office, console: Console
) -> Iterator[Stuck]:
    """A vote that cannot be recorded, of an election of its own."""
    election = office.engine.make_election(id=f"acts-{next(_NUMBERS)}")
    door = Door(office.engine.web.url, election)
    with stuck_at(request.param, door, election, console) as made:
        yield made


def events(election: MadeElection, *kinds: str) -> list[dict[str, Any]]:
    """The details of its audit events of these kinds, in their order."""
    query = "SELECT detail FROM audit_events WHERE election = %s AND kind = ANY (%s) "
    with election.sql() as db:
        rows = db.execute(query + "ORDER BY id", [election.id, list(kinds)])
        return [row[0] for row in rows]


def at(visitor: Visitor, stuck: Stuck) -> Visitor:
    """On the workflow's page."""
    assert visitor.go(f"{WORK}/{stuck.workflow_id}").status == 200
    return visitor


def order(visitor: Visitor, stuck: Stuck, act: str) -> str:
    """Order it; the address of the order."""
    at(visitor, stuck).fill(reason=WHY)
    visitor.press(f"{act}…")
    assert visitor.path.startswith("/orders/")
    assert "waiting" in visitor.heading
    return visitor.path


def test_an_operator_pauses_resumes_and_retries(office: Office, stuck: Stuck) -> None:
    visitor = at(office.visitor("operator"), stuck)
    # Nothing that changes the vote's fate can be pressed.
    buttons = visitor.page.get_by_role("main").get_by_role("button")
    assert set(buttons.all_inner_texts()) <= {"Retry", "Pause"}
    assert "Only for administrators, two of them." in text(visitor)
    visitor.fill(reason=WHY)
    visitor.press("Pause")
    assert "The step is not tried any more" in text(visitor)
    stuck.mend()
    assert eventually(lambda: "paused" in text(at(visitor, stuck)))
    visitor.fill(reason=WHY)
    visitor.press("Resume")
    assert "The step is tried again." in text(visitor)
    stuck.recorded_once()
    for kind in ("work_paused", "work_resumed"):
        (event,) = events(stuck.election, kind)
        assert (event["by"], event["second"], event["reason"]) == (
            "operator",
            "none",
            WHY,
        )


def test_a_reason_must_be_given(office: Office, stuck: Stuck) -> None:
    visitor = at(office.visitor("operator"), stuck)
    visitor.page.get_by_role("button", name="Pause", exact=True).click()
    assert visitor.page.locator("[name=reason]:invalid").count() == 1
    visitor.fill(reason=" ")
    visitor.press("Pause")
    assert visitor.heading == "This cannot be done"
    assert "a reason is one line" in text(visitor).lower()
    assert events(stuck.election, "work_paused") == []


def test_two_administrators_terminate(office: Office, stuck: Stuck) -> None:
    first, second = office.visitor(FIRST), office.visitor(SECOND)
    where = order(first, stuck, "Terminate")
    # Nothing is done yet, and the first one cannot do it alone.
    assert stuck.status().status_code == 202
    main = first.page.get_by_role("main")
    assert main.get_by_role("button").all_inner_texts() == ["Take it back"]
    forced = first.page.request.post(
        f"{first.url}{where}/agree", headers={"Origin": first.url}
    )
    assert forced.status == 409 and "Another administrator" in forced.text()
    # The second one finds it from the first page, and is told what it means now.
    second.go("/?still=1")
    second.page.get_by_role("link", name="Decide").click()
    row = second.page.get_by_role("row", name=stuck.workflow_id)
    row.get_by_role("link", name="Terminate a workflow").click()
    assert eventually(lambda: _reloaded(second, "1 vote not recorded will be as if"))
    assert second.violations() == []
    second.press("Agree, and do it")
    assert "done" in second.heading
    assert_problem(stuck.status(), 404, "receipt_unknown")
    (event,) = events(stuck.election, "work_terminated")
    assert (event["by"], event["second"]) == (FIRST, SECOND)
    assert (event["reason"], event["votes"]) == (WHY, 1)
    told = events(stuck.election, "order_given", "order_agreed")
    assert [one["by"] for one in told] == [FIRST, SECOND]
    assert {one["about"] for one in told} == {stuck.workflow_id}
    stuck.mend()
    stuck.recorded_once()


def _reloaded(visitor: Visitor, said: str) -> bool:
    visitor.page.reload()
    return said in text(visitor)


@pytest.mark.parametrize("stuck", [CHECK_ELIGIBILITY], indirect=True)
def test_two_administrators_reset(office: Office, stuck: Stuck) -> None:
    first, second = office.visitor(FIRST), office.visitor(SECOND)
    at(first, stuck).page.locator("[name=before]").select_option(CHECK_ELIGIBILITY)
    run = _run(stuck)
    where = order(first, stuck, "Reset")
    assert _run(stuck) == run
    second.go(where)
    second.press("Agree, and do it")
    assert "done" in second.heading, text(second)
    (event,) = events(stuck.election, "work_reset")
    assert (event["by"], event["second"]) == (FIRST, SECOND)
    assert (event["reason"], event["before"]) == (WHY, CHECK_ELIGIBILITY)
    # It has begun anew, and is held by the same fault until that is mended.
    assert _run(stuck) != run
    assert stuck.status().status_code == 202
    stuck.mend()
    stuck.recorded_once()


def _run(stuck: Stuck) -> str:
    """The id of the workflow's present run."""
    found = stuck.console.describe(stuck.workflow_id)
    return str(found.workflow_execution_info.execution.run_id)


def test_an_order_is_declined_or_taken_back(office: Office, stuck: Stuck) -> None:
    first, second = office.visitor(FIRST), office.visitor(SECOND)
    where = order(first, stuck, "Terminate")
    second.go(where)
    second.press("Decline")
    assert "declined" in second.heading
    taken = order(first, stuck, "Cancel")
    first.press("Take it back")
    assert "withdrawn" in first.heading
    # What was decided stays so.
    for path in (where, taken):
        for act in ("agree", "go-on"):
            answer = second.page.request.post(
                f"{second.url}{path}/{act}", headers={"Origin": second.url}
            )
            assert answer.status == 409
    assert stuck.status().status_code == 202
    assert events(stuck.election, "work_terminated", "work_canceled") == []
    kinds = ("order_declined", "order_withdrawn")
    assert [one["by"] for one in events(stuck.election, *kinds)] == [SECOND, FIRST]


def _posted(visitor: Visitor, path: str) -> int:
    answer = visitor.page.request.post(
        f"{visitor.url}{path}", headers={"Origin": visitor.url}
    )
    return answer.status


def test_an_order_goes_on_where_it_was_pressed_for(
    office: Office, stuck: Stuck
) -> None:
    wanted = ActOnAll(Act.PAUSE, Filter(election=stuck.election.id))
    given = orders.give(
        acting_as(office.people, "operator"), stuck.election.id, wanted, WHY
    )
    visitor = office.visitor("operator")
    visitor.go(f"/orders/{given}")
    assert "stands still until somebody presses" in text(visitor)
    visitor.page.wait_for_load_state("networkidle")
    assert "going on" in visitor.heading
    assert events(stuck.election, "work_paused") == []
    visitor.press("Go on")
    assert eventually(lambda: "done" in visitor.heading), text(visitor)
    assert len(events(stuck.election, "work_paused")) == 1


def test_an_order_that_goes_on_is_stopped(office: Office, stuck: Stuck) -> None:
    """Agreed to while Temporal was away: nothing of it was done."""
    wanted = ActOnAll(Act.TERMINATE, Filter(election=stuck.election.id))
    by = partial(acting_as, office.people)
    given = orders.give(by(FIRST), stuck.election.id, wanted, WHY)
    orders.agree(by(SECOND), given, apart=timedelta())
    operator = office.visitor("operator")
    operator.go(f"/orders/{given}")
    buttons = operator.page.get_by_role("main").get_by_role("button")
    assert buttons.all_inner_texts() == ["Go on"]
    visitor = office.visitor(FIRST)
    visitor.go(f"/orders/{given}")
    assert visitor.violations() == []
    visitor.press("Stop")
    assert "stopped" in visitor.heading and f"by {FIRST}" in text(visitor)
    assert visitor.violations() == []
    operator.press("Go on")
    assert "stopped" in operator.heading
    assert _posted(visitor, f"/orders/{given}/stop") == 409
    assert stuck.status().status_code == 202
    assert events(stuck.election, "work_terminated") == []
    (event,) = events(stuck.election, "order_stopped")
    assert (event["by"], event["done"]) == (FIRST, 0)


def test_whom_one_invited_is_no_second_one(
    office: Office, stuck: Stuck, tmp_path: Path
) -> None:
    admin = start_admin(
        office.engine.env, office.engine.database, tmp_path, second_after_hours=24
    )
    with stopping(admin):
        first, other = (office.browsing.visitor(admin.url) for _ in range(2))
        first.sign_in(FIRST, PASSPHRASE)
        first.go("/people")
        first.fill(name="ada-again")
        first.page.get_by_role("checkbox", name="administrator").check()
        first.press("Invite")
        other.go(first.page.locator("#setup-link").inner_text())
        other.fill(name="ada-again", passphrase=PASSPHRASE, repeated=PASSPHRASE)
        other.press("Set up")
        other.sign_in("ada-again", PASSPHRASE)
        other.go(order(first, stuck, "Terminate"))
        other.press("Agree, and do it")
        assert other.heading == "This cannot be done"
        assert "may be one person" in text(other)
        assert "Let an administrator agree" in text(other)
    assert stuck.status().status_code == 202
    assert events(stuck.election, "order_agreed", "work_terminated") == []


def test_an_order_is_seen_by_every_role(office: Office, stuck: Stuck) -> None:
    where = order(office.visitor(FIRST), stuck, "Terminate")
    pressed = {FIRST: ["Take it back"], SECOND: ["Agree, and do it", "Decline"]}
    for name in (*ROLES, SECOND):
        visitor = office.visitor(name)
        assert visitor.go(where).status == 200
        assert "1 vote" in text(visitor) or eventually(
            partial(_reloaded, visitor, "1 vote")
        )
        main = visitor.page.get_by_role("main")
        assert main.get_by_role("button").all_inner_texts() == pressed.get(name, [])
        if name not in pressed:
            assert "It waits for a second administrator." in text(visitor)
        assert visitor.violations() == [], name
        # What is not offered is refused, and in words.
        if name not in pressed:
            for act in ("agree", "decline", "stop"):
                assert _posted(visitor, f"{where}/{act}") == 403, (name, act)
    assert stuck.status().status_code == 202
    assert events(stuck.election, "order_agreed", "order_declined") == []


def test_an_order_expires(office: Office, stuck: Stuck) -> None:
    first, second = office.visitor(FIRST), office.visitor(SECOND)
    where = order(first, stuck, "Terminate")
    with stuck.election.sql() as db:
        db.execute(
            "UPDATE orders SET given_at = given_at - interval '5 hours' WHERE id = %s",
            [where.rsplit("/", 1)[1]],
        )
    second.go(where)
    assert "expired" in second.heading
    assert second.page.get_by_role("main").get_by_role("button").count() == 0
    answer = second.page.request.post(
        f"{second.url}{where}/agree", headers={"Origin": second.url}
    )
    assert answer.status == 409
    assert stuck.status().status_code == 202


def test_a_passphrase_of_long_ago_orders_nothing(office: Office, stuck: Stuck) -> None:
    visitor = office.visitor(FIRST)
    with stuck.election.sql() as db:
        db.execute(
            "UPDATE people_sessions SET signed_in_at = signed_in_at - interval '1 hour'"
        )
    at(visitor, stuck)
    assert visitor.page.get_by_role("button", name="Terminate…").count() == 0
    visitor.page.get_by_role("link", name="give your passphrase again").click()
    visitor.fill(passphrase=PASSPHRASE)
    visitor.press("Sign in")
    assert visitor.path == f"{WORK}/{stuck.workflow_id}"
    order(visitor, stuck, "Terminate")
    visitor.press("Take it back")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_acts_are_accessible(
    office: Office, stuck: Stuck, scheme: str
) -> None:
    visitor = office.browsing.visitor(office.url, color_scheme=scheme)
    visitor.sign_in(FIRST, PASSPHRASE)
    assert at(visitor, stuck).violations() == []
    where = order(visitor, stuck, "Terminate")
    assert visitor.violations() == []
    for path in ("/orders", f"{WORK}/all?act=retry&election={stuck.election.id}"):
        visitor.go(path)
        assert visitor.violations() == [], path
    visitor.go(where)
    visitor.press("Take it back")
    assert visitor.violations() == []


def test_all_that_are_stuck_are_retried(office: Office, console: Console) -> None:
    election = office.engine.make_election(id="acts-on-all", voters=VOTES)
    door = Door(office.engine.web.url, election)
    visitor = office.visitor("operator")
    with stuck_votes(door, election, console, VOTES) as ballots:
        visitor.go(f"/work?election={election.id}&kind=submit_vote")
        visitor.page.locator("[name=act]").select_option("pause")
        visitor.press("See what it would mean")
        assert eventually(lambda: _reloaded(visitor, f"to {VOTES}")), text(visitor)
        assert f"{VOTES} that nothing else has" in text(visitor)
        visitor.fill(reason=WHY)
        visitor.press("Pause all")
        # It goes on by itself.
        assert eventually(lambda: "done" in visitor.heading), text(visitor)
        assert len(events(election, "work_paused")) == VOTES
    visitor.go(f"{WORK}/all?act=resume&election={election.id}")
    assert eventually(lambda: _reloaded(visitor, f"to {VOTES}")), text(visitor)
    visitor.fill(reason=WHY)
    visitor.press("Resume all")
    assert eventually(lambda: "done" in visitor.heading), text(visitor)
    for ballot in ballots:
        door.insist(ballot)
    counts = election.counts()
    assert counts.whole() and counts.accepted == VOTES


def test_all_of_one_election_alone_are_ended(office: Office) -> None:
    visitor = office.visitor(FIRST)
    visitor.go(f"{WORK}/all?act=terminate&election=demo")
    assert eventually(lambda: _reloaded(visitor, "Found")), text(visitor)
    form = {"act": "terminate", "reason": WHY, "before": ""}
    fields = ("state", "kind", "election", "needs_attention", "step", "older_than")
    form |= dict.fromkeys((*fields, "younger_than"), "")
    for role, path, status in (
        (FIRST, f"{WORK}/all/order", 409),
        (FIRST, f"{WORK}/all", 400),
        ("operator", f"{WORK}/all/order", 403),
    ):
        who = office.visitor(role)
        answer = who.page.request.post(
            f"{who.url}{path}", form=form, headers={"Origin": who.url}
        )
        assert answer.status == status, (role, path, answer.text())
