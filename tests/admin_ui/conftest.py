"""The administrators' pages of a running engine, looked at with a real Chromium."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as People

from tests.admin_ui.browsing import Browsing, Visitor
from tests.support import databases
from tests.support.databases import Database
from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.processes import Running, start_admin, stopping
from tests.support.voting import Door
from votepyramid.audit.operators import acting_as
from votepyramid.db import make_engine
from votepyramid.people import setup
from votepyramid.stack.postgres import EmbeddedPostgres

PASSPHRASE = "seven tall ships at sea"
ROLES = ("viewer", "operator", "administrator", "auditor")


@dataclass
class Office:
    """The pages, an election with two votes, and a person of each role."""

    engine: Engine
    election: MadeElection
    admin: Running
    people: People
    browsing: Browsing

    @property
    def url(self) -> str:
        return self.admin.url

    @property
    def exports(self) -> Path:
        """The folder of exports, which the pages read."""
        return self.engine.folder / "exports"

    def visitor(self, name: str = "") -> Visitor:
        """A browser that knows nothing; with a name, that person is signed in."""
        visitor = self.browsing.visitor(self.url)
        if name:
            visitor.sign_in(name, PASSPHRASE)
        return visitor

    def add(self, name: str, *roles: str) -> None:
        """As `add_person`."""
        add_person(self.engine.database, name, *roles)


def add_person(database: Database, name: str, *roles: str) -> None:
    """Somebody who has set up with PASSPHRASE."""
    owner = make_engine(database.owner_url, pool_size=1)
    engine = acting_as(owner, "tests")
    link = setup.invite(engine, name, roles)
    setup.accept(engine, link.secret, name, PASSPHRASE)
    owner.dispose()


@pytest.fixture(scope="package")
def browsing() -> Iterator[Browsing]:
    with Browsing.started() as made:
        yield made


@pytest.fixture
def own_postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """One that a test may end, or freeze."""
    server = EmbeddedPostgres(server_folder / f"night-{secrets.token_hex(3)}")
    server.start()
    databases.make_template(server)
    yield server
    server.stop()


@pytest.fixture(scope="package")
def office(engines: Engines, browsing: Browsing) -> Iterator[Office]:
    with engines.running("office") as engine:
        election = engine.make_election()
        door = Door(engine.web.url, election)
        for voter in ("v0", "v1"):
            assert door.cast(door.ballot(voter)).status_code == 200
        exports = engine.folder / "exports"
        exports.mkdir(mode=0o700)
        admin = start_admin(
            engine.env, engine.database, engine.folder, exports_folder=exports
        )
        people = make_engine(engine.database.owner_url, pool_size=2)
        made = Office(engine, election, admin, people, browsing)
        with stopping(admin):
            for role in ROLES:
                made.add(role, role)
            yield made
        people.dispose()


@pytest.fixture(scope="package")
def site(
    office: Office,
    temporal_programs_on_postgres: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """The pages and Temporal's console as production has them: `production.Site`."""
    # It knows the office, which stands here.
    from tests.admin_ui import production

    ui_server = temporal_programs_on_postgres["temporal-ui-server"]
    folder = tmp_path_factory.mktemp("site")
    with production.site(office, ui_server, folder) as made:
        yield made
