"""Votes that came from nowhere: as many as wanted, with real receipts, in minutes.

What is measured begins where a vote is recorded. So votes are made without voters'
clients, web or workflows: random tags, random bytes of a ballot's length in real
envelopes, leaves, receipts signed by the election's own ballot box. They wait in a
table of their own until they are cast, by one statement that writes what a group's
transaction writes of votes and their events. The database's triggers queue both for the
logs as they do in a cast.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import islice
from typing import Any, NamedTuple

import psycopg

from votepyramid.keys.service import DataKey
from votepyramid.protocol.identifiers import ciphertext_hash, manifest_hash
from votepyramid.protocol.leaf import leaf_bytes, leaf_hash, receipt_hash
from votepyramid.protocol.manifest import Manifest, ciphertext_length
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.receipt import answer_bytes, sign_receipt
from votepyramid.votes.envelope import seal_row

CHUNK = 5000
# Chunks that are made before they are taken: each is some megabytes.
AHEAD = 8
_STAGE = (
    """CREATE UNLOGGED TABLE staged (number bigint PRIMARY KEY, id uuid, tag bytea,
    ciphertext_hash bytea, snapshot text, receipt_hash text, receipt text)""",
    # Ciphertext does not get smaller.
    "ALTER TABLE staged ALTER COLUMN snapshot SET STORAGE EXTERNAL",
)
_COPY = """COPY staged
  (number, id, tag, ciphertext_hash, snapshot, receipt_hash, receipt) FROM STDIN"""
_CAST = """
WITH cast_now AS (
  INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, ballot_snapshot,
    receipt_hash, status, receipt, receipt_key_id)
  SELECT id, %(e)s, tag, ciphertext_hash, snapshot::jsonb, receipt_hash, 'accepted',
    receipt, 'k'
  FROM staged WHERE number >= %(begin)s AND number < %(end)s ORDER BY tag
  RETURNING receipt_hash)
INSERT INTO audit_events (election, kind, subject)
SELECT %(e)s, 'vote_accepted', receipt_hash FROM cast_now
"""
# A voter, a used token and the event of its issuance for each vote to come.
_CLAIM = """
WITH named AS (INSERT INTO voters (election, voter_id)
    SELECT %(e)s, receipt_hash FROM staged RETURNING ref),
  token AS (INSERT INTO vote_tokens
      (token, "user", election, used, style, policy_hash, roster_version)
    SELECT gen_random_uuid(), ref, %(e)s, true,
      's' || abs(hashtext(ref::text)) %% %(styles)s, '', 1 FROM named)
INSERT INTO audit_events (election, kind, subject)
SELECT %(e)s, 'token_issued', ref::text FROM named
"""
# They are eligible by a roster of their own.
_ROSTER = """
INSERT INTO audit_events (election, kind, detail)
SELECT %(e)s, 'roster_imported', jsonb_build_object('by', 'bench', 'version',
    (SELECT 1 + count(*) FROM audit_events
      WHERE election = %(e)s AND kind = 'roster_imported'),
    'voters', count(*), 'eligible', count(*), 'file_sha256', '')
  FROM voters WHERE election = %(e)s
