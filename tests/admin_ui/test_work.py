"""Work that stands still: found from the first page, and mended there."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

import pytest

from tests.admin_ui.browsing import Visitor
from tests.admin_ui.conftest import ROLES, Office
from tests.admin_ui.test_pages import WORK
from tests.support.faults import Console, Wire
from tests.support.needs import needs
from tests.support.processes import eventually, start_admin, stopping
from tests.support.voting import Door
from tests.work.stuck import Stuck, stuck_at
from workflows.messages import RECORD_VOTES

pytestmark = needs("chromium")

T = TypeVar("T")
_NUMBERS = count()


class Beside(Console):
    """Asked from a thread of its own: the browser's has its loop already."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._thread = ThreadPoolExecutor(1)
        super().__init__(env)

    def run(self, awaitable: Awaitable[T]) -> T:
        return self._thread.submit(super().run, awaitable).result()


@pytest.fixture(scope="module")
def console(office: Office) -> Console:
    return Beside(office.engine.env)


@pytest.fixture
def stuck(office: Office, console: Console) -> Iterator[Stuck]:
    """A vote that the database refuses, of an election of its own."""
    election = office.engine.make_election(id=f"stuck-{next(_NUMBERS)}")
    door = Door(office.engine.web.url, election)
    with stuck_at(RECORD_VOTES, door, election, console) as made:
        yield made


def text(visitor: Visitor) -> str:
    return visitor.page.locator("main").inner_text()


def find(visitor: Visitor, stuck: Stuck) -> None:
    """From the first page to the workflow's, by links alone."""

    def signed() -> bool:
        visitor.go("/?still=1")
        return visitor.page.get_by_role("link", name="Look at the work").count() > 0

    assert eventually(signed, 20), text(visitor)
    visitor.page.get_by_role("link", name="Look at the work").first.click()
    assert visitor.path == "/work?needs_attention=1"

    def listed() -> bool:
        visitor.page.reload()
        return stuck.workflow_id in text(visitor)

    assert eventually(listed, 20), text(visitor)
    visitor.page.get_by_role("link", name=stuck.workflow_id).click()
    assert visitor.heading.startswith("Submit vote")


def test_a_stuck_vote_is_found_and_explained(office: Office, stuck: Stuck) -> None:
    visitor = office.visitor("viewer")
    find(visitor, stuck)
    said = text(visitor)
    assert "needs attention" in said and "1 vote: 1 only here." in said
    (step,) = visitor.page.get_by_role("row", name="record votes").all()
    assert "the database refused or did not answer" in step.inner_text()
    for act in ("Wait", "Retry", "Cancel", "Terminate", "Reset"):
        assert visitor.page.get_by_role("term").filter(has_text=act).count() == 1
    assert "as if never sent" in said
    # To the group that it came from, and back.
    group = visitor.page.get_by_role("link", name="votes/")
    group.click()
    assert "went on alone" in text(visitor).lower()
    visitor.page.get_by_role("link", name=stuck.workflow_id).click()
    assert visitor.path == f"{WORK}/{stuck.workflow_id}"


def test_now_tells_which_election_needs_a_person(office: Office, stuck: Stuck) -> None:
    visitor = office.visitor("viewer")
    election = stuck.election.id
    row = visitor.page.get_by_role("row", name=f"Election {election}")

    def told() -> bool:
        visitor.go("/?still=1")
        return row.get_by_role("link", name="1", exact=True).count() == 1

    assert eventually(told, 20), text(visitor)
    row.get_by_role("link", name="1", exact=True).click()
    assert visitor.path == f"{WORK}?election={election}&needs_attention=1"


