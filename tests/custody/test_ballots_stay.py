"""Rewrapping an election that was voted in: no ballot is touched, and all open."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.custody.conftest import Office, held_at
from tests.invariants.engine_room import EngineRoom
from tests.support.elections import MadeElection, make_election
from tests.support.processes import eventually
from tests.support.voting import OTHER_SELECTIONS, SELECTIONS
from votepyramid.engine.rewrapping import rewrap
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.ballot import open_ballot, seal_ballot
from votepyramid.protocol.suites import X25519
from votepyramid.settings import Settings
from votepyramid.votes.envelope import open_row
from workflows.messages import RewrapKeysInput

VOTES = 24
# So that the ballots are under several data keys.
ROWS_A_KEY = 4
TABLES = ("vote_submissions", "vote_tokens", "vote_groups")


@dataclass(frozen=True)
class Voted:
    """An election with its votes: each one's selections, by receipt hash."""

    office: Office
    election: MadeElection
    cast: dict[str, Any]

    def rows(self) -> dict[str, list[Any]]:
        """Every row with all its bytes; where it lies, and which transaction wrote it.

        A row that is written anew with the same bytes has another place.
        """
        query = "SELECT ctid::text, xmin::text, t::text FROM {} t ORDER BY 1"
        with psycopg.connect(self.office.database.owner_url) as db:
            return {
                name: db.execute(sql.SQL(query).format(sql.Identifier(name))).fetchall()
                for name in TABLES
            }

    def data_keys(self) -> set[uuid.UUID]:
        """Those that ballots lie under."""
        query = "SELECT ballot_snapshot #>> '{envelope,data_key}' FROM vote_submissions"
        return {uuid.UUID(row[0]) for row in self.office.rows(query)}

    def opened(self) -> dict[str, Any]:
        """Each ballot out of its envelope and its seal, with no key from before."""
        e = self.election
        keys = ElectionKeys(LocalKeyFile(self.office.kek), self.office.engine, 1)
        found = {}
        for row, receipt_hash, tag, snapshot in self.office.rows(
            "SELECT id, receipt_hash, tag, ballot_snapshot FROM vote_submissions"
        ):
            ballot = open_row(keys, e.id, row, receipt_hash, snapshot)
            found[receipt_hash] = open_ballot(
                e.trustees.private, e.manifest, snapshot["style"], bytes(tag), ballot
            )
        keys.close()
        return found


@pytest.fixture
def voted(office: Office) -> Iterator[Voted]:
    made = make_election(office.database, office.env, voters=VOTES, suite=X25519.id)
    keys = ElectionKeys(LocalKeyFile(office.kek), office.engine, ROWS_A_KEY)
    election = replace(made, keys=keys)
    room, cast = EngineRoom(election), {}
    for number in range(VOTES):
        (bearer,) = room.claim([(f"v{number}", None)])
        assert isinstance(bearer, uuid.UUID)
        selections = OTHER_SELECTIONS if number % 3 else SELECTIONS
        ballot = seal_ballot(election.manifest, "north", bearer, selections)
        (outcome,) = room.submit([room.arrive(bearer, ballot).vote])
        assert outcome.code is None
        cast[ballot.receipt_hash] = selections
    room.dispose()
    keys.close()
    yield Voted(office, election, cast)


def test_no_ballot_is_written_anew_and_all_open(
    voted: Voted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the worker killed in the middle of it."""
    office = voted.office
    for name, value in office.env.items():
        monkeypatch.setenv(name, value)
    assert voted.opened() == voted.cast and len(voted.cast) == VOTES
    under = voted.data_keys()
    assert len(under) > 3
    before, wrapped = voted.rows(), dict(office.rows(WRAPPED))
    new = office.keys("rotate")["current"]
    doomed = office.start_worker()
    # Batches of two, so that some of the ballots' keys are done and some are not.
    asked = RewrapKeysInput(new, size=2)
    with ThreadPoolExecutor(1) as thread:
        with held_at(office, sorted(under)[len(under) // 2]) as held:
            going_on = thread.submit(rewrap, Settings.load(), asked, lambda *_: None)
            assert eventually(held, 30)
            doomed.kill()
            halfway = office.under()
            assert 0 < halfway[new] < len(wrapped)
            assert voted.rows() == before
            assert voted.opened() == voted.cast
        office.start_worker()
        done = going_on.result(90)
    assert (done.rewrapped, done.failed, done.left) == (len(wrapped), 0, 0)
    assert office.under() == {new: len(wrapped)}
    after = dict(office.rows(WRAPPED))
    assert not [one for one in wrapped if wrapped[one] == after[one]]
    assert voted.rows() == before
    # Also once the old key is gone.
    assert voted.opened() == voted.cast
    (old,) = LocalKeyFile(office.kek).names.older
    office.keys("destroy", old, "--yes")
    assert voted.opened() == voted.cast
    assert voted.rows() == before


WRAPPED = "SELECT id, wrapped FROM wrapped_keys"
