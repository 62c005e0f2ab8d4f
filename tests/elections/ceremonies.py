"""Elections in a real database, made the way an operator makes them."""

from __future__ import annotations

import datetime
import io
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from tests.elections.drafts import AUTHORITY, draft
from tests.support.databases import Database
from votepyramid.db import make_engine
from votepyramid.elections import ceremony
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility.roster import Imported, import_roster
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.manifest import sign_manifest

HEADER = "voter_id,precinct,suspended,age,party"
ROSTER = [
    "ana,N 1,false,30,green",
    "bo,N 2,false,17,blue",
    "cy,S 1,true,50,green",
    "dee,S 1,false,65,blue",
]


@dataclass(frozen=True)
class Office:
    """An operator at one database: the owner's engine, the application's, keys."""

    owner: Engine
    app: Engine
    keys: ElectionKeys
    kek: Path

    def prepare(self, **changes: Any) -> dict[str, Any]:
        """A prepared manifest of `draft` with members replaced."""
        return ceremony.prepare(self.owner, self.keys, draft(**changes))

    def create(self, **changes: Any) -> ElectionView:
        """An election that is created; open now unless the times are given."""
        manifest = self.prepare(**{**times(), **changes})
        signed = sign_manifest(manifest, AUTHORITY)
        return ceremony.create(self.owner, signed, AUTHORITY.verifier.text())

    def roster(self, election: str, lines: Sequence[str] = ROSTER) -> Imported:
        """Import a roster of these lines under HEADER."""
        return import_roster(self.owner, election, roster_file(lines))

    def open(self, **changes: Any) -> ElectionView:
        """An election with ROSTER that takes claims and ballots."""
        made = self.create(**changes)
        self.roster(made.id)
        return ceremony.open_election(self.owner, made.id)

    def all(self, query: str, **values: Any) -> list[Any]:
        """Rows of a query, run as the owner."""
        with self.owner.connect() as connection:
            return list(connection.execute(text(query), values))

    def run(self, statement: str, **values: Any) -> None:
        """Run and commit a statement as the owner."""
        with self.owner.begin() as connection:
            connection.execute(text(statement), values)

    def kinds(self, election: str) -> list[str]:
        """The kinds of the election's audit events, in order, but for its keys'."""
        query = "SELECT kind FROM audit_events WHERE election = :e "
        query += "AND kind <> 'key_made' ORDER BY id"
        return [row.kind for row in self.all(query, e=election)]


@contextmanager
def office(database: Database) -> Iterator[Office]:
    """An office with a key-encryption key of its own."""
    with tempfile.TemporaryDirectory() as folder:
        kek = Path(folder) / "kek.json"
        LocalKeyFile.create(kek)
        owner, app = make_engine(database.owner_url), make_engine(database.app_url)
        keys = ElectionKeys(LocalKeyFile(kek), owner, 1000)
        try:
            yield Office(owner, app, keys, kek)
        finally:
            keys.close()
            owner.dispose()
            app.dispose()


def times(opens: float = -60, closes: float = 3600, grace: int = 300) -> dict[str, Any]:
    """Manifest times, in seconds from now."""
    now = datetime.datetime.now(datetime.UTC)

    def at(seconds: float) -> str:
        moment = now + datetime.timedelta(seconds=seconds)
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    return {"opens": at(opens), "closes": at(closes), "grace_seconds": grace}


def roster_file(lines: Sequence[str], header: str = HEADER) -> io.BytesIO:
    """A roster file with those lines."""
    return io.BytesIO("".join(f"{line}\n" for line in (header, *lines)).encode())


def refs(office: Office, election: str) -> dict[str, uuid.UUID]:
    """The voters' refs by their ids."""
    query = "SELECT voter_id, ref FROM voters WHERE election = :e"
    return {row.voter_id: row.ref for row in office.all(query, e=election)}