def test_work_is_found_by_the_step_that_it_is_stuck_at(
    office: Office, stuck: Stuck
) -> None:
    visitor = office.visitor("viewer")

    def found(step: str) -> bool:
        visitor.go("/work")
        visitor.page.get_by_label("Needs attention at").select_option(step)
        visitor.press("Show")
        rows = visitor.page.get_by_role("table").last.get_by_role("row")
        return rows.filter(has_text=stuck.workflow_id).count() == 1

    assert eventually(lambda: found("record_votes"), 20), text(visitor)
    assert not found("encrypt_ballots")


def test_a_vote_is_found_by_its_receipt_hash(office: Office, stuck: Stuck) -> None:
    visitor = office.visitor("auditor")
    for name in (stuck.ballot.receipt_hash, stuck.workflow_id):
        visitor.go("/work")
        visitor.fill(name=f" {name} ")
        visitor.press("Find")
        assert visitor.path == f"{WORK}/{stuck.workflow_id}"
    visitor.go("/work")
    visitor.fill(name="votes/none")
    visitor.press("Find")
    assert visitor.heading == "There is no such workflow"


def test_a_list_is_narrowed_and_turned(office: Office, stuck: Stuck) -> None:
    visitor = office.visitor("operator")
    visitor.go("/work")
    visitor.page.locator("select[name=election]").select_option(stuck.election.id)
    visitor.page.locator("select[name=kind]").select_option("submit_vote")
    visitor.press("Show")

    def rows() -> list[str]:
        visitor.page.reload()
        found = visitor.page.locator("table[aria-labelledby=list] tbody tr")
        return found.all_inner_texts()

    assert eventually(lambda: [stuck.workflow_id in row for row in rows()] == [True])
    assert visitor.page.locator("select[name=kind]").input_value() == "submit_vote"
    visitor.page.locator("select[name=older_than]").select_option("86400")
    visitor.press("Show")
    assert eventually(lambda: rows() == ["None is as asked for."])
    for wrong in (
        "state=odd",
        "older_than=7",
        "election=NO",
        "what=1",
        "kind=a&kind=b",
    ):
        assert visitor.go(f"/work?{wrong}").status == 400, wrong
    assert visitor.go("/work?after=nowhere").status in (200, 400)
    assert eventually(lambda: visitor.go("/work?after=nowhere").status == 400)


@pytest.mark.parametrize("role", ROLES)
def test_everybody_may_look(office: Office, role: str) -> None:
    visitor = office.visitor(role)
    assert visitor.go("/work").status == 200
    nav = visitor.page.get_by_role("navigation", name="Pages")
    assert nav.get_by_role("link", name="Work").get_attribute("aria-current") == "page"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_work_are_accessible(
    office: Office, stuck: Stuck, scheme: str
) -> None:
    visitor = office.browsing.visitor(office.url, color_scheme=scheme)
    visitor.sign_in("administrator", "seven tall ships at sea")
    for path in (WORK, f"{WORK}?needs_attention=1", f"{WORK}/{stuck.workflow_id}"):
        assert eventually(lambda: visitor.go(path).status == 200)  # noqa: B023
        assert visitor.violations() == [], path


def test_pages_are_there_while_temporal_hangs(office: Office) -> None:
    wire = Wire(office.engine.env["VOTEPYRAMID_TEMPORAL_ADDRESS"])
    folder = office.engine.folder / "hanging"
    folder.mkdir()
    admin = start_admin(
        office.engine.env, office.engine.database, folder, temporal_address=wire.address
    )
    with stopping(admin):
        visitor = office.browsing.visitor(admin.url)
        visitor.sign_in("viewer", "seven tall ships at sea")
        assert visitor.go(f"{WORK}/votes/none").status == 404
        wire.freeze()
        assert visitor.go("/work").status == 200
        assert "Temporal is being asked" in text(visitor)
        answer = visitor.go(f"{WORK}/votes/none")
        assert (answer.status, visitor.heading) == (503, "Temporal does not answer")
        visitor.go("/work")

        def failed() -> bool:
            visitor.page.reload()
            return "Temporal does not answer" in text(visitor)

        assert eventually(failed, 30)
        wire.cut()
