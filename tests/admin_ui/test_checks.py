"""What auditors check at the pages: a receipt, and the logs of an election."""

from __future__ import annotations

import json
from itertools import count

import pytest

from tests.admin_ui.browsing import Visitor
from tests.admin_ui.conftest import Office
from tests.admin_ui.test_work import text
from tests.support import sequencing, tampering
from tests.support.elections import MadeElection
from tests.support.needs import needs
from tests.support.processes import eventually
from tests.support.voting import Door
from votepyramid.protocol.encoding import jcs

pytestmark = needs("chromium")

CHECKS = "/audit/checks"
_NUMBERS = count()


@pytest.fixture
def election(office: Office) -> MadeElection:
    return office.engine.make_election(id=f"checks-{next(_NUMBERS)}")


def sequence(office: Office) -> None:
    folder = office.engine.folder / "checkpoints"
    done = sequencing.log(office.engine, folder, "sequence", "--once")
    assert done.returncode == 0, done.stderr


def check(visitor: Visitor, election: MadeElection, receipt: str) -> dict[str, str]:
    """What each check says of a receipt."""
    visitor.go(CHECKS)
    visitor.page.locator("form[method=post] [name=election]").select_option(election.id)
    visitor.fill(receipt=receipt)
    visitor.press("Check it")
    rows = visitor.page.get_by_role("table", name="The receipt").locator("tbody tr")
    cells = [row.locator("th, td").all_inner_texts() for row in rows.all()]
    return {name: holds for name, holds, _ in cells}


def test_a_receipt_is_followed(office: Office, election: MadeElection) -> None:
    door = Door(office.engine.web.url, election)
    ballot = door.ballot("v0")
    answer = door.cast(ballot)
    visitor = office.visitor("auditor")
    ok, not_yet, wrong = "ok", "not yet", "wrong"
    expected = {"Signature": ok, "Database": ok, "Public log": not_yet}
    assert check(visitor, election, answer.text) == expected
    sequence(office)
    expected = {"Database": ok, "Public log": ok}
    assert check(visitor, election, ballot.receipt_hash) == expected
    assert visitor.violations() == []
    assert "Entry 0 of 1 under the signed checkpoint" in text(visitor)

    # Signed by somebody else, or nobody's at all.
    other = json.loads(answer.text)
    other["note"] = json.loads(door.insist(door.ballot("v1")))["note"]
    found = check(visitor, election, jcs(other).decode())
    assert found == {"Signature": wrong, "Database": ok, "Public log": ok}
    found = check(visitor, election, "0" * 64)
    assert found == {"Database": wrong, "Public log": not_yet}
    for nonsense in ("x", "{}", answer.text[:-1], answer.text + " x"):
        assert check(visitor, election, nonsense) == {}
        assert "This is no receipt" in text(visitor)


def test_the_logs_are_made_again(office: Office, election: MadeElection) -> None:
    door = Door(office.engine.web.url, election)
    for voter in ("v0", "v1"):
        door.insist(door.ballot(voter))
    sequence(office)
    visitor = office.visitor("auditor")

    def said(*words: str) -> bool:
        visitor.go(f"{CHECKS}?election={election.id}")
        return all(word in text(visitor) for word in words)

    good = "entries make the root that its checkpoint signs"
    assert eventually(lambda: said(f"Its 2 {good}")), text(visitor)
    assert text(visitor).count(good) == 2
    assert visitor.violations() == []


def test_an_altered_log_is_found(office: Office, election: MadeElection) -> None:
    door = Door(office.engine.web.url, election)
    for voter in ("v0", "v1"):
        door.insist(door.ballot(voter))
    sequence(office)
    with tampering.tampering(election.database.owner_url) as db:
        db.execute(
            "UPDATE log_entries SET entry = entry || '\\x20' "
            "WHERE election = %s AND kind = 'receipts' AND index = 1",
            [election.id],
        )
    visitor = office.visitor("administrator")

    def found() -> bool:
        visitor.go(f"{CHECKS}?election={election.id}")
        return "do not make the tree that was signed" in text(visitor)

    assert eventually(found), text(visitor)


def test_acts_on_people_are_among_the_acts(
    office: Office, election: MadeElection
) -> None:
    office.add("told-ada", "operator", "auditor")
    visitor = office.visitor("told-ada")
    visitor.press("Sign out")
    auditor = office.visitor("auditor")

    def told(kind: str) -> list[str]:
        auditor.go(f"/audit?election={election.id}&kind={kind}")
        rows = auditor.page.get_by_role("region", name="Acts").locator("tbody tr")
        return [
            row.inner_text() for row in rows.all() if "told-ada" in row.inner_text()
        ]

    (invited,) = told("person_invited")
    assert "tests" in invited and "roles: operator auditor" in invited
    (set_up,) = told("person_set_up")
    assert set_up.count("told-ada") == 2
    # Coming and going are none.
    assert told("person_session_revoked") == []
    assert auditor.violations() == []
