"""A stored ballot that is not the one its receipt is for: an auditor finds it."""

from __future__ import annotations

import json

import pytest
from psycopg.types.json import Jsonb

from tests.auditors.conftest import discrepancy
from tests.auditors.test_tampering import Scene, scene
from votepyramid.auditors.outside import Outside
from votepyramid.auditors.verifying import verify as verify_here
from votepyramid.votes.envelope import seal_row

__all__ = ["scene"]

# What a superuser does to the rows of ballots, and what `audit verify` says.
CASES = {
    "edited": (
        """UPDATE vote_submissions SET ballot_snapshot = jsonb_set(ballot_snapshot,
          '{{envelope,ciphertext}}', to_jsonb(overlay(
            ballot_snapshot #>> '{{envelope,ciphertext}}' PLACING 'AAAA' FROM 9)))
        WHERE receipt_hash = '{first}'""",
        "did not open",
    ),
    "exchanged": (
        """UPDATE vote_submissions SET ballot_snapshot = (SELECT ballot_snapshot
          FROM vote_submissions WHERE receipt_hash = '{last}')
        WHERE receipt_hash = '{first}'""",
        "did not open",
    ),
    "said to be of another style": (
        """UPDATE vote_submissions
        SET ballot_snapshot = jsonb_set(ballot_snapshot, '{{style}}', '"south"')
        WHERE receipt_hash = '{first}'""",
        "is not the one its receipt is for",
    ),
    "without an envelope": (
        """UPDATE vote_submissions SET ballot_snapshot = '{{}}'
        WHERE receipt_hash = '{first}'""",
        "did not open",
    ),
    "data key edited": (
        """UPDATE wrapped_keys SET wrapped = set_byte(wrapped, 40,
          255 - get_byte(wrapped, 40)) WHERE election = '{e}' AND purpose = 'data'""",
        "did not open",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_found_by_verifying_an_export(scene: Scene, case: str) -> None:
    statement, problem = CASES[case]
    scene.tamper(statement)
    _, found = verify_here(scene.exported(), Outside(), lambda *_: None)
    assert found is not None
    assert (found.check, problem in found.problem) == ("stored ballots", True), found


def test_a_ballot_exchanged_by_who_has_the_data_keys_is_found(scene: Scene) -> None:
    """It opens: only the receipt tells that it is another."""
    election, ballot = scene.election, scene.ballots[0]
    query = "SELECT id FROM vote_submissions WHERE receipt_hash = %s"
    row = election.count(query, ballot.receipt_hash)
    leaf, other = bytes.fromhex(ballot.receipt_hash), scene.ballots[1].sealed.payload
    key = election.keys.data_key(election.id, 1)
    envelope = Jsonb(seal_row(key, election.id, row, leaf, other))
    with scene.superuser() as db:
        db.execute(
            "UPDATE vote_submissions SET ballot_snapshot = "
            "jsonb_set(ballot_snapshot, '{envelope}', %s) WHERE id = %s",
            (envelope, row),
        )
    found = discrepancy(scene.exported())
    assert found["check"] == "stored ballots"
    assert f"{ballot.receipt_hash} is not the one" in found["problem"]


def test_an_operator_is_told_of_a_ballot_that_does_not_open(scene: Scene) -> None:
    scene.tamper(CASES["edited"][0])
    done = scene.bureau.export(scene.election.id, scene.folder / "export")
    said = json.loads(done.stdout)["unopened"]
    assert said == {"count": 1, "examples": [scene.ballots[0].receipt_hash]}
    query = "SELECT detail -> 'unopened' FROM audit_events WHERE election = %s "
    query += "AND kind = 'audit_exported'"
    assert scene.election.count(query, scene.election.id) == 1
