"""Secrets and links in all that leaves the engine's memory.

One engine goes through every kind of refusal and some faults. Then everything that
Temporal, the logs, the metrics and the audit log hold is read, sealed and opened.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx2
import pytest

from tests.support import databases, histories
from tests.support.elections import CHOICES, Listed, MadeElection
from tests.support.engines import Engine, running
from tests.support.faults import Console, poisoned
from tests.support.processes import eventually
from tests.support.scanning import database_texts, identifiers, spellings, where
from tests.support.voting import OTHER_SELECTIONS, SELECTIONS, Ballot, Door
from votepyramid.protocol.identifiers import token_id
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

NAMESPACE = "alone-1"
GOOD = [f"citizen-ohm-{number}" for number in range(6)]
BANNED, KID, STRANGER = "citizen-banned", "citizen-kid", "citizen-stranger"
VOTERS = [*GOOD, BANNED, KID, STRANGER]


@dataclass
class Scene:
    """What was done, and all the text it left behind, by name."""

    engine: Engine
    election: MadeElection
    console: Console
    ballots: list[Ballot] = field(default_factory=list)
    jwts: list[str] = field(default_factory=list)
    answers: list[httpx2.Response] = field(default_factory=list)

    def texts(self) -> Iterator[tuple[str, str]]:
        """All but the database's tables of rosters and tokens."""
        yield from self.workflow_texts("claim")
        yield from self.workflow_texts("vote")
        for program in (*self.engine.webs, *self.engine.workers):
            yield f"log of {program.name}", program.log_text()
        web = self.engine.web.url
        yield "metrics", httpx2.get(f"{web}/metrics").text
        yield "health", httpx2.get(f"{web}/health/ready").text
        for name, text in database_texts(self.election.database.owner_url):
            if name in ("table audit_events", "table vote_groups"):
                yield name, text

    def workflow_texts(self, kind: str) -> Iterator[tuple[str, str]]:
        """Histories and descriptions of one kind of work, raw and opened."""
        found = histories.executions(self.console)
        ours = [one for one in found if kind in one.workflow_type]
        return histories.texts_of(self.console, ours)


