"""Who never had a token has it in writing, and only they can show whose it is."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from tests.support import sequencing
from tests.support.elections import Listed, MadeElection
from tests.support.engines import Engine
from tests.support.scanning import database_texts, where
from tests.support.voting import Door, assert_problem, at_once
from votepyramid.elections.unlinking import unlink
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.statements import (
    NoneIssued,
    StatementError,
    open_none_issued,
)
from votepyramid.tokens.service import pseudonym

VOTERS = ["had-one", "revoked-one", "never-one", "never-two"]


@pytest.fixture
def election(engine: Engine, request: pytest.FixtureRequest) -> MadeElection:
    """One of the test's own: two voters with a token, two without."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60]
    made = engine.make_election(id=name, voters=[Listed(v) for v in VOTERS])
    door = engine.doors(made)[0]
    for voter in VOTERS[:2]:
        door.token(voter)
    with made.sql() as db:
        db.execute(
            "UPDATE vote_tokens t SET revoked_at = now() FROM voters v "
            "WHERE v.ref = t.user AND v.voter_id = 'revoked-one' AND v.election = %s",
            (made.id,),
        )
    return made


@pytest.fixture
def sequence(engine: Engine, election: MadeElection) -> Callable[[], None]:
    """Run by hand; for all of these tests in one folder."""
    return lambda: sequencing.once(election, engine.folder / "checkpoints")


@pytest.fixture
def finished(election: MadeElection, sequence: Callable[[], None]) -> MadeElection:
    election.close()
    election.pass_grace()
    election.finish(sequence)
    return election


def ask(door: Door, voter: str) -> httpx2.Response:
    return door.http.post(
        door.path("tokens/none-issued/"),
        json={},
        headers={"Authorization": f"Bearer {door.election.jwt(voter)}"},
    )


def stated(door: Door, voter: str) -> tuple[NoneIssued, bytes]:
    """What a voter was told, read with the pinned manifest."""
    answer = ask(door, voter)
    assert answer.status_code == 200, answer.text
    assert "no-store" in answer.headers["Cache-Control"]
    told, made = answer.json(), door.election
    key = manifests.signer(made.manifest, "statements")
    origin = made.manifest["receipts"]["origin"]
    note = open_none_issued(told["statement"], origin, made.m, key)
    return note, bytes.fromhex(told["nonce"])


def events(election: MadeElection) -> int:
    return election.counts().events.get("none_issued", 0)


def test_from_the_end_to_the_unlinking(
    doors: list[Door], election: MadeElection, sequence: Callable[[], None]
) -> None:
    door = doors[0]
    assert_problem(ask(door, "never-one"), 404, "election_not_finished")
    election.close()
    assert_problem(ask(door, "never-one"), 404, "election_not_finished")
    election.pass_grace()
    election.finish(sequence)
    note, nonce = stated(door, "never-one")
    note.check_holder(election.id, nonce, "never-one")
    for voter in ("had-one", "revoked-one"):
        assert_problem(ask(door, voter), 409, "token_issued")
    unlink(election.engine, election.id, dispute_days=0, without_export=True)
    assert_problem(ask(door, "never-one"), 403, "election_closed")
    assert events(election) == 1


def test_only_its_holder_can_show_whose_it_is(
    doors: list[Door], finished: MadeElection
) -> None:
    election = finished
    (one, nonce), (two, other) = (
        stated(doors[0], voter) for voter in ("never-one", "never-two")
    )
    assert one != two and nonce != other
    for note, given, voter in (
        (one, nonce, "never-two"),
        (one, other, "never-one"),
        (two, nonce, "never-two"),
    ):
        with pytest.raises(StatementError):
            note.check_holder(election.id, given, voter)
    # The nonce is nowhere kept, nor the voter in the event.
    texts = list(database_texts(election.database.owner_url))
    assert where(nonce, texts) == where(nonce.hex(), texts) == set()
    subject = election.count(
        "SELECT subject FROM audit_events WHERE kind = 'none_issued' "
        "AND election = %s ORDER BY id LIMIT 1",
        election.id,
    )
    assert subject == b64u(pseudonym(election.keys, election.id, "never-one"))


def test_asking_often_gives_the_same_and_leaves_one_event(
    doors: list[Door], finished: MadeElection
) -> None:
    election = finished
    asked = [doors[n % len(doors)] for n in range(12)]
    answers = at_once(lambda door: ask(door, "never-one"), asked)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert events(election) == 1


def test_whoever_signs_in_is_told(doors: list[Door], finished: MadeElection) -> None:
    """On no roster: no token was issued to that voter id either."""
    election = finished
    note, nonce = stated(doors[0], "nobody-at-all")
    note.check_holder(election.id, nonce, "nobody-at-all")
    assert events(election) == 1
    assert ask(doors[0], "never-one").content != ask(doors[0], "never-two").content
