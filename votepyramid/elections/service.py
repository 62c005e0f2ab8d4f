"""What the hot path asks of an election: what it is, and whether it takes votes.

Reads only. Making and moving elections is `ceremony.py`; `finishing.py` and
`unlinking.py` end them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, Row, bindparam, func, select

from votepyramid.db import reading
from votepyramid.elections.models import Election
from votepyramid.errors import Code, Refused
from votepyramid.protocol.encoding import NotCanonical, check_id
from votepyramid.protocol.manifest import ciphertext_length, parse_time

# A handful of elections at a time; a manifest with all its precincts is small.
_CACHED_MANIFESTS = 64


@dataclass(frozen=True)
class ElectionView:
    """One election as it stands. Times are aware UTC; `manifest_hash` is m.

    The time for votes is no longer than the manifest's, whatever the row says.
    `manifest` is shared by all views of the election in this process: read only.
    """

    id: str
    title: str
    status: str
    opens_at: datetime
    closes_at: datetime
    grace_seconds: int
    closed_at: datetime | None
    roster_version: int
    policy_hash: str
    authority: str
    manifest_hash: bytes
    signed_manifest: str = field(repr=False)
    manifest: dict[str, Any] = field(repr=False, compare=False)


_COLUMNS = (
    Election.id,
    Election.title,
    Election.status,
    Election.opens_at,
    Election.closes_at,
    Election.grace_seconds,
    Election.closed_at,
    Election.roster_version,
    Election.policy_hash,
    Election.authority,
    Election.manifest_hash,
    Election.signed_manifest,
)
_ONE = select(*_COLUMNS).where(Election.id == bindparam("election"))


def get(connection: Connection, election_id: str) -> ElectionView:
    """The election as it stands now. Raises Refused(ELECTION_UNKNOWN)."""
    try:
        check_id(election_id)
    except NotCanonical:
        # Also what the database could not even be asked, such as a NUL.
        raise Refused(Code.ELECTION_UNKNOWN) from None
    row = connection.execute(_ONE, {"election": election_id}).first()
    if row is None:
        raise Refused(Code.ELECTION_UNKNOWN)
    return _view(row)


@dataclass(frozen=True)
class FixedManifest:
    """What never changes of an election. `manifest_hash` is m, `longest_ballot` the
    bytes of its longest sealed ballot; `manifest` is shared: read only."""

    manifest: dict[str, Any] = field(repr=False)
    manifest_hash: bytes
    longest_ballot: int


class Manifests:
    """Manifests by election id, each read once per process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, FixedManifest] = {}

    def get(self, election_id: str) -> FixedManifest:
        """Raises Refused: ELECTION_UNKNOWN, and UNAVAILABLE when it cannot be read.

        Ids that nobody created are not remembered.
        """
        known = self._known.get(election_id)
        if known is None:
            with reading(self._engine) as connection:
                view = get(connection, election_id)
            manifest = view.manifest
            lengths = [ciphertext_length(manifest, s["id"]) for s in manifest["styles"]]
            known = FixedManifest(manifest, view.manifest_hash, max(lengths))
            self._known[election_id] = known
        return known


# From then on nothing is issued or recorded; the database sees to it as well.
OVER = frozenset({"finished", "unlinked"})


class Standing(Protocol):
    """What the windows look at: a view, or a row with these columns."""

    @property
    def status(self) -> str: ...
    @property
    def opens_at(self) -> datetime: ...
    @property
    def closes_at(self) -> datetime: ...
    @property
    def closed_at(self) -> datetime | None: ...
    @property
    def grace_seconds(self) -> int: ...


# For a row that is one, with the database's clock to judge it by. At the door only: a
# worker judges again by the view, which whoever writes the row cannot lengthen.
STANDING = (
    func.clock_timestamp().label("clock"),
    Election.status,
    Election.opens_at,
    Election.closes_at,
    Election.closed_at,
    Election.grace_seconds,
)