"""

ANOTHER = "another"
# One more election; nobody can vote in it, as its keys are another's.
ELECTION = """INSERT INTO elections (id, title, signed_manifest, manifest_hash,
      authority, policy_hash, opens_at, closes_at, grace_seconds)
    SELECT %(o)s::text, title, signed_manifest,
      sha256(manifest_hash || convert_to(%(o)s::text, 'UTF8')),
      authority, policy_hash, opens_at, closes_at, grace_seconds
    FROM elections WHERE id = %(e)s"""
_ANOTHER = (
    ELECTION,
    """INSERT INTO log_entries SELECT %(o)s, kind, 0, leaf_hash, entry
    FROM log_entries WHERE election = %(e)s AND kind = 'receipts' AND index = 0""",
    """INSERT INTO log_tiles SELECT %(o)s, kind, 0, 0, substring(hashes, 1, 32)
    FROM log_tiles
    WHERE election = %(e)s AND kind = 'receipts' AND level = 0 AND index = 0""",
    """INSERT INTO log_heads SELECT %(o)s, kind, 1, root, checkpoint, 1
    FROM log_heads WHERE election = %(e)s AND kind = 'receipts'""",
)


class Made(NamedTuple):
    """A vote's row, as far as it differs from another's."""

    id: uuid.UUID
    tag: bytes
    ciphertext_hash: bytes
    snapshot: str
    receipt_hash: str
    receipt: str


class Sealed(NamedTuple):
    """What the ballots of an election are sealed with: its manifest, a data key, and
    the ballot box key as text."""

    manifest: Manifest
    data_key: DataKey
    box: str


def make(number: int, with_: Sealed) -> list[Made]:
    """That many votes of an election, in a process of their own."""
    key, manifest = SigningKey.parse(with_.box), with_.manifest
    e, m, suite = manifest["id"], manifest_hash(manifest), manifest["suite"]
    style, kid = manifest["styles"][0]["id"], bytes.fromhex(manifest["key_id"])
    length, made = ciphertext_length(manifest, style), []
    said = {"manifest": m.hex(), "style": style, "suite": suite, "key_id": kid.hex()}
    for _ in range(number):
        row_id, t, ballot = uuid.uuid4(), os.urandom(32), os.urandom(length)
        c = ciphertext_hash(suite, kid, style, ballot)
        leaf = leaf_bytes(c, e, m, t)
        answer = answer_bytes(leaf, sign_receipt(key, key.name, m, leaf))
        envelope = seal_row(with_.data_key, e, row_id, leaf_hash(leaf), ballot)
        snapshot = json.dumps({**said, "envelope": envelope})
        hashed = receipt_hash(leaf)
        made.append(Made(row_id, t, c, snapshot, hashed, answer.decode()))
    return made


def made_in_chunks(
    executor: Executor, number: int, with_: Sealed
) -> Iterator[list[Made]]:
    """The same on every core, not many ahead of who takes them."""
    sizes = (min(CHUNK, number - at) for at in range(0, number, CHUNK))
    jobs = [executor.submit(make, size, with_) for size in islice(sizes, AHEAD)]
    while jobs:
        yield jobs.pop(0).result()
        jobs += [executor.submit(make, size, with_) for size in islice(sizes, 1)]


def stage(db: psycopg.Connection[Any], chunks: Iterator[list[Made]]) -> None:
    """Put votes aside, numbered from 0."""
    for statement in _STAGE:
        db.execute(statement)
    first = 0
    for made in chunks:
        with db.cursor() as cursor, cursor.copy(_COPY) as copy:
            for number, vote in enumerate(made, first):
                copy.write_row((number, *vote))
        first += len(made)


def claim_all(db: psycopg.Connection[Any], e: str, styles: int = 1) -> None:
    """Voters and tokens of all that is staged, as if claimed; a roster's event."""
    db.execute(_CLAIM, {"e": e, "styles": styles})
    db.execute(_ROSTER, {"e": e})


def cast(db: psycopg.Connection[Any], e: str, begin: int, end: int) -> None:
    """Record the votes with these numbers in one transaction, each with its event."""
    db.execute(_CAST, {"e": e, "begin": begin, "end": end})


def another_log(db: psycopg.Connection[Any], e: str) -> str:
    """An election with a log of one leaf; its receipt hash. Nothing in it is signed."""
    for statement in _ANOTHER:
        db.execute(statement, {"e": e, "o": ANOTHER})
    found = db.execute(
        "SELECT encode(leaf_hash, 'hex') FROM log_entries WHERE election = %s",
        (ANOTHER,),
    )
    return str(found.fetchall()[0][0])
