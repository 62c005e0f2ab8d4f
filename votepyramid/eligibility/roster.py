"""Importing a roster: one file, one version, one transaction, or nothing.

Voters keep their random ref from version to version. The file goes through COPY
into a temporary table while it is checked, so 100,000 voters take seconds; when a
line turns out bad the transaction is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Engine, insert, text, update

from votepyramid.audit import service as audit
from votepyramid.elections.ceremony import CeremonyError, changing
from votepyramid.elections.counting import eligible
from votepyramid.elections.models import Election
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility.models import RosterVersion
from votepyramid.eligibility.roster_files import RosterReader

# Ten million voters, with room to spare; the usual bound is for requests.
_STATEMENT_TIMEOUT = "30min"


@dataclass(frozen=True)
class Imported:
    """A roster version as it stands now. `new_voters` were in no version before."""

    election: str
    version: int
    voters: int
    new_voters: int
    file_sha256: bytes


def import_roster(
    engine: Engine,
    election: str,
    file: BinaryIO,
    *,
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Make the file the election's current roster. `progress` is told bytes read.

    Runs as the owner role. Raises RosterInvalid naming the bad lines; CeremonyError
    for an unknown or finished election.
    """
    with changing(engine, election) as (connection, view, _):
        if view.status not in ("created", "open"):
            raise CeremonyError(
                f"election {election!r} is {view.status}: its roster is final"
            )
        connection.execute(
            text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'")
        )
        reader = _reader(view, progress)
        _copy(connection, reader, file)
        version = view.roster_version + 1
        connection.execute(
            insert(RosterVersion).values(
                election=election,
                version=version,
                file_sha256=reader.sha256,
                voters=reader.voters,
            )
        )
        new_voters = _store(connection, election, version)
        _make_current(connection, election, version, reader)
        return Imported(election, version, reader.voters, new_voters, reader.sha256)


def _reader(view: ElectionView, progress: Callable[[int], None] | None) -> RosterReader:
    styles = view.manifest["styles"]
    precincts = frozenset(p for style in styles for p in style["precincts"])
    return RosterReader(view.manifest["eligibility"]["attributes"], precincts, progress)


def _copy(connection: Connection, reader: RosterReader, file: BinaryIO) -> None:
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE incoming (voter_id text NOT NULL, "
            "precinct text NOT NULL, attributes jsonb NOT NULL) ON COMMIT DROP"
        )
    )
    raw: Any = connection.connection.driver_connection
    driver: psycopg.Connection[Any] = raw
    statement = "COPY incoming (voter_id, precinct, attributes) FROM STDIN"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for line in reader.read(file):
            copy.write_row((line.voter_id, line.precinct, Jsonb(line.attributes)))


def _store(connection: Connection, election: str, version: int) -> int:
    """Move the copied rows to where they belong; how many voters are new."""
    connection.execute(text("ANALYZE incoming"))
    values = {"election": election, "version": version}
    # In random order, so that a row's place says nothing about the file's.
    new_voters = connection.execute(
        text(
            "INSERT INTO voters (election, voter_id) "
            "SELECT :election, voter_id FROM incoming ORDER BY gen_random_uuid() "
            "ON CONFLICT (election, voter_id) DO NOTHING"
        ),
        values,
    ).rowcount
    connection.execute(
        text(
            "INSERT INTO roster_rows (election, version, voter, precinct, attributes) "
            "SELECT :election, :version, v.ref, i.precinct, i.attributes "
            "FROM incoming i JOIN voters v "
            "ON v.election = :election AND v.voter_id = i.voter_id"
        ),
        values,
    )
    # The first claims come right after: let them find current statistics.
    connection.execute(text("ANALYZE voters"))
    connection.execute(text("ANALYZE roster_rows"))
    return new_voters


def _make_current(
    connection: Connection, election: str, version: int, reader: RosterReader
) -> None:
    connection.execute(
        update(Election).where(Election.id == election).values(roster_version=version)
    )
    detail = {
        "version": version,
        "voters": reader.voters,
        "eligible": eligible(connection, election),
        "file_sha256": reader.sha256.hex(),
    }
    event = audit.Event("roster_imported", detail=detail)
    audit.append(connection, election, [event])
