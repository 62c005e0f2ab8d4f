"""The pictures of docs/images, taken of real pages: `make screenshots`.

No test of the suite: it is not collected unless it is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.admin_ui.browsing import Browsing, Visitor
from tests.admin_ui.conftest import PASSPHRASE, Office
from tests.admin_ui.test_exports import EXPORTS, exporter, start
from tests.admin_ui.test_pages import WORK
from tests.admin_ui.test_work import Beside, text
from tests.house.source import ROOT
from tests.support import sequencing
from tests.support.elections import MadeElection
from tests.support.processes import eventually, stopping
from tests.support.voting import Door
from tests.work.stuck import Stuck, stuck_at
from votepyramid.audit.operators import acting_as
from votepyramid.orders import service as orders
from votepyramid.orders.what import ActOnOne
from votepyramid.work.service import Act
from workflows.messages import RECORD_VOTES

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1180, "height": 760}


class Camera:
    """Somebody at the pages, and where the pictures go."""

    def __init__(
        self, browsing: Browsing, url: str, scheme: str, who: str = "operator"
    ) -> None:
        how = {"viewport": SIZE, "color_scheme": scheme}
        self.visitor: Visitor = browsing.visitor(url, **how)
        self.visitor.sign_in(who, PASSPHRASE)

    def take(
        self,
        name: str,
        path: str,
        said: str,
        *,
        without: str = "\0",
        whole: bool = False,
    ) -> None:
        """A picture of a page once it says one thing and another no longer."""

        def there() -> bool:
            self.visitor.go(path)
            now = text(self.visitor)
            return said in now and without not in now.split("Elections")[0]

        assert eventually(there, 60), text(self.visitor)
        IMAGES.mkdir(exist_ok=True)
        self.visitor.page.screenshot(path=Path(IMAGES, f"{name}.png"), full_page=whole)


@pytest.fixture
def election(office: Office) -> MadeElection:
    made = office.engine.make_election(id="spring-2027", voters=40)
    door = Door(office.engine.web.url, made)
    for number in range(1, 31):
        door.insist(door.ballot(f"v{number}"))
    return made


@pytest.fixture
def stuck(office: Office, election: MadeElection) -> Iterator[Stuck]:
    door = Door(office.engine.web.url, election)
    console = Beside(office.engine.env)
    with stuck_at(RECORD_VOTES, door, election, console) as made:
        yield made


def test_take_them(office: Office, stuck: Stuck, tmp_path: Path) -> None:
    name, where = stuck.election.id, f"{WORK}/{stuck.workflow_id}"
    sequencer = sequencing.start(office.engine, tmp_path / "kept", tmp_path / "log")
    run = stuck.console.describe(stuck.workflow_id)
    what = ActOnOne(
        Act.TERMINATE,
        stuck.workflow_id,
        run.workflow_execution_info.execution.run_id,
    )
    with stopping(sequencer):
        light = Camera(office.browsing, office.url, "light")
        dark = Camera(office.browsing, office.url, "dark")
        light.take("election", f"/elections/{name}", "Counted", whole=True)
        light.take("workflow", where, "the database refused", whole=True)
        light.take("work", WORK, stuck.workflow_id)
        by = acting_as(office.people, "administrator")
        why = "its voter was given a new ballot"
        given = orders.give(by, name, what, why)
        light.take("order", f"/orders/{given}", "as if never sent", whole=True)
        dark.take("now", "/?still=1", "waits for a second", without="No sequencer")
        stuck.mend()
        take_what_auditors_see(office, stuck.election)


def take_what_auditors_see(office: Office, election: MadeElection) -> None:
    """And what others see in its place."""
    camera = partial(Camera, office.browsing, office.url, "light")
    auditor, administrator = camera("auditor"), camera("administrator")
    worker = exporter(office, export_wait=1)
    with stopping(worker):
        start(auditor.visitor, election)
        auditor.take("exports", f"{EXPORTS}?still=1", "Download", without="Under way")
    auditor.take("audit", f"/audit?election={election.id}", "election_opened")
    administrator.take("people", "/people", "Invite somebody")
    camera("viewer").take("refused", EXPORTS, "Your roles do not allow this")
