"""Every refusal that a claim or a cast can meet, and secrets where none belong."""

from __future__ import annotations

import uuid

import httpx2

from tests.leaks.scene import GOOD, VOTERS, Scene
from tests.support.elections import Listed
from tests.support.processes import eventually
from tests.support.voting import OTHER_SELECTIONS, Door
from votepyramid.elections import closing
from votepyramid.engine.control import Desk
from votepyramid.protocol.identifiers import token_id


def claims(scene: Scene, door: Door) -> None:
    scene.jwts = [scene.election.jwt(voter) for voter in VOTERS]
    for jwt in [*scene.jwts[:2], *scene.jwts[-3:]]:
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


def casts(scene: Scene, door: Door) -> None:
    first, second, third, *_ = scene.ballots
    text = str(third.bearer)
    changed = {
        "manifest_hash": "0" * 64,
        "style": "south",
        "suite": "rot13",
        "key_id": "1" * 64,
        "payload": "AAAA",
        "token": text.upper(),
        "bearer": text,
        text: text,
    }
    scene.answers += [
        door.cast(first),
        door.cast(first),
        door.cast(door.seal(first.bearer, OTHER_SELECTIONS)),
        door.cast(first, token=str(second.bearer)),
        door.cast(second),
        *(door.cast(third, **{name: value}) for name, value in changed.items()),
        door.cast(door.seal(uuid.uuid4())),
        # A bearer where none belongs.
        door.receipt(text),
        door.receipt(third.receipt_hash),
        door.post(third.body(), election=text),
        door.post(third.body(), content_type="text/plain"),
        door.post(third.body(payload=text * 40_000)),
        door.http.get(f"/{text}"),
        door.http.get(door.path("vote/"), params={"token": text}),
        door.http.post(
            door.path("vote/"),
            json=third.body(),
            headers={"Authorization": f"Bearer {scene.jwts[2]}", "Cookie": text},
        ),
        door.http.get(f"{door.path('receipt/')}{first.receipt_hash}/proof"),
        door.http.get(f"{door.path('receipt/')}{third.receipt_hash}/proof"),
    ]
    _revoked_and_struck(scene, door)


def _revoked_and_struck(scene: Scene, door: Door) -> None:
    """Tokens that were good when they were claimed."""
    struck, revoked = scene.ballots[3], scene.ballots[4]
    with scene.election.sql() as db:
        d = token_id(scene.election.id, scene.election.m, revoked.bearer)
        db.execute("UPDATE vote_tokens SET revoked_at = now() WHERE token = %s", (d,))
    scene.answers.append(door.cast(revoked))
    scene.election.import_roster([Listed(v) for v in GOOD if v != GOOD[3]])
    scene.answers.append(door.cast(struck))


def elsewhere(scene: Scene, door: Door) -> None:
    """Elections to come, over, unknown, and one that is asked too often."""
    make = scene.engine.make_election
    voter = [Listed(GOOD[0])]
    strict = make(
        id="strict",
        voters=voter,
        rate={"claims_per_voter_per_minute": 1, "casts_per_token_per_minute": 1},
    )
    hurried = Door(door.url, strict)
    ballot = hurried.ballot(GOOD[0])
    scene.answers += [hurried.claim(GOOD[0]), hurried.cast(ballot)]
    scene.answers.append(hurried.cast(ballot))
    over = make(id="over", voters=voter, grace=0)
    late = Door(door.url, over)
    unused = late.ballot(GOOD[0])
    over.close()
    make(id="later", voters=voter, opens_in=3600)
    for election in ("over", "later", "nowhere"):
        scene.answers.append(door.claim(GOOD[0], election=election))
    scene.answers.append(late.cast(unused))
    scene.ballots += [ballot, unused]


def ended(scene: Scene, door: Door) -> None:
    """What is asked of an election that is finished, or not yet."""
    made = scene.engine.make_election(id="done", voters=[Listed(GOOD[0])], grace=0)
    done = Door(door.url, made)
    ballot = done.ballot(GOOD[0])
    absence = f"absence/{ballot.sealed.t.hex()}"
    scene.answers += [done.cast(ballot), done.http.get(done.path(absence))]
    desk = Desk(scene.engine.settings)
    closing.start_or_join(made.engine, desk, made.id, early=True)
    status = "SELECT status FROM elections WHERE id = %s"
    assert eventually(lambda: made.count(status, made.id) == "closed", 20)
    made.pass_grace()
    closing.start_or_join(made.engine, desk, made.id)
    assert eventually(lambda: made.count(status, made.id) == "finished", 30)
    scene.answers += [
        done.http.get(done.path(absence)),
        done.http.post(
            done.path("tokens/none-issued/"),
            json={},
            headers={"Authorization": f"Bearer {made.jwt(GOOD[0])}"},
        ),
    ]
    scene.ballots.append(ballot)


def codes(answers: list[httpx2.Response]) -> set[str]:
    return {
        answer.json().get("code", "accepted")
        for answer in answers
        if "json" in answer.headers.get("Content-Type", "")
    }