@pytest.fixture(scope="module")
def scene(
    postgres: EmbeddedPostgres,
    template: str,
    temporal: DevServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("leaks")
    with (
        databases.fresh(postgres, template) as database,
        running(database, temporal, folder, temporal_namespace=NAMESPACE) as engine,
    ):
        roster = [Listed(name) for name in GOOD]
        roster += [Listed(BANNED, suspended=True), Listed(KID, age=15)]
        election = engine.make_election(voters=roster)
        scene = Scene(engine, election, Console(engine.env))
        door = engine.doors(election)[0]
        _claims(scene, door)
        _casts(scene, door)
        with poisoned(
            election,
            "vote_submissions",
            "receipt_hash",
            scene.ballots[4].receipt_hash,
            says="NEW",
        ) as mend:
            _fault(scene, door)
            yield scene
            mend()


def _claims(scene: Scene, door: Door) -> None:
    scene.jwts = [scene.election.jwt(voter) for voter in VOTERS]
    for jwt in scene.jwts:
        for body in ({}, {"style": "north"}, {"style": "south"}, {"style": jwt[:40]}):
            scene.answers.append(
                door.http.post(
                    door.path("tokens/claim/"),
                    json=body,
                    headers={"Authorization": f"Bearer {jwt}"},
                )
            )
    for wrong in (scene.jwts[0] + "x", scene.jwts[0].upper()):
        headers = {"Authorization": f"Bearer {wrong}"}
        scene.answers.append(
            door.http.post(door.path("tokens/claim/"), json={}, headers=headers)
        )
    scene.ballots = [door.ballot(voter) for voter in GOOD]


def _casts(scene: Scene, door: Door) -> None:
    first, second, third, *_ = scene.ballots
    text = str(third.bearer)
    scene.answers += [
        door.cast(first),
        door.cast(first),
        door.cast(door.seal(first.bearer, OTHER_SELECTIONS)),
        door.cast(first, token=str(second.bearer)),
        door.cast(second),
        *(
            door.cast(third, **{name: value})
            for name, value in {
                "manifest_hash": "0" * 64,
                "style": "south",
                "suite": "rot13",
                "key_id": "1" * 64,
                "payload": "AAAA",
                "token": text.upper(),
                "bearer": text,
                text: text,
            }.items()
        ),
        door.seal(uuid.uuid4()) and door.cast(door.seal(uuid.uuid4())),
        # A bearer where none belongs.
        door.receipt(text),
        door.post(third.body(), election=text),
        door.http.get(f"/{text}"),
        door.http.get(door.path("vote/"), params={"token": text}),
        door.http.post(
            door.path("vote/"),
            json=third.body(),
            headers={"Authorization": f"Bearer {scene.jwts[2]}", "Cookie": text},
        ),
    ]
    roster = [Listed(name) for name in GOOD[:3] + GOOD[4:]]
    scene.election.import_roster(roster)
    scene.answers.append(door.cast(scene.ballots[3]))


def _fault(scene: Scene, door: Door) -> None:
    """A row that the database refuses quoting it whole, and connections that end."""
    poison, last = scene.ballots[4], scene.ballots[5]
    scene.answers.append(door.cast(poison))
    child = f"vote/{poison.receipt_hash}"
    assert eventually(lambda: scene.console.needing_attention() == [child], 20)
    with scene.election.sql() as db:
        db.execute("ALTER TABLE vote_tokens RENAME TO away")
        scene.answers.append(door.cast(last))
        db.execute("ALTER TABLE away RENAME TO vote_tokens")
    scene.answers.append(door.cast(last))


def test_the_scene_is_worth_looking_at(scene: Scene) -> None:
    codes = {
        answer.json().get("code", "accepted")
        for answer in scene.answers
        if "json" in answer.headers["Content-Type"]
    }
    assert codes >= {
        "accepted",
        "ballot_copied",
        "ballot_length",
        "key_mismatch",
        "malformed",
        "manifest_mismatch",
        "not_eligible",
        "style_mismatch",
        "suite_mismatch",
        "token_unknown",
        "token_used",
        "unauthenticated",
        "voter_not_eligible",
    }
    kinds = {one.workflow_type for one in histories.executions(scene.console)}
    assert kinds == {"claim_tokens", "submit_votes", "submit_vote"}
    # The search finds what is there: opened, not raw; and in the right kind of work.
    ballot = scene.ballots[0]
    d = token_id(scene.election.id, scene.election.m, ballot.bearer)
    texts = list(scene.texts())
    found = where(d, texts)
    assert found and all(name.endswith("opened") for name in found)
    assert where(ballot.sealed.t, texts) >= found
    ref = scene.election.count("SELECT ref FROM voters WHERE voter_id = %s", GOOD[0])
    assert any(name.startswith("claims/") for name in where(ref, texts))


def test_no_secret_anywhere(scene: Scene) -> None:
    texts = list(scene.texts())
    for ballot in scene.ballots:
        assert where(ballot.bearer, texts) == set()
    for voter in VOTERS:
        assert where(voter, texts) == set()
    for jwt in scene.jwts:
        for part in jwt.split(".")[1:]:
            assert where(part, texts) == set()
    for choice in CHOICES:
        assert where(choice, texts) == set()
    for selections in (SELECTIONS, OTHER_SELECTIONS):
        assert where(str(selections), texts) == set()


def test_no_answer_repeats_a_secret(scene: Scene) -> None:
    for answer in scene.answers:
        if answer.status_code >= 400:
            text = answer.text + str(answer.headers)
            for ballot in scene.ballots:
                assert not any(one in text for one in spellings(ballot.bearer))
            for secret in (*VOTERS, *scene.jwts):
                assert secret not in text


def test_no_identifier_occurs_in_a_claim_and_in_a_cast(scene: Scene) -> None:
    claims = identifiers(scene.workflow_texts("claim"))
    casts = identifiers(scene.workflow_texts("vote"))
    assert len(claims) > 50 and len(casts) > 50
    programs = (*scene.engine.webs, *scene.engine.workers)
    known = histories.of_the_programs(scene.console, scene.election.m, *programs)
    assert claims & casts <= known


def test_every_payload_is_sealed(scene: Scene) -> None:
    found = histories.executions(scene.console)
    sealed = [
        payload
        for one in found
        for payload in histories.messages(
            histories.history(scene.console, one), histories.Payload
        )
        if histories.is_sealed(payload)
    ]
    assert len(sealed) > 50
    for one in found:
        assert histories.unsealed(scene.console, one) == []


def test_failures_say_nothing(scene: Scene) -> None:
    poison = scene.ballots[4]
    described = scene.console.describe(f"vote/{poison.receipt_hash}")
    (failure,) = histories.failures(described)
    assert failure.message == "Encoded failure"
    assert failure.stack_trace == ""
    assert histories.is_sealed(failure.encoded_attributes)
    assert not failure.HasField("cause")
    opened = histories.opened_text(scene.console, described)
    assert "database: RaiseException (P0001)" in opened
    assert "refused:" not in opened


def test_search_attributes_and_memo_hold_no_data(scene: Scene) -> None:
    for one in histories.executions(scene.console):
        names = histories.attribute_names(scene.console, one)
        assert names <= histories.PLAIN_ATTRIBUTES, names
