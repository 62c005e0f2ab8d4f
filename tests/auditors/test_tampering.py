"""What a database superuser can do, and that it is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.auditors.conftest import Bureau, discrepancy, verify
from tests.support.tampering import forget, tampering
from tests.support.voting import Ballot, at_once
from votepyramid.auditors.outside import Outside
from votepyramid.auditors.verifying import verify as verify_here
from votepyramid.db import make_engine
from votepyramid.logs.store import Log, append, begin, publish
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint
from votepyramid.protocol.leaf import parse_leaf
from votepyramid.receipts.entries import entries
from votepyramid.stack import roles
from votepyramid.stack.postgres import EmbeddedPostgres


class Scene:
    """An election with votes in its log, and somebody who may do anything in SQL."""

    def __init__(self, bureau: Bureau, url: str, name: str, folder: Path) -> None:
        self.bureau, self.url, self.folder = bureau, url, folder
        self.election = bureau.engine.make_election(id=name, voters=12)
        (self.door,) = bureau.engine.doors(self.election)
        self.ballots: list[Ballot] = []
        self.receipts: list[bytes] = []

    def vote(self, *numbers: int) -> None:
        ballots = at_once(lambda n: self.door.ballot(f"v{n}"), numbers)
        answers = at_once(self.door.cast, ballots)
        assert {answer.status_code for answer in answers} == {200}
        self.ballots += ballots
        self.receipts += [answer.content for answer in answers]
        self.bureau.sequence()

    def checkpoint(self) -> Path:
        """The log's checkpoint, as somebody outside keeps it."""
        path = self.folder / "kept.checkpoint"
        answer = self.door.http.get(self.door.path("log/checkpoint"))
        path.write_bytes(answer.content)
        return path

    def receipt(self, number: int) -> Path:
        """A receipt, as the ballot box gave it."""
        path = self.folder / "kept.receipt.json"
        path.write_bytes(self.receipts[number])
        return path

    def authority(self) -> str:
        query = "SELECT authority FROM elections WHERE id = %s"
        return str(self.election.count(query, self.election.id))

    @contextmanager
    def superuser(self) -> Iterator[psycopg.Connection[Any]]:
        """With every trigger silent, as only a superuser can have it."""
        with tampering(self.url) as db:
            db.execute("SET LOCAL session_replication_role = replica")
            yield db

    def tamper(self, statement: str) -> None:
        """`{e}` is the election, `{first}` and `{last}` its ballots' receipt hashes."""
        hashes = [ballot.receipt_hash for ballot in self.ballots]
        names = {"e": self.election.id, "first": hashes[0], "last": hashes[-1]}
        with self.superuser() as db:
            for part in statement.split(";"):
                touched = db.execute(part.format(**names)).rowcount
                assert touched > 0, part

    def exported(self) -> Path:
        folder = self.folder / "export"
        shutil.rmtree(folder, ignore_errors=True)
        done = self.bureau.export(self.election.id, folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder


@pytest.fixture
def scene(
    bureau: Bureau,
    postgres: EmbeddedPostgres,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Iterator[Scene]:
    name = request.node.name.removeprefix("test_").replace("_", "-").lower()
    name = "".join(c for c in name if c.isalnum() or c == "-")[:60]
    url = postgres.url(roles.SUPERUSER, bureau.engine.database.name)
    made = Scene(bureau, url, name, tmp_path)
    made.vote(0, 1, 2)
    yield made
    # What one test does to a log is no other's alarm.
    forget(bureau.engine.database.owner_url, bureau.checkpoints, name)


# What a superuser does to the entries of either log, `{kind}`. One that stands there
# twice is of no vote or token where the log has others: it would be named for that.
_ANOTHER = """SELECT {what} FROM log_entries
        WHERE election = '{e}' AND kind = '{kind}' AND index NOT IN (1, 999)
        ORDER BY position('"key_made"'::bytea IN entry) DESC, index LIMIT 1"""
ENTRIES = {
    "edited": """UPDATE log_entries
        SET entry = set_byte(entry, 10, 48 + (get_byte(entry, 10) + 1) % 2)
        WHERE election = '{e}' AND kind = '{kind}' AND index = 1""",
    "reordered": """UPDATE log_entries SET index = 999
        WHERE election = '{e}' AND kind = '{kind}' AND index = 0;
        UPDATE log_entries SET index = 0
        WHERE election = '{e}' AND kind = '{kind}' AND index = 1;
        UPDATE log_entries SET index = 1
        WHERE election = '{e}' AND kind = '{kind}' AND index = 999""",
    "slipped in": f"""UPDATE log_entries SET index = 999
        WHERE election = '{{e}}' AND kind = '{{kind}}' AND index = 1;
        INSERT INTO log_entries (election, kind, index, leaf_hash, entry)
        {_ANOTHER.replace("{what}", "election, kind, 1, sha256(entry), entry")}""",
    "exchanged": f"""UPDATE log_entries SET entry = (
        {_ANOTHER.replace("{what}", "entry")})
        WHERE election = '{{e}}' AND kind = '{{kind}}' AND index = 1""",
    "deleted": """DELETE FROM log_entries
        WHERE election = '{e}' AND kind = '{kind}' AND index = 1""",
}
LOGS = {"receipts": "receipt-log", "audit": "audit-log"}

# What a superuser does; the check that finds it, and what it says.
CASES = {
    "vote deleted": (
        """DELETE FROM vote_submissions WHERE receipt_hash = '{first}'""",
        "receipts",
        "its vote is gone",
    ),
    "vote deleted and its token marked unused": (
        """DELETE FROM vote_submissions WHERE receipt_hash = '{first}';
        UPDATE vote_tokens SET used = false WHERE token = (SELECT token
          FROM vote_tokens WHERE election = '{e}' AND used LIMIT 1)""",
        "receipts",
        "its vote is gone",
    ),
    "receipt edited": (
        """UPDATE vote_submissions
        SET receipt = replace(receipt, 'accepted', 'ACCEPTED')
        WHERE receipt_hash = '{first}'""",
        "receipts",
        "receipts/00000.jsonl.gz, line",
    ),
    "receipts exchanged": (
        """UPDATE vote_submissions SET receipt = (SELECT receipt FROM vote_submissions
          WHERE receipt_hash = '{last}') WHERE receipt_hash = '{first}'""",
        "receipts",
        "there twice",
    ),
    "tile edited": (
        """UPDATE log_tiles
        SET hashes = set_byte(hashes, 5, 255 - get_byte(hashes, 5))
        WHERE election = '{e}' AND kind = 'receipts'""",
        "receipt-log",
        "not made of its entries",
    ),
    "checkpoint edited": (
        """UPDATE log_heads
        SET checkpoint = replace(checkpoint, E'\\n3\\n', E'\\n2\\n')
        WHERE election = '{e}' AND kind = 'receipts'""",
        "receipt-log",
        "signature",
    ),
    "token slipped in": (
        """INSERT INTO vote_tokens
          (token, "user", election, style, policy_hash, roster_version)
        SELECT gen_random_uuid(), v.ref, '{e}', 'north', '', 1
        FROM voters v LEFT JOIN vote_tokens t ON t.user = v.ref
        WHERE t.token IS NULL AND v.election = '{e}' LIMIT 1""",
        "counts",
        "events of issued tokens",
    ),
    "voter slipped in": (
        "INSERT INTO voters (election, voter_id) VALUES ('{e}', 'stranger')",
        "counts",
        "eligible are 13 voters, and 12 by the event",
    ),
    "second token for a voter": (
        """UPDATE vote_tokens SET revoked_at = now() WHERE token = (SELECT token
          FROM vote_tokens WHERE election = '{e}' AND used LIMIT 1);
        INSERT INTO vote_tokens
          (token, "user", election, style, policy_hash, roster_version)
        SELECT gen_random_uuid(), "user", election, style, '', 1 FROM vote_tokens
        WHERE election = '{e}' AND revoked_at IS NOT NULL""",
        "counts",
        "events of issued tokens",
    ),
    "token marked unused": (
        """UPDATE vote_tokens SET used = false WHERE election = '{e}' AND used""",
        "counts",
        "votes, where 0 are due",
    ),
    "event deleted": (
        """DELETE FROM audit_events WHERE subject = '{first}'""",
        "counts",
        "events of accepted votes",
    ),
    "event slipped in": (
        """INSERT INTO audit_events (election, kind, subject)
        VALUES ('{e}', 'vote_refused', '{first}')""",
        "counts",
        "are not in the audit log",
    ),
}
CASES |= {
    f"{log} entry {how}": (
        statement.replace("{kind}", kind),
        log,
        "tile/entries/000.p/" if how == "deleted" else "is not made of its entries",
    )
    for how, statement in ENTRIES.items()
    for kind, log in LOGS.items()
}


@pytest.mark.parametrize("case", CASES)
def test_found_by_verifying_an_export(scene: Scene, case: str) -> None:
    statement, check, problem = CASES[case]
    scene.tamper(statement)
    _, found = verify_here(scene.exported(), Outside(), lambda *_: None)
    assert found is not None
    assert (found.check, problem in found.problem) == (check, True), str(found)


def test_a_token_in_the_name_of_nobody_is_found(scene: Scene) -> None:
    """A second one for the same voter, with an event: as many tokens as events."""
    scene.tamper(CASES["second token for a voter"][0])
    with scene.election.sql() as db:
        db.execute(
            "INSERT INTO audit_events (election, kind, subject) "
            "VALUES (%s, 'token_issued', 'nobody')",
            (scene.election.id,),
        )
    scene.bureau.sequence()
    found = discrepancy(scene.exported())
    assert (found["check"], found["problem"]) == (
        "counts",
        "3 voters with a token, where 4 are due",
    )


def test_a_vote_kept_from_the_log_is_found(scene: Scene) -> None:
    ballot = scene.door.ballot("v5")
    assert scene.door.cast(ballot).status_code == 200
    scene.tamper("DELETE FROM log_queue WHERE election = '{e}' AND kind = 'receipts'")
    scene.bureau.sequence()
    found = discrepancy(scene.exported())
    assert found["check"] == "receipts"
    assert ballot.receipt_hash in found["problem"]


def test_a_log_set_back_is_found_by_who_kept_a_checkpoint(scene: Scene) -> None:
    with scene.superuser() as db:
        saved = save(db, scene.election.id)
    scene.vote(3, 4)
    checkpoint, receipt = scene.checkpoint(), scene.receipt(-1)
    with scene.superuser() as db:
        set_back(db, scene.election.id, saved)
    export = scene.exported()
    # Nothing within it is wrong.
    assert verify(export).returncode == 0
    found = discrepancy(export, "--checkpoint", str(checkpoint))
    assert found["check"] == "receipt-log"
    assert "set back" in found["problem"]
    found = discrepancy(export, "--receipt", str(receipt))
    assert found["check"] == "voters' receipts"
    assert "the vote is gone" in found["problem"]


def test_a_log_signed_anew_is_found_by_who_kept_a_checkpoint(scene: Scene) -> None:
    """By an insider who has the log's own key: a fork."""
    checkpoint = scene.checkpoint()
    log = Log(scene.election.id, "receipts")
    key = scene.election.keys.signer(log.election, "receipt-log")
    with scene.superuser() as db:
        for table in ("log_entries", "log_tiles", "log_heads"):
            db.execute(
                f"DELETE FROM {table} WHERE election = %s AND kind = %s",
                (log.election, log.kind),
            )
    url = scene.bureau.engine.database.owner_url
    with make_engine(url).begin() as connection:
        promised = [ballot.receipt_hash for ballot in scene.ballots]
        leaves = entries(connection, log.election, promised)
        # The log has them the other way round.
        leaves.sort(key=lambda leaf: parse_leaf(leaf).t, reverse=True)
        head = append(connection, log, begin(connection, log), leaves)
        said = Checkpoint(key.verifier.name, head.size, head.root)
        publish(connection, log, head.size, sign_checkpoint(said, key))
    export = scene.exported()
    assert verify(export).returncode == 0
    found = discrepancy(export, "--checkpoint", str(checkpoint))
    assert found["check"] == "receipt-log"
    assert "forked" in found["problem"]


def test_the_other_receipts_and_checkpoints_agree(scene: Scene) -> None:
    early = scene.checkpoint()
    scene.vote(3, 4)
    done = verify(
        scene.exported(),
        *("--checkpoint", str(early)),
        *("--receipt", str(scene.receipt(0))),
        *("--authority", scene.authority()),
        "--json",
    )
    assert done.returncode == 0, done.stdout
    rows = {one["check"]: one["found"] for one in json.loads(done.stdout)["checks"]}
    assert rows["receipt-log"].endswith("1 from elsewhere agree")
    assert "as the export says" not in rows["manifest"]


_TABLES = (
    "vote_submissions",
    "vote_tokens",
    "vote_groups",
    "audit_events",
    "log_entries",
    "log_tiles",
    "log_heads",
)


def save(db: psycopg.Connection[Any], election: str) -> dict[str, str]:
    """Copies of the election's rows, as a backup has them."""
    saved = {}
    for table in _TABLES:
        saved[table] = f"saved_{table}_{abs(hash(election))}"
        db.execute(
            f"CREATE TABLE {saved[table]} AS SELECT * FROM {table} "
            f"WHERE election = '{election}'"
        )
    return saved


def set_back(db: psycopg.Connection[Any], election: str, saved: dict[str, str]) -> None:
    for table, copy in saved.items():
        db.execute(f"DELETE FROM {table} WHERE election = '{election}'")
        db.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {copy}")
        db.execute(f"DROP TABLE {copy}")
