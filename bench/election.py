"""The election that is voted in: one contest the size of a real mayoral race.

Everything before the clock: keys, manifest, roster, and a token for every voter,
each by the engine's own services. Only the doors are left out: tokens are issued in
large groups in this process, not claimed through HTTP.
"""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, text

from votepyramid.db import make_engine
from votepyramid.elections import ceremony
from votepyramid.elections import service as elections
from votepyramid.eligibility import roster
from votepyramid.eligibility.models import Voter
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol import manifest as protocol
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import key_id
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.suites import XWING
from votepyramid.tokens import service as tokens
from workflows.messages import Claim

ID = "bench"
STYLE = "w9"
CHOICES = 17
RANKS = 3
PLAINTEXT_LENGTH = 512
_GROUP = 1000
_ROWS_PER_DATA_KEY = 100_000


@dataclass(frozen=True)
class Prepared:
    """Two files for the load generators: the signed manifest, 16 bytes a bearer."""

    manifest: Path
    bearers: Path
    voters: int


def prepare(
    owner_url: str,
    kek_file: str,
    folder: Path,
    voters: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Prepared:
    """Make the election, open it and issue `voters` tokens."""
    engine = make_engine(owner_url, pool_size=4, statement_timeout_ms=120_000)
    try:
        keys = ElectionKeys(LocalKeyFile(kek_file), engine, _ROWS_PER_DATA_KEY)
        authority = SigningKey.generate("authority.example")
        signed = protocol.sign_manifest(
            ceremony.prepare(engine, keys, _draft()), authority
        )
        ceremony.create(engine, signed, authority.verifier.text())
        lines = [f"voter-{number},P-01\n" for number in range(voters)]
        file = io.BytesIO(("voter_id,precinct\n" + "".join(lines)).encode())
        roster.import_roster(engine, ID, file)
        ceremony.open_election(engine, ID)
        bearers = _issue(engine, keys, progress)
        with engine.connect() as connection:
            autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
            autocommit.execute(text("VACUUM ANALYZE"))
    finally:
        engine.dispose()
    made = Prepared(folder / "manifest.json", folder / "bearers", len(bearers))
    _write(made.manifest, json.dumps(signed).encode())
    _write(made.bearers, b"".join(bearer.bytes for bearer in bearers))
    return made


def _draft() -> dict[str, Any]:
    pair = XWING.generate_private_key()
    now = datetime.now(UTC).replace(microsecond=0)
    choices = [{"id": f"c{n}", "name": f"Choice {n}"} for n in range(1, CHOICES + 1)]
    return {
        "version": 1,
        "id": ID,
        "title": "Bench",
        "opens": f"{now - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}",
        "closes": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "grace_seconds": 60,
        "contests": [
            {"id": "mayor", "title": "Mayor", "ranks": RANKS, "choices": choices}
        ],
        "styles": [
            {
                "id": STYLE,
                "contests": ["mayor"],
                "precincts": ["P-01"],
                "plaintext_length": PLAINTEXT_LENGTH,
            }
        ],
        "suite": XWING.id,
        "public_key": b64u(pair.public),
        "key_id": key_id(XWING.id, pair.public).hex(),
    }


def _issue(
    engine: Engine, keys: ElectionKeys, progress: Callable[[int], None]
) -> list[uuid.UUID]:
    with engine.connect() as connection:
        election = elections.get(connection, ID)
        query = select(Voter.ref, Voter.voter_id).where(Voter.election == ID)
        voters = connection.execute(query).all()
    arrived = datetime.now(UTC).isoformat()
    bearers: list[uuid.UUID] = []
    for start in range(0, len(voters), _GROUP):
        group = voters[start : start + _GROUP]
        names = [tokens.pseudonym(keys, ID, voter.voter_id) for voter in group]
        claims = [
            Claim(
                voter.ref.hex,
                str(voter.ref),
                b64u(name),
                None,
                arrived,
            )
            for voter, name in zip(group, names, strict=True)
        ]
        with engine.connect() as connection:
            verdicts = tokens.check_claims(connection, election, claims)
        outcomes = tokens.issue(
            engine, keys, election, f"bench/{start}", claims, verdicts
        )
        refused = [outcome for outcome in outcomes if outcome.code is not None]
        if refused:
            raise RuntimeError(f"a token was refused: {refused[0]}")
        m = election.manifest_hash
        bearers += [tokens.bearer(keys, ID, m, v.voter_id, 0) for v in group]
        progress(len(bearers))
    return bearers


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
