"""An election's way from a draft to the ballot box's closing, in the order it is done.

    prepare   the engine makes its own keys for the election and names them
    (sign)    the authority signs the manifest, away from the engine
    create    the engine takes the signed manifest in
    open, close

Each step is one transaction with its audit event, run as the owner role: the
application role cannot change an election. `finishing.py` and `unlinking.py` follow.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Container, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, text, update

from votepyramid.audit import service as audit
from votepyramid.audit.models import AuditEvent
from votepyramid.elections import counting, service
from votepyramid.elections import manifest as manifests
from votepyramid.elections.manifest import ManifestInvalid, ManifestProblem
from votepyramid.elections.models import Election
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility import policy
from votepyramid.eligibility.models import RosterVersion
from votepyramid.keys.models import WrappedKey
from votepyramid.keys.service import BALLOT_BOX, ElectionKeys
from votepyramid.protocol import manifest as protocol
from votepyramid.protocol.identifiers import ISSUANCE_KEY_LENGTH, manifest_hash
from votepyramid.protocol.notes import SigningKey, VerifierKey
from votepyramid.tokens.models import VoteToken
from votepyramid.votes.models import VoteSubmission

DEFAULT_RATE = {
    "claims_per_voter_per_minute": 120,
    # The same bytes again after each Retry-After. Every cast of a token, also of one
    # that is used up, makes a history that Temporal keeps for weeks.
    "casts_per_token_per_minute": 30,
    "rejected_ballots_per_token": 5,
}


class CeremonyError(Exception):
    """A step cannot be done now; the message says why and what to do instead."""


def complete(draft: dict[str, Any]) -> dict[str, Any]:
    """The draft with the default policy, rates and origin where it has none."""
    election = draft.get("id")
    defaults: dict[str, dict[str, Any]] = {
        "eligibility": {
            "policy": policy.default_policy(),
            "attributes": {},
            "late_changes": "recheck",
        },
        "rate": DEFAULT_RATE,
        "receipts": {"origin": f"votepyramid.example/{election}"},
    }
    made = dict(draft)
    for name, values in defaults.items():
        given = made.get(name, {})
        made[name] = {**values, **given} if isinstance(given, dict) else given
    return made


def prepare(
    engine: Engine, keys: ElectionKeys, draft: dict[str, Any]
) -> dict[str, Any]:
    """The manifest to sign: the draft, completed, with the ballot box key.

    Makes the election's issuance and ballot box keys and stores them wrapped. Done
    again it names the same keys, so a corrected draft can be prepared anew.

    Raises ManifestInvalid, and CeremonyError when the election exists already.
    """
    manifest = complete(draft)
    manifests.require(manifest, draft=True)
    election, origin = manifest["id"], manifest["receipts"]["origin"]
    with engine.begin() as connection:
        # Two preparing at once would each make keys; the second waits instead.
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(election))))
        if _exists(connection, election):
            raise CeremonyError(
                f"election {election!r} exists: its manifest is signed and fixed; "
                "take another id"
            )
        public = _public_keys(connection, election)
        fresh = BALLOT_BOX not in public
        if not fresh:
            _check_origin(public[BALLOT_BOX], election, origin)
        public |= _make_keys(connection, keys, election, origin, public)
        if fresh:
            audit.append(connection, election, [audit.Event("election_prepared")])
    box = public[BALLOT_BOX]
    manifest["receipts"] = {"origin": origin, "key": box}
    manifest["signers"] = {name: public[_purpose(name)] for name in protocol.SIGNERS}
    manifests.require(manifest)
    return manifest


def create(engine: Engine, signed: Any, authority: str) -> ElectionView:
    """Take a signed manifest in. `authority` is the signer's verifier key text.

    Raises ManifestInvalid with all that `problems` finds.
    """
    with engine.begin() as connection:
        if found := problems(connection, signed, authority):
            raise ManifestInvalid(found)
        manifest = signed["manifest"]
        election, m = manifest["id"], manifest_hash(manifest)
        rules = policy.load(manifest["eligibility"])
        connection.execute(
            insert(Election).values(
                id=election,
                title=manifest["title"],
                signed_manifest=protocol.dump_signed(signed).decode(),
                manifest_hash=m,
                authority=authority,
                policy_hash=rules.hash,
                opens_at=protocol.parse_time(manifest["opens"]),
                closes_at=protocol.parse_time(manifest["closes"]),
                grace_seconds=manifest["grace_seconds"],
            )
        )
        detail = {"manifest_hash": m.hex(), "policy_hash": rules.hash}
        event = audit.Event("election_created", detail=detail)
        audit.append(connection, election, [event])
        return service.get(connection, election)


def problems(
    connection: Connection, signed: Any, authority: str
) -> list[ManifestProblem]:
    """All that stands against taking a signed manifest in, as far as it can be read.

    Its sense, the authority's signature, and whether it was prepared here and is new.
    Until the transaction ends nobody else takes the same election in.
    """
    found = set()
    try:
        protocol.open_manifest(signed, authority)
    except protocol.ManifestError as error:
        found.add(ManifestProblem(error.path, error.problem))
    manifest = signed.get("manifest", signed) if isinstance(signed, dict) else None
    if isinstance(manifest, dict):
        # What the protocol names first is among these, in other words.
        found = {one for one in found if one.path in ("", "note")}
        found.update(manifests.check(manifest))
        found.update(_not_of_here(connection, manifest))
    return sorted(found)


def _not_of_here(
    connection: Connection, manifest: dict[str, Any]
) -> Iterator[ManifestProblem]:
    election = str(manifest.get("id"))
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(election))))
    if _exists(connection, election):
        yield ManifestProblem("id", f"election {election!r} exists already")
        return
    try:
        named = {BALLOT_BOX: manifest["receipts"]["key"]}
        named |= {_purpose(n): text for n, text in manifest["signers"].items()}
    except (KeyError, TypeError, AttributeError):
        named = {}
    if _public_keys(connection, election) != named:
        yield ManifestProblem(
            "signers",
            "the keys of receipts and signers are not those of this engine: run "
            "`election prepare` here, then sign what it wrote",
        )


def open_election(engine: Engine, election: str) -> ElectionView:
    """Let the election take claims and ballots from its opening time on.

    Raises CeremonyError without a roster, and after the election was over.
    """
    with changing(engine, election) as (connection, view, now):
        if view.status != "created":
            raise CeremonyError(f"election {election!r} is {view.status} already")
        if view.roster_version == 0:
            raise CeremonyError(
                f"election {election!r} has no roster: `roster import` one first"
            )
        if now >= view.closes_at:
            raise CeremonyError(f"election {election!r} ended at {view.closes_at}")
        _move(connection, election, "election_opened", status="open", opened_at=now)
        return service.get(connection, election)


def close(engine: Engine, election: str, *, early: bool = False) -> ElectionView:
    """End the election for good; ballots are still taken for the grace time.

    Raises CeremonyError before the announced time unless `early`.
    """
    with changing(engine, election) as (connection, view, now):
        if view.status != "open":
            raise CeremonyError(f"election {election!r} is {view.status}, not open")
        if now < view.closes_at and not early:
            raise CeremonyError(
                f"election {election!r} was announced to close at "
                f"{view.closes_at:%Y-%m-%dT%H:%M:%SZ}: wait, or close it early with "
                "--early"
            )
        shut(connection, election, now)
        return service.get(connection, election)


def shut(connection: Connection, election: str, now: datetime) -> None:
    """Close an open election whose row is held, in the caller's transaction."""
    _move(connection, election, "election_closed", status="closed", closed_at=now)


