"""The replay's own election: made, signed, filled with voters, opened, closed.

The trustees' and the authority's keys live in this process's memory alone: nothing
of them reaches the engine's data or any file, and they end with the replay.
"""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from votepyramid.db import make_engine
from votepyramid.elections import ceremony
from votepyramid.eligibility.dev_issuer import DevIssuer
from votepyramid.eligibility.roster import import_roster
from votepyramid.keys import providers
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol import notes
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import key_id
from votepyramid.protocol.manifest import sign_manifest
from votepyramid.protocol.suites import get_suite
from votepyramid.replay.ballots import Ballots
from votepyramid.settings import Settings

_PREFIX = "VOTEPYRAMID_"
# Reading a whole election back is one long statement.
_STATEMENT_TIMEOUT_MS = 30 * 60 * 1000


class Operator:
    """What the replay may do as the election's operator, from a stack's settings.

    `environment` holds VOTEPYRAMID_… variables. Raises SettingsError when one is
    missing or production settings forbid signing voters in.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        settings = _settings(environment)
        self.engine: Engine = make_engine(
            settings.require("owner_database_url"),
            pool_size=4,
            application_name="votepyramid-replay",
            statement_timeout_ms=_STATEMENT_TIMEOUT_MS,
        )
        provider = providers.make(settings)
        self.keys = ElectionKeys(provider, self.engine, settings.data_key_rows)
        self.issuer = DevIssuer.of(settings)

    def close(self) -> None:
        self.keys.close()
        self.engine.dispose()


@dataclass(frozen=True)
class ReplayElection:
    """An open election and its trustees' private key, raw."""

    id: str
    authority_vkey: str
    manifest: dict[str, Any] = field(repr=False)
    private: bytes = field(repr=False)


def make(
    operator: Operator, ballots: Ballots, *, title: str, suite: str
) -> ReplayElection:
    """Prepare, sign and create the election, import its voters and open it."""
    trustees = get_suite(suite).generate_private_key()
    authority = notes.generate("authority.votepyramid.example")
    draft = _draft(ballots, title) | {
        "suite": suite,
        "public_key": b64u(trustees.public),
        "key_id": key_id(suite, trustees.public).hex(),
    }
    manifest = ceremony.prepare(operator.engine, operator.keys, draft)
    vkey = authority.verifier.text()
    ceremony.create(operator.engine, sign_manifest(manifest, authority), vkey)
    import_roster(operator.engine, manifest["id"], io.BytesIO(_roster(ballots)))
    ceremony.open_election(operator.engine, manifest["id"])
    return ReplayElection(manifest["id"], vkey, manifest, trustees.private)


def close(operator: Operator, election: ReplayElection) -> None:
    """End the election: from now on its ballots are counted."""
    ceremony.close(operator.engine, election.id, early=True)


def _draft(ballots: Ballots, title: str) -> dict[str, Any]:
    now = datetime.now(UTC).replace(microsecond=0)
    return {
        "version": 1,
        "id": f"replay-{secrets.token_hex(4)}",
        "title": title,
        # The database's clock may run a little behind this one.
        "opens": _time(now - timedelta(hours=1)),
        "closes": _time(now + timedelta(days=7)),
        "grace_seconds": 0,
        "contests": [ballots.contest(title)],
        "styles": ballots.styles(),
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _roster(ballots: Ballots) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["voter_id", "precinct"])
    for voter in range(len(ballots)):
        writer.writerow([ballots.voter_id(voter), ballots.precinct(voter)])
    return text.getvalue().encode()


def _settings(environment: Mapping[str, str]) -> Settings:
    known = {field.name for field in fields(Settings)}
    given = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(_PREFIX)
    }
    return Settings.load({f"votepyramid.{n}": given[n] for n in known & set(given)})
