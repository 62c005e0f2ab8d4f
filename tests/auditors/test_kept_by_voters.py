"""What `votepyramid verify --online` leaves with a voter holds an audit to it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from psycopg import sql

from tests.auditors.conftest import discrepancy, verify
from tests.auditors.test_tampering import Scene, save, scene, set_back
from tests.receipts.reading import Reader
from tests.receipts.test_voters_check import keep
from votepyramid.cli import main
from votepyramid.db import make_engine
from votepyramid.keys.service import AUDIT_LOG
from votepyramid.logs.store import AUDIT, Log, append, begin, publish
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint

__all__ = ["scene"]


def own_file(scene: Scene, answer: bytes | None) -> Path:
    """What `votepyramid vote` leaves with the voter of the first ballot."""
    path = scene.folder / "receipt.json"
    path.unlink(missing_ok=True)
    keep(Reader(scene.door), scene.ballots[0], path, answer)
    return path


def checked(scene: Scene) -> list[str]:
    """A voter looks: the options with what is then kept of both logs."""
    receipt = own_file(scene, scene.receipts[0])
    done = CliRunner().invoke(main, ["verify", str(receipt), "--online", "--json"])
    assert done.exit_code == 0, done.output
    return [
        word
        for end in (".audit-checkpoint", ".checkpoint")
        for word in ("--checkpoint", str(Path(f"{receipt}{end}")))
    ]


def test_an_audit_log_that_agrees(scene: Scene) -> None:
    kept = checked(scene)
    scene.vote(3, 4)
    done = verify(scene.exported(), *kept, "--json")
    assert done.returncode == 0, done.stdout
    rows = {one["check"]: one["found"] for one in json.loads(done.stdout)["checks"]}
    for log in ("audit-log", "receipt-log"):
        assert rows[log].endswith("1 from elsewhere agree")


def test_an_audit_log_that_was_set_back(scene: Scene) -> None:
    with scene.superuser() as db:
        saved = save(db, scene.election.id)
    scene.vote(3, 4)
    audit_log = checked(scene)[:2]
    with scene.superuser() as db:
        set_back(db, scene.election.id, saved)
    export = scene.exported()
    # Nothing within it is wrong.
    assert verify(export).returncode == 0
    found = discrepancy(export, *audit_log)
    assert found["check"] == "audit-log" and "set back" in found["problem"]


def test_an_audit_log_that_was_signed_anew(scene: Scene) -> None:
    """By an insider with its key, who gives the auditors another order of events."""
    audit_log = checked(scene)[:2]
    log = Log(scene.election.id, AUDIT)
    key = scene.election.keys.signer(log.election, AUDIT_LOG)
    with scene.superuser() as db:
        query = "SELECT entry FROM log_entries WHERE election = %s AND kind = %s "
        rows = db.execute(query + "ORDER BY index DESC", (log.election, log.kind))
        entries = [row[0] for row in rows]
        for table in ("log_entries", "log_tiles", "log_heads"):
            db.execute(
                sql.SQL("DELETE FROM {} WHERE election = %s AND kind = %s").format(
                    sql.Identifier(table)
                ),
                (log.election, log.kind),
            )
    url = scene.bureau.engine.database.owner_url
    with make_engine(url).begin() as connection:
        head = append(connection, log, begin(connection, log), entries)
        said = Checkpoint(key.verifier.name, head.size, head.root)
        publish(connection, log, head.size, sign_checkpoint(said, key))
    export = scene.exported()
    assert verify(export).returncode == 0
    found = discrepancy(export, *audit_log)
    assert found["check"] == "audit-log" and "forked" in found["problem"]


def test_the_file_of_a_voter_whose_vote_is_gone(scene: Scene) -> None:
    """As `verify` advises: the file itself is brought to an auditor."""
    receipt = own_file(scene, scene.receipts[0])
    export = scene.exported()
    done = verify(export, "--receipt", str(receipt), "--json")
    assert done.returncode == 0, done.stdout
    rows = {one["check"]: one["count"] for one in json.loads(done.stdout)["checks"]}
    assert rows["voters' receipts"] == 1
    other = own_file(scene, scene.receipts[1].replace(b'"t":"', b'"t":"A'))
    assert verify(export, "--receipt", str(other)).returncode == 1
    done = verify(export, "--receipt", str(own_file(scene, None)))
    assert done.returncode == 1 and "without the ballot box's answer" in done.stderr