def show(connection: Connection, election: str) -> dict[str, Any]:
    """Where the election stands, with its counts, as plain JSON values.

    `voters` are those of the newest roster; `eligible`, `tokens_issued`, `tokens_used`
    and `votes_accepted` are `counting.Counts`. As the owner role: the application role
    cannot read the audit log back.
    """
    view = service.get(connection, election)
    voters = connection.scalar(
        select(RosterVersion.voters).where(
            RosterVersion.election == election,
            RosterVersion.version == view.roster_version,
        )
    )

    def rows(table: type[Any], *conditions: Any) -> int:
        query = select(func.count()).select_from(table)
        return (
            connection.scalar(query.where(table.election == election, *conditions)) or 0
        )

    counted = counting.count(connection, election)
    return {
        **service.describe(view),
        "authority": view.authority,
        "policy_hash": view.policy_hash,
        "roster_version": view.roster_version,
        "voters": voters or 0,
        "eligible": counted.eligible,
        "tokens_issued": counted.tokens,
        "tokens_used": counted.used,
        "tokens_revoked": rows(VoteToken, VoteToken.revoked_at.is_not(None)),
        "votes_accepted": counted.votes,
        "votes_rejected": rows(VoteSubmission, VoteSubmission.status == "rejected"),
        "audit_events": rows(AuditEvent),
        "issuance_key": _issuance_key_state(connection, election),
    }


