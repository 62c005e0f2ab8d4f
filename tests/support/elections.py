"""An election for a test, made through the same ceremony that operators use.

made = make_election(database, env, voters=3)
made.jwt("v0")                      # what the identity provider would say
made.counts()                       # what stands in the tables
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from tests.support.databases import Database
from votepyramid.db import make_engine
from votepyramid.elections import ceremony, finishing
from votepyramid.elections.finishing import NotYet
from votepyramid.eligibility.dev_issuer import DevIssuer
from votepyramid.eligibility.policy import default_policy
from votepyramid.eligibility.roster import import_roster
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KeyProvider
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import key_id, manifest_hash
from votepyramid.protocol.manifest import sign_manifest
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.suites import KeyPair, get_suite
from votepyramid.settings import Settings

NORTH, SOUTH = "N 1", "S 1"
SUITE = "xwing-hkdf-sha256-aes256gcm"
# A rule of our own beside the default ones: policies are the election's.
TOO_YOUNG = """
@reason("too_young")
forbid (principal, action, resource)
when { principal has roster && principal.roster has age && principal.roster.age < 18 };
"""
# Names that stand nowhere else, so that they can be looked for.
CHOICES = ("ada-linden", "bo-quist", "cy-rowan")


@dataclass(frozen=True)
class Listed:
    """One line of a roster."""

    voter_id: str
    precinct: str = NORTH
    suspended: bool = False
    age: int = 40


@dataclass(frozen=True)
class Counts:
    """What stands in an election's tables."""

    issued: int
    used: int
    accepted: int
    rejected: int
    receipts: int
    events: Mapping[str, int]

    def whole(self) -> bool:
        """Every use of a token is one vote, one receipt and one audit event."""
        one = {self.used, self.accepted, self.receipts}
        return (
            one == {self.events.get("vote_accepted", 0)}
            and self.issued == self.events.get("token_issued", 0)
            and self.used <= self.issued
        )


