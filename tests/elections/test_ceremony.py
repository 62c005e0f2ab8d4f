"""An election's way from draft to close, and every step refused out of turn."""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from tests.elections.ceremonies import Office, times
from tests.elections.drafts import AUTHORITY, BALLOT_BOX, draft, manifest
from votepyramid.elections import ceremony, counting, finishing, service
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.manifest import ManifestInvalid
from votepyramid.elections.unlinking import unlink
from votepyramid.eligibility import policy
from votepyramid.errors import Code, Refused
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.identifiers import manifest_hash
from votepyramid.protocol.manifest import dump_signed, sign_manifest
from votepyramid.protocol.notes import SigningKey

VKEY = AUTHORITY.verifier.text()


def test_the_whole_way(office: Office) -> None:
    made = office.prepare(**times())
    assert made["receipts"]["origin"] == "votepyramid.example/spring"
    assert office.keys.ballot_box("spring").verifier.text() == made["receipts"]["key"]
    assert len(office.keys.issuance("spring")) == 32

    signed = sign_manifest(made, AUTHORITY)
    view = ceremony.create(office.owner, signed, VKEY)
    assert (view.status, view.roster_version) == ("created", 0)
    assert view.manifest == made
    assert view.manifest_hash == manifest_hash(made)
    assert view.signed_manifest == dump_signed(signed).decode()
    assert view.policy_hash == policy.load(made["eligibility"]).hash

    assert office.roster("spring").voters == 4
    assert ceremony.open_election(office.owner, "spring").status == "open"
    closed = ceremony.close(office.owner, "spring", early=True)
    assert closed.status == "closed"
    assert service.ends_at(closed) == closed.closed_at < closed.closes_at
    assert office.kinds("spring") == [
        "election_prepared",
        "election_created",
        "roster_imported",
        "election_opened",
        "election_closed",
    ]


def test_no_event_of_the_ceremony_names_a_voter(office: Office) -> None:
    office.open()
    events = json.dumps(
        [
            list(row)
            for row in office.all("SELECT kind, subject, detail FROM audit_events")
        ]
    )
    # "dee" is left out: so does many a key's id have it.
    for voter in ("ana", "bo,"):
        assert voter not in events


def test_a_draft_is_prepared_again_with_the_same_keys(office: Office) -> None:
    first = office.prepare()
    second = office.prepare(title="Corrected")
    assert second["receipts"] == first["receipts"]
    assert second["signers"] == first["signers"]
    assert office.kinds("spring") == ["election_prepared"]
    with pytest.raises(CeremonyError, match="another id"):
        office.prepare(receipts={"origin": "other.example"})


def test_a_draft_prepared_by_older_code_gets_the_keys_it_lacks(office: Office) -> None:
    first = office.prepare()
    office.run("DELETE FROM wrapped_keys WHERE purpose IN ('audit-log', 'statements')")
    issuance = office.keys.issuance("spring")
    second = office.prepare()
    assert second["receipts"] == first["receipts"]
    assert second["signers"]["receipt_log"] == first["signers"]["receipt_log"]
    assert second["signers"]["statements"] != first["signers"]["statements"]
    fresh = ElectionKeys(office.keys._provider, office.owner, 1000)
    assert fresh.issuance("spring") == issuance
    assert (
        fresh.signer("spring", "statements").verifier.text()
        == (second["signers"]["statements"])
    )
    assert office.kinds("spring") == ["election_prepared"]