@contextmanager
def changing(
    engine: Engine, election: str, *, exclusive: str = ""
) -> Iterator[tuple[Connection, ElectionView, datetime]]:
    """A transaction that holds the election's row, the election, and the clock.

    `exclusive` waits for every transaction that issues or records in the election, at
    most so long, and holds up those to come. Raises Refused(ELECTION_UNKNOWN).
    """
    with engine.begin() as connection:
        service.get(connection, election)
        held = select(Election.id).where(Election.id == election)
        if exclusive:
            connection.execute(text(f"SET LOCAL lock_timeout = '{exclusive}'"))
        # Else not the full lock: foreign keys of tokens and votes share the row's key,
        # and a long import must not make voters wait.
        connection.execute(held.with_for_update(key_share=not exclusive))
        now = connection.execute(select(func.clock_timestamp())).scalar_one()
        yield connection, service.get(connection, election), now


def _move(connection: Connection, election: str, event: str, **values: Any) -> None:
    connection.execute(update(Election).where(Election.id == election).values(values))
    audit.append(connection, election, [audit.Event(event)])


def _check_origin(box: str, election: str, origin: str) -> None:
    if VerifierKey.parse(box).name != origin:
        raise CeremonyError(
            f"election {election!r} was prepared for origin "
            f"{VerifierKey.parse(box).name!r}: keep it, or take another id"
        )


def _make_keys(
    connection: Connection,
    keys: ElectionKeys,
    election: str,
    origin: str,
    made: Container[str],
) -> dict[str, str]:
    """Store fresh keys where none are `made`; verifier texts by purpose.

    Some are there when the draft was prepared by code that made fewer signers.
    """
    if BALLOT_BOX not in made:
        issuance = secrets.token_bytes(ISSUANCE_KEY_LENGTH)
        keys.store(connection, election, "issuance", uuid.uuid4(), issuance)
    names = {BALLOT_BOX: origin}
    names |= {_purpose(n): protocol.signer_name(origin, n) for n in protocol.SIGNERS}
    public = {}
    for purpose, name in names.items():
        if purpose in made:
            continue
        signer = SigningKey.generate(name)
        public[purpose] = signer.verifier.text()
        keys.store(
            connection, election, purpose, uuid.uuid4(), signer.seed, public[purpose]
        )
    return public


def _purpose(signer: str) -> str:
    """The purpose in `wrapped_keys` of a manifest's signer."""
    return signer.replace("_", "-")


def _exists(connection: Connection, election: str) -> bool:
    query = select(Election.id).where(Election.id == election)
    return connection.scalar(query) is not None


def _public_keys(connection: Connection, election: str) -> dict[str, str]:
    """Verifier texts by purpose."""
    rows = connection.execute(
        select(WrappedKey.purpose, WrappedKey.public).where(
            WrappedKey.election == election, WrappedKey.public.is_not(None)
        )
    )
    return {row.purpose: row.public for row in rows}


def _issuance_key_state(connection: Connection, election: str) -> str:
    row = connection.execute(
        select(WrappedKey.wrapped.is_(None).label("destroyed")).where(
            WrappedKey.election == election, WrappedKey.purpose == "issuance"
        )
    ).first()
    return "missing" if row is None else "destroyed" if row.destroyed else "present"
