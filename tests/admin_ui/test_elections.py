"""An election from its manifest to its statement, by the pages alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.admin_ui.browsing import Visitor
from tests.admin_ui.conftest import Office
from tests.admin_ui.test_work import text
from tests.support import sequencing
from tests.support.elections import Listed, MadeElection, prepared_beside
from tests.support.needs import needs
from tests.support.processes import eventually, start_worker, stopping
from tests.support.voting import Door
from votepyramid.elections import closing
from votepyramid.engine.control import Desk

pytestmark = needs("chromium")

WHY = "the office said so"
FIRST, SECOND = "administrator", "second"
_NUMBERS = count()


@pytest.fixture(scope="module", autouse=True)
def second(office: Office) -> None:
    office.add(SECOND, "administrator")


@pytest.fixture(scope="module")
def closer(office: Office) -> Iterator[None]:
    """What closes elections, and a sequencer."""
    engine = office.engine
    url = {"VOTEPYRAMID_DATABASE_URL": engine.database.closer_url}
    worker = start_worker(
        {**engine.env, **url},
        engine.temporal,
        engine.folder,
        name="closer",
        roles="closing",
    )
    folder = engine.folder / "checkpoints"
    sequencer = sequencing.start(engine, folder, engine.folder / "sequencer.log")
    with stopping(worker, sequencer):
        yield


@pytest.fixture
def election(office: Office) -> MadeElection:
    return office.engine.make_election(id=f"pages-{next(_NUMBERS)}")


def offer(visitor: Visitor, signed: Any, authority: str) -> None:
    """Fill the form for a new election."""
    visitor.go("/new-election")
    file = {
        "name": "signed.json",
        "mimeType": "application/json",
        "buffer": json.dumps(signed).encode(),
    }
    visitor.page.locator("[name=manifest]").set_input_files(files=[file])  # type: ignore[list-item]
    visitor.fill(authority=authority)
    visitor.press("Take it in")


def shown(visitor: Visitor, said: str) -> bool:
    visitor.page.reload()
    return said in text(visitor)


def events(election: str, office: Office, kind: str) -> list[dict[str, Any]]:
    with office.people.connect() as db:
        rows = db.exec_driver_sql(
            "SELECT detail FROM audit_events WHERE election = %s AND kind = %s "
            "ORDER BY id",
            (election, kind),
        )
        return [row[0] for row in rows]


def test_a_manifest_is_taken_in_and_opened(office: Office) -> None:
    visitor, name = office.visitor(FIRST), "taken-in"
    signed, authority = prepared_beside(office.election, name)
    wrong = copy.deepcopy(signed)
    wrong["manifest"]["grace_seconds"] = -1
    wrong["manifest"]["title"] = ""
    wrong["manifest"]["eligibility"]["policy"] = "permit("
    offer(visitor, wrong, authority)
    # Every problem at once, each with its place, and nothing was taken in.
    for place in ("grace_seconds", "title", "eligibility/policy", "note"):
        assert visitor.page.get_by_role("row", name=place).count() == 1, text(visitor)
    assert visitor.violations() == []
    assert visitor.go(f"/elections/{name}").status == 404
    for nonsense in ({}, signed["manifest"], [1], "x"):
        offer(visitor, nonsense, authority)
        assert "It was not taken in" in text(visitor)
    offer(visitor, signed, "nobody+1+x")
    assert visitor.page.get_by_role("row", name="note").count() == 1, text(visitor)

    offer(visitor, signed, authority)
    assert visitor.path == f"/elections/{name}"
    assert "created" in visitor.heading
    assert "It has no roster yet" in text(visitor)
    made = MadeElection(**{**vars(office.election), "id": name})
    made.import_roster([Listed("v0")])
    visitor.page.reload()
    visitor.press("Open")
    assert "open" in visitor.heading
    for kind in ("election_created", "election_opened"):
        assert [one["by"] for one in events(name, office, kind)] == [FIRST]
    # Once more: it exists, and nothing of it is changed.
    offer(visitor, signed, authority)
    assert "exists already" in text(visitor)


def test_closed_early_by_two(
    office: Office, election: MadeElection, closer: None
) -> None:
    door = Door(office.engine.web.url, election)
    assert door.cast(door.ballot("v0")).status_code == 200
    first, second = office.visitor(FIRST), office.visitor(SECOND)
    where = f"/elections/{election.id}"
    first.go(where)
    first.page.get_by_text("Close it early").click()
    first.page.locator("details[open] [name=reason]").fill(WHY)
    first.press("Close early…")
    assert "waiting" in first.heading
    assert office.visitor("viewer").go(where).status == 200
    order = first.path
    second.go(order)
    assert eventually(lambda: shown(second, "Claims end at once"))
    second.press("Agree, and do it")
    assert "done" in second.heading
    (asked,) = events(election.id, office, "closing_asked")
    assert (asked["by"], asked["second"], asked["early"]) == (FIRST, SECOND, True)
    assert asked["reason"] == WHY
    # The countdown of the grace time renews itself.
    first.go(where)
    assert eventually(lambda: "Closed, last ballots" in text(first)), text(first)
    assert "in 5 min" in text(first) or "in 4 min" in text(first)
    assert first.violations() == []
    assert first.page.get_by_role("button", name="Call it off").count() == 0
    election.pass_grace()
    # The clock was moved, so it has to be told to look.
    desk = Desk(office.engine.settings)
    closing.start_or_join(election.engine, desk, election.id)
    assert eventually(lambda: shown(first, "the closing statement"), 60), text(first)
    assert "tokens used 1, votes 1" in text(first)
    first.page.get_by_role("link", name="the closing statement").click()
    assert first.page.locator("body").inner_text().startswith("evote/closing/v1")


def test_closed_at_its_time_or_called_off(
    office: Office, election: MadeElection, closer: None
) -> None:
    visitor, where = office.visitor(FIRST), f"/elections/{election.id}"
    visitor.go(where)
    visitor.page.get_by_text("Close it at the announced time").click()
    visitor.page.locator("details[open] [name=reason]").fill(WHY)
    visitor.press("Close at the announced time")
    assert eventually(lambda: "claims are taken until" in text(visitor).lower())
    assert "Asked for by" in text(visitor)
    visitor.press("Call it off")
    assert eventually(lambda: shown(visitor, "Nobody has asked"))
    assert [one["by"] for one in events(election.id, office, "closing_called_off")] == [
        FIRST
    ]
    (asked,) = events(election.id, office, "closing_asked")
    assert (asked["reason"], asked["second"]) == (WHY, "none")


@pytest.mark.parametrize("role", ["viewer", "operator", "auditor"])
def test_others_change_no_election(office: Office, role: str) -> None:
    visitor = office.visitor(role)
    visitor.go("/elections/demo")
    main = visitor.page.get_by_role("main")
    assert main.get_by_role("button").count() == 0
    for act in ("acts/open", "acts/close", "orders/close-early", "orders/settle"):
        answer = visitor.page.request.post(
            f"{visitor.url}/elections/demo/{act}",
            form={"reason": WHY},
            headers={"Origin": visitor.url},
        )
        assert answer.status == 403, act
