"""The end of an election, as its operator brings it about."""

from __future__ import annotations

import pytest

from tests.support.elections import MadeElection
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.statements import ClosingStatement, open_closing


def closed(election: MadeElection) -> None:
    election.close()
    election.pass_grace()


def refused(election: MadeElection, match: str) -> None:
    with pytest.raises(CeremonyError, match=match):
        election.finish()
    assert election.count(
        "SELECT status FROM elections WHERE id = %s", election.id
    ) == ("closed")


def opened(election: MadeElection, note: str) -> ClosingStatement:
    key = manifests.signer(election.manifest, "statements")
    origin = election.manifest["receipts"]["origin"]
    return open_closing(note, origin, election.m, key)
