"""An engine, and its orders as the pages' database role gives and decides them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest
from sqlalchemy import Engine as SqlEngine

from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.faults import Console
from votepyramid.audit.operators import acting_as
from votepyramid.db import make_engine
from votepyramid.engine.control import Desk
from votepyramid.engine.listing import Listing
from votepyramid.people import setup

WHY = "the office said so"
PASSPHRASE = "seven tall ships at sea"
_NUMBERS = count()


@dataclass
class Office:
    """`pages` is the database as the administrators' pages have it."""

    engine: Engine
    pages: SqlEngine
    desk: Desk
    listing: Listing
    console: Console

    def by(self, name: str) -> SqlEngine:
        return acting_as(self.pages, name)

    def election(self, voters: int = 5) -> MadeElection:
        return self.engine.make_election(id=f"orders-{next(_NUMBERS)}", voters=voters)


@pytest.fixture(scope="package")
def office(engines: Engines) -> Iterator[Office]:
    # One group after the other: a test decides what travels together.
    with engines.running("orders", groups_in_flight=1) as engine:
        pages = make_engine(engine.database.admin_url, pool_size=4)
        engine.database.users.append(pages.dispose)
        for name in ("ada", "bea"):
            link = setup.invite(acting_as(pages, "tests"), name, ["administrator"])
            setup.accept(pages, link.secret, name, PASSPHRASE)
        desk = Desk(engine.settings)
        yield Office(engine, pages, desk, Listing(desk), Console(engine.env))
