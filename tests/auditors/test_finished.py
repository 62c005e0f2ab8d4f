"""Of a finished election everything is compared: nothing can come after it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.auditors.conftest import Bureau, discrepancy, verify
from tests.support.elections import Listed, MadeElection
from tests.support.tampering import forget, tampering
from tests.support.voting import at_once
from votepyramid.audit import service as audit
from votepyramid.auditors.catching_up import wait_for_logs
from votepyramid.auditors.folder import SUMS
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.unlinking import unlink
from votepyramid.protocol.identifiers import ciphertext_hash
from votepyramid.protocol.leaf import leaf_bytes, leaf_hash, receipt_hash
from votepyramid.protocol.receipt import answer_bytes, sign_receipt
from votepyramid.protocol.statements import open_closing, sign_closing
from votepyramid.votes.envelope import seal_row


@pytest.fixture
def election(bureau: Bureau, request: pytest.FixtureRequest) -> MadeElection:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60]
    roster = [*(Listed(f"v{n}") for n in range(6)), Listed("child", age=3)]
    made = bureau.engine.make_election(id=name, voters=roster)
    (door,) = bureau.engine.doors(made)
    assert door.claim("child").status_code == 403
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(6))
    for answer in at_once(door.cast, ballots[:4]):
        assert answer.status_code == 200
    bureau.sequence()
    return made


def finished(bureau: Bureau, election: MadeElection, folder: Path) -> Path:
    bureau.sequence()
    election.close()
    election.pass_grace()
    election.finish(bureau.sequence)
    bureau.sequence()
    done = bureau.export(election.id, folder / "export")
    assert done.returncode == 0, done.stdout
    return folder / "export"


def test_an_honest_one_holds_to_the_last_vote(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    done = verify(finished(bureau, election, tmp_path), "--json")
    assert done.returncode == 0, done.stdout
    rows: dict[str, Any] = {r["check"]: r for r in json.loads(done.stdout)["checks"]}
    assert rows["closing statement"]["count"] == 1
    assert rows["votes and histories"]["count"] == 4
    assert rows["claims and histories"]["count"] == 6
    assert rows["inclusion"]["found"] == "receipts are in the log"
    assert rows["stored ballots"]["count"] == 4
    kinds = rows["kinds of events"]
    assert kinds["kinds"]["vote_accepted"] == 4 and "all known" in kinds["found"]


def test_one_in_which_nobody_voted_holds(bureau: Bureau, tmp_path: Path) -> None:
    """It has no log of receipts at all."""
    made = bureau.engine.make_election(id="nobody-voted", voters=2)
    done = verify(finished(bureau, made, tmp_path), "--json")
    assert done.returncode == 0, done.stdout
    rows = {r["check"]: r for r in json.loads(done.stdout)["checks"]}
    assert rows["closing statement"]["found"].startswith("counts and trees are those")
    assert rows["receipt-log"]["count"] == rows["counts"]["count"] == 0


def test_the_closing_statement_that_you_kept(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    export = finished(bureau, election, tmp_path)
    kept = tmp_path / "kept"
    note = (export / "statements/closing").read_text()
    kept.write_text(note)
    done = verify(export, "--closing", str(kept), "--json")
    assert done.returncode == 0, done.stdout
    rows = {r["check"]: r for r in json.loads(done.stdout)["checks"]}
    assert rows["your closing statement"]["count"] == 1
    # What no key of this election signed for it is no evidence against it.
    key = election.keys.signer(election.id, "statements")
    origin = election.manifest["receipts"]["origin"]
    said = open_closing(note, origin, election.m, key.verifier)
    for other in (
        note.replace("votes 4", "votes 5"),
        sign_closing(replace(said, m=bytes(32)), key),
    ):
        kept.write_text(other)
        done = verify(export, "--closing", str(kept), "--json")
        assert done.returncode == 1, done.stdout
        assert str(kept) in json.loads(done.stdout)["error"]
    # Two that were signed are.
    kept.write_text(sign_closing(replace(said, eligible=said.eligible + 1), key))
    found = discrepancy(export, "--closing", str(kept))
    assert found["check"] == "closing statement"
    assert found["problem"] == "is another than the one you kept"


def test_one_exported_too_early_is_told_from_a_forged_one(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    """No sequencer ran between the end and the export."""
    election.close()
    election.pass_grace()
    election.finish(bureau.sequence)
    early = tmp_path / "early"
    done = bureau.export(election.id, early)
    assert done.returncode == 0 and json.loads(done.stdout)["waiting"] > 0
    checked = verify(early, "--json")
    assert checked.returncode == 4, checked.stdout
    said = json.loads(checked.stdout)
    assert said["discrepancy"] is None
    assert said["too_early"]["check"] == "closing statement"
    assert "let the sequencer run" in said["too_early"]["problem"]
    # All the rest was looked at.
    assert {"votes and histories", "counts"} <= {c["check"] for c in said["checks"]}
    assert verify(early).stdout.splitlines()[-1].startswith("TOO EARLY, closing")
    with pytest.raises(CeremonyError, match="no whole export"):
        unlink(election.engine, election.id, dispute_days=0)
    # By who took the event away, so that the end can be denied.
    with tampering(bureau.engine.database.owner_url) as db:
        gone = "DELETE FROM audit_events WHERE election = %s AND kind = %s RETURNING id"
        (event,) = db.execute(gone, (election.id, "election_finished")).fetchall()
        db.execute("DELETE FROM log_queue WHERE subject = %s", (str(event[0]),))
    assert bureau.export(election.id, tmp_path / "forged").returncode == 0
    found = discrepancy(tmp_path / "forged")
    assert found["check"] == "closing statement"
    assert "neither by the audit log nor by any event" in found["problem"]


def test_an_export_waits_for_the_logs(bureau: Bureau, election: MadeElection) -> None:
    election.close()
    told: list[tuple[int, int]] = []

    def tell(what: str, done: int, total: int) -> None:
        assert what == "log entries awaited"
        if not told:
            with ThreadPoolExecutor(1) as beside:
                beside.submit(bureau.sequence).result()
        told.append((done, total))

    assert wait_for_logs(election.engine, election.id, 60, tell) == 0
    assert told == [(0, 1), (1, 1)]
    # Nothing is awaited, and nothing told.
    assert wait_for_logs(election.engine, election.id, 60, tell) == 0
    assert len(told) == 2


def test_a_kind_of_event_that_is_not_known_is_named(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    """A newer version's, or the owner's."""
    with psycopg.connect(bureau.engine.database.owner_url, autocommit=True) as db:
        db.execute(
            "INSERT INTO audit_events (election, kind, detail) VALUES (%s, %s, %s)",
            (election.id, "all_is_well", Jsonb({})),
        )
    bureau.sequence()
    assert bureau.export(election.id, tmp_path / "export").returncode == 0
    done = verify(tmp_path / "export", "--json")
    assert done.returncode == 0, done.stdout
    rows = {r["check"]: r for r in json.loads(done.stdout)["checks"]}
    kinds = rows["kinds of events"]
    assert kinds["found"] == "unknown to this version: all_is_well 1"
    assert kinds["kinds"]["all_is_well"] == 1 and kinds["unchecked"]
    shown = verify(tmp_path / "export").stdout
    assert "kinds of events" in shown.splitlines()[-1]
    assert re.search(r"^ +4  vote_accepted$", shown, re.MULTILINE)


def test_a_vote_that_no_workflow_recorded_is_named(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    """By an insider with the database and the ballot box key: all else agrees."""
    added = slip_in(election)
    found = discrepancy(finished(bureau, election, tmp_path))
    assert found["check"] == "votes and histories"
    assert added in found["problem"]


def test_a_token_that_no_workflow_issued_is_named(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    issue(election, "ghost")
    found = discrepancy(finished(bureau, election, tmp_path))
    assert found["check"] == "claims and histories"
    assert "ghost" in found["problem"]


def test_a_token_for_a_voter_who_was_refused_is_named(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    """Their claim is in a history, which says that it was refused."""
    pseudonym = election.count(
        "SELECT subject FROM audit_events "
        "WHERE election = %s AND kind = 'claim_refused'",
        election.id,
    )
    issue(election, pseudonym)
    found = discrepancy(finished(bureau, election, tmp_path))
    assert found["check"] == "claims and histories"
    assert pseudonym in found["problem"]


def test_a_token_that_was_made_one_of_another_style_is_named(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    (door,) = bureau.engine.doors(election)
    bearer = door.token("v5")
    with election.sql() as db:
        db.execute(
            "UPDATE vote_tokens SET style = 'south' WHERE election = %s AND NOT used",
            (election.id,),
        )
    assert door.cast(door.seal(bearer, style="south")).status_code == 200
    found = discrepancy(finished(bureau, election, tmp_path))
    assert found["check"] == "votes and styles"
    said = "1 ballots are of style south, for which 0 tokens were issued"
    assert found["problem"] == said


def test_no_event_of_a_finished_election_may_wait(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    finished(bureau, election, tmp_path)
    issue_event(election, "ghost")
    late = tmp_path / "late"
    assert bureau.export(election.id, late).returncode == 0
    assert discrepancy(late)["check"] == "counts"


def test_what_comes_after_the_end_may_wait(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    finished(bureau, election, tmp_path)
    detail = {"code": "election_closed", "count": 1}
    kinds = "junk_refused", "untimely_refused"
    events = [audit.Event(kind, detail=detail) for kind in kinds]
    with election.engine.begin() as connection:
        audit.append(connection, election.id, events)
    late = tmp_path / "late"
    assert bureau.export(election.id, late).returncode == 0
    done = verify(late, "--json")
    assert done.returncode == 0, done.stdout
    rows = {r["check"]: r for r in json.loads(done.stdout)["checks"]}
    # These, and that of the export before.
    assert "3 events wait" in rows["counts"]["found"]


def test_a_checkpoint_of_a_log_that_is_gone_is_not_passed_over(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    (door,) = bureau.engine.doors(election)
    kept = tmp_path / "kept"
    kept.write_bytes(door.http.get(door.path("log/checkpoint")).content)
    with tampering(bureau.engine.database.owner_url) as db:
        for table in ("log_entries", "log_tiles", "log_heads"):
            db.execute(
                f"DELETE FROM {table} WHERE election = %s AND kind = 'receipts'",
                (election.id,),
            )
    folder = tmp_path / "export"
    assert bureau.export(election.id, folder).returncode == 0
    found = discrepancy(folder, "--checkpoint", str(kept))
    assert found["check"] == "receipt-log"
    assert "set back" in found["problem"]
    forget(bureau.engine.database.owner_url, bureau.checkpoints, election.id)


def test_unlinked_it_has_no_histories_and_says_so(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    finished(bureau, election, tmp_path)
    unlink(election.engine, election.id, dispute_days=0)
    bureau.sequence()
    after = tmp_path / "after"
    assert bureau.export(election.id, after).returncode == 0
    done = verify(after, "--json")
    assert done.returncode == 0, done.stdout
    rows = {r["check"]: r for r in json.loads(done.stdout)["checks"]}
    assert rows["histories"]["count"] == 0
    assert "unlinking" in rows["histories"]["found"]


def test_an_export_is_noted_and_unlinking_asks_for_a_whole_one(
    bureau: Bureau, election: MadeElection, tmp_path: Path
) -> None:
    assert bureau.export(election.id, tmp_path / "early").returncode == 0
    bureau.sequence()
    election.close()
    election.pass_grace()
    election.finish(bureau.sequence)
    bureau.sequence()
    with pytest.raises(CeremonyError, match="no whole export"):
        unlink(election.engine, election.id, dispute_days=0)
    done = bureau.export(election.id, tmp_path / "end")
    sums = hashlib.sha256((tmp_path / "end" / SUMS).read_bytes()).hexdigest()
    assert json.loads(done.stdout)["sums"] == sums
    with election.sql() as db:
        noted = db.execute(
            "SELECT detail - 'by' FROM audit_events "
            "WHERE election = %s AND kind = 'audit_exported' ORDER BY id",
            (election.id,),
        ).fetchall()
    assert [row[0]["status"] for row in noted] == ["open", "finished"]
    wants = {"lacking": 0, "waiting": 0, "unopened": 0}
    assert noted[1][0] == {"status": "finished", "sums": sums, **wants}
    # Another right after it: what the first one left behind may wait.
    assert bureau.export(election.id, tmp_path / "again").returncode == 0
    assert verify(tmp_path / "again").returncode == 0
    unlink(election.engine, election.id, dispute_days=0)


def issue(election: MadeElection, pseudonym: str, voter: str = "child") -> None:
    """A token by SQL, for a voter who has none; its event."""
    with election.sql() as db:
        db.execute(
            'INSERT INTO vote_tokens (token, "user", election, style, '
            "policy_hash, roster_version) "
            "SELECT gen_random_uuid(), ref, election, 'north', '', 1 FROM voters "
            "WHERE election = %s AND voter_id = %s",
            (election.id, voter),
        )
    issue_event(election, pseudonym)


def issue_event(election: MadeElection, pseudonym: str) -> None:
    with election.sql() as db:
        db.execute(
            "INSERT INTO audit_events (election, kind, subject) "
            "VALUES (%s, 'token_issued', %s)",
            (election.id, pseudonym),
        )


def slip_in(election: MadeElection) -> str:
    """A whole vote by SQL: row with a ballot in its envelope, receipt, used token,
    event; its receipt hash."""
    row_id, tag, ballot = uuid.uuid4(), os.urandom(32), os.urandom(1393)
    suite, kid = election.manifest["suite"], election.manifest["key_id"]
    ciphertext = ciphertext_hash(suite, bytes.fromhex(kid), "north", ballot)
    leaf = leaf_bytes(ciphertext, election.id, election.m, tag)
    box = election.keys.ballot_box(election.id)
    answer = answer_bytes(leaf, sign_receipt(box, box.name, election.m, leaf))
    key = election.keys.data_key(election.id, 1)
    envelope = seal_row(key, election.id, row_id, leaf_hash(leaf), ballot)
    snapshot = {"style": "north", "suite": suite, "key_id": kid, "envelope": envelope}
    with election.sql() as db:
        db.execute(
            "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, "
            "ballot_snapshot, receipt_hash, status, receipt, receipt_key_id) "
            "VALUES (%s, %s, %s, %s, %s, %s, 'accepted', %s, '')",
            (
                row_id,
                election.id,
                tag,
                ciphertext,
                Jsonb(snapshot),
                receipt_hash(leaf),
                answer.decode(),
            ),
        )
        db.execute(
            "UPDATE vote_tokens SET used = true WHERE token = (SELECT token FROM "
            "vote_tokens WHERE election = %s AND NOT used LIMIT 1)",
            (election.id,),
        )
        db.execute(
            "INSERT INTO audit_events (election, kind, subject) "
            "VALUES (%s, 'vote_accepted', %s)",
            (election.id, receipt_hash(leaf)),
        )
    return receipt_hash(leaf)