def test_two_preparing_at_once_get_the_same_keys(office: Office) -> None:
    made: list[Any] = []
    threads = [
        threading.Thread(target=lambda: made.append(office.prepare()["signers"]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and all(signers == made[0] for signers in made)
    # Issuance, ballot box, and three signers.
    assert office.all("SELECT count(*) FROM wrapped_keys")[0][0] == 5


def test_a_draft_is_completed(office: Office) -> None:
    bare = draft()
    del bare["eligibility"], bare["rate"]
    made = ceremony.prepare(office.owner, office.keys, bare)
    assert made["eligibility"]["policy"] == policy.default_policy()
    assert made["eligibility"]["late_changes"] == "recheck"
    assert made["rate"]["rejected_ballots_per_token"] == 5
    given = ceremony.complete({"id": "x", "eligibility": {"late_changes": "honour"}})
    assert given["eligibility"]["late_changes"] == "honour"
    assert given["eligibility"]["attributes"] == {}


def test_a_bad_draft_makes_no_keys(office: Office) -> None:
    with pytest.raises(ManifestInvalid):
        office.prepare(contests=[])
    with pytest.raises(ManifestInvalid):
        office.prepare(receipts={"origin": "a b"})
    assert office.all("SELECT 1 FROM wrapped_keys") == []


def test_only_the_authoritys_signature_counts(office: Office) -> None:
    made = office.prepare()
    other = SigningKey.generate("authority.example")
    for signed in (
        sign_manifest(made, other),
        {
            "manifest": {**made, "title": "X"},
            "note": sign_manifest(made, AUTHORITY)["note"],
        },
        {"manifest": made},
        made,
    ):
        with pytest.raises(ManifestInvalid):
            ceremony.create(office.owner, signed, VKEY)
    assert office.all("SELECT 1 FROM elections") == []


def test_a_manifest_of_another_engine_is_refused(office: Office) -> None:
    signed = sign_manifest(manifest(), AUTHORITY)
    with pytest.raises(ManifestInvalid, match="prepare"):
        ceremony.create(office.owner, signed, VKEY)
    office.prepare()
    with pytest.raises(ManifestInvalid, match="prepare"):
        ceremony.create(office.owner, signed, VKEY)


def test_a_signed_manifest_is_checked_again(office: Office) -> None:
    """The authority may sign what the schema refuses; the engine takes none of it."""
    made = office.prepare()
    made["eligibility"]["policy"] = "permit("
    with pytest.raises(ManifestInvalid, match="policy"):
        ceremony.create(office.owner, sign_manifest(made, AUTHORITY), VKEY)


def test_all_problems_are_told_at_once(office: Office) -> None:
    made = office.prepare()
    signed = sign_manifest(made, AUTHORITY)
    wrong = copy.deepcopy(signed)
    wrong["manifest"]["grace_seconds"] = -1
    wrong["manifest"]["eligibility"]["policy"] = "permit("
    wrong["manifest"]["receipts"]["key"] = VKEY
    with pytest.raises(ManifestInvalid) as caught:
        ceremony.create(office.owner, wrong, VKEY)
    paths = {problem.path for problem in caught.value.problems}
    assert paths >= {"grace_seconds", "eligibility/policy", "note", "signers"}
    # An unsigned one is told so, and everything else as well.
    with pytest.raises(ManifestInvalid) as caught:
        ceremony.create(office.owner, wrong["manifest"], VKEY)
    paths = {problem.path for problem in caught.value.problems}
    assert paths >= {"", "grace_seconds", "eligibility/policy", "signers"}
    assert office.all("SELECT 1 FROM elections") == []


def test_an_election_is_created_once(office: Office) -> None:
    office.create()
    with pytest.raises(CeremonyError, match="exists"):
        office.prepare()
    signed = json.loads(office.all("SELECT signed_manifest FROM elections")[0][0])
    with pytest.raises(ManifestInvalid, match="exists"):
        ceremony.create(office.owner, signed, VKEY)


def test_opening_needs_a_roster_and_time_left(office: Office) -> None:
    office.create()
    with pytest.raises(CeremonyError, match="roster"):
        ceremony.open_election(office.owner, "spring")
    office.roster("spring")
    office.run("UPDATE elections SET closes_at = now() - interval '1 second'")
    with pytest.raises(CeremonyError, match="ended"):
        ceremony.open_election(office.owner, "spring")


def test_steps_out_of_turn(office: Office) -> None:
    office.create()
    with pytest.raises(CeremonyError, match="not open"):
        ceremony.close(office.owner, "spring", early=True)
    office.roster("spring")
    ceremony.open_election(office.owner, "spring")
    with pytest.raises(CeremonyError, match="open already"):
        ceremony.open_election(office.owner, "spring")
    with pytest.raises(CeremonyError, match="--early"):
        ceremony.close(office.owner, "spring")
    ceremony.close(office.owner, "spring", early=True)
    with pytest.raises(CeremonyError, match="closed, not open"):
        ceremony.close(office.owner, "spring", early=True)
    with pytest.raises(CeremonyError, match="closed already"):
        ceremony.open_election(office.owner, "spring")
    with pytest.raises(CeremonyError, match="final"):
        office.roster("spring")


@pytest.mark.parametrize("election", ["nowhere", "NO", "", "a\0b", "x" * 65])
def test_an_unknown_election(office: Office, election: str) -> None:
    for step in (ceremony.open_election, ceremony.close):
        with pytest.raises(Refused) as caught:
            step(office.owner, election)
        assert caught.value.code == Code.ELECTION_UNKNOWN
    with office.app.connect() as connection, pytest.raises(Refused) as caught:
        service.get(connection, election)
    assert caught.value.code == Code.ELECTION_UNKNOWN


def test_the_application_role_cannot_do_any_of_it(office: Office) -> None:
    office.create()
    for statement in (
        "UPDATE elections SET status = 'open'",
        "UPDATE elections SET closes_at = now() + interval '9 days'",
        "DELETE FROM elections",
        "INSERT INTO roster_versions VALUES ('spring', 9, 'x', 1)",
        "INSERT INTO voters (election, voter_id) VALUES ('spring', 'x')",
        "UPDATE wrapped_keys SET wrapped = NULL",
        "TRUNCATE vote_tokens",
    ):
        with (
            office.app.begin() as connection,
            pytest.raises(ProgrammingError) as caught,
        ):
            connection.execute(text(statement))
        assert "permission denied" in str(caught.value)


def test_show_counts(office: Office) -> None:
    office.open()
    with office.owner.connect() as connection:
        shown = ceremony.show(connection, "spring")
    assert shown["status"] == "open" and shown["voters"] == 4
    assert shown["tokens_issued"] == shown["votes_accepted"] == 0
    # Of the ceremony, and of its five keys.
    assert shown["audit_events"] == 4 + 5
    assert shown["issuance_key"] == "present"
    json.dumps(shown)


def test_show_counts_a_revoked_token_as_issued(office: Office) -> None:
    """As the audit log, an export and the closing statement count it."""
    office.open()
    for revoked in ("now()", "NULL"):
        office.run(
            'INSERT INTO vote_tokens (token, "user", election, style, policy_hash, '
            "roster_version, revoked_at) SELECT gen_random_uuid(), ref, election, "
            f"'north', '', 1, {revoked} FROM voters ORDER BY ref LIMIT 1"
        )
    with office.owner.connect() as connection:
        shown = ceremony.show(connection, "spring")
        counted = counting.count(connection, "spring")
    assert (shown["tokens_issued"], shown["tokens_revoked"]) == (2, 1)
    assert (counted.tokens, counted.issued) == (2, 1)
    assert shown["eligible"] == counted.eligible == 4


def test_origin_is_the_drafts_own_but_the_key_is_the_engines(office: Office) -> None:
    foreign = {"origin": "other.example", "key": BALLOT_BOX.verifier.text()}
    receipts = office.prepare(receipts=foreign)["receipts"]
    assert receipts["origin"] == "other.example"
    assert receipts["key"] == office.keys.ballot_box("spring").verifier.text()
    assert receipts["key"] != foreign["key"]


def test_an_election_signed_before_there_were_statements(office: Office) -> None:
    office.open()
    office.run(
        "UPDATE elections SET signed_manifest = "
        "(signed_manifest::jsonb #- '{manifest,signers}')::text"
    )
    ceremony.close(office.owner, "spring", early=True)
    with pytest.raises(CeremonyError, match="no key for them"):
        finishing.finish(office.owner, office.keys, "spring")
    with pytest.raises(CeremonyError, match="--dispute-days"):
        unlink(office.owner, "spring", dispute_days=0)  # the grace time
    office.run("UPDATE elections SET closed_at = closed_at - interval '301 seconds'")
    unlink(office.owner, "spring", dispute_days=0)
