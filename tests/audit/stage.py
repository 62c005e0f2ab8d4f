"""Where acts of every kind are done by hand: a database, an election, its keys, people.

No process beside this one but Postgres and Temporal. Each act has the database role
that has it in life.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from tests.invariants.engine_room import EngineRoom
from tests.support import databases, sequencing
from tests.support.databases import Database
from tests.support.elections import Listed, MadeElection, make_election
from tests.support.processes import environment
from tests.support.scanning import database_texts
from tests.support.voting import SELECTIONS
from votepyramid.audit.operators import acting_as
from votepyramid.db import make_engine
from votepyramid.engine.control import Desk
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.people import setup
from votepyramid.protocol.ballot import SealedBallot, seal_ballot
from votepyramid.protocol.suites import X25519
from votepyramid.settings import Settings
from votepyramid.stack.credentials import KEY_FILE
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres
from workflows import messages as m

PASSWORD = "nine green bottles stood"
VOTER, BANNED = "v0", "banned"
Act = Callable[[], object]


@dataclass(frozen=True)
class Base:
    """What every stage is a copy of: an open election; "ada" administers."""

    postgres: EmbeddedPostgres
    election: MadeElection
    env: dict[str, str]

    @contextmanager
    def copied(self, folder: Path) -> Iterator[Stage]:
        """A stage of one test's own."""
        kek = folder / "kek.json"
        shutil.copy(self.env["VOTEPYRAMID_KEK_FILE"], kek)
        shutil.copy(Path(self.env["VOTEPYRAMID_JWT_JWKS"]).parent / KEY_FILE, folder)
        with databases.fresh(self.postgres, self.election.database.name) as database:
            owner = make_engine(database.owner_url, pool_size=2)
            keys = ElectionKeys(LocalKeyFile(kek), owner, 1000)
            election = replace(
                self.election, database=database, engine=owner, keys=keys
            )
            made = Stage(
                database,
                {**self.env, "VOTEPYRAMID_KEK_FILE": str(kek)},
                election,
                EngineRoom(election),
                owner,
                make_engine(database.admin_url, pool_size=2),
                make_engine(database.keeper_url, pool_size=2),
            )
            yield made
            keys.close()
            for engine in (made.room, owner, made.pages, made.keeper):
                engine.dispose()


@dataclass(frozen=True)
class Stage:
    """`owner` is an operator's engine, `pages` that of the administrators' pages."""

    database: Database
    env: dict[str, str]
    election: MadeElection
    room: EngineRoom
    owner: Engine
    pages: Engine
    keeper: Engine

    @property
    def settings(self) -> Settings:
        return Settings(
            environment="development",
            temporal_address=self.env["VOTEPYRAMID_TEMPORAL_ADDRESS"],
            codec_keys_file=self.env["VOTEPYRAMID_CODEC_KEYS_FILE"],
        )

    @property
    def desk(self) -> Desk:
        """Nobody answers there: what is asked of Temporal comes after the commit."""
        nowhere = replace(self.settings, temporal_address="127.0.0.1:1")
        return Desk(nowhere, patience=0.5)

    @property
    def kek(self) -> Path:
        return Path(self.env["VOTEPYRAMID_KEK_FILE"])

    @property
    def ring(self) -> LocalKeyFile:
        return LocalKeyFile(self.kek)

    def sequence(self) -> None:
        sequencing.once(self.election, self.kek.parent / "checkpoints")

    def by(self, person: str) -> Engine:
        """The pages' engine for a person's acts."""
        return acting_as(self.pages, person)

    def another(self) -> MadeElection:
        """A second election, "other", which is not opened."""
        return make_election(
            self.database, self.env, id="other", suite=X25519.id, open=False
        )

    def add(self, name: str, role: str = "viewer") -> None:
        """Somebody who has set up."""
        link = setup.invite(self.by("ada"), name, [role])
        setup.accept_invitation(self.pages, link.secret, PASSWORD)

    def token(self) -> uuid.UUID:
        (bearer,) = self.room.claim([(VOTER, None)])
        assert isinstance(bearer, uuid.UUID)
        return bearer

    def sealed(
        self, bearer: uuid.UUID, selections: Any = SELECTIONS, style: str = "north"
    ) -> SealedBallot:
        return seal_ballot(self.election.manifest, style, bearer, selections)

    def cast(self, bearer: uuid.UUID, ballot: SealedBallot) -> list[m.VoteOutcome]:
        """By itself, so that what the database refuses is not left to another try."""
        arrived = self.room.arrive(bearer, ballot)
        alone = m.alone("vote", arrived.vote.receipt_hash)
        return self.room.submit([arrived.vote], group_id=alone)

    def claim(self, voter: str) -> Sequence[m.ClaimOutcome]:
        """As `cast`."""
        claim = self.room.arrived_claim(voter)
        return self.room.issue([claim], group_id=m.alone("claim", claim.key))

    def events(self, kind: str) -> list[Any]:
        """Election, subject and detail of each, in their order."""
        query = "SELECT election, subject, detail FROM audit_events WHERE kind = :kind"
        with self.owner.connect() as connection:
            rows = connection.execute(text(f"{query} ORDER BY id"), {"kind": kind})
            return list(rows)

    def tables(self) -> dict[str, str]:
        """All that the database holds, by table."""
        found = database_texts(self.database.owner_url)
        return {name.removeprefix("table "): rows for name, rows in found}

    def do(self, *statements: str) -> None:
        """As the owner, in one transaction."""
        with self.owner.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


@contextmanager
def base(
    postgres: EmbeddedPostgres, template: str, temporal: DevServer, folder: Path
) -> Iterator[Base]:
    """The database that stages are copied from; nobody is connected to it."""
    roster = [Listed(VOTER), Listed(BANNED, suspended=True)]
    with databases.fresh(postgres, template) as database:
        env = environment(database, temporal, folder)
        election = make_election(database, env, suite=X25519.id, voters=roster, grace=0)
        link = setup.first_setup_link(election.engine)
        setup.accept_first(election.engine, link.secret, "ada", PASSWORD)
        election.keys.close()
        election.engine.dispose()
        yield Base(postgres, election, env)


def but(error: type[Exception], act: Act) -> Act:
    """The act, which ends in this error when all is well."""

    def done() -> None:
        with suppress(error):
            act()

    return done
