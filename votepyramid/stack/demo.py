"""The demo election, and one ballot in it, cast through HTTP the way a voter does."""

from __future__ import annotations

import io
import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from votepyramid.client import files
from votepyramid.client.errors import ClientError
from votepyramid.client.policy import RetryPolicy
from votepyramid.client.sdk import VotingClient
from votepyramid.client.voting import Session
from votepyramid.db import make_engine
from votepyramid.elections import ceremony, service
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility import roster
from votepyramid.eligibility.dev_issuer import DevIssuer
from votepyramid.errors import Code, Refused
from votepyramid.keys import providers
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import key_id
from votepyramid.protocol.manifest import sign_manifest
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.suites import XWING
from votepyramid.settings import Settings

ELECTION = "demo"
VOTERS = [f"demo-{number}" for number in range(1, 101)]
CHOICES = {"library": [["mill"], ["market"], []], "hours": [["yes"]]}
_PATIENCE_SECONDS = 30.0
_OPEN_DAYS = 365


@dataclass(frozen=True)
class DemoBallot:
    """What became of the demo ballot. `authority` is the election's verifier key."""

    receipt_hash: str
    file: Path
    authority: str
    cast_now: bool


def load(settings: Settings) -> ElectionView:
    """The demo election, open; made where it is not there yet, step by step.

    Needs the owner's database URL and the key file. A start cut short between two
    steps is taken up by the next one.
    """
    engine = make_engine(settings.require("owner_database_url"), pool_size=2)
    try:
        view = _get(engine) or _create(engine, settings)
        if view.status == "created":
            if view.roster_version == 0:
                roster.import_roster(engine, ELECTION, io.BytesIO(_roster()))
            view = ceremony.open_election(engine, ELECTION)
        return view
    finally:
        engine.dispose()


def cast(settings: Settings, url: str, view: ElectionView, file: Path) -> DemoBallot:
    """Cast the demo ballot, or find the one that was cast before; verified.

    `file` keeps ballot and receipt. Raises ClientError.
    """
    cast_now = not file.exists()
    session = Session(
        url=url,
        election=ELECTION,
        authority=view.authority,
        manifest_hash=None,
        style=None,
        allow_http=False,
        out=file,
        policy=RetryPolicy(deadline=_PATIENCE_SECONDS),
        jwt=lambda: DevIssuer.of(settings).token(VOTERS[0]),
        choices=lambda: json.dumps(CHOICES).encode(),
        say=lambda text: None,
        prompt=lambda text, highest: 0,
        confirm=lambda text: True,
        on_wait=lambda pause: None,
    )
    receipt = session.run()
    if not cast_now:
        _ask_again(url, view, file)
    return DemoBallot(receipt.receipt_hash, file, view.authority, cast_now)


def _ask_again(url: str, view: ElectionView, file: Path) -> None:
    """The server must still hold the very receipt that the file holds."""
    saved = files.load(file)
    with VotingClient(url, ELECTION, authority_vkey=view.authority) as client:
        if client.receipt(saved.ballot).answer != saved.answer:
            raise ClientError("the server's receipt is not the one it gave before")


def _get(engine: Engine) -> ElectionView | None:
    with engine.connect() as connection:
        try:
            return service.get(connection, ELECTION)
        except Refused as refused:
            if refused.code != Code.ELECTION_UNKNOWN:
                raise
            return None


def _create(engine: Engine, settings: Settings) -> ElectionView:
    provider = providers.make(settings)
    with closing(ElectionKeys(provider, engine, settings.data_key_rows)) as keys:
        manifest = ceremony.prepare(engine, keys, _draft())
    authority = SigningKey.generate("demo-authority")
    signed = sign_manifest(manifest, authority)
    return ceremony.create(engine, signed, authority.verifier.text())


def _draft() -> dict[str, Any]:
    """The demo's manifest without what the engine adds.

    The trustees' private key is forgotten here: it must not lie in the engine's
    folder, and nobody counts this election. `make demo` opens ballots.
    """
    public = XWING.generate_private_key().public
    now = datetime.now(UTC).replace(microsecond=0)
    opens, closes = now - timedelta(minutes=1), now + timedelta(days=_OPEN_DAYS)
    places = {"market": "Market Square", "mill": "Old Mill", "station": "Station"}
    return {
        "version": 1,
        "id": ELECTION,
        "title": "Demo: a new town library",
        "opens": f"{opens:%Y-%m-%dT%H:%M:%SZ}",
        "closes": f"{closes:%Y-%m-%dT%H:%M:%SZ}",
        "grace_seconds": 300,
        "contests": [
            _contest("library", "Where shall the library go?", 3, places),
            _contest("hours", "Open on Sundays?", 1, {"yes": "Yes", "no": "No"}),
        ],
        "styles": [
            {
                "id": "town",
                "contests": ["library", "hours"],
                "precincts": ["P-1"],
                "plaintext_length": 256,
            }
        ],
        "suite": XWING.id,
        "public_key": b64u(public),
        "key_id": key_id(XWING.id, public).hex(),
    }


def _contest(
    name: str, title: str, ranks: int, choices: dict[str, str]
) -> dict[str, Any]:
    listed = [{"id": choice, "name": text} for choice, text in choices.items()]
    return {"id": name, "title": title, "ranks": ranks, "choices": listed}


def _roster() -> bytes:
    lines = ["voter_id,precinct", *(f"{voter},P-1" for voter in VOTERS)]
    return "\n".join([*lines, ""]).encode()