@dataclass(frozen=True)
class MadeElection:
    """An election, with what its authority, trustees and operator hold."""

    id: str
    manifest: dict[str, Any]
    signed: dict[str, Any]
    trustees: KeyPair
    database: Database
    engine: Engine
    keys: ElectionKeys
    issuer: DevIssuer

    @property
    def m(self) -> bytes:
        return manifest_hash(self.manifest)

    def jwt(self, voter_id: str) -> str:
        """A voter's sign-in."""
        return self.issuer.token(voter_id)

    def import_roster(self, roster: Sequence[Listed]) -> None:
        """Make this the current roster version."""
        lines = ["voter_id,precinct,suspended,age"]
        lines += [
            f"{one.voter_id},{one.precinct},{str(one.suspended).lower()},{one.age}"
            for one in roster
        ]
        file = io.BytesIO(("\n".join(lines) + "\n").encode())
        import_roster(self.engine, self.id, file)

    def open(self) -> None:
        ceremony.open_election(self.engine, self.id)

    def close(self) -> None:
        """End claims now; ballots are taken for the grace time."""
        ceremony.close(self.engine, self.id, early=True)

    def pass_grace(self) -> None:
        """As if the election had been closed so long ago that it can be finished."""
        with self.sql() as db:
            db.execute(
                "UPDATE elections SET closed_at = clock_timestamp() "
                "- make_interval(secs => grace_seconds + %s) WHERE id = %s",
                (finishing.LAST_ANSWERS_S + 1, self.id),
            )

    def finish(self, sequence: Callable[[], object] | None = None) -> str:
        """The closing statement of a closed election, its grace time passed.

        `sequence` has a sequencer confirm the logs, which is asked for first.
        """
        if sequence is not None:
            with pytest.raises(NotYet, match="no sequencer has confirmed"):
                self.finish()
            sequence()
        return finishing.finish(self.engine, self.keys, self.id).note

    @contextmanager
    def sql(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the owner, autocommit."""
        with psycopg.connect(self.database.owner_url, autocommit=True) as db:
            yield db

    def count(self, query: str, *values: Any) -> Any:
        """The first value of a query's first row."""
        with self.sql() as db:
            row = db.execute(query, values).fetchone()
        return row[0] if row is not None else None

    def events(self, kind: str, subject: str) -> int:
        """How many of a kind the audit log has about a subject."""
        return int(
            self.count(
                "SELECT count(*) FROM audit_events WHERE kind = %s AND subject = %s",
                kind,
                subject,
            )
        )

    def counts(self) -> Counts:
        with self.sql() as db:
            row = db.execute(
                "SELECT (SELECT count(*) FROM vote_tokens WHERE election = %(e)s), "
                "(SELECT count(*) FROM vote_tokens WHERE election = %(e)s AND used), "
                "(SELECT count(*) FROM vote_submissions "
                "WHERE election = %(e)s AND status = 'accepted'), "
                "(SELECT count(*) FROM vote_submissions "
                "WHERE election = %(e)s AND status = 'rejected'), "
                "(SELECT count(DISTINCT receipt) FROM vote_submissions "
                "WHERE election = %(e)s)",
                {"e": self.id},
            ).fetchone()
            events = db.execute(
                "SELECT kind, count(*) FROM audit_events WHERE election = %s "
                "GROUP BY kind",
                (self.id,),
            ).fetchall()
        assert row is not None
        issued, used, accepted, rejected, receipts = row
        return Counts(issued, used, accepted, rejected, receipts, dict(events))


def make_election(
    database: Database,
    env: Mapping[str, str],
    *,
    id: str = "demo",
    voters: int | Sequence[Listed] = 5,
    opens_in: float = -60,
    closes_in: float = 7200,
    grace: int = 300,
    late_changes: str = "recheck",
    rate: Mapping[str, int] | None = None,
    suite: str = SUITE,
    open: bool = True,
    provider: KeyProvider | None = None,
) -> MadeElection:
    """Make an election in `database` with the keys of `env`, and open it.

    With a `provider` it wraps the keys, instead of the key file.

    `opens_in` and `closes_in` are seconds from now. With a number of `voters` they
    are "v0", "v1", … of precinct NORTH.
    """
    engine = make_engine(database.owner_url, pool_size=2)
    kek = Path(env["VOTEPYRAMID_KEK_FILE"])
    keys = ElectionKeys(provider or LocalKeyFile(kek), engine, 1000)
    database.users.append(engine.dispose)
    trustees = get_suite(suite).generate_private_key()
    draft = _draft(id, suite, trustees, opens_in, closes_in, grace, late_changes)
    # Tests send again faster than any client.
    hurried = {**ceremony.DEFAULT_RATE, "casts_per_token_per_minute": 120}
    draft["rate"] = {**hurried, **(rate or {})}
    signed, authority = prepared(engine, keys, draft)
    ceremony.create(engine, signed, authority)
    settings = Settings(
        environment="development", jwt_audience=env["VOTEPYRAMID_JWT_AUDIENCE"]
    )
    made = MadeElection(
        id,
        signed["manifest"],
        signed,
        trustees,
        database,
        engine,
        keys,
        DevIssuer(settings, kek.with_name("dev-issuer.json")),
    )
    roster = (
        [Listed(f"v{n}") for n in range(voters)] if isinstance(voters, int) else voters
    )
    made.import_roster(roster)
    if open:
        made.open()
    return made


def prepared(
    engine: Engine, keys: ElectionKeys, draft: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """The draft's signed manifest, and the verifier key of its authority."""
    authority = SigningKey.generate("authority.example")
    signed = sign_manifest(ceremony.prepare(engine, keys, draft), authority)
    return signed, authority.verifier.text()


# What `election prepare` names of its own.
ENGINES = ("receipts", "signers")


def prepared_beside(election: MadeElection, id: str) -> tuple[dict[str, Any], str]:
    """As `prepared`: another election like this one, that is still to be taken in."""
    draft = {k: v for k, v in election.manifest.items() if k not in ENGINES}
    draft |= {"id": id, "title": f"Election {id}"}
    return prepared(election.engine, election.keys, draft)


def _draft(
    election: str,
    suite: str,
    trustees: KeyPair,
    opens_in: float,
    closes_in: float,
    grace: int,
    late_changes: str,
) -> dict[str, Any]:
    choices = [{"id": name, "name": name.title()} for name in CHOICES]

    def style(name: str, precinct: str) -> dict[str, Any]:
        return {
            "id": name,
            "contests": ["mayor"],
            "precincts": [precinct],
            # Not a multiple of three bytes: its base64 has bits to spare.
            "plaintext_length": 257,
        }

    return {
        "version": 1,
        "id": election,
        "title": f"Election {election}",
        "opens": _time(opens_in),
        "closes": _time(closes_in),
        "grace_seconds": grace,
        "contests": [{"id": "mayor", "title": "Mayor", "ranks": 3, "choices": choices}],
        "styles": [style("north", NORTH), style("south", SOUTH)],
        "suite": suite,
        "public_key": b64u(trustees.public),
        "key_id": key_id(suite, trustees.public).hex(),
        "eligibility": {
            "policy": default_policy() + TOO_YOUNG,
            "attributes": {"suspended": "Bool", "age": "Long"},
            "late_changes": late_changes,
        },
    }


def _time(seconds_from_now: float) -> str:
    at = datetime.now(UTC) + timedelta(seconds=seconds_from_now)
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
