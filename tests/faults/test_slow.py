"""A step that takes longer than a voter should wait."""

from __future__ import annotations

import time

from tests.support.engines import Engine
from tests.support.faults import Console, token_held
from tests.support.processes import eventually
from tests.support.voting import assert_problem


def test_a_202_ends_in_a_receipt_though_the_election_closes(
    calm: Engine, console: Console
) -> None:
    election = calm.make_election(id="slow", voters=2, grace=0)
    (door,) = calm.doors(election)
    ballot, late = door.ballot("v0"), door.ballot("v1")
    began = time.monotonic()
    with token_held(election, ballot.bearer):
        pending = door.cast(ballot)
        assert 2.5 < time.monotonic() - began < 6
        assert pending.status_code == 202, pending.text
        url = pending.json()["status_url"]
        assert pending.headers["Location"] == url
        assert pending.json() == {
            "receipt_hash": ballot.receipt_hash,
            "status": "pending",
            "status_url": f"/api/elections/slow/receipt/{ballot.receipt_hash}/",
        }
        election.close()
        asked = door.http.get(url)
        assert (asked.status_code, asked.json()) == (202, pending.json())
        # Neither waiting nor sending again turns it into "closed".
        assert_problem(door.cast(late), 403, "election_closed")
        again = door.cast(ballot)
        assert (again.status_code, again.json()) == (202, pending.json())
        group = election.count(
            "SELECT group_id FROM vote_groups WHERE receipt_hash = %s",
            ballot.receipt_hash,
        )
        assert console.status(group) == "RUNNING"
        time.sleep(max(0.0, began + 5 - time.monotonic()))
    assert eventually(lambda: door.http.get(url).status_code == 200, 15)
    receipt = door.http.get(url)
    assert receipt.json()["status"] == "accepted"
    assert door.cast(ballot).content == receipt.content
    console.finished(group)
    assert not console.attention(group)
    counts = election.counts()
    assert counts.whole() and counts.accepted == 1


def test_a_slow_refusal_is_told_when_asked(calm: Engine) -> None:
    election = calm.make_election(id="slow-refusal", voters=1)
    (door,) = calm.doors(election)
    first = door.ballot("v0")
    second = door.seal(first.bearer)
    door.insist(first)
    with token_held(election, first.bearer):
        pending = door.cast(second)
        assert pending.status_code == 202, pending.text
    url = pending.json()["status_url"]
    assert eventually(lambda: door.http.get(url).status_code == 200, 15)
    assert door.http.get(url).json()["code"] == "token_used"
    assert_problem(door.cast(second), 409, "token_used")
    assert election.counts().whole()
