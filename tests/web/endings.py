"""A finished election, as the API's document has it."""

from __future__ import annotations

import json

import httpx2

from tests.support.elections import MadeElection
from tests.support.sequencing import log
from tests.support.voting import Door
from tests.web.conftest import Site
from tests.web.document import Ledger
from votepyramid.elections.unlinking import unlink
from votepyramid.protocol.identifiers import token_tag

JSON = {"Content-Type": "application/json"}


def end_an_election(ledger: Ledger, site: Site, blind: str, casting: str) -> None:
    """Every answer about a finished election; at `blind` the database is away, and
    `casting` has no door for claims."""
    election = site.engine.make_election(id="ending", voters=4)
    door = Door(site.url, election)
    ballot = door.ballot("v0")
    unused = token_tag(election.id, election.m, door.token("v1")).hex()
    used = token_tag(election.id, election.m, ballot.bearer).hex()
    assert door.cast(ballot).status_code == 200
    for election_id in ("nobodys", "ending"):
        _ask(ledger, site.url, door, unused, election_id)
    _finish(site, election)
    _ask(ledger, site.url, door, unused, "ending")
    _ask(ledger, blind, door, unused, "ending")
    for tag in (used, "not-a-hash"):
        answer = httpx2.get(site.url + door.path(f"absence/{tag}"))
        ledger.check("getAbsence", answer)
    path = door.path("statement/closing").replace("ending", "%ff")
    ledger.check("getClosingStatement", httpx2.get(site.url + path))
    _refuse(ledger, door)
    ledger.check("stateNoneIssued", state(Door(casting, election), "v3"))
    _limited(ledger, site)
    unlink(election.engine, election.id, dispute_days=0, without_export=True)
    ledger.check("stateNoneIssued", state(door, "v3"))


def state(
    door: Door, voter: str, body: bytes = b"{}", **headers: str
) -> httpx2.Response:
    """Ask for the statement that no token was issued."""
    signed_in = {"Authorization": f"Bearer {door.election.jwt(voter)}"}
    return door.http.post(
        door.path("tokens/none-issued/"),
        content=body,
        headers={**JSON, **signed_in, **headers},
    )


def _finish(site: Site, election: MadeElection) -> None:
    def sequence() -> None:
        done = log(site.engine, site.checkpoints, "sequence", "--once")
        assert done.returncode == 0, done.stderr

    sequence()
    election.close()
    election.pass_grace()
    election.finish(sequence)


def _ask(ledger: Ledger, url: str, door: Door, tag: str, election: str) -> None:
    for operation, rest in (
        ("getClosingStatement", "statement/closing"),
        ("getAbsence", f"absence/{tag}"),
    ):
        ledger.check(operation, httpx2.get(url + door.path(rest, election)))
    jwt = {"Authorization": f"Bearer {door.election.jwt('v2')}"}
    answer = httpx2.post(
        url + door.path("tokens/none-issued/", election), json={}, headers=jwt
    )
    ledger.check("stateNoneIssued", answer)


def _refuse(ledger: Ledger, door: Door) -> None:
    for answer in (
        state(door, "v0"),
        state(door, "v3", b"[]"),
        state(door, "v3", json.dumps({"x": "y" * 5000}).encode()),
        state(door, "v3", **{"Content-Type": "text/plain"}),
        state(door, "v3", Authorization="Bearer x"),
    ):
        assert answer.status_code >= 400
        ledger.check("stateNoneIssued", answer)


def _limited(ledger: Ledger, site: Site) -> None:
    slow = site.engine.make_election(
        id="rated-ending", rate={"claims_per_voter_per_minute": 1}
    )
    door = Door(site.url, slow)
    answers = [state(door, "v0") for _ in range(3)]
    limited = [answer for answer in answers if answer.status_code == 429]
    ledger.check("stateNoneIssued", limited[0])