def ends_at(election: Standing) -> datetime:
    """When claims end: the announced time, or earlier when closed early."""
    return min(election.closes_at, election.closed_at or election.closes_at)


def grace_ends_at(election: Standing) -> datetime:
    """When the last ballot can arrive: the grace time is for casting only."""
    return ends_at(election) + timedelta(seconds=election.grace_seconds)


def claim_window(election: Standing, now: datetime) -> Code | None:
    """None when a claim that arrived at `now` is in time; else why not.

    By the database's clock and by arrival, as `cast_window`: a claim that was under
    way when the election was closed early is still in time.
    """
    if election.status == "created" or now < election.opens_at:
        return Code.ELECTION_NOT_OPEN
    if election.status in OVER or now >= ends_at(election):
        return Code.ELECTION_CLOSED
    return None


def cast_window(election: Standing, at: datetime) -> Code | None:
    """None when a ballot that arrived at `at` is in time; else why not.

    `at` is the arrival by the database's clock, so the answer stays the same
    however late it is asked, also after the election was closed.
    """
    if election.status == "created" or at < election.opens_at:
        return Code.ELECTION_NOT_OPEN
    if election.status in OVER or at >= grace_ends_at(election):
        return Code.ELECTION_CLOSED
    return None


def style_precincts(view: ElectionView, style: str | None) -> frozenset[str] | None:
    """The precincts whose voters get this style; None when there is no such style."""
    return _tables(view)[0].get(style or "")


def precinct_style(view: ElectionView, precinct: str) -> str | None:
    """The ballot style of a precinct, or None."""
    return _tables(view)[1].get(precinct)


def describe(view: ElectionView) -> dict[str, Any]:
    """What anyone may know of an election, as plain JSON values."""
    return {
        "id": view.id,
        "title": view.title,
        "status": view.status,
        "opens": f"{view.opens_at:%Y-%m-%dT%H:%M:%SZ}",
        "closes": f"{ends_at(view):%Y-%m-%dT%H:%M:%SZ}",
        "grace_seconds": view.grace_seconds,
        "manifest_hash": view.manifest_hash.hex(),
    }


_Tables = tuple[dict[str, frozenset[str]], dict[str, str]]


class _Signed(NamedTuple):
    """What was signed of an election: its manifest; styles by id and by precinct; when
    votes are taken."""

    manifest: dict[str, Any]
    tables: _Tables
    opens: datetime
    closes: datetime
    grace_seconds: int


def _tables(view: ElectionView) -> _Tables:
    return _read_signed(view.manifest_hash, view.signed_manifest).tables


def _view(row: Row[Any]) -> ElectionView:
    signed = _read_signed(row.manifest_hash, row.signed_manifest)
    view = ElectionView(**row._mapping, manifest=signed.manifest)
    # The columns repeat the manifest. Nobody's update of them makes the vote longer;
    # one that makes it shorter turns voters away, which they see.
    return replace(
        view,
        opens_at=max(view.opens_at, signed.opens),
        closes_at=min(view.closes_at, signed.closes),
        grace_seconds=min(view.grace_seconds, signed.grace_seconds),
    )


@lru_cache(maxsize=_CACHED_MANIFESTS)
def _read_signed(_hash: bytes, signed: str) -> _Signed:
    """Parsed once per process. Raises ValueError for what no authority signs."""
    manifest = json.loads(signed)["manifest"]
    styles = {s["id"]: frozenset(s["precincts"]) for s in manifest["styles"]}
    by_precinct = {p: s["id"] for s in manifest["styles"] for p in s["precincts"]}
    opens, closes = parse_time(manifest["opens"]), parse_time(manifest["closes"])
    if opens is None or closes is None:
        raise ValueError("the manifest does not say when votes are taken")
    tables, grace = (styles, by_precinct), manifest["grace_seconds"]
    return _Signed(manifest, tables, opens, closes, grace)
